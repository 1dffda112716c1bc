//! Tags: listing, creating, deleting. Source: <https://docs.gitlab.com/api/tags/>.

use serde_json::{Value, json};

use super::commits::commit_json;
use crate::access::matches;
use crate::auth::Need;
use crate::call::Call;
use crate::git::{Identity, Tag};
use crate::hooks::{Moved, Push};
use crate::model::{DEVELOPER, Project, REPORTER};
use crate::pushes;
use crate::reply::{Outcome, Refusal, Reply, forbidden, message, not_found};
use crate::router::Route;

fn tag_json(call: &Call<'_>, project: &Project, tag: &Tag) -> Result<Value, Refusal> {
    let annotated = tag.date.is_some();
    Ok(json!({
        "name": tag.name,
        "message": if annotated { tag.message.as_str() } else { "" },
        "target": tag.object,
        "commit": commit_json(call, project, &tag.commit)?,
        "release": null,
        "protected": project.protected_tags.iter().any(|rule| matches(&rule.name, &tag.name)),
        "created_at": tag.date,
    }))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let search = call.text("search").unwrap_or_default();
    let project = call.at(id)?;
    // `^term` finds what begins with the term.
    let fits = |name: &str| search.strip_prefix('^').map_or(name.contains(&search), |start| name.starts_with(start));
    let tags = call.settings.git.tags(&project.repository)?;
    let values: Result<Vec<_>, _> =
        tags.iter().filter(|tag| fits(&tag.name)).map(|tag| tag_json(call, project, tag)).collect();
    Ok(Reply::list(values?))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (name, from, text) =
        (call.required("tag_name")?, call.required("ref")?, call.text("message").unwrap_or_default());
    let (user, actor, project) = (call.user()?, call.actor(id)?, call.at(id)?);
    let git = &call.settings.git;
    let reference = format!("refs/tags/{name}");
    if git.run(&project.repository, &["check-ref-format", &reference], b"").is_err() {
        return Err(message(400, "Tag name invalid"));
    }
    if git.resolve(&project.repository, &reference).is_some() {
        return Err(message(400, format!("Tag {name} already exists")));
    }
    let sha = git.resolve(&project.repository, &from);
    let sha = sha.ok_or_else(|| message(400, format!("Target {from} is invalid")))?;
    if !actor.may_tag(project, &name) {
        return Err(message(400, "You are not allowed to create this tag as it is protected."));
    }
    match text.trim() {
        "" => git.update_ref(&project.repository, &reference, Some(&sha), None)?,
        text => {
            let author = call.state.users.get(&user).ok_or_else(|| not_found("User"))?;
            let who = Identity { name: &author.name, email: &author.email };
            git.tag(&project.repository, &name, &sha, text, &who)?;
        }
    }
    let push = Push { moved: vec![Moved { reference, old: None, new: Some(sha) }], options: Vec::new() };
    pushes::after(call.state, call.settings, id, user, &push)?;
    let project = call.at(id)?;
    let tags = call.settings.git.tags(&project.repository)?;
    let made = tags.iter().find(|tag| tag.name == name).ok_or_else(|| not_found("Tag"))?;
    tag_json(call, project, made).map(Reply::created)
}

/// A protected tag may be deleted by who may make it.
fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (actor, project) = (call.actor(id)?, call.at(id)?);
    let name = call.param(1).to_owned();
    let tags = call.settings.git.tags(&project.repository)?;
    let tag = tags.iter().find(|tag| tag.name == name).ok_or_else(|| not_found("Tag"))?;
    if !actor.may_tag(project, &name) {
        return Err(forbidden(""));
    }
    call.settings.git.update_ref(&project.repository, &format!("refs/tags/{name}"), None, Some(&tag.object))?;
    Ok(Reply::no_content())
}

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/repository/tags", Need::Read, &["search"], list),
    Route::new("POST", "/projects/:id/repository/tags", Need::Write, &["tag_name", "ref", "message"], create),
    Route::new("DELETE", "/projects/:id/repository/tags/:tag_name", Need::Write, &[], delete),
];
