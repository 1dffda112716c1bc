//! Environments with their tiers, so that GitLab knows production before the first deployment.
//!
//! Source: <https://docs.gitlab.com/api/environments/>.

use serde::Deserialize;
use serde_json::json;

use super::{Back, Found, Resource, WayBack, name};
use crate::dialog::plain;
use crate::gitlab::desired::{self, Desired};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::glance::Environment;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

const KIND: &str = "environment";
const ALL: &str = "/projects/:id/environments";
const ONE: &str = "/projects/:id/environments/:environment_id";

/// See the [module](self).
pub(in crate::gitlab) struct Environments;

#[derive(Deserialize)]
struct Detail {
    last_deployment: Option<serde::de::IgnoredAny>,
}

fn compare(wanted: &desired::Environment, present: Option<&Environment>) -> Option<Change> {
    let id = format!("{KIND}:{}", wanted.name);
    let after = Some(format!("tier: {}\n", wanted.tier));
    let Some(present) = present else {
        let summary = format!("create the environment {}, tier {}", wanted.name, wanted.tier);
        return Some(Change::new(id, Action::Create, summary).with_diff(None, after));
    };
    let tier = present.tier.as_deref().unwrap_or("none");
    (tier != wanted.tier).then(|| {
        Change::new(id, Action::Update, format!("set the tier of the environment {} to {}", wanted.name, wanted.tier))
            .with_diff(Some(format!("tier: {}\n", plain(tier))), after)
    })
}

fn read(site: &Site<'_>) -> GitlabResult<Vec<Environment>> {
    Ok(site.glance()?.environments.clone())
}

impl Resource for Environments {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        desired.environments.iter().filter_map(|wanted| compare(wanted, None)).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let present = read(site)?;
        let mut found = Found::default();
        for wanted in &site.desired.environments {
            found.add(compare(wanted, present.iter().find(|e| e.name == wanted.name)));
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let Some(wanted) = site.desired.environments.iter().find(|e| e.name == name(change)) else {
            return Ok(Undo::Never { reason: "it is no longer needed".into() });
        };
        match read(site)?.iter().find(|e| e.name == wanted.name) {
            None => {
                let body = json!({ "name": wanted.name, "tier": wanted.tier });
                site.owner.send(&Call::post(ALL, &[&site.id]), &body)?;
                Ok(Undo::Remove)
            }
            Some(present) => {
                let before = present.tier.clone().unwrap_or_default();
                if before != wanted.tier {
                    let call = Call::put(ONE, &[&site.id, &present.id]);
                    site.owner.send(&call, &json!({ "tier": wanted.tier }))?;
                }
                Ok(Undo::restore(&json!({ "tier": before })))
            }
        }
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

#[derive(Deserialize)]
struct Before {
    tier: String,
}

fn back(site: &Site<'_>, name: &str, undo: &Undo) -> GitlabResult<Back> {
    let Some(present) = read(site)?.into_iter().find(|environment| environment.name == name) else {
        return Ok(Back::Done);
    };
    let (id, number) = (format!("{KIND}:{name}"), present.id);
    let Some(Before { tier }) = undo.before()? else {
        let detail: Detail = site.owner.fetch(&Call::get(ONE, &[&site.id, &number]))?;
        if detail.last_deployment.is_some() {
            return Ok(Back::Stays(format!("the environment {name} stays: it has deployments")));
        }
        return Ok(Back::remove(id, format!("remove the environment {name}"), move |site| {
            // GitLab deletes only what is stopped.
            let stop = Call::post("/projects/:id/environments/:environment_id/stop", &[&site.id, &number]);
            site.owner.send(&stop, &json!({ "force": true }))?;
            site.owner.delete(&Call::delete(ONE, &[&site.id, &number]))
        }));
    };
    let wanted = site.desired.environments.iter().find(|wanted| wanted.name == name);
    if tier.is_empty() || present.tier.as_deref() == Some(&tier) {
        return Ok(Back::Done);
    }
    if wanted.is_none_or(|wanted| present.tier.as_deref() != Some(wanted.tier)) {
        return Ok(Back::Stays(format!("the tier of the environment {name} changed after apply; not reverted")));
    }
    let summary = format!("set the tier of the environment {name} to {}, as it was", plain(&tier));
    Ok(Back::restore(id, summary, move |site| {
        let call = Call::put(ONE, &[&site.id, &number]);
        site.owner.send(&call, &json!({ "tier": tier }))
    }))
}
