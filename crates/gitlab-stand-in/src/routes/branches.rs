//! Branches: listing, creating, deleting.

use serde_json::{Value, json};

use super::commits::commit_json;
use crate::access::{Actor, is_protected, matches};
use crate::auth::Need;
use crate::call::Call;
use crate::hooks::{Moved, Push};
use crate::model::{DEVELOPER, Grant, Grantee, Project, ProtectedBranch, REPORTER};
use crate::pushes;
use crate::reply::{Outcome, Refusal, Reply, bad_request, forbidden, message, not_found};
use crate::router::Route;

fn branch_json(call: &Call<'_>, project: &Project, actor: &Actor, name: &str, sha: &str) -> Result<Value, Refusal> {
    let protected = is_protected(project, name);
    let developers = |grants: fn(&ProtectedBranch) -> &[Grant]| {
        let rules = project.protected_branches.iter().filter(|rule| matches(&rule.name, name));
        rules.flat_map(grants).any(|grant| grant.who == Grantee::Level(DEVELOPER))
    };
    Ok(json!({
        "name": name,
        "commit": commit_json(call, project, sha)?,
        "merged": false,
        "protected": protected,
        "developers_can_push": developers(|rule| &rule.push),
        "developers_can_merge": developers(|rule| &rule.merge),
        "can_push": actor.may_push(project, name),
        "default": project.default_branch == name,
        "web_url": format!("{}/{}/-/tree/{name}", call.settings.url, call.state.project_path(project)),
    }))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let search = call.text("search").unwrap_or_default();
    let (actor, project) = (call.actor(id)?, call.at(id)?);
    if call.settings.is_behind(project) {
        return Ok(Reply::list([]));
    }
    let branches = call.settings.git.references(&project.repository, "refs/heads")?;
    let found = branches.iter().filter(|(name, _)| name.contains(&search));
    let values: Result<Vec<_>, _> = found.map(|(name, sha)| branch_json(call, project, &actor, name, sha)).collect();
    Ok(Reply::list(values?))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let (actor, project) = (call.actor(id)?, call.at(id)?);
    let name = call.param(1);
    let found = call.settings.git.branch(&project.repository, name).filter(|_| !call.settings.is_behind(project));
    let sha = found.ok_or_else(|| not_found("Branch"))?;
    branch_json(call, project, &actor, name, &sha).map(Reply::ok)
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (name, from) = (call.required("branch")?, call.required("ref")?);
    let (user, actor, project) = (call.user()?, call.actor(id)?, call.at(id)?);
    let git = &call.settings.git;
    let sha = git.resolve(&project.repository, &from).ok_or_else(|| message(400, "Invalid reference name"))?;
    if git.branch(&project.repository, &name).is_some() {
        return Err(message(400, "Branch already exists"));
    }
    if !actor.may_push(project, &name) {
        return Err(message(400, "You are not allowed to create protected branches on this project."));
    }
    let reference = format!("refs/heads/{name}");
    if git.run(&project.repository, &["check-ref-format", &reference], b"").is_err() {
        return Err(message(400, "Branch name is invalid"));
    }
    git.update_ref(&project.repository, &reference, Some(&sha), None)?;
    let push = Push { moved: vec![Moved { reference, old: None, new: Some(sha.clone()) }], options: Vec::new() };
    pushes::after(call.state, call.settings, id, user, &push)?;
    branch_json(call, call.at(id)?, &actor, &name, &sha).map(Reply::created)
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let project = call.at(id)?;
    let name = call.param(1).to_owned();
    let sha = call.settings.git.branch(&project.repository, &name).ok_or_else(|| not_found("Branch"))?;
    if project.default_branch == name {
        return Err(bad_request("Cannot remove HEAD branch"));
    }
    // The web interface may delete a protected branch that git may not, but only in a maintainer's hands.
    if is_protected(project, &name) && call.role < Some(crate::model::MAINTAINER) {
        return Err(forbidden("You are not allowed to delete protected branches from this project."));
    }
    call.settings.git.update_ref(&project.repository, &format!("refs/heads/{name}"), None, Some(&sha))?;
    Ok(Reply::no_content())
}

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/repository/branches", Need::Read, &["search", "regex", "sort"], list),
    Route::new("GET", "/projects/:id/repository/branches/:branch", Need::Read, &[], get),
    Route::new("POST", "/projects/:id/repository/branches", Need::Write, &["branch", "ref"], create),
    Route::new("DELETE", "/projects/:id/repository/branches/:branch", Need::Write, &[], delete),
];
