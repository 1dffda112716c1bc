//! The agent's role: Developer in this project, and in those of applications (`app_member`), for as long as its token lives.
//!
//! What counts is the effective role. One that is inherited from a group cannot be lowered here, and is named instead.
//! Source: <https://docs.gitlab.com/api/project_members/>.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Back, Found, Resource, WayBack, approval_rule};
use crate::error::{Error, Kind};
use crate::gitlab::client::Client;
use crate::gitlab::desired::{Agent, Desired};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::identity::Account;
use crate::gitlab::lifetime::is_over;
use crate::gitlab::preflight::days_from_now;
use crate::gitlab::roles::{DEVELOPER, role};
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Risk, Undo};

pub(in crate::gitlab) const KIND: &str = "member";
/// Access with no more days left is renewed.
const LAST: i64 = 7;
const DIRECT: &str = "/projects/:id/members/:user_id";

/// See the [module](self).
pub(in crate::gitlab) struct Membership;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::gitlab) struct Member {
    pub(super) access_level: u8,
    expires_at: Option<Date>,
}

impl Member {
    /// A role, and when it ends.
    pub(in crate::gitlab) fn new(access_level: u8, expires_at: Option<Date>) -> Self {
        Self { access_level, expires_at }
    }

    fn text(&self) -> String {
        text(self.access_level, self.expires_at)
    }
}

fn text(level: u8, expires_at: Option<Date>) -> String {
    let end = expires_at.map_or_else(|| "never".to_owned(), |date| date.to_string());
    format!("role: {}\nexpires: {end}\n", role(level))
}

/// When the agent's access ends, if it is granted today.
pub(in crate::gitlab) fn end(agent: &Agent) -> Date {
    days_from_now(i64::from(agent.days))
}

/// Whether access that ends then is worth renewing: within a week, or within half its life when that is shorter. So is one that
/// lasts longer than it may. Its life is what `agent` says, unless GitLab made it shorter.
pub(in crate::gitlab) fn needs_renewal(agent: &Agent, life: Option<i64>, end: Option<Date>) -> bool {
    let days = i64::from(agent.days);
    is_over(life.map_or(days, |life| life.min(days)), end, LAST) || end.is_some_and(|end| end > days_from_now(days))
}

fn create(agent: &Agent) -> Change {
    joins(format!("{KIND}:{}", agent.username), agent, "the project")
}

fn compare(agent: &Agent, present: &Member) -> Option<Change> {
    differs(format!("{KIND}:{}", agent.username), agent, present)
}

/// The change that lets the agent into a project.
fn joins(id: String, agent: &Agent, project: &str) -> Change {
    let summary = format!("add {} as a Developer of {project}, for {} days", agent.username, agent.days);
    Change::new(id, Action::Create, summary).with_diff(None, Some(text(DEVELOPER, Some(end(agent)))))
}

/// What is to be changed about the agent's role in a project, if anything is.
fn differs(id: String, agent: &Agent, present: &Member) -> Option<Change> {
    let right = present.access_level == DEVELOPER;
    if right && !needs_renewal(agent, None, present.expires_at) {
        return None;
    }
    let summary = if right {
        format!("renew the membership of {}, for {} days", agent.username, agent.days)
    } else {
        format!("change the role of {} to Developer, from {}", agent.username, role(present.access_level))
    };
    Some(
        Change::new(id, Action::Update, summary)
            .with_diff(Some(present.text()), Some(text(DEVELOPER, Some(end(agent)))))
            .with_risk(if right { Risk::None } else { Risk::Disruptive }),
    )
}

/// The role of an account in the project that counts.
pub(super) fn effective(site: &Site<'_>, account: &Account) -> GitlabResult<Option<Member>> {
    of(site, site.glance()?.members.as_deref(), &Call::get("/projects/:id/members/all", &[&site.id]), account)
}

/// The role of an account in the project's group itself.
pub(super) fn in_group(site: &Site<'_>, account: &Account) -> GitlabResult<Option<Member>> {
    let members = Call::get("/groups/:id/members", &[&site.desired.group]);
    of(site, site.glance()?.group_members.as_deref(), &members, account)
}

/// A member in a list.
#[derive(Deserialize)]
struct Listed {
    id: u64,
    #[serde(flatten)]
    member: Member,
}

/// The role of one of factoryup's accounts. Of a list that is too long to be seen, GitLab is asked for these accounts.
fn of(
    site: &Site<'_>,
    seen: Option<&[(u64, Member)]>,
    members: &Call,
    account: &Account,
) -> GitlabResult<Option<Member>> {
    if let Some(seen) = seen {
        return Ok(seen.iter().find(|(user, _)| *user == account.id).map(|(_, member)| member.clone()));
    }
    let ids: Vec<_> = approval_rule::machines(site)?.iter().map(u64::to_string).collect();
    let all: Vec<Listed> = site.owner.list(&members.clone().query("user_ids", ids.join(",")))?;
    Ok(all.into_iter().find(|one| one.id == account.id).map(|one| one.member))
}

/// The agent's own role in a project, apart from what it inherits.
fn direct(owner: &Client, project: u64, user: u64) -> GitlabResult<Option<Member>> {
    owner.find(&Call::get(DIRECT, &[&project, &user]))
}

/// What lets the agent into an application's project, or changes how it is in; nothing if all is right.
pub(in crate::gitlab) fn in_application(
    owner: &Client,
    agent: &Agent,
    (name, project): (&str, u64),
    account: &Account,
) -> GitlabResult<Option<Change>> {
    let id = format!("{}:{name}", super::app_member::KIND);
    let present = direct(owner, project, account.id)?;
    Ok(present.map_or_else(|| Some(joins(id.clone(), agent, name)), |member| differs(id.clone(), agent, &member)))
}

/// Lets the agent into a project. `record` is told how that is undone, before it is done.
pub(in crate::gitlab) fn admit(
    owner: &Client,
    agent: &Agent,
    project: u64,
    account: &Account,
    record: impl FnOnce(&Undo) -> GitlabResult<()>,
) -> GitlabResult<Undo> {
    let mut body = json!({ "access_level": DEVELOPER, "expires_at": end(agent).to_string() });
    match direct(owner, project, account.id)? {
        None => {
            record(&Undo::Remove)?;
            body["user_id"] = account.id.into();
            owner.send(&Call::post("/projects/:id/members", &[&project]), &body)?;
            Ok(Undo::Remove)
        }
        Some(member) if compare(agent, &member).is_none() => Ok(Undo::Never { reason: "no change was needed".into() }),
        Some(member) => {
            let undo = Undo::restore(&member);
            record(&undo)?;
            owner.send(&Call::put(DIRECT, &[&project, &account.id]), &body)?;
            Ok(undo)
        }
    }
}

impl Resource for Membership {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        vec![create(&desired.agent)]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let agent = &site.desired.agent;
        let Some(account) = site.account()? else { return Ok(Found::one(Some(create(agent)))) };
        Ok(Found::one(match effective(site, &account)? {
            Some(member) => compare(agent, &member),
            None => Some(create(agent)),
        }))
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        let agent = &site.desired.agent;
        let account = super::account::require(site)?;
        let undo = admit(site.owner, agent, site.id, &account, |_| Ok(()))?;
        site.forget();
        match effective(site, &account)? {
            Some(member) if member.access_level > DEVELOPER => Err(inherited(site, &member).into()),
            _ => Ok(undo),
        }
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn back(site: &Site<'_>, username: &str, undo: &Undo) -> GitlabResult<Back> {
    let id = format!("{KIND}:{username}");
    back_in(site, id, (site.id, "the project".into()), undo)
}

/// How the agent's role in a project becomes what it was.
pub(super) fn back_in(site: &Site<'_>, id: String, (project, place): (u64, String), undo: &Undo) -> GitlabResult<Back> {
    let username = &site.desired.agent.username;
    let Some(account) = site.account()? else { return Ok(Back::Done) };
    let Some(present) = direct(site.owner, project, account.id)? else { return Ok(Back::Done) };
    let user = account.id;
    if present.access_level != DEVELOPER {
        let why =
            format!("the role of {username} changed after apply, to {}; not reverted", role(present.access_level));
        return Ok(Back::Stays(why));
    }
    // GitLab takes no end that has passed.
    let is_over = |member: &Member| member.expires_at.is_some_and(|end| end <= days_from_now(0));
    let Some(before) = undo.before::<Member>()?.filter(|before| !is_over(before)) else {
        return Ok(Back::remove(id, format!("remove {username} from {place}"), move |site| {
            site.owner.delete(&Call::delete(DIRECT, &[&project, &user]))
        }));
    };
    if present == before {
        return Ok(Back::Done);
    }
    let summary = format!("give {username} the role {} again, as before", role(before.access_level));
    Ok(Back::restore(id, summary, move |site| {
        let body = json!({ "access_level": before.access_level, "expires_at": before.expires_at });
        site.owner.send(&Call::put(DIRECT, &[&project, &user]), &body)
    }))
}

fn inherited(site: &Site<'_>, member: &Member) -> Error {
    let (username, group) = (&site.desired.agent.username, &site.desired.group);
    Error::new(
        Kind::NotPermitted,
        format!(
            "{username} inherits the role {} from the group {group}, which a project cannot lower",
            role(member.access_level)
        ),
    )
    .hint(format!(
        "remove the user from the group at {}/groups/{group}/-/group_members, then run the command again",
        site.desired.base.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitlab::identity::Identity;

    #[test]
    fn access_is_renewed_in_its_last_week_and_cut_when_it_is_too_long() {
        let agent = |days| Agent { username: "a".into(), name: "a".into(), days, identity: Identity::Project };
        for (days, left, renew) in [
            (30, 30, false),
            (30, 8, false),
            (30, 7, true),
            (30, 31, true),
            (1, 1, false),
            (1, 0, true),
            (4, 3, false),
            (4, 2, true),
        ] {
            assert_eq!(needs_renewal(&agent(days), None, Some(days_from_now(left))), renew, "{days} {left}");
        }
        assert!(needs_renewal(&agent(30), None, None));
        assert!(!needs_renewal(&agent(30), Some(5), Some(days_from_now(5))));
    }
}
