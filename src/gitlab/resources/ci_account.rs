//! The service accounts that pipelines and the agent's desk sign in with, each with the one role that it needs.
//!
//! GitLab moves what a deleted account wrote to a ghost user, and frees its name only later. So the way back takes the role, and the
//! account stays, without a token.
//!
//! Sources: <https://docs.gitlab.com/api/service_accounts/>, <https://docs.gitlab.com/api/group_members/>.

use std::fmt::Display;

use serde_json::json;

use super::membership::{Member, effective, in_group};
use super::{Back, Found, Resource, WayBack, name};
use crate::error::{Error, Kind};
use crate::gitlab::ci::{Ci, Purpose};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::identity::{Account, Identity};
use crate::gitlab::roles::role;
use crate::gitlab::site::Site;
use crate::gitlab::variables::Holder;
use crate::plan::{Action, Change, Risk, Undo};

pub(in crate::gitlab) const KIND: &str = "ci-account";

/// See the [module](self).
pub(in crate::gitlab) struct CiAccounts;

/// Those whose token factoryup puts into variables: where the owner set all of them, it puts none. And the desk.
fn used(site: &Site<'_>) -> GitlabResult<Vec<Purpose>> {
    let (all, ci) = (site.variables()?, &site.desired.ci);
    let is_used = |purpose: &Purpose| {
        purpose.key().is_none() || ci.places(*purpose).any(|place| !matches!(all.holder(&place), Holder::Owner))
    };
    Ok(Purpose::ALL.into_iter().filter(is_used).collect())
}

/// Those that are needed and exist or can be made, each with where.
pub(in crate::gitlab) fn wanted(site: &Site<'_>) -> GitlabResult<Vec<(Purpose, Identity)>> {
    let mut wanted = Vec::new();
    for purpose in used(site)? {
        wanted.extend(home(site, purpose)?.map(|home| (purpose, home)));
    }
    Ok(wanted)
}

/// What is said of those that are needed, do not exist and cannot be made.
pub(in crate::gitlab) fn deferred(site: &Site<'_>) -> GitlabResult<Vec<String>> {
    let mut left = Vec::new();
    for purpose in used(site)? {
        if home(site, purpose)?.is_none() {
            left.push(purpose);
        }
    }
    Ok(site.desired.ci.deferred(&left))
}

/// The same before there is a project, in which nothing is yet.
pub(in crate::gitlab) fn left(ci: &Ci) -> Vec<String> {
    let left: Vec<_> = Purpose::ALL.into_iter().filter(|purpose| ci.home(*purpose).is_none()).collect();
    ci.deferred(&left)
}

/// Where the account is, else where it can be made, if it can.
pub(in crate::gitlab) fn home(site: &Site<'_>, purpose: Purpose) -> GitlabResult<Option<Identity>> {
    Ok(existing(site, purpose)?.map(|(home, _)| home).or_else(|| site.desired.ci.home(purpose)))
}

/// The account, and where it is. One that was made while only groups had accounts stays in the group.
pub(in crate::gitlab) fn existing(site: &Site<'_>, purpose: Purpose) -> GitlabResult<Option<(Identity, Account)>> {
    for home in site.desired.ci.homes(purpose) {
        if let Some(account) = find(site, purpose, &home)? {
            return Ok(Some((home, account)));
        }
    }
    Ok(None)
}

/// The account, if there is one.
pub(in crate::gitlab) fn find(site: &Site<'_>, purpose: Purpose, home: &Identity) -> GitlabResult<Option<Account>> {
    site.service_account(home, &purpose.username(site.id))
}

/// Where an account for this has its role, in words.
fn place(desired: &Desired, purpose: Purpose) -> String {
    if purpose.is_in_group() { format!("the group {}", desired.group) } else { "the project".into() }
}

fn create(desired: &Desired, purpose: Purpose, home: &Identity) -> Change {
    let of = match home {
        Identity::Group(top) => format!("the group {top}"),
        _ => "the project".into(),
    };
    let (word, user, role) = (purpose.word(), purpose.user(), role(purpose.level()));
    let summary = format!("create a service account of {of} for {user}, {role} in {}", place(desired, purpose));
    let is_new = !purpose.is_in_group() || desired.ci.is_group_new;
    // It gets the rights in projects that exist.
    let risk = if is_new { Risk::None } else { Risk::Disruptive };
    Change::new(format!("{KIND}:{word}"), Action::Create, summary).with_risk(risk)
}

fn compare(desired: &Desired, purpose: Purpose, present: Option<&Member>) -> Option<Change> {
    let (word, user, wanted) = (purpose.word(), purpose.user(), role(purpose.level()));
    let place = place(desired, purpose);
    let summary = match present {
        Some(member) if member.access_level == purpose.level() => return None,
        Some(member) => {
            let now = role(member.access_level);
            format!("change the role of the account for {user} in {place} to {wanted}, from {now}")
        }
        None => format!("give the account for {user} the role {wanted} in {place}"),
    };
    Some(Change::new(format!("{KIND}:{word}"), Action::Update, summary).with_risk(Risk::Disruptive))
}

/// A call about the members of where the account has its role.
fn members(
    site: &Site<'_>,
    purpose: Purpose,
    make: fn(&'static str, &[&dyn Display]) -> Call,
    user: Option<u64>,
) -> Call {
    let group = &site.desired.group;
    match (purpose.is_in_group(), user) {
        (true, Some(user)) => make("/groups/:id/members/:user_id", &[group, &user]),
        (true, None) => make("/groups/:id/members", &[group]),
        (false, Some(user)) => make("/projects/:id/members/:user_id", &[&site.id, &user]),
        (false, None) => make("/projects/:id/members", &[&site.id]),
    }
}

fn member(site: &Site<'_>, purpose: Purpose, account: &Account) -> GitlabResult<Option<Member>> {
    site.owner.find(&members(site, purpose, Call::get, Some(account.id)))
}

/// What counts: in the project the effective role, in the group the account's own.
fn counted(site: &Site<'_>, purpose: Purpose, account: &Account) -> GitlabResult<Option<Member>> {
    if purpose.is_in_group() {
        return in_group(site, account);
    }
    effective(site, account)
}

impl Resource for CiAccounts {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        let all = Purpose::ALL.into_iter();
        all.filter_map(|purpose| Some(create(desired, purpose, &desired.ci.home(purpose)?))).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let mut found = Found::default();
        for (purpose, home) in wanted(site)? {
            found.add(match find(site, purpose, &home)? {
                None => Some(create(site.desired, purpose, &home)),
                Some(account) => compare(site.desired, purpose, counted(site, purpose, &account)?.as_ref()),
            });
        }
        found.notes.extend(deferred(site)?);
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let wanted = wanted(site)?.into_iter().find(|(purpose, _)| purpose.word() == name(change));
        let Some((purpose, home)) = wanted else { return Ok(Undo::Never { reason: "it is no longer needed".into() }) };
        let account = match find(site, purpose, &home)? {
            Some(account) => account,
            None => make(site, purpose, &home)?,
        };
        let mut body = json!({ "access_level": purpose.level() });
        match member(site, purpose, &account)? {
            Some(member) if member.access_level == purpose.level() => {}
            Some(_) => site.owner.send(&members(site, purpose, Call::put, Some(account.id)), &body)?,
            None => {
                body["user_id"] = account.id.into();
                site.owner.send(&members(site, purpose, Call::post, None), &body)?;
            }
        }
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn make(site: &Site<'_>, purpose: Purpose, home: &Identity) -> GitlabResult<Account> {
    let body = json!({ "name": format!("factoryup {}", purpose.word()), "username": purpose.username(site.id) });
    let (call, of) = match home {
        Identity::Group(top) => (Call::post("/groups/:id/service_accounts", &[top]), "group"),
        _ => (Call::post("/projects/:id/service_accounts", &[&site.id]), "project"),
    };
    site.owner.write(&call, &body).map_err(|error| {
        let is_taken = matches!(&error, GitlabError::Refused { said, .. } if said.contains("taken"));
        if is_taken || !matches!(error.status(), Some(400 | 403 | 404)) {
            return error;
        }
        // Else the next run would plan the same.
        let noted = site.keep.remember(|memory| {
            memory.refused_accounts.insert(of.into());
        });
        match noted {
            Ok(()) => refused(&error, of).into(),
            Err(error) => error,
        }
    })
}

/// Where an instance keeps service accounts for administrators. Source: <https://docs.gitlab.com/user/profile/service_accounts/>.
fn refused(error: &GitlabError, of: &str) -> Error {
    let text = format!("{error}; your account may not create a service account of the {of}");
    Error::new(Kind::CutShort, text)
        .hint("run the command again; it leaves the accounts of that kind to you, and names them")
}

fn back(site: &Site<'_>, word: &str, _undo: &Undo) -> GitlabResult<Back> {
    let Some((purpose, account)) = known(site, word)? else { return Ok(Back::Stays(unseen(site, word))) };
    let Some((_, account)) = account else { return Ok(Back::Done) };
    let Some(member) = member(site, purpose, &account)? else { return Ok(Back::Done) };
    let (username, place) = (purpose.username(site.id), place(site.desired, purpose));
    if member.access_level != purpose.level() {
        let now = role(member.access_level);
        return Ok(Back::Stays(format!("the role of {username} changed after apply, to {now}; not reverted")));
    }
    let summary = format!("remove {username} from {place}; the account stays as the author of what it did");
    let user = account.id;
    Ok(Back::remove(format!("{KIND}:{word}"), summary, move |site| {
        site.owner.delete(&members(site, purpose, Call::delete, Some(user)))
    }))
}

/// What an id's name stands for, and its account if that exists; nothing if it may exist where this account cannot see it.
#[expect(clippy::type_complexity, reason = "each part is used once")]
pub(in crate::gitlab) fn known(
    site: &Site<'_>,
    word: &str,
) -> GitlabResult<Option<(Purpose, Option<(Identity, Account)>)>> {
    let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.word() == word);
    let Some(purpose) = purpose.filter(|purpose| site.desired.ci.homes(*purpose).next().is_some()) else {
        return Ok(None);
    };
    Ok(Some((purpose, existing(site, purpose)?)))
}

/// What is said of an account that this token cannot reach any more.
pub(in crate::gitlab) fn unseen(site: &Site<'_>, word: &str) -> String {
    let (id, base) = (site.id, site.desired.base.as_str());
    format!(
        "your account cannot see the service account factoryup-{id}-{word}; as an Owner, revoke its tokens and its role at {base}/groups/{}/-/settings/service_accounts",
        site.desired.top()
    )
}
