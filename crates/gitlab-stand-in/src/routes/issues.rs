//! Issues with their comments.
//!
//! Sources: <https://docs.gitlab.com/api/issues/>, <https://docs.gitlab.com/api/notes/>.

use serde_json::{Value, json};

use super::accounts::user_json;
use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{GUEST, Issue, Project, REPORTER};
use crate::reply::{Outcome, Refusal, Reply, not_found};
use crate::router::Route;

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(GUEST)?;
    let state = call.one_of("state", &["opened", "closed", "all"])?.filter(|state| state != "all");
    let labels = call.list("labels")?.unwrap_or_default();
    let search = call.text("search").unwrap_or_default().to_lowercase();
    let is_meant = |issue: &&Issue| {
        let text = |name: &str| issue.value[name].as_str().unwrap_or_default().to_lowercase();
        let has = |label: &String| issue.value["labels"].as_array().is_some_and(|all| all.iter().any(|l| l == label));
        state.as_ref().is_none_or(|state| issue.value["state"] == **state)
            && labels.iter().all(has)
            && (text("title").contains(&search) || text("description").contains(&search))
    };
    // Newest first, as GitLab sorts them when nobody says otherwise.
    Ok(Reply::list(
        call.at(id)?.issues.iter().rev().filter(is_meant).map(|issue| issue.value.clone()).collect::<Vec<_>>(),
    ))
}

fn position(call: &Call<'_>, project: u64) -> Result<usize, Refusal> {
    let iid = call.param_id(1)?;
    call.at(project)?.issues.iter().position(|issue| issue.value["iid"] == iid).ok_or_else(|| not_found("Issue"))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(GUEST)?;
    let at = position(call, id)?;
    Ok(Reply::ok(call.at(id)?.issues[at].value.clone()))
}

/// The caller, as the author of something.
pub(super) fn author(call: &Call<'_>) -> Result<Value, Refusal> {
    let user = call.user()?;
    Ok(call.state.users.get(&user).map_or(Value::Null, |user| user_json(user, &call.settings.url)))
}

/// Adds an issue to a project and returns it.
pub(crate) fn add(
    project: &mut Project,
    id: u64,
    author: &Value,
    title: &str,
    description: Option<&str>,
    labels: &[String],
) -> Value {
    let value = json!({
        "id": id,
        "iid": project.issues.len() as u64 + 1,
        "project_id": project.id,
        "title": title,
        "description": description,
        "state": "opened",
        "labels": labels,
        "author": author,
        "created_at": now(),
        "updated_at": now(),
        "closed_at": null,
    });
    project.issues.push(Issue { value: value.clone(), notes: Vec::new() });
    value
}

fn create(call: &mut Call<'_>) -> Outcome {
    let project = call.project(GUEST)?;
    let (title, author) = (call.required("title")?, author(call)?);
    let (description, labels) = (call.text("description"), call.list("labels")?.unwrap_or_default());
    let id = call.state.next_id();
    Ok(Reply::created(add(call.at_mut(project)?, id, &author, &title, description.as_deref(), &labels)))
}

fn change(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let event = call.one_of("state_event", &["close", "reopen"])?;
    let mut value = call.at(id)?.issues[at].value.clone();
    for name in ["title", "description"] {
        if let Some(text) = call.text(name) {
            value[name] = text.into();
        }
    }
    if let Some(labels) = call.list("labels")? {
        value["labels"] = labels.into();
    }
    match event.as_deref() {
        Some("close") => (value["state"], value["closed_at"]) = ("closed".into(), now().into()),
        Some(_) => (value["state"], value["closed_at"]) = ("opened".into(), Value::Null),
        None => {}
    }
    value["updated_at"] = now().into();
    call.at_mut(id)?.issues[at].value = value.clone();
    Ok(Reply::ok(value))
}

fn notes(call: &mut Call<'_>) -> Outcome {
    let id = call.project(GUEST)?;
    let at = position(call, id)?;
    let oldest_first = call.one_of("sort", &["asc", "desc"])?.is_some_and(|sort| sort == "asc");
    let mut notes = call.at(id)?.issues[at].notes.clone();
    if !oldest_first {
        notes.reverse();
    }
    Ok(Reply::list(notes))
}

fn comment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(GUEST)?;
    let at = position(call, id)?;
    let (body, author) = (call.required("body")?, author(call)?);
    let note = json!({
        "id": call.state.next_id(),
        "body": body,
        "author": author,
        "created_at": now(),
        "system": false,
        "noteable_type": "Issue",
    });
    call.at_mut(id)?.issues[at].notes.push(note.clone());
    Ok(Reply::created(note))
}

const ALL: &str = "/projects/:id/issues";
const ONE: &str = "/projects/:id/issues/:issue_iid";
const NOTES: &str = "/projects/:id/issues/:issue_iid/notes";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", ALL, Need::Read, &["state", "labels", "search"], list),
    Route::new("POST", ALL, Need::Write, &["title", "description", "labels"], create),
    Route::new("GET", ONE, Need::Read, &[], get),
    Route::new("PUT", ONE, Need::Write, &["title", "description", "labels", "state_event"], change),
    Route::new("GET", NOTES, Need::Read, &["sort"], notes),
    Route::new("POST", NOTES, Need::Write, &["body"], comment),
];
