//! What the control repo's pipelines need in GitLab: the accounts that jobs sign in with, and the variables, each in the environment of a
//! root, that `docs/secrets.md` of the control repo lists. The desk is an account like those: the agent opens issues and answers reviews
//! with it. Its token goes to the agent instead of a variable.
//!
//! An account of a project cannot be a member of a group. So those for plan and apply, which read and change the projects of the group's
//! applications, are service accounts of the top-level group. Those for reports and the desk are the project's where GitLab has that.
//!
//! Why the desk is no scope more on the agent's own token: with the scope `api`, a Developer resolves the threads of a review, starts
//! pipelines and reads the infrastructure state. A Reporter does not.

use std::collections::BTreeSet;
use std::fmt;

use super::identity::Identity;
use super::roles::{MAINTAINER, REPORTER};
use crate::factory::{Engine, Factory, SecretProvider};

/// The root that every control repo has.
const CONTROL_PLANE: &str = "control-plane";
/// The variable with the passphrase of a root's state.
pub(super) const PASSPHRASE: &str = "STATE_PASSPHRASE";

/// The variable with the key that jobs sign evidence with.
pub(super) const SIGNING_KEY: &str = "EVIDENCE_SIGNING_KEY";
/// The variable with the age key that jobs read secrets with. SOPS knows it by this name.
pub(super) const AGE_KEY: &str = "SOPS_AGE_KEY";
/// The environment of the jobs that record evidence and touch no root.
const EVIDENCE: &str = "evidence";

/// A CI/CD variable of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub key: &'static str,
    /// The environment whose jobs get it.
    pub environment: String,
}

impl Place {
    /// The variable `key` of an environment.
    pub fn new(key: &'static str, environment: impl Into<String>) -> Self {
        Self { key, environment: environment.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.environment)
    }
}

/// The roots of the infrastructure code, which are environments in GitLab.
#[must_use]
pub fn roots(factory: &Factory) -> Vec<String> {
    let names = factory.environments.names.iter().filter(|_| factory.cloudflare.enabled);
    std::iter::once(CONTROL_PLANE.to_owned()).chain(names.cloned()).collect()
}

/// What the accounts are for that jobs and the agent's scripts sign in with. The scripts of the control repo say what each needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reads the applications' projects, to compare them with the code.
    Plan,
    /// Changes them.
    Apply,
    /// Writes issues about what the nightly pipeline found.
    Report,
    /// Opens issues, comments on them and answers reviews, for the agent.
    Desk,
}

impl Purpose {
    pub(super) const ALL: [Self; 4] = [Self::Plan, Self::Apply, Self::Report, Self::Desk];

    /// Its name in ids and user names.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Report => "report",
            Self::Desk => "desk",
        }
    }

    /// Who signs in with it, for people.
    pub(super) fn user(self) -> &'static str {
        match self {
            Self::Plan => "CI's plan jobs",
            Self::Apply => "CI's apply jobs",
            Self::Report => "CI's report jobs",
            Self::Desk => "the agent's issues and reviews",
        }
    }

    /// The variable with its token; none for the desk, whose token factoryup stores for the host.
    pub(super) fn key(self) -> Option<&'static str> {
        match self {
            Self::Plan => Some("CONTROL_PLANE_PLAN_TOKEN"),
            Self::Apply => Some("CONTROL_PLANE_APPLY_TOKEN"),
            Self::Report => Some("REPORT_TOKEN"),
            Self::Desk => None,
        }
    }

    /// The scopes of its token, with which it also renews itself: `scripts/renew` of the control repo.
    pub(super) fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Plan => &["read_api", "self_rotate"],
            // Creating an issue takes it, whatever the role.
            Self::Apply | Self::Report | Self::Desk => &["api"],
        }
    }

    /// Its role.
    pub(super) fn level(self) -> u8 {
        match self {
            Self::Plan | Self::Apply => MAINTAINER,
            // A Guest does not see the merge requests of a private project.
            Self::Report | Self::Desk => REPORTER,
        }
    }

    /// Whether it has the role in the group, and so in all projects of it.
    pub(super) fn is_in_group(self) -> bool {
        matches!(self, Self::Plan | Self::Apply)
    }

    /// The name of its account, which is unique on the instance.
    pub(super) fn username(self, project: u64) -> String {
        format!("factoryup-{project}-{}", self.word())
    }
}

/// What factoryup makes for pipelines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ci {
    roots: Vec<String>,
    /// Whether the engine encrypts its state.
    encrypted: bool,
    /// The environments that have encrypted secrets in the repo.
    secrets: Vec<String>,
    /// Whether the owner sees service accounts of the project; known once GitLab was asked.
    pub(super) project: bool,
    /// The top-level group whose service accounts the owner sees, likewise.
    pub(super) group: Option<String>,
    /// Where GitLab refused to make one: `group`, `project`.
    pub(super) refused: BTreeSet<String>,
    /// Why none is made, for people.
    pub(super) reason: String,
    /// Whether the project's own group has yet to be made.
    pub(super) is_group_new: bool,
}

impl Ci {
    pub(super) fn new(factory: &Factory) -> Self {
        let encrypted = factory.infra.engine == Engine::Opentofu;
        let refused = BTreeSet::new();
        // Without the owner's key, nothing can be encrypted.
        let has_secrets =
            factory.secrets.provider == SecretProvider::SopsAge && !factory.secrets.owner_recipient.is_empty();
        let secrets = factory.environments.names.iter().filter(|_| has_secrets).cloned().collect();
        Self {
            roots: roots(factory),
            encrypted,
            secrets,
            project: false,
            group: None,
            refused,
            reason: String::new(),
            is_group_new: false,
        }
    }

    /// Where passphrases of states are needed.
    pub(super) fn passphrases(&self) -> impl Iterator<Item = Place> + '_ {
        self.everywhere(PASSPHRASE).filter(|_| self.encrypted)
    }

    /// Where the account for this can be, the best place first.
    pub(super) fn homes(&self, purpose: Purpose) -> impl Iterator<Item = Identity> + use<> {
        let project = (!purpose.is_in_group() && self.project).then_some(Identity::Project);
        project.into_iter().chain(self.group.clone().map(Identity::Group))
    }

    /// Where keys are needed to sign evidence with, each place with its own.
    pub(super) fn signing_keys(&self) -> impl Iterator<Item = Place> + '_ {
        self.everywhere(SIGNING_KEY).chain([Place::new(SIGNING_KEY, EVIDENCE)])
    }

    /// Where keys are needed to read the repo's secrets with, each place with its own.
    pub(super) fn age_keys(&self) -> impl Iterator<Item = Place> + '_ {
        self.secrets.iter().map(|environment| Place::new(AGE_KEY, environment))
    }

    /// Where the account for this can be made, if it can.
    pub(super) fn home(&self, purpose: Purpose) -> Option<Identity> {
        let word = |home: &Identity| if *home == Identity::Project { "project" } else { "group" };
        self.homes(purpose).find(|home| !self.refused.contains(word(home)))
    }

    /// The variables that hold its token.
    pub(super) fn places(&self, purpose: Purpose) -> impl Iterator<Item = Place> + '_ {
        let is_used = move |place: &Place| purpose == Purpose::Report || place.environment == CONTROL_PLANE;
        purpose.key().into_iter().flat_map(|key| self.everywhere(key)).filter(is_used)
    }

    /// What is said of accounts that factoryup needs and cannot make here.
    pub(super) fn deferred(&self, left: &[Purpose]) -> Vec<String> {
        let reason = &self.reason;
        let words: Vec<_> = left.iter().filter(|one| one.key().is_some()).map(|purpose| purpose.word()).collect();
        let of_ci = (!words.is_empty()).then(|| {
            let words = words.join(", ");
            format!("the accounts and tokens of CI's jobs are left to you ({words}): {reason}; \"What CI needs\" in docs/secrets.md has the steps")
        });
        let desk = left.contains(&Purpose::Desk).then(|| {
            format!("the agent asks by draft merge requests, since it has no account to open issues and answer reviews with: {reason}")
        });
        of_ci.into_iter().chain(desk).collect()
    }

    fn everywhere(&self, key: &'static str) -> impl Iterator<Item = Place> + '_ {
        self.roots.iter().map(move |root| Place::new(key, root))
    }
}
