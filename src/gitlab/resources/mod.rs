//! What a project under the factory's policy is made of: one file per kind of resource, each with how it is read, compared,
//! written, undone, and its words for the owner. What was there before goes into the receipt as GitLab said it.
//!
//! The [order](all) is the hand-off's: who sees the project, then its content, then the locks, and only when they hold the accounts that they
//! lock out. Each write begins by reading again, so that a change that is made already is left alone.
//!
//! [`group`] and [`project`] stand apart, since everything else lives in a project, and so does [`variable`], with which CI's kinds read and write.

pub(super) mod account;
pub(super) mod agent_token;
pub(super) mod app_member;
pub(super) mod approval_rule;
pub(super) mod ci_account;
pub(super) mod ci_token;
pub(super) mod ci_variable;
pub(super) mod environment;
pub(super) mod evidence_key;
mod first_issue;
pub(super) mod grant;
pub(super) mod group;
pub(super) mod job_token;
pub(super) mod membership;
pub(super) mod project;
pub(super) mod protected_branch;
mod protected_environment;
pub(super) mod protected_tag;
pub(super) mod readers;
mod remote;
pub(super) mod runner;
mod secrets_key;
pub(super) mod seed;
pub(super) mod settings;
mod switches;
pub(super) mod variable;
pub(super) mod wanted_branch;

use super::desired::Desired;
use super::error::GitlabResult;
use super::site::Site;
use crate::error::Kind;
use crate::plan::{Action, Change, Risk, Undo};

/// One kind of resource in a project.
pub(super) trait Resource {
    /// The kind, the part of its changes' ids before the colon.
    fn kind(&self) -> &'static str;

    /// All it takes in a project where nothing is yet.
    fn fresh(&self, desired: &Desired) -> Vec<Change>;

    /// Reads, compares, and says what differs.
    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found>;

    /// Makes one change that [`observe`](Self::observe) found, if it is still to be made, and says how to undo it.
    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo>;

    /// How its changes are undone.
    fn way_back(&self) -> WayBack;
}

/// How changes of one kind are undone.
pub(super) enum WayBack {
    /// They are not, and why. Such a change is planned with that reason.
    Stays(&'static str),
    /// By what this finds to do about a resource of this name, of which the receipt says this.
    By(fn(&Site<'_>, &str, &Undo) -> GitlabResult<Back>),
}

/// What is to be done to undo one change.
pub(super) enum Back {
    /// Nothing: it is undone.
    Done,
    /// Nothing, since it was changed after apply, or is in use.
    Stays(String),
    /// This.
    Change(Change, Act),
}

/// Undoes a change.
pub(super) type Act = Box<dyn FnOnce(&Site<'_>) -> GitlabResult<()>>;

impl Back {
    /// Removes what factoryup made.
    fn remove(id: String, summary: String, act: impl FnOnce(&Site<'_>) -> GitlabResult<()> + 'static) -> Self {
        Self::Change(Change::new(id, Action::Delete, summary), Box::new(act))
    }

    /// Brings back what factoryup changed.
    fn restore(id: String, summary: String, act: impl FnOnce(&Site<'_>) -> GitlabResult<()> + 'static) -> Self {
        Self::Change(Change::new(id, Action::Update, summary).with_risk(Risk::Disruptive), Box::new(act))
    }
}

/// Why changes of this kind stay, if they do. In a project that factoryup made, only what has access to it goes.
pub(super) fn stays(kind: &str, project_is_ours: bool) -> Option<&'static str> {
    match kind {
        group::KIND | project::KIND => {
            return Some("a group or project is only deleted by hand, with all that is in it");
        }
        agent_token::KIND | membership::KIND | app_member::KIND | runner::KIND | ci_account::KIND | ci_token::KIND => {}
        _ if project_is_ours => {
            return Some("it is part of the project that factoryup created, which is only deleted by hand");
        }
        _ => {}
    }
    all().into_iter().find(|resource| resource.kind() == kind).and_then(|resource| match resource.way_back() {
        WayBack::Stays(reason) => Some(reason),
        WayBack::By(_) => None,
    })
}

/// What a look at one kind of resource found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What differs.
    pub(super) changes: Vec<Change>,
    /// How many are right.
    pub(super) unchanged: usize,
    /// What the owner should know.
    pub(super) notes: Vec<String>,
}

impl Found {
    /// One resource: right, or not.
    pub(super) fn one(change: Option<Change>) -> Self {
        let mut found = Self::default();
        found.add(change);
        found
    }

    /// One more resource.
    pub(super) fn add(&mut self, change: Option<Change>) {
        match change {
            Some(change) => self.changes.push(change),
            None => self.unchanged += 1,
        }
    }
}

/// Why a change that takes a license is not made, or not undone.
const UNLICENSED: &str = "GitLab has no license for it, or gitlab.tier is \"free\"";

/// Every kind, in the order of the hand-off.
pub(super) fn all() -> [&'static dyn Resource; 24] {
    [
        &settings::Settings::Exposure,
        &seed::Seed,
        &protected_branch::ProtectedBranches,
        &protected_tag::ProtectedTags,
        &settings::Settings::Rest,
        &job_token::JobToken,
        &environment::Environments,
        &protected_environment::ProtectedEnvironments,
        &switches::Switches::Approvals,
        &approval_rule::ApprovalRules,
        &switches::Switches::PushRule,
        &runner::Runners,
        &account::ServiceAccount,
        &membership::Membership,
        &app_member::AppMembers,
        &agent_token::AgentToken,
        // Nothing hangs on these, nor on what takes a license: see is_left.
        &first_issue::FirstIssue,
        &remote::Remote,
        &ci_variable::Passphrases,
        &evidence_key::EvidenceKeys,
        &ci_account::CiAccounts,
        &ci_token::CiTokens,
        &secrets_key::SecretsKeys,
        &readers::Readers,
    ]
}

/// Whether a change that fails in this way is left, and the rest is made: nothing else hangs on it, and GitLab answered.
pub(super) fn is_left(kind: &str, failure: Kind) -> bool {
    let ci =
        [ci_variable::KIND, evidence_key::KIND, ci_account::KIND, ci_token::KIND, secrets_key::KIND, readers::KIND];
    let [approvals, push_rule] = [switches::Switches::Approvals, switches::Switches::PushRule].map(|one| one.kind());
    let licensed = [approvals, push_rule, approval_rule::KIND, protected_environment::KIND];
    let kinds = [&[first_issue::KIND, remote::KIND], &ci[..], &licensed[..]].concat();
    kinds.contains(&kind) && !matches!(failure, Kind::Unreachable | Kind::Interrupted | Kind::Internal)
}

/// The part of an id after the colon.
pub(super) fn name(change: &Change) -> &str {
    change.id.split_once(':').map_or(change.id.as_str(), |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a group may forbid holds up neither runners nor tokens.
    #[test]
    fn what_takes_a_license_holds_up_nothing() {
        for kind in ["approval-settings", "approval-rule", "push-rule", "protected-environment"] {
            assert!(all().iter().any(|resource| resource.kind() == kind), "{kind}");
            assert!(is_left(kind, Kind::NotPermitted), "{kind}");
            assert!(!is_left(kind, Kind::Unreachable), "{kind}");
        }
        assert!(!is_left("protected-branch", Kind::NotPermitted));
    }
}
