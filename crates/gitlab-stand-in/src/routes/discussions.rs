//! The discussions and comments of merge requests: written by all who see the request, resolved by Developers and its author.
//!
//! Sources: <https://docs.gitlab.com/api/discussions/#merge-requests>, <https://docs.gitlab.com/api/notes/#merge-requests>, <https://docs.gitlab.com/user/permissions/>,
//! `app/models/concerns/resolvable.rb`, `can_resolve?` of `app/models/discussion.rb`.

use serde_json::{Value, json};

use super::issues::author;
use super::merge_requests::position;
use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{DEVELOPER, REPORTER};
use crate::reply::{Outcome, Refusal, Reply, forbidden, not_found};
use crate::router::Route;

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    Ok(Reply::list(call.at(id)?.merge_requests[at].discussions.clone()))
}

/// Where the request is, and in it the discussion that the path's third value names.
fn find(call: &Call<'_>, project: u64) -> Result<(usize, usize), Refusal> {
    let at = position(call, project)?;
    let all = &call.at(project)?.merge_requests[at].discussions;
    let found = all.iter().position(|one| one["id"] == call.param(2)).ok_or_else(|| not_found("Discussion"))?;
    Ok((at, found))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let (at, found) = find(call, id)?;
    Ok(Reply::ok(call.at(id)?.merge_requests[at].discussions[found].clone()))
}

fn note(call: &mut Call<'_>) -> Result<Value, Refusal> {
    let (body, author) = (call.required("body")?, author(call)?);
    Ok(json!({
        "id": call.state.next_id(),
        "type": "DiscussionNote",
        "body": body,
        "author": author,
        "created_at": now(),
        "system": false,
        "noteable_type": "MergeRequest",
        "resolvable": true,
        "resolved": false,
    }))
}

fn discussion(note: &Value, individual: bool) -> Value {
    let number = note["id"].as_u64().unwrap_or_default();
    // As long as GitLab's, and other ones from the first digits on.
    json!({ "id": format!("{number:08x}{number:032x}"), "individual_note": individual, "notes": [note] })
}

fn begin(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let note = note(call)?;
    let discussion = discussion(&note, false);
    call.at_mut(id)?.merge_requests[at].discussions.push(discussion.clone());
    Ok(Reply::created(discussion))
}

/// A comment: a discussion that cannot be resolved.
fn comment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let mut note = note(call)?;
    (note["type"], note["resolvable"]) = (Value::Null, false.into());
    call.at_mut(id)?.merge_requests[at].discussions.push(discussion(&note, true));
    Ok(Reply::created(note))
}

fn answer(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let (at, found) = find(call, id)?;
    let note = note(call)?;
    let notes = call.at_mut(id)?.merge_requests[at].discussions[found]["notes"].as_array_mut();
    notes.ok_or_else(|| not_found("Discussion"))?.push(note.clone());
    Ok(Reply::created(note))
}

fn resolve(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let (at, found) = find(call, id)?;
    let resolved = call.required("resolved").and_then(|_| call.boolean("resolved"))?;
    let (user, role) = (call.user()?, call.role);
    if role < Some(DEVELOPER) && call.at(id)?.merge_requests[at].author != user {
        return Err(forbidden(""));
    }
    let discussion = &mut call.at_mut(id)?.merge_requests[at].discussions[found];
    for note in discussion["notes"].as_array_mut().into_iter().flatten() {
        note["resolved"] = resolved.into();
    }
    Ok(Reply::ok(discussion.clone()))
}

const ALL: &str = "/projects/:id/merge_requests/:merge_request_iid/discussions";
const ONE: &str = "/projects/:id/merge_requests/:merge_request_iid/discussions/:discussion_id";
const COMMENTS: &str = "/projects/:id/merge_requests/:merge_request_iid/notes";
const NOTES: &str = "/projects/:id/merge_requests/:merge_request_iid/discussions/:discussion_id/notes";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", ALL, Need::Read, &[], list),
    Route::new("POST", ALL, Need::Write, &["body"], begin),
    Route::new("GET", ONE, Need::Read, &[], get),
    Route::new("PUT", ONE, Need::Write, &["resolved"], resolve),
    Route::new("POST", COMMENTS, Need::Write, &["body"], comment),
    Route::new("POST", NOTES, Need::Write, &["body"], answer),
];
