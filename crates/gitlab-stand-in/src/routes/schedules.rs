//! Pipeline schedules: kept and shown. None ever comes due here.

use serde_json::{Value, json};

use super::accounts::user_json;
use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{DEVELOPER, MAINTAINER};
use crate::reply::{Outcome, Refusal, Reply, error, forbidden, not_found};
use crate::router::Route;

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    Ok(Reply::list(call.at(id)?.schedules.clone()))
}

fn position(call: &Call<'_>, project: u64) -> Result<usize, Refusal> {
    let id = call.param_id(1)?;
    let found = call.at(project)?.schedules.iter().position(|schedule| schedule["id"] == id);
    found.ok_or_else(|| not_found("Pipeline Schedule"))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let at = position(call, id)?;
    Ok(Reply::ok(call.at(id)?.schedules[at].clone()))
}

/// Five fields of a cron line.
fn cron(call: &Call<'_>) -> Result<Option<String>, Refusal> {
    match call.text("cron") {
        Some(text) if text.split_whitespace().count() != 5 => Err(crate::reply::invalid("cron", "syntax is invalid")),
        cron => Ok(cron),
    }
}

fn check_ref(call: &Call<'_>, project: u64, reference: &str) -> Result<(), Refusal> {
    let name = reference.strip_prefix("refs/heads/").unwrap_or(reference);
    let at = call.at(project)?;
    if call.actor(project)?.may_run(at, name, false) { Ok(()) } else { Err(forbidden("")) }
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (description, reference) = (call.required("description")?, call.required("ref")?);
    let cron = cron(call)?.ok_or_else(|| error(400, "cron is missing"))?;
    let active = call.boolean("active")?.unwrap_or(true);
    check_ref(call, id, &reference)?;
    let user = call.user()?;
    let schedule = json!({
        "id": call.state.next_id(),
        "description": description,
        "ref": reference,
        "cron": cron,
        "cron_timezone": call.text("cron_timezone").unwrap_or_else(|| "UTC".to_owned()),
        "active": active,
        "created_at": now(),
        "owner": call.state.users.get(&user).map(|user| user_json(user, &call.settings.url)),
    });
    call.at_mut(id)?.schedules.push(schedule.clone());
    Ok(Reply::created(schedule))
}

/// The schedule that the path names, when the caller owns it or is a Maintainer. Source: `app/policies/ci/pipeline_schedule_policy.rb`.
fn changeable(call: &mut Call<'_>) -> Result<(u64, usize), Refusal> {
    let id = call.project(DEVELOPER)?;
    let at = position(call, id)?;
    let is_own = call.at(id)?.schedules[at]["owner"]["id"] == call.user()?;
    if is_own || call.role >= Some(MAINTAINER) { Ok((id, at)) } else { Err(forbidden("")) }
}

fn change(call: &mut Call<'_>) -> Outcome {
    let (id, at) = changeable(call)?;
    let (cron, active) = (cron(call)?, call.boolean("active")?);
    let mut schedule = call.at(id)?.schedules[at].clone();
    let reference = call.text("ref").unwrap_or_else(|| schedule["ref"].as_str().unwrap_or_default().to_owned());
    check_ref(call, id, &reference)?;
    schedule["ref"] = reference.into();
    for name in ["description", "cron_timezone"] {
        if let Some(text) = call.text(name) {
            schedule[name] = text.into();
        }
    }
    schedule["cron"] = cron.map_or_else(|| schedule["cron"].clone(), Value::from);
    schedule["active"] = active.map_or_else(|| schedule["active"].clone(), Value::from);
    call.at_mut(id)?.schedules[at] = schedule.clone();
    Ok(Reply::ok(schedule))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let (id, at) = changeable(call)?;
    call.at_mut(id)?.schedules.remove(at);
    Ok(Reply::no_content())
}

const KEYS: &[&str] = &["description", "ref", "cron", "cron_timezone", "active"];
const ONE: &str = "/projects/:id/pipeline_schedules/:pipeline_schedule_id";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/pipeline_schedules", Need::Read, &["scope"], list),
    Route::new("POST", "/projects/:id/pipeline_schedules", Need::Write, KEYS, create),
    Route::new("GET", ONE, Need::Read, &[], get),
    Route::new("PUT", ONE, Need::Write, KEYS, change),
    Route::new("DELETE", ONE, Need::Write, &[], delete),
];
