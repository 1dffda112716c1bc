//! How the agent comes by an account of its own. Of three ways the first is taken that this GitLab offers.
//!
//! | account | where | who makes it and its tokens |
//! |---|---|---|
//! | service account of the project | Enterprise Edition from 18.11 on | a Maintainer |
//! | service account of the top-level group | Enterprise Edition, before that with a license | an Owner of the group |
//! | second user | everywhere | an administrator's token, else a person, who hands the tokens over |
//!
//! Each way is tried by reading, before anything is changed. Sources: <https://docs.gitlab.com/api/service_accounts/>,
//! <https://docs.gitlab.com/api/users/#create-a-user>.

use super::client::Client;
use super::desired::Desired;
use super::error::GitlabResult;
use super::http::Call;
use super::preflight::Facts;
use super::site::Project;

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

/// The first way that is there. `user` says that the agent is a user already, or can be nothing else.
pub(super) fn choose(
    owner: &Client,
    desired: &Desired,
    facts: &Facts,
    project: Option<&Project>,
    user: bool,
) -> GitlabResult<Identity> {
    if !user && facts.enterprise {
        if facts.project_accounts && project_has_accounts(owner, desired, project)? {
            return Ok(Identity::Project);
        }
        let top = desired.top();
        if group_has_accounts(owner, top)? {
            return Ok(Identity::Group(top.to_owned()));
        }
    }
    // Read by administrators only, and harmless.
    let admin = owner.attempt(&Call::get("/application/plan_limits", &[]), None)?.is_success();
    Ok(if admin { Identity::Made } else { Identity::Given })
}

/// Where CI's accounts can be: whether in the project, and in which top-level group. `is_new` says that the group does not exist yet.
pub(super) fn for_ci(
    owner: &Client,
    desired: &Desired,
    facts: &Facts,
    project: Option<&Project>,
    is_new: bool,
) -> GitlabResult<(bool, Option<String>)> {
    if !facts.enterprise {
        return Ok((false, None));
    }
    let (agent, top) = (&desired.agent.identity, desired.top());
    let of_project =
        *agent == Identity::Project || (facts.project_accounts && project_has_accounts(owner, desired, project)?);
    let of_group = matches!(agent, Identity::Group(_))
        || if is_new { facts.project_accounts } else { group_has_accounts(owner, top)? };
    Ok((of_project, of_group.then(|| top.to_owned())))
}

/// Whether the owner may see the service accounts of a top-level group.
fn group_has_accounts(owner: &Client, top: &str) -> GitlabResult<bool> {
    Ok(owner.attempt(&Call::get("/groups/:id/service_accounts", &[&top]), None)?.is_success())
}

/// Where the call exists and the project does not, GitLab says that it is the project which is missing.
fn project_has_accounts(owner: &Client, desired: &Desired, project: Option<&Project>) -> GitlabResult<bool> {
    const ACCOUNTS: &str = "/projects/:id/service_accounts";
    let Some(project) = project else {
        let answer = owner.attempt(&Call::get(ACCOUNTS, &[&desired.path()]), None)?;
        return Ok(answer.is_success() || (answer.status == 404 && answer.said.starts_with("Project ")));
    };
    Ok(owner.attempt(&Call::get(ACCOUNTS, &[&project.id]), None)?.is_success())
}
