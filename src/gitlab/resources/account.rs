//! The agent's account, of the kind that [`identity`](crate::gitlab::identity) chose.
//!
//! Sources: <https://docs.gitlab.com/api/service_accounts/>, <https://docs.gitlab.com/api/users/#create-a-user>.

use serde_json::json;

use super::{Found, Resource, WayBack};
use crate::error::{Error, Kind};
use crate::gitlab::client::Client;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::identity::{Account, Identity};
use crate::gitlab::keep::Keep;
use crate::gitlab::second_user;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

const KIND: &str = "service-account";

/// See the [module](self).
pub(in crate::gitlab) struct ServiceAccount;

fn create(desired: &Desired) -> Change {
    let agent = &desired.agent;
    let summary = format!("create {}", agent.identity.words(&agent.username));
    Change::new(format!("{KIND}:{}", agent.username), Action::Create, summary)
}

/// Refuses a user name that somebody has, before anything is changed.
pub(in crate::gitlab) fn require_free(owner: &Client, desired: &Desired, keep: &Keep) -> GitlabResult<()> {
    if desired.agent.identity.is_user() {
        let found = second_user::find(owner, desired, keep, None)?;
        if found.is_some() {
            return Ok(());
        }
    }
    let call = Call::get("/users", &[]).query("username", &desired.agent.username);
    let users: Vec<serde::de::IgnoredAny> = owner.fetch(&call)?;
    if users.is_empty() { Ok(()) } else { Err(taken(desired).into()) }
}

impl Resource for ServiceAccount {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        // A person has made it.
        if desired.agent.identity == Identity::Given { Vec::new() } else { vec![create(desired)] }
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        if site.account()?.is_some() {
            return Ok(Found::one(None));
        }
        require_free(site.owner, site.desired, site.keep)?;
        Ok(Found::one(Some(create(site.desired))))
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        if site.account()?.is_some() {
            return Ok(Undo::Never { reason: "it existed already".into() });
        }
        let agent = &site.desired.agent;
        let service = || json!({ "name": agent.name, "username": agent.username });
        let (call, body, of) = match &agent.identity {
            Identity::Project => (Call::post("/projects/:id/service_accounts", &[&site.id]), service(), "project"),
            Identity::Group(top) => (Call::post("/groups/:id/service_accounts", &[top]), service(), "group"),
            Identity::Made | Identity::Given => (Call::post("/users", &[]), second_user::body(site.desired), ""),
        };
        let made = site.owner.write::<Account>(&call, &body).map_err(|error| match &error {
            // Somebody took it since the plan.
            GitlabError::Refused { status: 400 | 409 | 422, said, .. } if said.contains("taken") => {
                taken(site.desired).into()
            }
            _ => error,
        });
        match made {
            Err(error) if !agent.identity.is_user() && matches!(error.status(), Some(400 | 403 | 404)) => {
                // Else the next run would choose the same.
                site.keep.remember(|memory| memory.refused_accounts.extend([of.to_owned()]))?;
                Err(kept_from_owners(&error, of).into())
            }
            made => made.map(|_| Undo::Remove),
        }
    }

    fn way_back(&self) -> WayBack {
        WayBack::Stays("the agent's account stays as the author of what it did, without its token and its role")
    }
}

/// Where an instance keeps service accounts for administrators. Source: <https://docs.gitlab.com/user/profile/service_accounts/>.
fn kept_from_owners(error: &GitlabError, of: &str) -> Error {
    Error::new(Kind::CutShort, format!("{error}; your account may not create a service account of the {of}"))
        .hint("run the command again; it plans an account of another kind")
}

/// User names are unique on the whole instance, which on gitlab.com is the world.
pub(in crate::gitlab) fn taken(desired: &Desired) -> Error {
    let (name, url) = (&desired.agent.username, desired.base.as_str());
    Error::new(Kind::Usage, format!("the user name {name} already exists on {url}")).hint(format!(
        "choose another in factory.toml, such as agent.username = \"{}-agent\"",
        desired.group.replace('/', "-")
    ))
}

/// The account that must be there by now.
pub(in crate::gitlab) fn require(site: &Site<'_>) -> GitlabResult<Account> {
    site.account()?.ok_or_else(|| {
        let username = &site.desired.agent.username;
        Error::new(Kind::CutShort, format!("{} was removed", site.desired.agent.identity.words(username)))
            .hint("review the current state: `factoryup plan gitlab`")
            .into()
    })
}
