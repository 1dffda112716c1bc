//! The tokens of CI's accounts, and the variables that bring each to the jobs that need it. GitLab has their only copy. The token of the
//! agent's desk is in the state directory instead, from where the host target brings it to the agent.
//!
//! One rule decides what is done, whatever a run that was cut left behind. There is nothing to do if just one token of factoryup's works, every
//! variable of factoryup's for it names that token, and it has more than 30 days left, or more than half its life where GitLab allows less than
//! 60 days. Otherwise a new token is created, the variables are written, and the other tokens of factoryup's are revoked, in this order. A job
//! that runs meanwhile may have one of those. For the desk, the file counts as the variable, and its token lives and is renewed as the agent's.
//! So a token that its holder rotated, to have a longer one, is revoked by the next apply: it lives longer than it may, or is not the one in
//! the file.
//!
//! `scripts/renew` of the control repo has the same rule, so that no apply is needed to renew them: there each token renews itself.
//!
//! Source: <https://docs.gitlab.com/api/service_accounts/>.

use jiff::civil::Date;

use super::ci_account::{self, unseen};
use super::variable;
use super::{Back, Found, Resource, WayBack, agent_token, membership, name};
use crate::error::{Error, Kind};
use crate::gitlab::ci::{Place, Purpose};
use crate::gitlab::client::Client;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::identity::{Account, Identity};
use crate::gitlab::keep::DESK_TOKEN;
use crate::gitlab::lifetime::{is_over, life};
use crate::gitlab::preflight::{TokenFacts, days_from_now, facts, has_scopes};
use crate::gitlab::site::Site;
use crate::gitlab::variables::{Holder, Variables};
use crate::plan::{Action, Change, Undo};
use crate::secret::Secret;

pub(in crate::gitlab) const KIND: &str = "ci-token";
/// The life of a token, in days.
const DAYS: i64 = 90;
/// A token with no more days left is replaced.
const LAST: i64 = 30;

/// See the [module](self).
pub(in crate::gitlab) struct CiTokens;

/// What a token is called in GitLab.
fn token_name(purpose: Purpose) -> String {
    format!("factoryup {}", purpose.word())
}

/// What the description of a variable says of the token that it holds.
fn mark(token: u64, ends: Date) -> String {
    format!("token {token}, expires {ends}")
}

/// Whether a token has to be replaced.
pub(in crate::gitlab) fn is_due(desired: &Desired, purpose: Purpose, token: &TokenFacts) -> bool {
    match purpose {
        Purpose::Desk => agent_token::is_due(&desired.agent, token),
        _ => is_over(life(token).unwrap_or(DAYS), token.expires_at, LAST),
    }
}

/// The end to ask for.
fn end(desired: &Desired, purpose: Purpose) -> Date {
    if purpose == Purpose::Desk { membership::end(&desired.agent) } else { days_from_now(DAYS) }
}

/// A client with the stored token of the desk.
pub(in crate::gitlab) fn desk(site: &Site<'_>) -> GitlabResult<Option<Client>> {
    Ok(site.keep.secret(DESK_TOKEN)?.map(|token| site.owner.with_token(token, "the agent's desk account")))
}

fn words(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn change(desired: &Desired, purpose: Purpose, action: Action, places: &[Place]) -> Change {
    let verb = if action == Action::Create { "create a" } else { "replace the" };
    let (word, user, scopes) = (purpose.word(), purpose.user(), purpose.scopes().join(" and "));
    let (days, place) = match purpose {
        Purpose::Desk => (i64::from(desired.agent.days), "stored for the host".into()),
        _ => (DAYS, format!("in the CI/CD variable {}", words(places))),
    };
    let summary = format!("{verb} token for {user}: {scopes}, {days} days if GitLab allows that, {place}");
    Change::new(format!("{KIND}:{word}"), action, summary)
}

/// The working tokens that factoryup made for this. Those of the desk are factoryup's whatever their name: the agent could give itself one.
pub(in crate::gitlab) fn ours(
    site: &Site<'_>,
    purpose: Purpose,
    home: &Identity,
    account: &Account,
) -> GitlabResult<Vec<TokenFacts>> {
    let all = agent_token::list_of(site, home, account)?;
    Ok(all
        .into_iter()
        .filter(|token| token.active && (purpose == Purpose::Desk || token.name == token_name(purpose)))
        .collect())
}

/// Where the tokens for a purpose are, apart from GitLab.
struct Placed {
    /// The places whose variable is factoryup's, or is to be.
    places: Vec<Place>,
    all: Variables,
    /// The id of the token in the file for the desk, if GitLab accepts it.
    stored: Option<u64>,
}

impl Placed {
    fn look(site: &Site<'_>, purpose: Purpose) -> GitlabResult<Self> {
        let all = site.variables()?;
        let desk = if purpose == Purpose::Desk { site.keep.secret(DESK_TOKEN)? } else { None };
        let stored = desk.map_or(Ok(None), |token| facts(site.owner, &token))?.map(|token| token.id);
        Ok(Self { places: places(site, purpose, &all), all, stored })
    }

    /// For each place whether it names this token.
    fn names<'a>(&'a self, token: &'a TokenFacts) -> impl Iterator<Item = bool> + 'a {
        let mark = token.expires_at.map(|ends| mark(token.id, ends));
        let holds = move |place: &Place| {
            mark.is_some() && matches!(self.all.holder(place), Holder::Ours(one) if one.mark() == mark.as_deref())
        };
        self.places.iter().map(holds).chain(self.stored.map(|id| id == token.id))
    }

    /// Whether others than jobs on protected refs can read one of the variables.
    fn is_open(&self) -> bool {
        self.places.iter().any(|place| matches!(self.all.holder(place), Holder::Ours(one) if !one.is_guarded()))
    }

    /// The rule of the [module](self).
    fn is_right(&self, desired: &Desired, purpose: Purpose, tokens: &[TokenFacts]) -> bool {
        let [token] = tokens else { return false };
        let is_placed = self.names(token).all(|is_here| is_here) && (purpose != Purpose::Desk || self.stored.is_some());
        !is_due(desired, purpose, token) && has_scopes(token, purpose.scopes()) && is_placed && !self.is_open()
    }
}

/// The places whose variable is factoryup's, or is to be.
fn places(site: &Site<'_>, purpose: Purpose, all: &Variables) -> Vec<Place> {
    let places = site.desired.ci.places(purpose);
    places.filter(|place| !matches!(all.holder(place), Holder::Owner)).collect()
}

/// Whether factoryup renews the token that jobs get for this: not where all of the variables are the owner's.
pub(in crate::gitlab) fn is_renewed(site: &Site<'_>, purpose: Purpose) -> GitlabResult<bool> {
    Ok(purpose.key().is_none() || !places(site, purpose, &site.variables()?).is_empty())
}

impl Resource for CiTokens {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        let made = Purpose::ALL.into_iter().filter(|purpose| desired.ci.home(*purpose).is_some());
        let places = |purpose| desired.ci.places(purpose).collect::<Vec<_>>();
        made.map(|purpose| change(desired, purpose, Action::Create, &places(purpose))).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let mut found = Found::default();
        let all = site.variables()?;
        for (purpose, home) in ci_account::wanted(site)? {
            let tokens = match ci_account::find(site, purpose, &home)? {
                None => Vec::new(),
                Some(account) => ours(site, purpose, &home, &account)?,
            };
            let placed = Placed::look(site, purpose)?;
            let action = if tokens.is_empty() { Action::Create } else { Action::Update };
            let is_right = placed.is_right(site.desired, purpose, &tokens) && !is_unwanted(site, purpose);
            found.add((!is_right).then(|| change(site.desired, purpose, action, &placed.places)));
        }
        let wanted = Purpose::ALL.into_iter().flat_map(|purpose| site.desired.ci.places(purpose));
        found.notes = wanted.filter(|p| matches!(all.holder(p), Holder::Owner)).map(|p| variable::kept(&p)).collect();
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let wanted = ci_account::wanted(site)?.into_iter().find(|(purpose, _)| purpose.word() == name(change));
        let Some((purpose, home)) = wanted else { return Ok(Undo::Never { reason: "it is no longer needed".into() }) };
        let account = ci_account::find(site, purpose, &home)?.ok_or_else(|| {
            Error::new(Kind::CutShort, format!("{} was removed", purpose.username(site.id)))
                .hint("review the current state: `factoryup plan gitlab`")
        })?;
        let (tokens, placed) = (ours(site, purpose, &home, &account)?, Placed::look(site, purpose)?);
        if placed.is_right(site.desired, purpose, &tokens) && !is_unwanted(site, purpose) {
            return Ok(Undo::Never { reason: "no change was needed".into() });
        }
        // Nobody can hold the text of a token that no variable names.
        let (known, unknown): (Vec<_>, Vec<_>) =
            tokens.into_iter().partition(|token| placed.names(token).any(|is_here| is_here));
        for token in unknown {
            revoke(site, &home, &account, token.id)?;
        }
        let asked = end(site.desired, purpose);
        let made = agent_token::mint_of(site, &home, &account, &token_name(purpose), purpose.scopes(), asked)?;
        let (id, ends, value) = (made.id, made.ends(asked), Secret::new(made.token));
        for place in &placed.places {
            variable::set(site, place, Some(&value), &mark(id, ends))?;
        }
        if purpose == Purpose::Desk {
            site.keep.put_secret(DESK_TOKEN, &value)?;
            site.handed.replace_desk.set(false);
        }
        for token in known {
            revoke(site, &home, &account, token.id)?;
        }
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

/// Whether the user wants another token although this one works.
fn is_unwanted(site: &Site<'_>, purpose: Purpose) -> bool {
    purpose == Purpose::Desk && site.handed.replace_desk.get()
}

fn revoke(site: &Site<'_>, home: &Identity, account: &Account, token: u64) -> GitlabResult<()> {
    const OF_PROJECT: &str = "/projects/:id/service_accounts/:user_id/personal_access_tokens/:token_id";
    const OF_GROUP: &str = "/groups/:id/service_accounts/:user_id/personal_access_tokens/:token_id";
    site.owner.delete(&match home {
        Identity::Group(top) => Call::delete(OF_GROUP, &[top, &account.id, &token]),
        _ => Call::delete(OF_PROJECT, &[&site.id, &account.id, &token]),
    })
}

/// Removes the variables and revokes the tokens, whatever a run that was cut recorded: both say whose they are.
fn back(site: &Site<'_>, word: &str, _undo: &Undo) -> GitlabResult<Back> {
    let Some((purpose, account)) = ci_account::known(site, word)? else { return Ok(Back::Stays(unseen(site, word))) };
    let all = site.variables()?;
    let key = purpose.key();
    let scopes: Vec<_> = key.into_iter().flat_map(|key| all.ours(key)).map(|one| one.scope().to_owned()).collect();
    let tokens = match &account {
        Some((home, account)) => ours(site, purpose, home, account)?,
        None => Vec::new(),
    };
    if scopes.is_empty() && tokens.is_empty() {
        return Ok(Back::Done);
    }
    let places: Vec<_> =
        key.into_iter().flat_map(|key| scopes.iter().map(move |scope| Place::new(key, scope))).collect();
    let variables =
        if places.is_empty() { String::new() } else { format!(", and remove the CI/CD variable {}", words(&places)) };
    let summary = format!("revoke the token of {}{variables}", purpose.username(site.id));
    Ok(Back::remove(format!("{KIND}:{word}"), summary, move |site| {
        for token in tokens {
            if let Some((home, account)) = &account {
                revoke(site, home, account, token.id)?;
            }
        }
        if purpose == Purpose::Desk {
            site.keep.forget(DESK_TOKEN)?;
        }
        places.iter().try_for_each(|place| variable::remove(site, place.key, &place.environment))
    }))
}
