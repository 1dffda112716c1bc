//! The rules that [protected branches](super::protected_branch) are to have.

use serde_json::{Value, json};

use super::protected_branch::KIND;
use crate::gitlab::roles::{MAINTAINER, NO_ONE};
use crate::gitlab::site::Site;
use crate::plan::{Action, Change};

/// How the names of the branches begin that factoryup proposes from, as the owner or as CI, which replaces its proposals.
pub(in crate::gitlab) const PROPOSING: &str = "factory/";
pub(super) const PROPOSALS: &str = "factory/*";

/// What a rule is to say. Maintainers merge.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    /// Who pushes, by role.
    pub(super) push: u8,
    pub(super) force: bool,
    /// Whether code owners approve.
    pub(super) owners: bool,
}

impl<'a> Wanted<'a> {
    pub(super) fn all(branch: &'a str, licensed: bool) -> [Self; 2] {
        [
            Wanted { name: branch, push: NO_ONE, force: false, owners: licensed },
            Wanted { name: PROPOSALS, push: MAINTAINER, force: true, owners: false },
        ]
    }

    pub(super) fn of(site: &'a Site<'_>, name: &str) -> Option<Self> {
        Self::all(&site.desired.branch, site.premium).into_iter().find(|wanted| wanted.name == name)
    }

    pub(super) fn summary(&self) -> String {
        let who = if self.push == NO_ONE { "no one pushes" } else { "Maintainers push" };
        format!("protect {}: {who}, Maintainers merge", self.name)
    }

    pub(super) fn text(&self) -> String {
        let push = if self.push == NO_ONE { "no one" } else { "Maintainer" };
        text(push, "Maintainer", self.force, self.owners)
    }

    pub(super) fn create(&self) -> Change {
        Change::new(format!("{KIND}:{}", self.name), Action::Create, self.summary()).with_diff(None, Some(self.text()))
    }

    pub(super) fn body(&self) -> Value {
        let mut body = json!({
            "name": self.name,
            "push_access_level": self.push,
            "merge_access_level": MAINTAINER,
            "allow_force_push": self.force,
        });
        if self.owners {
            body["code_owner_approval_required"] = true.into();
        }
        body
    }
}

/// A rule in words.
pub(super) fn text(push: &str, merge: &str, force: bool, owners: bool) -> String {
    let (force, owners) = (if force { "allowed" } else { "no" }, if owners { "code owners: approve\n" } else { "" });
    format!("push: {push}\nmerge: {merge}\nforce push: {force}\n{owners}")
}
