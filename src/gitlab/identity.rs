//! How the agent comes by an account of its own. Of three ways the first is taken that this GitLab offers.
//!
//! | account | where | who makes it and its tokens |
//! |---|---|---|
//! | service account of the top-level group | Enterprise Edition, before 18.11 with a license | an Owner of the group |
//! | service account of the project | Enterprise Edition from 18.11 on | a Maintainer |
//! | second user | everywhere | an administrator's token, else a person, who hands the tokens over |
//!
//! One of the group can be a member of applications' projects too, and of no project by itself; one of the project, GitLab lets into no other.
//! An agent that has an account keeps it, also where GitLab offers a better one since: [`choose`](super::choose) decides. Sources:
//! <https://docs.gitlab.com/api/service_accounts/>, <https://docs.gitlab.com/api/users/#create-a-user>.

use serde::Deserialize;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// A service account of the project.
    Project,
    /// A service account of this top-level group.
    Group(String),
    /// A second user, made by the owner's token, which is an administrator's.
    Made,
    /// A second user, made by hand.
    Given,
}

impl Identity {
    /// What is made, in words.
    pub(super) fn words(&self, username: &str) -> String {
        match self {
            Self::Project => format!("the project's service account {username}"),
            Self::Group(group) => format!("the service account {username} of the group {group}"),
            Self::Made | Self::Given => format!("the user {username}"),
        }
    }

    /// Whether it is a user like a person.
    pub(super) fn is_user(&self) -> bool {
        matches!(self, Self::Made | Self::Given)
    }
}

/// The agent's account.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) username: String,
    /// As people see it.
    #[serde(default)]
    pub(super) name: String,
}
