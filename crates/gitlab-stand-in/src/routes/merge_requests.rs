//! Merge requests within a project, and merging them.
//!
//! A caller who may not merge gets 401, as GitLab answers here and nowhere else; a request that is not ready 405; a `sha` that is
//! not the source branch's any more 409. Source: <https://docs.gitlab.com/api/merge_requests/#merge-a-merge-request>.

use serde_json::{Value, json};

use super::accounts::user_json;
use super::approvals::is_approved;
use super::pipelines::pipeline_json;
use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{DEVELOPER, MergeRequest, OWNER, Pipeline, Project, REPORTER};
use crate::pipelines::for_merge_requests;
use crate::reply::{Outcome, Refusal, Reply, error, forbidden, message, not_found};
use crate::router::Route;

/// The source branch's commit: now while the request is open, as it was afterwards.
pub(super) fn source_sha(call: &Call<'_>, project: &Project, request: &MergeRequest) -> Option<String> {
    request.final_sha.clone().or_else(|| call.settings.git.branch(&project.repository, &request.source_branch))
}

/// The newest pipeline of the source branch's commit.
pub(super) fn head_pipeline<'a>(project: &'a Project, sha: &str) -> Option<&'a Pipeline> {
    project.pipelines.iter().rev().find(|pipeline| pipeline.sha == sha)
}

/// Whether the title marks the request as a draft.
pub(super) fn is_draft(request: &MergeRequest) -> bool {
    let title = request.title.to_ascii_lowercase();
    ["draft:", "[draft]", "(draft)"].iter().any(|mark| title.starts_with(mark))
}

/// Why the request cannot be merged just now, in GitLab's words, or `mergeable`.
/// Source: <https://docs.gitlab.com/api/merge_requests/#merge-status>.
pub(super) fn detailed_status(call: &Call<'_>, project: &Project, request: &MergeRequest) -> &'static str {
    let git = &call.settings.git;
    let is = |name: &str, value: &Value| project.settings.get(name) == Some(value);
    if request.state != "opened" {
        return "not_open";
    }
    if is_draft(request) {
        return "draft_status";
    }
    let source = source_sha(call, project, request);
    let (Some(source), Some(target)) = (source, git.branch(&project.repository, &request.target_branch)) else {
        return "commits_status";
    };
    if is("only_allow_merge_if_pipeline_succeeds", &Value::Bool(true)) {
        match head_pipeline(project, &source).map(|pipeline| pipeline.status.as_str()) {
            Some("success") => {}
            Some("skipped") if is("allow_merge_on_skipped_pipeline", &Value::Bool(true)) => {}
            Some("pending" | "running" | "created") => return "ci_still_running",
            _ => return "ci_must_pass",
        }
    }
    // In the order of `app/models/merge_request.rb`, `mergeability_checks`.
    if matches!(is_approved(call, project, request), Ok(false)) {
        return "not_approved";
    }
    let fast_forward = is("merge_method", &"ff".into()) || is("merge_method", &"rebase_merge".into());
    if fast_forward && !git.is_ancestor(&project.repository, &target, &source) {
        return "need_rebase";
    }
    if git.merge_tree(&project.repository, &target, &source).is_none() {
        return "conflict";
    }
    "mergeable"
}

/// A merge request as the API shows it.
pub(super) fn request_json(call: &Call<'_>, id: u64, request: &MergeRequest) -> Result<Value, Refusal> {
    let project = call.at(id)?;
    let url = &call.settings.url;
    let user = |id: u64| call.state.users.get(&id).map(|user| user_json(user, url));
    let sha = source_sha(call, project, request);
    let pipeline = sha.as_deref().and_then(|sha| head_pipeline(project, sha));
    let status = detailed_status(call, project, request);
    let may_merge = call.actor(id)?.may_merge(project, &request.target_branch);
    Ok(json!({
        "id": request.id,
        "iid": request.iid,
        "project_id": id,
        "title": request.title,
        "description": request.description,
        "state": request.state,
        "created_at": request.created_at,
        "merged_at": request.merged_at,
        "merge_user": request.merge_user.and_then(user),
        "source_branch": request.source_branch,
        "target_branch": request.target_branch,
        "source_project_id": id,
        "target_project_id": id,
        "author": user(request.author),
        "assignees": [],
        "reviewers": [],
        "labels": request.labels,
        "draft": is_draft(request),
        "detailed_merge_status": status,
        "has_conflicts": status == "conflict",
        "sha": sha,
        "merge_commit_sha": request.merge_commit_sha,
        "squash_commit_sha": request.squash_commit_sha,
        "squash": request.squash,
        "force_remove_source_branch": request.remove_source_branch,
        "head_pipeline": pipeline.map(|pipeline| pipeline_json(call, id, pipeline)),
        "references": { "short": format!("!{}", request.iid), "relative": format!("!{}", request.iid) },
        "web_url": format!("{url}/{}/-/merge_requests/{}", call.state.project_path(project), request.iid),
        "user": { "can_merge": may_merge },
    }))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let fits = |name: &str, value: &str| call.text(name).is_none_or(|wanted| wanted == value);
    let state = call.text("state").filter(|state| state != "all");
    let mine = call.text("scope").is_some_and(|scope| scope == "created_by_me");
    let author = if mine { Some(call.user()?) } else { call.id("author_id")? };
    let mut values = Vec::new();
    for request in call.at(id)?.merge_requests.iter().rev() {
        if fits("source_branch", &request.source_branch)
            && fits("target_branch", &request.target_branch)
            && author.is_none_or(|author| author == request.author)
            && state.as_ref().is_none_or(|state| state == request.state)
        {
            values.push(request_json(call, id, request)?);
        }
    }
    Ok(Reply::list(values))
}

/// The position of the request that the path's second value names.
pub(super) fn position(call: &Call<'_>, project: u64) -> Result<usize, Refusal> {
    let iid = call.param_id(1)?;
    call.at(project)?.merge_requests.iter().position(|mr| mr.iid == iid).ok_or_else(|| not_found("Merge Request"))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    request_json(call, id, &call.at(id)?.merge_requests[at]).map(Reply::ok)
}

fn pipelines(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let project = call.at(id)?;
    let request = &project.merge_requests[at];
    let sha = source_sha(call, project, request);
    let found = project.pipelines.iter().rev().filter(|pipeline| Some(&pipeline.sha) == sha.as_ref());
    Ok(Reply::list(found.map(|pipeline| pipeline_json(call, id, pipeline))))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let title = call.required("title")?;
    let (source, target) = (call.required("source_branch")?, call.required("target_branch")?);
    let (author, project) = (call.user()?, call.at(id)?);
    if source == target {
        return Err(message(422, json!(["You can't use same project/branch for source and target"])));
    }
    for (branch, what) in [(&source, "Source branch"), (&target, "Target branch")] {
        if call.settings.git.branch(&project.repository, branch).is_none() {
            return Err(message(422, json!([format!("{what} \"{branch}\" does not exist")])));
        }
    }
    let open = |mr: &&MergeRequest| mr.state == "opened" && mr.source_branch == source && mr.target_branch == target;
    if let Some(other) = project.merge_requests.iter().find(open) {
        let text = format!("Another open merge request already exists for this source branch: !{}", other.iid);
        return Err(message(409, json!([text])));
    }
    let option = project.settings.get("squash_option").and_then(Value::as_str).unwrap_or_default().to_owned();
    let asked = call.boolean("squash")?;
    let request = MergeRequest {
        id: 0,
        iid: project.merge_requests.last().map_or(1, |mr| mr.iid + 1),
        title,
        description: call.text("description"),
        source_branch: source,
        target_branch: target,
        author,
        state: "opened",
        squash: option == "always" || (option != "never" && asked.unwrap_or(option == "default_on")),
        remove_source_branch: call.boolean("remove_source_branch")?.unwrap_or(false),
        labels: call.list("labels")?.unwrap_or_default(),
        merge_user: None,
        merge_commit_sha: None,
        squash_commit_sha: None,
        discussions: Vec::new(),
        approved_by: Vec::new(),
        final_sha: None,
        created_at: now(),
        merged_at: None,
    };
    let request = MergeRequest { id: call.state.next_id(), ..request };
    let branch = request.source_branch.clone();
    let requests = &mut call.at_mut(id)?.merge_requests;
    requests.push(request);
    let at = requests.len() - 1;
    for_merge_requests(call.state, call.settings, id, author, &branch)?;
    request_json(call, id, &call.at(id)?.merge_requests[at]).map(Reply::created)
}

fn edit(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let (user, role) = (call.user()?, call.role);
    if role < Some(DEVELOPER) && call.at(id)?.merge_requests[at].author != user {
        return Err(forbidden(""));
    }
    let event = call.one_of("state_event", &["close", "reopen"])?;
    let (title, labels, squash) = (call.text("title"), call.list("labels")?, call.boolean("squash")?);
    let (described, description) = (call.has("description"), call.text("description"));
    let removal = call.boolean("remove_source_branch")?;
    if !call.input.keys().any(|key| EDIT.contains(&key.as_str())) {
        return Err(error(
            400,
            "title, state_event, description, … are missing, at least one parameter must be provided",
        ));
    }
    let sha = source_sha(call, call.at(id)?, &call.at(id)?.merge_requests[at]);
    let request = &mut call.at_mut(id)?.merge_requests[at];
    match event.as_deref() {
        Some("close") if request.state == "opened" => {
            request.state = "closed";
            request.final_sha = sha;
        }
        Some("reopen") if request.state == "closed" => {
            request.state = "opened";
            request.final_sha = None;
        }
        _ => {}
    }
    request.title = title.unwrap_or_else(|| request.title.clone());
    request.labels = labels.unwrap_or_else(|| request.labels.clone());
    request.squash = squash.unwrap_or(request.squash);
    request.remove_source_branch = removal.unwrap_or(request.remove_source_branch);
    if described {
        request.description = description;
    }
    request_json(call, id, &call.at(id)?.merge_requests[at]).map(Reply::ok)
}

/// For owners of the project only.
fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    if call.role < Some(OWNER) {
        return Err(forbidden(""));
    }
    call.at_mut(id)?.merge_requests.remove(at);
    Ok(Reply::no_content())
}

const LIST: &[&str] = &["state", "source_branch", "target_branch", "author_id", "order_by", "sort", "scope", "search"];
const CREATE: &[&str] =
    &["title", "source_branch", "target_branch", "description", "labels", "remove_source_branch", "squash"];
const EDIT: &[&str] = &["title", "description", "state_event", "labels", "remove_source_branch", "squash"];
const ONE: &str = "/projects/:id/merge_requests/:merge_request_iid";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/merge_requests", Need::Read, LIST, list),
    Route::new("POST", "/projects/:id/merge_requests", Need::Write, CREATE, create),
    Route::new("GET", ONE, Need::Read, &[], get),
    Route::new("PUT", ONE, Need::Write, EDIT, edit),
    Route::new("DELETE", ONE, Need::Write, &[], delete),
    Route::new("GET", "/projects/:id/merge_requests/:merge_request_iid/pipelines", Need::Read, &[], pipelines),
];
