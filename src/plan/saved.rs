//! A saved plan, which is applied exactly as it was reviewed, or refused.
//!
//! ```json
//! { "schema": 1, "factory": "acme", "made_at": "2026-11-28T14:00:00Z", "generator": "0.1.0", "digest": "…", "plans": [ … ] }
//! ```
//!
//! Like every plan it contains no secret. The digest names the plans as a whole, so that an edited file is refused.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::change::{Plan, TargetName};
use super::whole::write_json;
use crate::digest::sha256;
use crate::error::{Error, Result};

/// The `schema` number of a saved plan.
const SCHEMA: u32 = 1;
/// The largest file that is read, in bytes: a plan of 10,000 files with their texts.
const LARGEST: u64 = 256 * 1024 * 1024;

/// The plans of all targets that were looked at, in order. A target's second plan is for after the hand-off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    schema: u32,
    factory: String,
    made_at: String,
    generator: String,
    digest: String,
    plans: Vec<Plan>,
}

impl SavedPlan {
    /// The plans of the factory of this name, as they are now.
    #[must_use]
    pub fn new(factory: &str, plans: Vec<Plan>) -> Self {
        let plans: Vec<Plan> = plans.into_iter().map(Plan::redacted).collect();
        Self {
            schema: SCHEMA,
            factory: factory.to_owned(),
            made_at: jiff::Timestamp::now().to_string(),
            generator: env!("CARGO_PKG_VERSION").to_owned(),
            digest: digest(&plans),
            plans,
        }
    }

    /// Refuses a path where another kind of file exists. Does not follow links.
    ///
    /// # Errors
    /// `Usage` with the path.
    pub fn may_be_at(path: &Path) -> Result<()> {
        let is_plan = |path: &Path| {
            let text = crate::budget::read(path).unwrap_or_default();
            serde_json::from_slice::<Self>(&text).is_ok()
        };
        let name = path.display();
        match std::fs::symlink_metadata(path) {
            Err(_) => Ok(()),
            Ok(there) if there.is_file() && there.len() <= LARGEST && is_plan(path) => Ok(()),
            Ok(_) => Err(Error::usage(format!("{name} exists and is not a saved plan"))
                .hint("choose another file with --out FILE; --out replaces only saved plans")),
        }
    }

    /// Writes the plan, readable only by its owner, and replaces an earlier one.
    ///
    /// # Errors
    /// `Usage` as [`may_be_at`](Self::may_be_at); `CannotWrite` with the path.
    pub fn write(&self, path: &Path) -> Result<()> {
        Self::may_be_at(path)?;
        write_json(path, self)
    }

    /// Reads a saved plan of the factory with this name.
    ///
    /// # Errors
    /// `Data` if it cannot be read, was edited, is of a newer version, or of another factory.
    pub fn read(path: &Path, factory: &str) -> Result<Self> {
        let name = path.display();
        let again = |error: Error| error.hint(format!("create a new plan: factoryup plan --out {name}"));
        let cannot = |why: String| again(Error::data(format!("cannot use {name} as a saved plan: {why}")));
        let size = std::fs::metadata(path).map_err(|e| cannot(e.to_string()))?;
        if !size.is_file() || size.len() > LARGEST {
            return Err(cannot(format!("it is not a file of at most {LARGEST} bytes")));
        }
        let text = crate::budget::read(path).map_err(|e| cannot(e.to_string()))?;
        let version: Schema = serde_json::from_slice(&text).map_err(|e| cannot(e.to_string()))?;
        if version.schema != SCHEMA {
            let why = format!("its schema is {}, and this factoryup supports {SCHEMA}", version.schema);
            return Err(cannot(why).hint("or use the factoryup that wrote it"));
        }
        let saved: Self = serde_json::from_slice(&text).map_err(|e| cannot(e.to_string()))?;
        if digest(&saved.plans) != saved.digest {
            return Err(cannot("it was edited: its digest does not match".into()));
        }
        if saved.factory != factory {
            return Err(cannot(format!("it belongs to the factory `{}`, not `{factory}`", saved.factory)));
        }
        Ok(saved)
    }

    /// The targets of the plan, each once.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetName> {
        let mut names: Vec<TargetName> = self.plans.iter().map(|plan| plan.target).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// SHA-256, in hexadecimal, of the plans.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The plans in order.
    #[must_use]
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// Refuses to continue if the pending changes differ from the saved ones. A missing change is fine if `begun` reports that this plan
    /// was applied before and interrupted.
    ///
    /// # Errors
    /// `Data` with each new, missing or different change; the error of `begun`.
    pub fn require_same(&self, now: &[&Plan], begun: &dyn Fn(&Plan) -> Result<bool>) -> Result<()> {
        let now: Vec<Plan> = now.iter().map(|plan| (*plan).clone().redacted()).collect();
        let mut moved = Vec::new();
        for plan in &self.plans {
            let now =
                |id: &str| now.iter().any(|now| now.target == plan.target && now.changes.iter().any(|c| c.id == id));
            let gone: Vec<_> = plan.changes.iter().filter(|change| !now(&change.id)).collect();
            if !gone.is_empty() && !begun(plan)? {
                moved.extend(
                    gone.iter().map(|change| format!("{}: no longer pending: {}", plan.target, change.summary)),
                );
            }
        }
        for plan in &now {
            let then = |change| {
                self.plans.iter().any(|then| {
                    then.target == plan.target && then.subject == plan.subject && then.changes.contains(change)
                })
            };
            let new = plan.changes.iter().filter(|change| !then(change));
            moved.extend(new.map(|change| format!("{}: new or different: {}", plan.target, change.summary)));
        }
        if moved.is_empty() {
            return Ok(());
        }
        let count = moved.len();
        let error = Error::data(format!("the saved plan of {} is out of date; nothing was changed", self.made_at));
        let error = moved.into_iter().take(12).fold(error, Error::hint);
        let error = if count > 12 { error.hint(format!("and {} more", count - 12)) } else { error };
        Err(error.hint("create and review a new plan: `factoryup plan --out FILE`"))
    }
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

fn digest(plans: &[Plan]) -> String {
    sha256(&serde_json::to_vec(plans).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::plan::{Action, Change};

    fn plan(ids: &[&str]) -> Plan {
        let mut plan = Plan::new(TargetName::Host, "h");
        for id in ids {
            plan.push(Change::new(*id, Action::Update, format!("update {id}")));
        }
        plan
    }

    #[test]
    fn a_plan_comes_back_as_it_was_and_an_edited_one_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("plan.json");
        let saved = SavedPlan::new("acme", vec![plan(&["file:a", "file:b"])]);
        saved.write(&path).unwrap();
        assert_eq!(SavedPlan::read(&path, "acme").unwrap(), saved);
        let refused = |text: &str, factory: &str, why: &str| {
            std::fs::write(&path, text).unwrap();
            let error = SavedPlan::read(&path, factory).unwrap_err();
            assert!(error.kind() == Kind::Data && error.to_string().contains(why), "{error}");
            assert!(!error.hints().is_empty());
        };
        let text = std::fs::read_to_string(&path).unwrap();
        refused(&text.replace("file:b", "file:c"), "acme", "it was edited");
        refused(&text, "shop", "to the factory `acme`");
        refused(
            &text.replace("\"schema\": 1,\n  \"factory\"", "\"schema\": 2,\n  \"factory\""),
            "acme",
            "its schema is 2",
        );
        refused("{", "acme", "EOF");
        assert_eq!(saved.write(&path).unwrap_err().kind(), Kind::Usage);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
        assert!(SavedPlan::may_be_at(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn what_moved_is_named() {
        let saved = SavedPlan::new("acme", vec![plan(&["file:a", "file:b"])]);
        let mut same = plan(&["file:a", "file:b"]);
        same.notes.push("said of it".into());
        let never = |_: &Plan| Ok(false);
        saved.require_same(&[&same], &never).unwrap();
        let mut other = plan(&["file:a", "file:c"]);
        other.changes[0].summary = "update file:a twice".into();
        let error = saved.require_same(&[&other], &never).unwrap_err();
        assert_eq!(
            error.hints()[..3],
            [
                "host: no longer pending: update file:b",
                "host: new or different: update file:a twice",
                "host: new or different: update file:c",
            ]
        );
    }
}
