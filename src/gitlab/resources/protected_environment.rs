//! Production's protected environment, which takes a license: only Maintainers deploy to it, stop it and start its jobs.
//!
//! Without it GitLab lets Developers report deployments to any environment, and stop it. With it they still change its tier and URL on
//! older versions of GitLab.
//! Sources: <https://docs.gitlab.com/api/protected_environments/>, `ee/app/policies/ee/environment_policy.rb`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::approval_rule;
use super::grant::{Grant, are_exactly, grants_again, words};
use super::{Back, Found, Resource, UNLICENSED, WayBack};
use crate::factory::Tier;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::roles::MAINTAINER;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

pub(super) const KIND: &str = "protected-environment";
const ALL: &str = "/projects/:id/protected_environments";
const ONE: &str = "/projects/:id/protected_environments/:name";

/// See the [module](self).
pub(in crate::gitlab) struct ProtectedEnvironments;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Rule {
    name: String,
    #[serde(default)]
    deploy_access_levels: Vec<Grant>,
}

fn text(who: &str) -> String {
    format!("deploy: {who}\n")
}

/// Whether only Maintainers deploy, or fewer: administrators, and people by name. A group may have machines in it.
fn is_right(rule: &Rule, machines: &[u64]) -> bool {
    let is_narrow = |grant: &Grant| {
        let by_role = grant.access_level.is_some_and(|level| level >= MAINTAINER);
        let names = grant.group_id.is_some() || grant.deploy_key_id.is_some();
        !names && grant.user_id.map_or(by_role, |user| !machines.contains(&user))
    };
    !rule.deploy_access_levels.is_empty() && rule.deploy_access_levels.iter().all(is_narrow)
}

fn change(name: &str, present: Option<&Rule>, machines: &[u64]) -> Option<Change> {
    let action = match present {
        Some(rule) if is_right(rule, machines) => return None,
        Some(_) => Action::Update,
        None => Action::Create,
    };
    let before = present.map(|rule| text(&words(&rule.deploy_access_levels)));
    let summary = format!("protect the environment {name}: Maintainers deploy");
    Some(Change::new(format!("{KIND}:{name}"), action, summary).with_diff(before, Some(text("Maintainer"))))
}

/// The last environment: production.
fn production(desired: &Desired) -> Option<&str> {
    desired.environments.last().map(|environment| environment.name.as_str())
}

fn read(site: &Site<'_>, name: &str) -> GitlabResult<Option<Rule>> {
    site.owner.find(&Call::get(ONE, &[&site.id, &name]))
}

/// Replaces who deploys, in one call: GitLab refuses an entry twice.
fn set(site: &Site<'_>, present: &Rule, wanted: &[Value]) -> GitlabResult<()> {
    let now = grants_again(&present.deploy_access_levels);
    let goes = present.deploy_access_levels.iter().zip(&now).filter(|(_, value)| !wanted.contains(value));
    let goes = goes.filter_map(|(grant, _)| grant.id).map(|id| json!({ "id": id, "_destroy": true }));
    let all: Vec<_> = goes.chain(wanted.iter().filter(|value| !now.contains(value)).cloned()).collect();
    let call = Call::put(ONE, &[&site.id, &present.name]);
    site.owner.write::<Rule>(&call, &json!({ "deploy_access_levels": all })).map(drop)
}

fn maintainers() -> Vec<Value> {
    vec![json!({ "access_level": MAINTAINER })]
}

impl Resource for ProtectedEnvironments {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        let name = production(desired).filter(|_| desired.tier != Tier::Free);
        name.and_then(|name| change(name, None, &[])).into_iter().collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        match production(site.desired) {
            Some(name) if site.premium => {
                let present = read(site, name)?;
                Ok(Found::one(change(name, present.as_ref(), &approval_rule::machines(site)?)))
            }
            _ => Ok(Found::default()),
        }
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        if !site.premium {
            return Ok(Undo::Never { reason: UNLICENSED.into() });
        }
        let name = super::name(change);
        let Some(present) = read(site, name)? else {
            let body = json!({ "name": name, "deploy_access_levels": maintainers() });
            site.owner.write::<Rule>(&Call::post(ALL, &[&site.id]), &body)?;
            return Ok(Undo::Remove);
        };
        set(site, &present, &maintainers())?;
        Ok(Undo::restore(&present))
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn back(site: &Site<'_>, name: &str, undo: &Undo) -> GitlabResult<Back> {
    if !site.premium {
        return Ok(Back::Stays(format!("the protection of the environment {name}: {UNLICENSED}")));
    }
    let Some(present) = read(site, name)? else { return Ok(Back::Done) };
    let (id, before) = (format!("{KIND}:{name}"), undo.before::<Rule>()?);
    let now = grants_again(&present.deploy_access_levels);
    if before.as_ref().is_some_and(|before| grants_again(&before.deploy_access_levels) == now) {
        return Ok(Back::Done);
    }
    if !are_exactly(&present.deploy_access_levels, MAINTAINER) {
        let why = format!("the protection of the environment {name} changed after apply; not reverted");
        return Ok(Back::Stays(why));
    }
    let name = name.to_owned();
    Ok(match before {
        None => Back::remove(id, format!("unprotect the environment {name}"), move |site| {
            site.owner.delete(&Call::delete(ONE, &[&site.id, &name]))
        }),
        Some(before) => Back::restore(id, format!("protect the environment {name} as before"), move |site| {
            set(site, &present, &grants_again(&before.deploy_access_levels))
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_environment_is_left_as_it_is() {
        let rule = |grants: Value| -> Rule {
            serde_json::from_value(json!({ "name": "production", "deploy_access_levels": grants })).unwrap()
        };
        for right in [
            json!([{ "access_level": 40 }]),
            json!([{ "access_level": 60 }]),
            json!([{ "access_level": 40, "user_id": 1 }, { "access_level": 60 }]),
        ] {
            assert!(is_right(&rule(right.clone()), &[7]), "{right}");
            assert!(change("production", Some(&rule(right)), &[7]).is_none());
        }
        for wrong in [
            json!([]),
            json!([{ "access_level": 30 }]),
            json!([{ "access_level": 40 }, { "access_level": 30 }]),
            json!([{ "access_level": 40, "user_id": 7 }]),
            json!([{ "access_level": 40, "group_id": 3 }]),
        ] {
            assert!(!is_right(&rule(wrong.clone()), &[7]), "{wrong}");
            assert_eq!(change("production", Some(&rule(wrong)), &[7]).unwrap().action, Action::Update);
        }
    }
}
