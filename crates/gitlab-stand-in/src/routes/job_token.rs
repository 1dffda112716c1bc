//! Who may reach a project with a job token: its own jobs, and what stands on the allowlists.
//!
//! Source: <https://docs.gitlab.com/api/project_job_token_scopes/>.

use serde_json::json;

use super::projects::project_reference;
use crate::auth::Need;
use crate::call::Call;
use crate::model::{GUEST, MAINTAINER};
use crate::reply::{Outcome, Reply, error, message, not_found};
use crate::router::Route;

/// Entries an allowlist can have.
const MOST: usize = 200;

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    Ok(Reply::ok(json!({ "inbound_enabled": call.at(id)?.job_token_enabled, "outbound_enabled": false })))
}

fn change(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let enabled = call.boolean("enabled")?.ok_or_else(|| error(400, "enabled is missing"))?;
    call.at_mut(id)?.job_token_enabled = enabled;
    Ok(Reply::no_content())
}

fn projects(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let allowed = [&[id], call.at(id)?.job_token_projects.as_slice()].concat();
    let found = allowed.iter().filter_map(|id| call.state.projects.get(id));
    Ok(Reply::list(found.map(|project| project_reference(call.state, project))))
}

fn allow_project(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let target = call.id("target_project_id")?.ok_or_else(|| error(400, "target_project_id is missing"))?;
    let user = call.user()?;
    if call.state.projects.get(&target).is_none_or(|project| call.state.role(user, project) < GUEST) {
        return Err(not_found("target_project"));
    }
    let allowed = &mut call.at_mut(id)?.job_token_projects;
    if target == id || allowed.contains(&target) {
        return Err(message(422, "This project is already in the job token allowlist."));
    }
    if allowed.len() >= MOST {
        return Err(message(422, format!("The job token allowlist has its {MOST} entries already.")));
    }
    allowed.push(target);
    Ok(Reply::created(json!({ "source_project_id": id, "target_project_id": target })))
}

fn disallow_project(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let target = call.param_id(1)?;
    let allowed = &mut call.at_mut(id)?.job_token_projects;
    let at = allowed.iter().position(|other| *other == target).ok_or_else(|| not_found("target_project"))?;
    allowed.remove(at);
    Ok(Reply::no_content())
}

fn groups(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let found = call.at(id)?.job_token_groups.iter().filter_map(|id| call.state.namespaces.get(id));
    let url = &call.settings.url;
    Ok(Reply::list(found.map(|group| {
        json!({
            "id": group.id,
            "name": group.name,
            "web_url": format!("{url}/groups/{}", call.state.full_path(group.id)),
        })
    })))
}

fn allow_group(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let target = call.id("target_group_id")?.ok_or_else(|| error(400, "target_group_id is missing"))?;
    let user = call.user()?;
    if !call.state.namespaces.contains_key(&target) || call.state.group_role(user, target) < GUEST {
        return Err(not_found("target_group"));
    }
    let allowed = &mut call.at_mut(id)?.job_token_groups;
    if allowed.contains(&target) {
        return Err(message(422, "This group is already in the job token allowlist."));
    }
    allowed.push(target);
    Ok(Reply::created(json!({ "source_project_id": id, "target_group_id": target })))
}

fn disallow_group(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let target = call.param_id(1)?;
    let allowed = &mut call.at_mut(id)?.job_token_groups;
    let at = allowed.iter().position(|other| *other == target).ok_or_else(|| not_found("target_group"))?;
    allowed.remove(at);
    Ok(Reply::no_content())
}

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/job_token_scope", Need::Read, &[], get),
    Route::new("PATCH", "/projects/:id/job_token_scope", Need::Write, &["enabled"], change),
    Route::new("GET", "/projects/:id/job_token_scope/allowlist", Need::Read, &[], projects),
    Route::new("POST", "/projects/:id/job_token_scope/allowlist", Need::Write, &["target_project_id"], allow_project),
    Route::new(
        "DELETE",
        "/projects/:id/job_token_scope/allowlist/:target_project_id",
        Need::Write,
        &[],
        disallow_project,
    ),
    Route::new("GET", "/projects/:id/job_token_scope/groups_allowlist", Need::Read, &[], groups),
    Route::new(
        "POST",
        "/projects/:id/job_token_scope/groups_allowlist",
        Need::Write,
        &["target_group_id"],
        allow_group,
    ),
    Route::new(
        "DELETE",
        "/projects/:id/job_token_scope/groups_allowlist/:target_group_id",
        Need::Write,
        &[],
        disallow_group,
    ),
];
