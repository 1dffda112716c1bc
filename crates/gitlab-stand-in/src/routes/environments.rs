//! Environments. Without Premium's protection any Developer may make, change and stop them.

use serde_json::{Value, json};

use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{DEVELOPER, Environment, REPORTER};
use crate::pipelines::tier_of;
use crate::reply::{Outcome, Refusal, Reply, bad_request, message, not_found};
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
    call.at_mut(id)?.environments[at].state = "stopped";
    Ok(Reply::ok(environment_json(&call.at(id)?.environments[at])))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let at = position(call, id)?;
    if call.at(id)?.environments[at].state != "stopped" {
        return Err(bad_request("Environment must be stopped before it can be deleted"));
    }
    call.at_mut(id)?.environments.remove(at);
    Ok(Reply::no_content())
}

const LIST: &[&str] = &["name", "search", "states"];
const CREATE: &[&str] = &["name", "external_url", "tier", "description", "auto_stop_setting"];
const CHANGE: &[&str] = &["external_url", "tier", "description", "auto_stop_setting"];
const ONE: &str = "/projects/:id/environments/:environment_id";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/environments", Need::Read, LIST, list),
    Route::new("POST", "/projects/:id/environments", Need::Write, CREATE, create),
    Route::new("POST", "/projects/:id/environments/:environment_id/stop", Need::Write, &["force"], stop),
    Route::new("GET", ONE, Need::Read, &[], get),
    Route::new("PUT", ONE, Need::Write, CHANGE, change),
    Route::new("DELETE", ONE, Need::Write, &[], delete),
];
