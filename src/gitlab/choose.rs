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
use super::resources::account;
use super::second_user;
use super::site::{Project, is_personal};
use crate::error::{Error, Kind};

/// The account that the agent has, else the first way that is there. `is_new` says that the top-level group does not exist yet.
pub(super) fn for_agent(
    owner: &Client,
    desired: &Desired,
    facts: &Facts,
    project: Option<&Project>,
    memory: &Memory,
    is_new: bool,
) -> GitlabResult<Identity> {
    let is_user = memory.agent.as_ref().is_some_and(|agent| agent.user);
    if !is_user
        && facts.enterprise
        && let Some(found) = service_account(owner, desired, facts, project, memory, is_new)?
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
    is_new: bool,
) -> GitlabResult<Option<Identity>> {
    let (top, name) = (desired.top(), &desired.agent.username);
    let group = || Identity::Group(top.to_owned());
    // Where GitLab refused to make one, an account that is there stays.
    let may = |home: &str| !memory.refused_accounts.contains(home);
    let Some(project) = project else {
        if may("group") && ((is_new && facts.project_accounts) || group_has_accounts(owner, top)?) {
            return Ok(Some(group()));
        }
        let has_accounts = may("project") && facts.project_accounts && project_has_accounts(owner, desired, None)?;
        return Ok(has_accounts.then_some(Identity::Project));
    };
    let call = Call::get("/projects/:id/service_accounts", &[&project.id]);
    let of_project = if facts.project_accounts { listed(owner, &call)? } else { None };
    let named = |all: &[Account]| all.iter().find(|account| account.username.eq_ignore_ascii_case(name)).cloned();
    if of_project.as_deref().and_then(named).is_some() {
        return Ok(Some(Identity::Project));
    }
    let of_group = listed(owner, &Call::get("/groups/:id/service_accounts", &[&top]))?;
    if let Some(account) = of_group.as_deref().and_then(named) {
        // It could be the agent of another factory in the group.
        let is_ours = account.name == desired.agent.name || is_known(owner, project, memory, &account)?;
        return if is_ours { Ok(Some(group())) } else { Err(account::taken(desired).into()) };
    }
    let first = || match (&of_group, &of_project) {
        (Some(_), _) if may("group") => Some(group()),
        (_, Some(_)) if may("project") => Some(Identity::Project),
        _ => None,
    };
    match agent(owner, desired, project, memory)? {
        // It was made from here, and is no user.
        None if of_group.is_none() && of_project.is_none() && memory.agent.is_some() => {
            Err(out_of_reach(desired).into())
        }
        None => Ok(first()),
        Some(Agent { bot: false }) => Ok(None),
        Some(Agent { bot: true }) => Err(out_of_reach(desired).into()),
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
    if !is_known(owner, project, memory, &user)? {
        return Ok(None);
    }
    owner.fetch(&Call::get("/users/:id", &[&user.id])).map(Some)
}

/// Whether the account was made from here, or the project itself has it as a member.
fn is_known(owner: &Client, project: &Project, memory: &Memory, account: &Account) -> GitlabResult<bool> {
    let is_remembered = memory.agent.as_ref().is_some_and(|agent| agent.account == account.id);
    let member = Call::get("/projects/:id/members/:user_id", &[&project.id, &account.id]);
    Ok(is_remembered || owner.find::<IgnoredAny>(&member)?.is_some())
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
