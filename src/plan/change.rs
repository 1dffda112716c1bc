//! The types of a plan: plain data that is shown, serialized and hashed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::digest::sha256;

use crate::secret::redact;

/// One of the three targets that factoryup configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetName {
    /// The trusted host.
    Host,
    /// The control repo.
    Repo,
    /// The control plane.
    Gitlab,
}

impl TargetName {
    /// The name as typed and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Repo => "repo",
            Self::Gitlab => "gitlab",
        }
    }
}

impl std::fmt::Display for TargetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is not there and will be.
    Create,
    /// It is there and will be different.
    Update,
    /// It is there and will not be.
    Delete,
    /// Runs an action that leaves no resource, such as a reload.
    Run,
}

impl Action {
    /// One character for the margin of a plan.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Delete => '-',
            Self::Run => '>',
        }
    }
}

/// What a change could cost if it went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// A re-run fixes any failure.
    #[default]
    None,
    /// It restarts or replaces something in use.
    Disruptive,
    /// It can lock users out of the machine, so it runs only under the armed revert.
    Access,
}

/// A text before and after. A side is `None` where there is no such text; secrets are never texts here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The current content.
    pub before: Option<String>,
    /// What will be there.
    pub after: Option<String>,
}

/// One resource that differs from its desired state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `kind:name`, unique in a target and stable between runs, such as `file:/etc/motd`.
    pub id: String,
    /// What happens.
    pub action: Action,
    /// One line for people: what, on what.
    pub summary: String,
    /// The texts, where showing them helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Diff>,
    /// What it could cost.
    #[serde(default)]
    pub risk: Risk,
    /// Why a later revert does not undo it, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
    /// What works now and stops working with it: a sentence each, with what keeps it. `--yes` alone does not confirm that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<String>,
}

impl Change {
    /// A change without diff and risk.
    pub fn new(id: impl Into<String>, action: Action, summary: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            action,
            summary: summary.into(),
            diff: None,
            risk: Risk::None,
            stays: None,
            ends: Vec::new(),
        }
    }

    /// Adds the texts before and after.
    #[must_use]
    pub fn with_diff(mut self, before: Option<String>, after: Option<String>) -> Self {
        self.diff = Some(Diff { before, after });
        self
    }

    /// Says what it could cost.
    #[must_use]
    pub fn with_risk(mut self, risk: Risk) -> Self {
        self.risk = risk;
        self
    }

    /// The resource's kind: the part of the id before the colon.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.id.split_once(':').map_or(self.id.as_str(), |(kind, _)| kind)
    }
}

/// All changes from the current to the desired state of one target, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Format number of the JSON form: 1.
    pub schema: u32,
    /// Which target.
    pub target: TargetName,
    /// Which target of its kind: a URL or path that the user recognizes.
    pub subject: String,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// How many resources are up to date.
    pub unchanged: usize,
    /// What the reader should know: what was left out and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Plan {
    /// Returns a plan without changes.
    pub fn new(target: TargetName, subject: impl Into<String>) -> Self {
        Self { schema: 1, target, subject: subject.into(), changes: Vec::new(), unchanged: 0, notes: Vec::new() }
    }

    /// Adds a change.
    pub fn push(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Whether there are no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The same plan as it may be written down: its texts without the secrets of this process.
    #[must_use]
    pub(super) fn redacted(mut self) -> Self {
        let texts = self.changes.iter_mut().flat_map(|change| {
            let diff = change.diff.as_mut().map(|diff| [&mut diff.before, &mut diff.after]);
            let optional = diff.into_iter().flatten().chain([&mut change.stays]).filter_map(Option::as_mut);
            [&mut change.id, &mut change.summary].into_iter().chain(optional).chain(&mut change.ends)
        });
        for text in texts.chain(&mut self.notes).chain([&mut self.subject]) {
            if let Cow::Owned(shown) = redact(text) {
                *text = shown;
            }
        }
        self
    }

    /// SHA-256, in hexadecimal, of the plan's compact JSON: names exactly what was confirmed.
    #[must_use]
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        sha256(&json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_names_the_content() {
        let mut plan = Plan::new(TargetName::Repo, "here");
        let empty = plan.digest();
        plan.push(Change::new("file:a", Action::Create, "create a"));
        assert_ne!(plan.digest(), empty);
        assert_eq!(plan.digest(), plan.clone().digest());
    }

    #[test]
    fn a_plan_survives_json() {
        let mut plan = Plan::new(TargetName::Gitlab, "https://gitlab.example/a/b");
        plan.push(
            Change::new("protected-branch:main", Action::Update, "protect main")
                .with_diff(Some("push: 40".into()), Some("push: 0".into()))
                .with_risk(Risk::Disruptive),
        );
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }
}
