//! The agent's token: as short-lived and as narrow as its work allows, rotated before it ends, kept in the state folder, from where
//! the host target brings it to the agent.
//!
//! On the host it renews itself, by the same rule (`scripts/token.sh` of the control repo). Then the one that is kept here is over, and
//! [`take_back`](crate::gitlab::GitlabTarget::take_back) keeps the host's instead, before anything is compared.
//!
//! A token that is lost here is still good for whoever found it. So it is not left: rotating it makes a new text and ends the old
//! one. Sources: <https://docs.gitlab.com/api/service_accounts/>, <https://docs.gitlab.com/api/personal_access_tokens/>.

use std::fmt::Display;

use jiff::civil::Date;
use serde_json::json;

use super::membership::{end, needs_renewal};
use super::{Back, Found, Resource, WayBack};
use crate::gitlab::client::Client;
use crate::gitlab::desired::{AGENT_SCOPES, Agent, Desired};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::identity::{Account, Identity};
use crate::gitlab::keep::{AGENT_TOKEN, Keep, TokenMemory};
use crate::gitlab::lifetime::{CreatedToken, issue, life};
use crate::gitlab::preflight::{TokenFacts, days_from_now, facts, has_right_scopes, today};
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};
use crate::secret::Secret;

pub(in crate::gitlab) const KIND: &str = "agent-token";
/// What the token is called in GitLab.
const NAME: &str = "factoryup agent";
/// Who speaks with the agent's token.
pub(in crate::gitlab) const WHO: &str = "the agent";

/// See the [module](self).
pub(in crate::gitlab) struct AgentToken;

/// What the kept token is worth.
enum TokenState {
    /// There is none, or GitLab does not take it any more, or it is somebody else's.
    Useless,
    /// It works, and these are its facts.
    Works(TokenFacts),
}

fn text(scopes: &[String], end: Option<Date>) -> String {
    let end = end.map_or_else(|| "never".to_owned(), |date| date.to_string());
    format!("scopes: {}\nexpires: {end}\n", scopes.join(", "))
}

fn right_text(agent: &Agent) -> String {
    text(&AGENT_SCOPES.map(str::to_owned), Some(end(agent)))
}

fn create(agent: &Agent) -> Change {
    if agent.identity == Identity::Given {
        return take_over(agent, Action::Create, None);
    }
    let summary = format!("create a token for {}: {}, {} days", agent.username, AGENT_SCOPES.join(", "), agent.days);
    Change::new(format!("{KIND}:{}", agent.username), Action::Create, summary).with_diff(None, Some(right_text(agent)))
}

/// The change for a token that a person made.
fn take_over(agent: &Agent, action: Action, before: Option<String>) -> Change {
    let summary = format!("store the given token of {}", agent.username);
    Change::new(format!("{KIND}:{}", agent.username), action, summary).with_diff(before, Some(right_text(agent)))
}

/// What is to be done about the token of an agent whom a person made, and what that person should know.
fn compare_given(site: &Site<'_>, kept: &TokenState) -> Found {
    let agent = &site.desired.agent;
    match (&site.handed.facts, kept) {
        (Some(handed), TokenState::Works(token)) if handed.id != token.id => {
            Found::one(Some(take_over(agent, Action::Update, Some(text(&token.scopes, token.expires_at)))))
        }
        (_, TokenState::Useless) => Found::one(Some(create(agent))),
        (_, TokenState::Works(token)) => {
            let ends = token.expires_at.filter(|_| is_due(agent, token));
            let note = ends.map(|end| {
                format!("the token of {} expires on {end}; create a new one and pass it like the first", agent.username)
            });
            Found { unchanged: 1, notes: note.into_iter().collect(), ..Found::default() }
        }
    }
}

/// Whether a token is worth renewing.
pub(in crate::gitlab) fn is_due(agent: &Agent, token: &TokenFacts) -> bool {
    needs_renewal(agent, life(token), token.expires_at)
}

fn compare(agent: &Agent, kept: &TokenState, replace: bool) -> Option<Change> {
    let TokenState::Works(token) = kept else { return Some(create(agent)) };
    let summary = if replace {
        format!(
            "create a new token for {}, for {} days; the old one works until you revoke it",
            agent.username, agent.days
        )
    } else if !has_right_scopes(token) {
        format!("replace the token of {}: {}", agent.username, AGENT_SCOPES.join(", "))
    } else if is_due(agent, token) {
        format!("rotate the token of {}, for {} days", agent.username, agent.days)
    } else {
        return None;
    };
    Some(
        Change::new(format!("{KIND}:{}", agent.username), Action::Update, summary)
            .with_diff(Some(text(&token.scopes, token.expires_at)), Some(right_text(agent))),
    )
}

/// Not ended unasked: the owner may have made it. A proof that was cut leaves one too, until the next proof.
fn stray(agent: &Agent, token: &TokenFacts) -> String {
    let end = token.expires_at.map_or_else(|| "never".to_owned(), |date| date.to_string());
    let made = token.made().map(|date| format!("of {date} ")).unwrap_or_default();
    format!(
        "{} has another valid token: {} {made}({}), which expires {end}; revoke it unless you created it",
        agent.username,
        token.name,
        token.scopes.join(", ")
    )
}

/// A client with the kept token.
pub(in crate::gitlab) fn agent(site: &Site<'_>) -> GitlabResult<Option<Client>> {
    Ok(site.keep.secret(AGENT_TOKEN)?.map(|token| site.owner.with_token(token, WHO)))
}

fn kept(site: &Site<'_>, account: &Account) -> GitlabResult<TokenState> {
    let Some(token) = site.keep.secret(AGENT_TOKEN)? else { return Ok(TokenState::Useless) };
    let facts = facts(site.owner, &token)?.filter(|facts| facts.user_id == account.id);
    Ok(facts.map_or(TokenState::Useless, TokenState::Works))
}

impl Resource for AgentToken {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        vec![create(&desired.agent)]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let agent = &site.desired.agent;
        let Some(account) = site.account()? else { return Ok(Found::one(Some(create(agent)))) };
        let kept = kept(site, &account)?;
        if agent.identity == Identity::Given {
            return Ok(compare_given(site, &kept));
        }
        let mut found = Found::one(compare(agent, &kept, site.handed.replace.get()));
        if let TokenState::Works(own) = &kept {
            let all = match list(site, &account) {
                Err(error) if matches!(error.status(), Some(403 | 404)) => Vec::new(),
                all => all?,
            };
            found.notes = all.iter().filter(|t| t.active && t.id != own.id).map(|t| stray(agent, t)).collect();
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        let wanted = &site.desired.agent;
        let account = super::account::require(site)?;
        if let (Identity::Given, Some(own), Some(given)) =
            (&wanted.identity, &site.handed.tokens.own, &site.handed.facts)
        {
            remember(site, &account, own, (given.made(), given.expires_at.unwrap_or_else(|| end(wanted))))?;
            site.handed.replace.set(false);
            return Ok(Undo::Never { reason: "a person created it; it expires by itself".into() });
        }
        let now = kept(site, &account)?;
        let replace = site.handed.replace.get();
        if compare(wanted, &now, replace).is_none() {
            return Ok(Undo::Never { reason: "no change was needed".into() });
        }
        let all = list(site, &account)?;
        let usable = all.iter().rfind(|t| t.name == NAME && t.active && has_right_scopes(t));
        let made: CreatedToken = match usable {
            // Rotating ends the old one at once, before the host has the new one.
            Some(token) if !replace || matches!(now, TokenState::Useless) => {
                rotate(site, &account, token.id, end(wanted))?
            }
            _ => mint(site, &account, NAME, &AGENT_SCOPES, end(wanted))?,
        };
        let old = agent(site)?;
        let ends = made.ends(end(wanted));
        remember(site, &account, &Secret::new(made.token), (Some(today()), ends))?;
        site.handed.replace.set(false);
        if let (Some(old), TokenState::Works(token)) = (old, now)
            && !has_right_scopes(&token)
        {
            old.delete(&Call::delete("/personal_access_tokens/self", &[]))?;
        }
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

/// Revokes every token that factoryup created. It names others and leaves them.
fn back(site: &Site<'_>, username: &str, _undo: &Undo) -> GitlabResult<Back> {
    let agent = &site.desired.agent;
    if agent.identity == Identity::Given {
        return Ok(Back::Stays(format!("a person created the token of {username}: revoke it where it was created")));
    }
    let Some(account) = site.account()? else { return Ok(Back::Done) };
    let works = kept_works(site.owner, site.keep)?;
    let (ours, others) = ours(site, &account)?;
    if works || !ours.is_empty() {
        let others = others.iter().map(|token| stray(agent, token));
        let summary: Vec<String> = [format!("revoke the tokens of {username}")].into_iter().chain(others).collect();
        return Ok(Back::remove(format!("{KIND}:{username}"), summary.join("; "), revoke));
    }
    Ok(others.first().map_or(Back::Done, |token| Back::Stays(stray(agent, token))))
}

/// The active tokens that factoryup created, and the others, as far as the owner can see them.
fn ours(site: &Site<'_>, account: &Account) -> GitlabResult<(Vec<TokenFacts>, Vec<TokenFacts>)> {
    let all = match list(site, account) {
        Err(error) if matches!(error.status(), Some(403 | 404)) => Vec::new(),
        all => all?,
    };
    Ok(all.into_iter().filter(|token| token.active).partition(|token| token.name == NAME))
}

fn revoke(site: &Site<'_>) -> GitlabResult<()> {
    revoke_kept(site.owner, site.keep)?;
    let Some(account) = site.account()? else { return Ok(()) };
    // Revoking takes the token's text. Rotating gives a lost one a new text.
    for token in ours(site, &account)?.0 {
        let made = rotate(site, &account, token.id, days_from_now(1))?;
        let agent = site.owner.with_token(Secret::new(made.token), WHO);
        agent.delete(&Call::delete("/personal_access_tokens/self", &[]))?;
    }
    Ok(())
}

/// Whether GitLab takes the kept token.
pub(in crate::gitlab) fn kept_works(owner: &Client, keep: &Keep) -> GitlabResult<bool> {
    let Some(token) = keep.secret(AGENT_TOKEN)? else { return Ok(false) };
    Ok(facts(owner, &token)?.is_some())
}

/// Revokes the kept token, which needs no project.
pub(in crate::gitlab) fn revoke_kept(owner: &Client, keep: &Keep) -> GitlabResult<()> {
    if let Some(token) = keep.secret(AGENT_TOKEN)?.filter(|_| kept_works(owner, keep).unwrap_or(true)) {
        owner.with_token(token, WHO).delete(&Call::delete("/personal_access_tokens/self", &[]))?;
    }
    keep.forget(AGENT_TOKEN)?;
    keep.remember(|memory| memory.agent = None)
}

fn remember(
    site: &Site<'_>,
    account: &Account,
    token: &Secret,
    (made, ends): (Option<Date>, Date),
) -> GitlabResult<()> {
    site.keep.put_secret(AGENT_TOKEN, token)?;
    let user = site.desired.agent.identity.is_user();
    site.keep.remember(|memory| memory.agent = Some(TokenMemory { account: account.id, made, ends, user }))
}

/// All tokens there have been, as far as the owner can see them.
pub(in crate::gitlab) fn list(site: &Site<'_>, account: &Account) -> GitlabResult<Vec<TokenFacts>> {
    list_of(site, &site.desired.agent.identity, account)
}

/// The same for an account of that kind.
pub(in crate::gitlab) fn list_of(site: &Site<'_>, kind: &Identity, account: &Account) -> GitlabResult<Vec<TokenFacts>> {
    let values: [&dyn Display; 2] = [&site.id, &account.id];
    site.owner.list(&match kind {
        Identity::Project => Call::get("/projects/:id/service_accounts/:user_id/personal_access_tokens", &values),
        Identity::Group(top) => {
            Call::get("/groups/:id/service_accounts/:user_id/personal_access_tokens", &[top, &account.id])
        }
        Identity::Made => Call::get("/personal_access_tokens", &[]).query("user_id", account.id.to_string()),
        Identity::Given => return Ok(Vec::new()),
    })
}

/// Ends a token and makes another in its place, whoever has the old one's text.
pub(in crate::gitlab) fn rotate(
    site: &Site<'_>,
    account: &Account,
    token: u64,
    end: Date,
) -> GitlabResult<CreatedToken> {
    const OF_PROJECT: &str = "/projects/:id/service_accounts/:user_id/personal_access_tokens/:token_id/rotate";
    const OF_GROUP: &str = "/groups/:id/service_accounts/:user_id/personal_access_tokens/:token_id/rotate";
    let call = match &site.desired.agent.identity {
        Identity::Project => Call::post(OF_PROJECT, &[&site.id, &account.id, &token]),
        Identity::Group(top) => Call::post(OF_GROUP, &[top, &account.id, &token]),
        Identity::Made | Identity::Given => Call::post("/personal_access_tokens/:id/rotate", &[&token]),
    };
    issue(site.owner, &call, &json!({}), end)
}

/// The call that makes a token of an account of that kind.
pub(in crate::gitlab) fn minting_of(site: &Site<'_>, kind: &Identity, account: &Account) -> Call {
    let values: [&dyn Display; 2] = [&site.id, &account.id];
    match kind {
        Identity::Project => Call::post("/projects/:id/service_accounts/:user_id/personal_access_tokens", &values),
        Identity::Group(top) => {
            Call::post("/groups/:id/service_accounts/:user_id/personal_access_tokens", &[top, &account.id])
        }
        Identity::Made | Identity::Given => Call::post("/users/:user_id/personal_access_tokens", &[&account.id]),
    }
}

/// A new token for the agent's account.
pub(in crate::gitlab) fn mint(
    site: &Site<'_>,
    account: &Account,
    name: &str,
    scopes: &[&str],
    end: Date,
) -> GitlabResult<CreatedToken> {
    mint_of(site, &site.desired.agent.identity, account, name, scopes, end)
}

/// The same for an account of that kind.
pub(in crate::gitlab) fn mint_of(
    site: &Site<'_>,
    kind: &Identity,
    account: &Account,
    name: &str,
    scopes: &[&str],
    end: Date,
) -> GitlabResult<CreatedToken> {
    issue(site.owner, &minting_of(site, kind, account), &json!({ "name": name, "scopes": scopes }), end)
}
