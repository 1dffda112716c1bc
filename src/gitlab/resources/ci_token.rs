//! The tokens of CI's accounts, and the variables that bring each to the jobs that need it. GitLab has their only copy.
//!
//! One rule decides what is done, whatever a run that was cut left behind. There is nothing to do if just one token of factoryup's works, every
//! variable of factoryup's for it names that token, and it has more than 30 days left, or more than half its life where GitLab allows less than
//! 60 days. Otherwise a new token is created, the variables are written, and the other tokens of factoryup's are revoked, in this order. A job
//! that runs meanwhile may have one of those.
//!
//! `scripts/renew` of the control repo has the same rule, so that no apply is needed to renew them: there each token renews itself.
//!
//! Source: <https://docs.gitlab.com/api/service_accounts/>.

use jiff::civil::Date;

use super::ci_account::{self, unseen};
use super::variable;
use super::{Back, Found, Resource, WayBack, agent_token, name};
use crate::error::{Error, Kind};
use crate::gitlab::ci::{Place, Purpose};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::identity::{Account, Identity};
use crate::gitlab::lifetime::{is_over, life};
use crate::gitlab::preflight::{TokenFacts, days_from_now};
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
pub(in crate::gitlab) fn is_due(token: &TokenFacts) -> bool {
    is_over(life(token).unwrap_or(DAYS), token.expires_at, LAST)
}

fn words(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn change(purpose: Purpose, action: Action, places: &[Place]) -> Change {
    let verb = if action == Action::Create { "create a" } else { "replace the" };
    let (word, scopes, places) = (purpose.word(), purpose.scopes().join(" and "), words(places));
    let summary = format!(
        "{verb} token for CI's {word} jobs: {scopes}, {DAYS} days if GitLab allows that, in the CI/CD variable {places}"
    );
    Change::new(format!("{KIND}:{word}"), action, summary)
}

/// The working tokens that factoryup made for this.
pub(in crate::gitlab) fn ours(
    site: &Site<'_>,
    purpose: Purpose,
    home: &Identity,
    account: &Account,
) -> GitlabResult<Vec<TokenFacts>> {
    let all = agent_token::list_of(site, home, account)?;
    Ok(all.into_iter().filter(|token| token.active && token.name == token_name(purpose)).collect())
}

/// The places whose variable is factoryup's, or is to be.
fn places(site: &Site<'_>, purpose: Purpose, all: &Variables) -> Vec<Place> {
    let places = site.desired.ci.places(purpose);
    places.filter(|place| !matches!(all.holder(place), Holder::Owner)).collect()
}

/// Whether factoryup renews the token that jobs get for this: not where all of the variables are the owner's.
pub(in crate::gitlab) fn is_renewed(site: &Site<'_>, purpose: Purpose) -> GitlabResult<bool> {
    Ok(!places(site, purpose, &*site.variables()?).is_empty())
}

/// The rule of the [module](self).
fn is_right(purpose: Purpose, tokens: &[TokenFacts], places: &[Place], all: &Variables) -> bool {
    let [token] = tokens else { return false };
    let Some(ends) = token.expires_at.filter(|_| !is_due(token)) else { return false };
    let mark = mark(token.id, ends);
    let holds =
        |place: &Place| matches!(all.holder(place), Holder::Ours(one) if one.is_guarded() && one.mark() == Some(&mark));
    let has = |scope: &&str| token.scopes.iter().any(|its| its == scope);
    let scopes = purpose.scopes();
    token.scopes.len() == scopes.len() && scopes.iter().all(has) && places.iter().all(holds)
}

/// Whether a variable of factoryup's holds this token.
fn is_named(token: &TokenFacts, places: &[Place], all: &Variables) -> bool {
    let named = token.expires_at.map(|ends| mark(token.id, ends));
    let holds = |place: &Place| matches!(all.holder(place), Holder::Ours(one) if one.mark() == named.as_deref());
    named.is_some() && places.iter().any(holds)
}

impl Resource for CiTokens {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        let made = Purpose::ALL.into_iter().filter(|purpose| desired.ci.home(*purpose).is_some());
        made.map(|purpose| change(purpose, Action::Create, &desired.ci.places(purpose).collect::<Vec<_>>())).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let mut found = Found::default();
        let all = site.variables()?;
        for (purpose, home) in ci_account::wanted(site)? {
            let tokens = match ci_account::find(site, purpose, &home)? {
                None => Vec::new(),
                Some(account) => ours(site, purpose, &home, &account)?,
            };
            let places = places(site, purpose, &all);
            let action = if tokens.is_empty() { Action::Create } else { Action::Update };
            found.add((!is_right(purpose, &tokens, &places, &all)).then(|| change(purpose, action, &places)));
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
        let (tokens, all) = (ours(site, purpose, &home, &account)?, site.variables()?);
        let places = places(site, purpose, &all);
        if is_right(purpose, &tokens, &places, &all) {
            return Ok(Undo::Never { reason: "no change was needed".into() });
        }
        // Nobody can hold the text of a token that no variable names.
        let (known, unknown): (Vec<_>, Vec<_>) = tokens.into_iter().partition(|token| is_named(token, &places, &all));
        for token in unknown {
            revoke(site, &home, &account, token.id)?;
        }
        let asked = days_from_now(DAYS);
        let made = agent_token::mint_of(site, &home, &account, &token_name(purpose), purpose.scopes(), asked)?;
        let (id, ends, value) = (made.id, made.ends(asked), Secret::new(made.token));
        for place in &places {
            variable::set(site, place, Some(&value), &mark(id, ends))?;
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
    let scopes: Vec<_> = all.ours(purpose.key()).map(|one| one.scope().to_owned()).collect();
    let tokens = match &account {
        Some((home, account)) => ours(site, purpose, home, account)?,
        None => Vec::new(),
    };
    if scopes.is_empty() && tokens.is_empty() {
        return Ok(Back::Done);
    }
    let places: Vec<_> = scopes.iter().map(|scope| Place::new(purpose.key(), scope)).collect();
    let variables =
        if places.is_empty() { String::new() } else { format!(", and remove the CI/CD variable {}", words(&places)) };
    let summary = format!("revoke the token of {}{variables}", purpose.username(site.id));
    Ok(Back::remove(format!("{KIND}:{word}"), summary, move |site| {
        for token in tokens {
            if let Some((home, account)) = &account {
                revoke(site, home, account, token.id)?;
            }
        }
        scopes.iter().try_for_each(|scope| variable::remove(site, purpose.key(), scope))
    }))
}
