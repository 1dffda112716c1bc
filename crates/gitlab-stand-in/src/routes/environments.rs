//! Environments, and deployments to them. Developers may make and change each environment, and deploy to, stop and delete each that is
//! not protected. Sources: `lib/api/environments.rb`, `lib/api/deployments.rb`.

use serde_json::{Value, json};

use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{DEVELOPER, Environment, REPORTER};
use crate::pipelines::tier_of;
use crate::reply::{Outcome, Refusal, Reply, bad_request, error, forbidden, message, not_found};
use crate::router::Route;

const TIERS: &[&str] = &["production", "staging", "testing", "development", "other"];
const AUTO_STOP: &[&str] = &["always", "with_action"];

fn environment_json(environment: &Environment) -> Value {
    json!({
        "id": environment.id,
        "name": environment.name,
        "slug": environment.name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        "description": environment.description,
        "external_url": environment.external_url,
        "state": environment.state,
        "tier": environment.tier,
        "created_at": environment.created_at,
        "updated_at": environment.created_at,
        "auto_stop_setting": environment.auto_stop_setting,
        "last_deployment": null,
    })
}

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let (name, search, states) = (call.text("name"), call.text("search").unwrap_or_default(), call.text("states"));
    let found = call.at(id)?.environments.iter().filter(|environment| {
        name.as_ref().is_none_or(|name| environment.name == *name)
            && environment.name.contains(&search)
            && states.as_ref().is_none_or(|state| environment.state == state)
    });
    Ok(Reply::list(found.map(environment_json)))
}

fn position(call: &Call<'_>, project: u64) -> Result<usize, Refusal> {
    let id = call.param_id(1)?;
    call.at(project)?.environments.iter().position(|e| e.id == id).ok_or_else(|| not_found("Environment"))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    Ok(Reply::ok(environment_json(&call.at(id)?.environments[at])))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let name = call.required("name")?;
    let tier = call.one_of("tier", TIERS)?;
    let setting = call.one_of("auto_stop_setting", AUTO_STOP)?;
    if name.len() > 255 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_/${}. ".contains(c)) {
        return Err(message(
            400,
            json!({ "name": ["can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.', and spaces, but it cannot start or end with '/'"] }),
        ));
    }
    if call.at(id)?.environments.iter().any(|environment| environment.name == name) {
        return Err(message(400, json!({ "name": ["has already been taken"], "slug": ["has already been taken"] })));
    }
    let environment = Environment {
        id: call.state.next_id(),
        external_url: call.text("external_url"),
        tier: tier.unwrap_or_else(|| tier_of(&name).to_owned()),
        name,
        state: "available",
        description: call.text("description"),
        auto_stop_setting: setting.unwrap_or_else(|| "always".to_owned()),
        created_at: now(),
    };
    let value = environment_json(&environment);
    call.at_mut(id)?.environments.push(environment);
    Ok(Reply::created(value))
}

fn change(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let at = position(call, id)?;
    let (tier, setting) = (call.one_of("tier", TIERS)?, call.one_of("auto_stop_setting", AUTO_STOP)?);
    let url = call.has("external_url").then(|| call.text("external_url"));
    let description = call.has("description").then(|| call.text("description"));
    let environment = &mut call.at_mut(id)?.environments[at];
    environment.tier = tier.unwrap_or_else(|| environment.tier.clone());
    environment.auto_stop_setting = setting.unwrap_or_else(|| environment.auto_stop_setting.clone());
    environment.external_url = url.unwrap_or_else(|| environment.external_url.clone());
    environment.description = description.unwrap_or_else(|| environment.description.clone());
    Ok(Reply::ok(environment_json(&call.at(id)?.environments[at])))
}

fn stop(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let at = position(call, id)?;
    if !call.actor(id)?.may_deploy(call.at(id)?, &call.at(id)?.environments[at].name) {
        return Err(forbidden(""));
    }
    call.at_mut(id)?.environments[at].state = "stopped";
    Ok(Reply::ok(environment_json(&call.at(id)?.environments[at])))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let at = position(call, id)?;
    if !call.actor(id)?.may_deploy(call.at(id)?, &call.at(id)?.environments[at].name) {
        return Err(forbidden(""));
    }
    if call.at(id)?.environments[at].state != "stopped" {
        return Err(bad_request("Environment must be stopped before it can be deleted"));
    }
    call.at_mut(id)?.environments.remove(at);
    Ok(Reply::no_content())
}

/// A deployment that something else than a job made. It is answered and not kept.
fn deploy(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (name, sha, reference) = (call.required("environment")?, call.required("sha")?, call.required("ref")?);
    call.required("tag")?;
    let status = call.one_of("status", &["running", "success", "failed", "canceled"])?;
    let status = status.ok_or_else(|| error(400, "status is missing"))?;
    let (actor, project) = (call.actor(id)?, call.at(id)?);
    if call.settings.git.resolve(&project.repository, &reference).is_none() {
        return Err(message(400, json!({ "ref": ["The branch or tag does not exist"] })));
    }
    if !actor.may_deploy(project, &name) {
        return Err(forbidden(""));
    }
    if call.settings.git.resolve(&project.repository, &sha).is_none() {
        return Err(message(400, json!({ "sha": ["The commit does not exist"] })));
    }
    Ok(Reply::created(json!({
        "id": call.state.next_id(), "iid": 1, "ref": reference, "sha": sha, "status": status, "created_at": now(),
        "environment": { "name": name },
    })))
}

const LIST: &[&str] = &["name", "search", "states"];
const CREATE: &[&str] = &["name", "external_url", "tier", "description", "auto_stop_setting"];
const CHANGE: &[&str] = &["external_url", "tier", "description", "auto_stop_setting"];
const ONE: &str = "/projects/:id/environments/:environment_id";

const DEPLOYMENT: &[&str] = &["environment", "sha", "ref", "tag", "status"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("POST", "/projects/:id/deployments", Need::Write, DEPLOYMENT, deploy),
    Route::new("GET", "/projects/:id/environments", Need::Read, LIST, list),
    Route::new("POST", "/projects/:id/environments", Need::Write, CREATE, create),
    Route::new("POST", "/projects/:id/environments/:environment_id/stop", Need::Write, &["force"], stop),
    Route::new("GET", ONE, Need::Read, &[], get),
    Route::new("PUT", ONE, Need::Write, CHANGE, change),
    Route::new("DELETE", ONE, Need::Write, &[], delete),
];
