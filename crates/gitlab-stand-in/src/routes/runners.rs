//! Runners: created by a person, with a `glrt-` token that is shown once; the old registration tokens do not exist here.
//!
//! Source: <https://docs.gitlab.com/api/users/#create-a-runner-linked-to-a-user>, <https://docs.gitlab.com/api/runners/>.

use serde_json::{Value, json};

use super::projects::project_reference;
use crate::auth::{Need, digest, mint, now};
use crate::call::Call;
use crate::model::{MAINTAINER, OWNER, Runner};
use crate::reply::{Outcome, Refusal, Reply, bad_request, error, forbidden, not_found};
use crate::router::Route;

const ACCESS: &[&str] = &["not_protected", "ref_protected"];
/// The shortest `maximum_timeout`, in seconds.
const SHORTEST_TIMEOUT: i64 = 600;

fn runner_json(runner: &Runner) -> Value {
    let status = if runner.contacted_at.is_some() { "online" } else { "never_contacted" };
    json!({
        "id": runner.id,
        "description": runner.description,
        "ip_address": null,
        "active": !runner.paused,
        "paused": runner.paused,
        "is_shared": runner.kind == "instance_type",
        "runner_type": runner.kind,
        "name": null,
        "online": runner.contacted_at.is_some(),
        "status": status,
        "created_at": runner.created_at,
        "created_by": { "id": runner.creator },
        "job_execution_status": "idle",
    })
}

fn details_json(call: &Call<'_>, runner: &Runner) -> Value {
    let mut value = runner_json(runner);
    value["tag_list"] = json!(runner.tag_list);
    value["run_untagged"] = runner.run_untagged.into();
    value["locked"] = runner.locked.into();
    value["maximum_timeout"] = runner.maximum_timeout.into();
    value["access_level"] = runner.access_level.as_str().into();
    value["contacted_at"] = runner.contacted_at.clone().into();
    value["maintenance_note"] = runner.maintenance_note.clone().into();
    let projects = runner.project.and_then(|id| call.state.projects.get(&id));
    value["projects"] = projects.map(|project| project_reference(call.state, project)).into_iter().collect();
    value["groups"] = runner.group.map(|id| json!({ "id": id })).into_iter().collect();
    value
}

fn access_level(call: &Call<'_>) -> Result<Option<String>, Refusal> {
    call.one_of("access_level", ACCESS)
}

fn timeout(call: &Call<'_>) -> Result<Option<i64>, Refusal> {
    match call.integer("maximum_timeout")? {
        Some(seconds) if seconds < SHORTEST_TIMEOUT => {
            Err(bad_request("Maximum timeout needs to be at least 10 minutes"))
        }
        timeout => Ok(timeout),
    }
}

fn create(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    call.required("runner_type")?;
    let kind = call.one_of("runner_type", &["instance_type", "group_type", "project_type"])?.unwrap_or_default();
    let (mut project, mut group) = (None, None);
    match kind.as_str() {
        "project_type" => {
            let id = call.id("project_id")?.ok_or_else(|| error(400, "project_id is missing"))?;
            let role = call.state.projects.get(&id).map_or(0, |project| call.state.role(user, project));
            call.role = Some(role);
            // Source: app/policies/project_policy.rb, create_runner.
            if role < MAINTAINER || !(call.settings.runner_registration || call.is_admin()) {
                return Err(forbidden(""));
            }
            project = Some(id);
        }
        "group_type" => {
            let id = call.id("group_id")?.ok_or_else(|| error(400, "group_id is missing"))?;
            let role = if call.state.namespaces.contains_key(&id) { call.state.group_role(user, id) } else { 0 };
            call.role = Some(role);
            if role < OWNER {
                return Err(forbidden(""));
            }
            group = Some(id);
        }
        _ if !call.is_admin() => return Err(forbidden("")),
        _ => {}
    }
    let tag_list = call.list("tag_list")?.unwrap_or_default();
    let run_untagged = call.boolean("run_untagged")?.unwrap_or(true);
    if !run_untagged && tag_list.is_empty() {
        return Err(bad_request("Tags list can not be empty when runner is not allowed to pick untagged jobs"));
    }
    let text = mint("glrt-")?;
    let runner = Runner {
        id: call.state.next_id(),
        digest: digest(&text),
        kind,
        project,
        group,
        creator: user,
        description: call.text("description").unwrap_or_default(),
        maintenance_note: call.text("maintenance_note"),
        paused: call.boolean("paused")?.unwrap_or(false),
        locked: call.boolean("locked")?.unwrap_or(project.is_some()),
        run_untagged,
        access_level: access_level(call)?.unwrap_or_else(|| "not_protected".to_owned()),
        tag_list,
        maximum_timeout: timeout(call)?,
        contacted_at: None,
        created_at: now(),
    };
    let id = runner.id;
    call.state.runners.insert(id, runner);
    Ok(Reply::created(json!({ "id": id, "token": text, "token_expires_at": null })))
}

/// Takes a runner's token, and its question as a sign of life.
pub(super) fn verify(call: &mut Call<'_>) -> Outcome {
    let digest = digest(&call.required("token")?);
    let runner = call.state.runners.values_mut().find(|runner| runner.digest == digest).ok_or_else(|| forbidden(""))?;
    runner.contacted_at = Some(now());
    Ok(Reply::ok(json!({ "id": runner.id, "token": call.required("token")?, "token_expires_at": null })))
}

fn of_project(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let kind = call.text("type");
    let paused = call.boolean("paused")?;
    let tags = call.list("tag_list")?.unwrap_or_default();
    let state = &*call.state;
    let project = call.at(id)?;
    // Only those that would take its jobs.
    let here = |runner: &&Runner| state.serves(runner, project);
    Ok(Reply::list(
        state
            .runners
            .values()
            .filter(here)
            .filter(|runner| kind.as_ref().is_none_or(|kind| *kind == runner.kind))
            .filter(|runner| paused.is_none_or(|paused| paused == runner.paused))
            .filter(|runner| tags.iter().all(|tag| runner.tag_list.contains(tag)))
            .map(runner_json),
    ))
}

/// The runner that the path names, when the caller may administer it.
fn reachable(call: &mut Call<'_>) -> Result<u64, Refusal> {
    let (id, user) = (call.param_id(0)?, call.user()?);
    let runner = call.state.runners.get(&id).ok_or_else(|| not_found("Runner"))?;
    let allowed = match (runner.project.and_then(|id| call.state.projects.get(&id)), runner.group) {
        (Some(project), _) => call.state.role(user, project) >= MAINTAINER,
        (None, Some(group)) => call.state.group_role(user, group) >= OWNER,
        (None, None) => call.is_admin(),
    };
    if allowed { Ok(id) } else { Err(forbidden("No access granted")) }
}

fn at<'a>(call: &'a mut Call<'_>, id: u64) -> Result<&'a mut Runner, Refusal> {
    call.state.runners.get_mut(&id).ok_or_else(|| not_found("Runner"))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = reachable(call)?;
    let runner = call.state.runners.get(&id).ok_or_else(|| not_found("Runner"))?;
    Ok(Reply::ok(details_json(call, runner)))
}

fn change(call: &mut Call<'_>) -> Outcome {
    let id = reachable(call)?;
    let (description, note) = (call.text("description"), call.text("maintenance_note"));
    let paused = call.boolean("paused")?.or(call.boolean("active")?.map(|active| !active));
    let (locked, untagged) = (call.boolean("locked")?, call.boolean("run_untagged")?);
    let (access, tags, timeout) = (access_level(call)?, call.list("tag_list")?, timeout(call)?);
    let runner = at(call, id)?;
    let untagged = untagged.unwrap_or(runner.run_untagged);
    let tags = tags.unwrap_or_else(|| runner.tag_list.clone());
    if !untagged && tags.is_empty() {
        return Err(bad_request("Tags list can not be empty when runner is not allowed to pick untagged jobs"));
    }
    runner.run_untagged = untagged;
    runner.tag_list = tags;
    runner.description = description.unwrap_or_else(|| runner.description.clone());
    runner.maintenance_note = note.or_else(|| runner.maintenance_note.clone());
    runner.paused = paused.unwrap_or(runner.paused);
    runner.locked = locked.unwrap_or(runner.locked);
    runner.access_level = access.unwrap_or_else(|| runner.access_level.clone());
    runner.maximum_timeout = timeout.or(runner.maximum_timeout);
    let runner = call.state.runners.get(&id).ok_or_else(|| not_found("Runner"))?;
    Ok(Reply::ok(details_json(call, runner)))
}

/// A new token; the runner that has the old one is out.
fn reset_token(call: &mut Call<'_>) -> Outcome {
    let id = reachable(call)?;
    let text = mint("glrt-")?;
    at(call, id)?.digest = digest(&text);
    Ok(Reply::created(json!({ "token": text, "token_expires_at": null })))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = reachable(call)?;
    call.state.runners.remove(&id);
    Ok(Reply::no_content())
}

const CREATE: &[&str] = &[
    "runner_type",
    "group_id",
    "project_id",
    "description",
    "maintenance_note",
    "paused",
    "locked",
    "access_level",
    "run_untagged",
    "tag_list",
    "maximum_timeout",
];
const CHANGE: &[&str] = &[
    "description",
    "active",
    "paused",
    "tag_list",
    "run_untagged",
    "locked",
    "access_level",
    "maximum_timeout",
    "maintenance_note",
];
const LIST: &[&str] = &["scope", "type", "paused", "status", "tag_list"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("POST", "/user/runners", Need::CreateRunner, CREATE, create),
    Route::new("POST", "/runners/verify", Need::Nothing, &["token", "system_id", "info"], verify),
    Route::new("GET", "/projects/:id/runners", Need::Read, LIST, of_project),
    Route::new("GET", "/runners/:id", Need::Read, &[], get),
    Route::new("PUT", "/runners/:id", Need::Write, CHANGE, change),
    Route::new("DELETE", "/runners/:id", Need::Write, &[], delete),
    Route::new("POST", "/runners/:id/reset_authentication_token", Need::Write, &[], reset_token),
];
