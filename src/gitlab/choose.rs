//! Chooses among the [ways](super::identity) to an account: each is tried by reading, before anything is changed.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::client::Client;
use super::desired::Desired;
use super::error::GitlabResult;
use super::http::Call;
use super::identity::{Account, Identity};
use super::keep::Memory;
use super::preflight::Facts;
use super::second_user;
use super::site::{Project, is_personal};
use crate::error::{Error, Kind};

/// The account that the agent has, else the first way that is there.
pub(super) fn for_agent(
    owner: &Client,
    desired: &Desired,
    facts: &Facts,
    project: Option<&Project>,
    memory: &Memory,
) -> GitlabResult<Identity> {
    let is_user = memory.no_service_account || memory.agent.as_ref().is_some_and(|agent| agent.user);
    if !is_user
        && facts.enterprise
        && let Some(found) = service_account(owner, desired, facts, project, memory)?
    {
        return Ok(found);
    }
    // Read by administrators only, and harmless.
    let admin = owner.attempt(&Call::get("/application/plan_limits", &[]), None)?.is_success();
    Ok(if admin { Identity::Made } else { Identity::Given })
}

/// Whose service account the agent is or can be; nothing if it is a user, or this GitLab has none.
fn service_account(
    owner: &Client,
    desired: &Desired,
    facts: &Facts,
    project: Option<&Project>,
    memory: &Memory,
) -> GitlabResult<Option<Identity>> {
    let (top, name) = (desired.top(), &desired.agent.username);
    let group = || Identity::Group(top.to_owned());
    let of_group = || listed(owner, &Call::get("/groups/:id/service_accounts", &[&top]));
    let is_in = |all: &[Account]| all.iter().any(|account| account.username.eq_ignore_ascii_case(name));
    let Some(project) = project else {
        if facts.project_accounts && project_has_accounts(owner, desired, None)? {
            return Ok(Some(Identity::Project));
        }
        return Ok(group_has_accounts(owner, top)?.then(group));
    };
    let call = Call::get("/projects/:id/service_accounts", &[&project.id]);
    let of_project = if facts.project_accounts { listed(owner, &call)? } else { None };
    match of_project {
        None => match of_group()? {
            Some(_) => Ok(Some(group())),
            // It was made from here, and is no user.
            None if memory.agent.is_some() => Err(out_of_reach(desired).into()),
            None => Ok(None),
        },
        Some(all) if is_in(&all) => Ok(Some(Identity::Project)),
        // One from before this GitLab had accounts of projects.
        Some(_) => match agent(owner, desired, project, memory)? {
            None => Ok(Some(Identity::Project)),
            Some(_) if of_group()?.is_some_and(|all| is_in(&all)) => Ok(Some(group())),
            Some(Agent { bot: true }) => Err(out_of_reach(desired).into()),
            Some(Agent { bot: false }) => Ok(None),
        },
    }
}

#[derive(Deserialize)]
struct Agent {
    #[serde(default)]
    bot: bool,
}

/// The account of the agent's name, if it is the agent: it was made from here, or the project itself has it as a member.
fn agent(owner: &Client, desired: &Desired, project: &Project, memory: &Memory) -> GitlabResult<Option<Agent>> {
    let Some(user) = second_user::named(owner, &desired.agent.username)? else { return Ok(None) };
    let is_remembered = memory.agent.as_ref().is_some_and(|agent| agent.account == user.id);
    let member = Call::get("/projects/:id/members/:user_id", &[&project.id, &user.id]);
    if !is_remembered && owner.find::<IgnoredAny>(&member)?.is_none() {
        return Ok(None);
    }
    owner.fetch(&Call::get("/users/:id", &[&user.id])).map(Some)
}

/// A second account would leave the first one with its rights.
fn out_of_reach(desired: &Desired) -> Error {
    let (name, top) = (&desired.agent.username, desired.top());
    let text = format!("the agent {name} is a service account that your account cannot administer");
    Error::new(Kind::NotPermitted, text)
        .hint(format!("use a token of an Owner of {top}, whose service account it may be"))
}

/// The service accounts that the owner may see; none if there is no such call, or not for this account.
fn listed(owner: &Client, call: &Call) -> GitlabResult<Option<Vec<Account>>> {
    match owner.list(call) {
        Err(error) if error.status().is_some() => Ok(None),
        all => all.map(Some),
    }
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
        || match project {
            Some(project) if is_personal(&project.attributes) => false,
            _ if is_new => facts.project_accounts,
            _ => group_has_accounts(owner, top)?,
        };
    Ok((of_project, of_group.then(|| top.to_owned())))
}

/// Whether the owner may see the service accounts of a top-level group.
fn group_has_accounts(owner: &Client, top: &str) -> GitlabResult<bool> {
    Ok(listed(owner, &Call::get("/groups/:id/service_accounts", &[&top]))?.is_some())
}

/// Where the call exists and the project does not, GitLab says that it is the project which is missing.
fn project_has_accounts(owner: &Client, desired: &Desired, project: Option<&Project>) -> GitlabResult<bool> {
    const ACCOUNTS: &str = "/projects/:id/service_accounts";
    let Some(project) = project else {
        let answer = owner.attempt(&Call::get(ACCOUNTS, &[&desired.path()]), None)?;
        return Ok(answer.is_success() || (answer.status == 404 && answer.said.starts_with("Project ")));
    };
    Ok(listed(owner, &Call::get(ACCOUNTS, &[&project.id]))?.is_some())
}
