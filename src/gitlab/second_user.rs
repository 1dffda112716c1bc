//! A second user for the agent, where GitLab has no service accounts: found, made by an administrator's token, or made by hand in a
//! few steps, each of which is checked before anything is changed.

use std::cell::Cell;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::client::Client;
use super::desired::{AGENT_SCOPES, Desired};
use super::error::GitlabResult;
use super::http::Call;
use super::identity::{Account, Identity};
use super::keep::{AGENT_TOKEN, Keep};
use super::preflight::{TokenFacts, days_from_now, facts, has_right_scopes, has_scopes};
use crate::dialog::{Dialog, plain};
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// The variable in which the token of an agent whom a person made is handed over.
pub const TOKEN: &str = "FACTORYUP_AGENT_TOKEN";
/// The variable in which a token of that agent with the scope `api` is handed over, for the proof.
pub const PROOF_TOKEN: &str = "FACTORYUP_AGENT_PROOF_TOKEN";

/// Tokens of an agent whom a person made.
#[derive(Clone, Debug, Default)]
pub struct AgentTokens {
    /// The one that the agent works with.
    pub own: Option<Secret>,
    /// One with the scope `api`, for the proof, which ends it.
    pub proof: Option<Secret>,
}

/// What was handed over, and what GitLab says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Handed {
    pub(super) tokens: AgentTokens,
    /// The facts of the agent's own token, once it is found right.
    pub(super) facts: Option<TokenFacts>,
    /// Whether the user wants a new token although the kept one works, until it is written.
    pub(super) replace: Cell<bool>,
    /// The same of the desk's.
    pub(super) replace_desk: Cell<bool>,
}

#[derive(Deserialize)]
struct Described {
    note: Option<String>,
    #[serde(default)]
    is_admin: bool,
}

/// The user of the agent's name.
pub(super) fn named(owner: &Client, username: &str) -> GitlabResult<Option<Account>> {
    let call = Call::get("/users", &[]).query("username", username);
    Ok(owner.fetch::<Vec<Account>>(&call)?.pop())
}

/// The agent's user, when there is one. One that factoryup did not make is somebody's, and left alone, unless it is said to be made
/// by hand. One that factoryup made for this project is known by its note, and after the project moved by its place in `project` too.
pub(super) fn find(
    owner: &Client,
    desired: &Desired,
    keep: &Keep,
    project: Option<u64>,
) -> GitlabResult<Option<Account>> {
    let Some(user) = named(owner, &desired.agent.username)? else { return Ok(None) };
    let remembered = keep.memory()?.agent.is_some_and(|agent| agent.account == user.id);
    if remembered || desired.agent.identity == Identity::Given {
        return Ok(Some(user));
    }
    let described: Described = owner.fetch(&Call::get("/users/:id", &[&user.id]))?;
    let noted = described.note.unwrap_or_default();
    if noted == note(desired) {
        return Ok(Some(user));
    }
    let Some(project) = project.filter(|_| noted.starts_with(NOTE)) else { return Ok(None) };
    let member = Call::get("/projects/:id/members/:user_id", &[&project, &user.id]);
    Ok(owner.find::<IgnoredAny>(&member)?.map(|_| user))
}

/// How the note on a user that was made here begins; it goes on with the project's URL.
const NOTE: &str = "factoryup: the agent of ";

/// How a user that was made here is known again.
fn note(desired: &Desired) -> String {
    format!("{NOTE}{}", desired.url())
}

/// What a new user is: one that nobody logs in as, who sees only what it is a member of and makes nothing of its own.
pub(super) fn body(desired: &Desired) -> serde_json::Value {
    let agent = &desired.agent;
    json!({
        "username": agent.username,
        "name": agent.name,
        "email": format!("{}@noreply.invalid", agent.username),
        "force_random_password": true,
        "skip_confirmation": true,
        "external": true,
        "can_create_group": false,
        "projects_limit": 0,
        "note": note(desired),
    })
}

/// Sees that the steps which a person takes are taken: the user is there, and its token is the right one.
pub(super) fn ready(
    owner: &Client,
    desired: &Desired,
    keep: &Keep,
    handed: &mut Handed,
    dialog: &dyn Dialog,
) -> GitlabResult<()> {
    let username = &desired.agent.username;
    let Some(user) = named(owner, username)? else {
        return Err(steps(desired, &format!("the user {username} does not exist yet")).into());
    };
    let kept = keep.secret(AGENT_TOKEN)?;
    let works = match &kept {
        Some(kept) => facts(owner, kept)?.is_some_and(|facts| fault(desired, &user, &facts, false).is_none()),
        None => false,
    };
    let same = |kept: &Secret, own: &Secret| kept.expose() == own.expose();
    let own = handed.tokens.own.clone().filter(|own| !kept.as_ref().is_some_and(|kept| same(kept, own)));
    let own = match own {
        None if works && !handed.replace.get() => return Ok(()),
        None if dialog.is_interactive() => {
            let kind = if works { "new token" } else { "token" };
            let error = steps(desired, &format!("no {kind} of {username} is stored here yet"));
            dialog.note(&error.to_string());
            error.hints().iter().for_each(|hint| dialog.note(hint));
            dialog.secret(&format!("Token of {username} with the scopes {}", AGENT_SCOPES.join(", ")))?
        }
        None => return Err(steps(desired, &format!("no token of {username} was given")).into()),
        Some(own) => own,
    };
    let Some(found) = facts(owner, &own)? else {
        return Err(steps(desired, &format!("GitLab rejected the given token of {username}")).into());
    };
    if let Some(fault) = fault(desired, &user, &found, true) {
        return Err(steps(desired, &format!("the given token of {username} {fault}")).into());
    }
    let agent = owner.with_token(own.clone(), "the agent");
    if agent.fetch::<Described>(&Call::get("/user", &[]))?.is_admin {
        return Err(steps(desired, &format!("{username} is an administrator, whom no policy restricts")).into());
    }
    handed.tokens.own = Some(own);
    handed.facts = Some(found);
    Ok(())
}

/// Why a token will not do.
fn fault(desired: &Desired, user: &Account, token: &TokenFacts, new: bool) -> Option<String> {
    let days = i64::from(desired.agent.days);
    let late = |end| end > days_from_now(days);
    if token.user_id != user.id {
        Some(format!("belongs to another account, with the id {}", token.user_id))
    // Without the last one, that person renews it.
    } else if !has_right_scopes(token) && !has_scopes(token, &AGENT_SCOPES[..2]) {
        Some(format!("has the scopes {}", plain(&token.scopes.join(", "))))
    } else if new && token.expires_at.is_none_or(late) {
        let end = token.expires_at.map_or_else(|| "never expires".to_owned(), |end| format!("expires on {end}"));
        Some(format!("{end}, which is later than {}", days_from_now(days)))
    } else {
        None
    }
}

/// A client with the token for the proof, when one is handed over that will do.
pub(super) fn for_proof(owner: &Client, user: &Account, handed: &Handed) -> GitlabResult<Option<Client>> {
    let Some(token) = &handed.tokens.proof else { return Ok(None) };
    let right = facts(owner, token)?
        .is_some_and(|facts| facts.user_id == user.id && facts.scopes.iter().any(|scope| scope == "api"));
    Ok(right.then(|| owner.with_token(token.clone(), "the agent's account with the scope api")))
}

/// What a proof lacks whose agent is made by hand, and how to hand it over.
pub(super) fn without_proof_token(desired: &Desired) -> String {
    format!(
        "create a second token of {} with the scope api that expires tomorrow, and pass it in {PROOF_TOKEN}; the policy checks revoke it",
        desired.agent.username
    )
}

/// The refusal of a hand-off for which a person has something to do first.
fn steps(desired: &Desired, missing: &str) -> Error {
    let (url, agent) = (desired.base.as_str(), &desired.agent);
    let (name, scopes) = (&agent.username, AGENT_SCOPES.join(","));
    let end = days_from_now(i64::from(agent.days));
    Error::new(
        Kind::NotPermitted,
        format!("{missing}; your token cannot create a service account or a user on {url}, so create the agent's account by hand"),
    )
    .hint(format!("1. ask an administrator to create the external user {name}, without groups or projects: {url}/admin/users/new"))
    .hint(format!(
        "2. as {name}, create a token with the scopes {} that expires on {end} or before: \
         {url}/-/user_settings/personal_access_tokens?name=factoryup+agent&scopes={scopes}",
        AGENT_SCOPES.join(", ")
    ))
    .hint(format!("3. pass it in {TOKEN}, in a file that {TOKEN}_FILE names, or at the prompt"))
    .hint(format!("4. for the policy checks, {}", without_proof_token(desired)))
    .hint(format!("then run the command again; factoryup checks each step and adds {name} to {} as a Developer", desired.path()))
    .hint("or pass an administrator's token with the scope api (and admin_mode, if that is on); factoryup then does all of it")
}
