//! CI/CD variables whose values the owner gave: protected, masked and hidden.
//!
//! GitLab never returns a hidden value, so whether it is the right one is known only by a keyed fingerprint that was kept when it
//! was set. A variable becomes hidden only when it is made, so one that is not is made anew.
//! Source: <https://docs.gitlab.com/api/project_level_variables/>.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Found, Resource, name};
use crate::gitlab::desired::{self, Desired};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::keep::Memory;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

const KIND: &str = "variable";
const ALL: &str = "/projects/:id/variables";
const ONE: &str = "/projects/:id/variables/:key";

/// See the [module](self).
pub(in crate::gitlab) struct Variables;

#[derive(Clone, Debug, Deserialize)]
struct Variable {
    key: String,
    environment_scope: String,
    #[serde(flatten)]
    attributes: Map<String, Value>,
}

/// What a variable with a secret must be.
const ATTRIBUTES: [&str; 4] = ["protected", "masked", "hidden", "raw"];

impl Variable {
    fn has(&self, attribute: &str) -> bool {
        self.attributes.get(attribute) == Some(&Value::Bool(true))
    }

    fn is_right(&self) -> bool {
        let is_file = self.attributes.get("variable_type").is_some_and(|kind| kind != "env_var");
        ATTRIBUTES.iter().all(|attribute| self.has(attribute)) && !is_file
    }

    fn text(&self, value: &str) -> String {
        text(|attribute| self.has(attribute), value)
    }
}

fn text(has: impl Fn(&str) -> bool, value: &str) -> String {
    let attributes = ATTRIBUTES.iter().map(|name| format!("{name}: {}", if has(name) { "yes" } else { "no" }));
    attributes.chain([format!("value: {value}\n")]).collect::<Vec<_>>().join("\n")
}

/// `KEY@SCOPE`, which is unique in a project.
fn full_name(wanted: &desired::Variable) -> String {
    format!("{}@{}", wanted.key, wanted.scope)
}

fn id(wanted: &desired::Variable) -> String {
    format!("{KIND}:{}", full_name(wanted))
}

fn create(wanted: &desired::Variable) -> Change {
    let summary = format!("set the CI/CD variable {} for {}, protected and hidden", wanted.key, place(&wanted.scope));
    Change::new(id(wanted), Action::Create, summary).with_diff(None, Some(text(|_| true, "as given")))
}

fn place(scope: &str) -> &str {
    if scope == "*" { "all environments" } else { scope }
}

fn compare(wanted: &desired::Variable, present: Option<&Variable>, known: bool) -> Option<Change> {
    let Some(present) = present else { return Some(create(wanted)) };
    if present.is_right() && known {
        return None;
    }
    let value = if known { "as given" } else { "not known to be the given one" };
    let summary =
        format!("set the CI/CD variable {} for {} again, protected and hidden", wanted.key, place(&wanted.scope));
    Some(
        Change::new(id(wanted), Action::Update, summary)
            .with_diff(Some(present.text(value)), Some(text(|_| true, "as given"))),
    )
}

/// What the owner should know of a variable that is not protected. It may be meant so.
fn open(variable: &Variable) -> String {
    format!(
        "the CI/CD variable {} is not protected: jobs of every branch can read it, the agent's too",
        crate::dialog::plain(&variable.key)
    )
}

/// Whether the given value is the one that was set from here.
fn is_known(site: &Site<'_>, memory: &Memory, wanted: &desired::Variable) -> GitlabResult<bool> {
    let name = full_name(wanted);
    match memory.variables.get(&name) {
        Some(kept) => Ok(*kept == site.keep.fingerprint(&name, &wanted.value)?),
        None => Ok(false),
    }
}

fn read(site: &Site<'_>) -> GitlabResult<Vec<Variable>> {
    site.owner.list(&Call::get(ALL, &[&site.id]))
}

fn present<'a>(all: &'a [Variable], wanted: &desired::Variable) -> Option<&'a Variable> {
    all.iter().find(|v| v.key == wanted.key && v.environment_scope == wanted.scope)
}

impl Resource for Variables {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        desired.variables.iter().map(create).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let mut found = Found::default();
        let all = read(site)?;
        let is_wanted =
            |v: &Variable| site.desired.variables.iter().any(|w| w.key == v.key && w.scope == v.environment_scope);
        found.notes = all.iter().filter(|v| !v.has("protected") && !is_wanted(v)).map(open).collect();
        if site.desired.variables.is_empty() {
            return Ok(found);
        }
        let memory = site.keep.memory()?;
        for wanted in &site.desired.variables {
            found.add(compare(wanted, present(&all, wanted), is_known(site, &memory, wanted)?));
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let Some(wanted) = site.desired.variables.iter().find(|v| full_name(v) == name(change)) else {
            return Ok(Undo::Never { reason: "it is not wanted any more".into() });
        };
        let owner = site.owner.hiding(&wanted.value);
        let all = read(site)?;
        let filter = ("filter[environment_scope]", wanted.scope.clone());
        let value = wanted.value.expose();
        let undo = match present(&all, wanted) {
            Some(present) if present.has("hidden") => {
                let body = json!({
                    "value": value,
                    "protected": true,
                    "masked": true,
                    "raw": true,
                    "variable_type": "env_var",
                    "filter": { "environment_scope": wanted.scope },
                });
                owner.send(&Call::put(ONE, &[&site.id, &wanted.key]), &body)?;
                Undo::Never { reason: "GitLab does not tell the earlier value".into() }
            }
            other => {
                if other.is_some() {
                    owner.delete(&Call::delete(ONE, &[&site.id, &wanted.key]).query(filter.0, filter.1))?;
                }
                let body = json!({
                    "key": wanted.key,
                    "value": value,
                    "protected": true,
                    "masked_and_hidden": true,
                    "raw": true,
                    "variable_type": "env_var",
                    "environment_scope": wanted.scope,
                });
                owner.send(&Call::post(ALL, &[&site.id]), &body)?;
                match other {
                    Some(_) => Undo::Never { reason: "it was replaced by a hidden one".into() },
                    None => Undo::Remove,
                }
            }
        };
        let name = full_name(wanted);
        let fingerprint = site.keep.fingerprint(&name, &wanted.value)?;
        site.keep.remember(|memory| {
            memory.variables.insert(name, fingerprint);
        })?;
        Ok(undo)
    }
}
