//! The agent's account: a service account of the project, without login and without a seat.
//!
//! Source: <https://docs.gitlab.com/api/service_accounts/>.

use serde_json::json;

use super::{Found, Resource};
use crate::error::{Error, Kind};
use crate::gitlab::client::Client;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::site::{Account, Site};
use crate::plan::{Action, Change, Undo};

const KIND: &str = "service-account";

/// See the [module](self).
pub(in crate::gitlab) struct ServiceAccount;

fn create(desired: &Desired) -> Change {
    let username = &desired.agent.username;
    Change::new(format!("{KIND}:{username}"), Action::Create, format!("create the service account {username}"))
}

/// Refuses a user name that somebody has, before anything is changed.
pub(in crate::gitlab) fn require_free(owner: &Client, desired: &Desired) -> GitlabResult<()> {
    let call = Call::get("/users", &[]).query("username", &desired.agent.username);
    let users: Vec<serde::de::IgnoredAny> = owner.fetch(&call)?;
    if users.is_empty() { Ok(()) } else { Err(taken(desired).into()) }
}

impl Resource for ServiceAccount {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        vec![create(desired)]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        if site.account()?.is_some() {
            return Ok(Found::one(None));
        }
        require_free(site.owner, site.desired)?;
        Ok(Found::one(Some(create(site.desired))))
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        if site.account()?.is_some() {
            return Ok(Undo::Never { reason: "it was there already".into() });
        }
        let agent = &site.desired.agent;
        let body = json!({ "name": agent.name, "username": agent.username });
        let call = Call::post("/projects/:id/service_accounts", &[&site.id]);
        site.owner.write::<Account>(&call, &body).map_err(|error| match &error {
            // Somebody took it since the plan.
            GitlabError::Refused { status: 400 | 409 | 422, said, .. } if said.contains("taken") => {
                taken(site.desired).into()
            }
            _ => error,
        })?;
        Ok(Undo::Remove)
    }
}

/// User names are unique on the whole instance, which on gitlab.com is the world.
fn taken(desired: &Desired) -> Error {
    let (name, url) = (&desired.agent.username, desired.base.as_str());
    Error::new(Kind::Usage, format!("the user name {name} is taken on {url}")).hint(format!(
        "choose another in factory.toml, such as agent.username = \"{}-agent\"",
        desired.group.replace('/', "-")
    ))
}

/// The account that must be there by now.
pub(in crate::gitlab) fn require(site: &Site<'_>) -> GitlabResult<Account> {
    site.account()?.ok_or_else(|| {
        let username = &site.desired.agent.username;
        Error::new(Kind::CutShort, format!("the service account {username} is gone again"))
            .hint("run `factoryup plan gitlab` to see what is there")
            .into()
    })
}
