//! Commits: reading them, and making one from a list of actions, all or nothing.
//!
//! Source: <https://docs.gitlab.com/api/commits/#create-a-commit-with-multiple-files-and-actions>.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::auth::Need;
use crate::call::Call;
use crate::commits::{self, Change, valid_path};
use crate::git::{Identity, TreeEntry};
use crate::hooks::{Moved, Push};
use crate::model::{DEVELOPER, Project, REPORTER};
use crate::pushes;
use crate::reply::{Outcome, Refusal, Reply, error, forbidden, message, not_found};
use crate::router::Route;

/// A commit as the API shows it.
pub(super) fn commit_json(call: &Call<'_>, project: &Project, sha: &str) -> Result<Value, Refusal> {
    let commit = call.settings.git.commit(&project.repository, sha)?;
    Ok(json!({
        "id": commit.sha,
        "short_id": commit.sha.get(..8).unwrap_or_default(),
        "created_at": commit.date,
        "parent_ids": commit.parents,
        "title": commit.title,
        "message": commit.message,
        "author_name": commit.author_name,
        "author_email": commit.author_email,
        "authored_date": commit.date,
        "committer_name": commit.author_name,
        "committer_email": commit.author_email,
        "committed_date": commit.date,
        "web_url": format!("{}/{}/-/commit/{sha}", call.settings.url, call.state.project_path(project)),
    }))
}

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let project = call.at(id)?;
    let reference = call.text("ref_name").unwrap_or_else(|| project.default_branch.clone());
    let git = &call.settings.git;
    let sha = git.resolve(&project.repository, &reference).ok_or_else(|| not_found("Repository or Reference"))?;
    let output = git.run(&project.repository, &["rev-list", "--max-count=1000", &sha], b"")?;
    let shas = String::from_utf8_lossy(&output).into_owned();
    let values: Result<Vec<_>, _> = shas.lines().map(|sha| commit_json(call, project, sha)).collect();
    Ok(Reply::list(values?))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let project = call.at(id)?;
    let sha = call.settings.git.resolve(&project.repository, call.param(1)).ok_or_else(|| not_found("Commit"))?;
    commit_json(call, project, &sha).map(Reply::ok)
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (branch, text) = (call.required("branch")?, call.required("commit_message")?);
    let actions = match call.input.get("actions") {
        Some(Value::Array(actions)) => actions.clone(),
        Some(_) => return Err(error(400, "actions is invalid")),
        None => return Err(error(400, "actions is missing")),
    };
    let force = call.boolean("force")?.unwrap_or(false);
    let (user, actor, project) = (call.user()?, call.actor(id)?, call.at(id)?);
    let git = &call.settings.git;
    let empty = git.references(&project.repository, "refs/heads")?.is_empty();
    let protection = call.settings.default_branch_protection;
    if !(if empty { actor.may_push_first(protection) } else { actor.may_push(project, &branch) }) {
        return Err(forbidden("You are not allowed to push into this branch"));
    }
    let old = git.branch(&project.repository, &branch);
    let start = call.text("start_sha").or_else(|| call.text("start_branch"));
    let parent = match (&old, start) {
        (Some(_), Some(_)) if !force => {
            return Err(message(
                400,
                format!("A branch called '{branch}' already exists. Switch to that branch in order to make changes"),
            ));
        }
        (_, Some(start)) => Some(
            git.resolve(&project.repository, &start)
                .ok_or_else(|| message(400, format!("Cannot find start branch '{start}'")))?,
        ),
        (Some(old), None) => Some(old.clone()),
        (None, None) if empty => None,
        (None, None) => return Err(message(400, "You can only create or edit files when you are on a branch")),
    };
    let files = match &parent {
        Some(parent) => git.files(&project.repository, parent)?,
        None => BTreeMap::new(),
    };
    let mut changes = Vec::new();
    for action in &actions {
        plan(call, project, parent.as_deref(), &files, action, &mut changes)?;
    }
    let author = call.state.users.get(&user).ok_or_else(|| not_found("User"))?;
    let (name, email) = (call.text("author_name"), call.text("author_email"));
    let who =
        Identity { name: name.as_deref().unwrap_or(&author.name), email: email.as_deref().unwrap_or(&author.email) };
    let sha = commits::commit(git, &project.repository, &branch, parent.as_deref(), &text, &who, &changes)?;
    let moved = Moved { reference: format!("refs/heads/{branch}"), old, new: Some(sha.clone()) };
    pushes::after(call.state, call.settings, id, user, &Push { moved: vec![moved], options: Vec::new() })?;
    let mut value = commit_json(call, call.at(id)?, &sha)?;
    value["stats"] = Value::Null;
    Ok(Reply::created(value))
}

/// Checks one action against the tree and adds what it changes.
fn plan(
    call: &Call<'_>,
    project: &Project,
    parent: Option<&str>,
    files: &BTreeMap<String, TreeEntry>,
    action: &Value,
    changes: &mut Vec<Change>,
) -> Result<(), Refusal> {
    let field = |name: &str| action.get(name).and_then(Value::as_str);
    let path = field("file_path").ok_or_else(|| error(400, "actions[0][file_path] is missing"))?.to_owned();
    let previous = field("previous_path").unwrap_or_default().to_owned();
    if !valid_path(&path) {
        return Err(message(400, "Path cannot include directory traversal"));
    }
    let exists = files.contains_key(&path);
    let known = |path: &str| files.get(path).ok_or_else(|| message(400, "A file with this name doesn't exist"));
    let bytes = match (field("content"), field("encoding")) {
        (Some(content), Some("base64")) => {
            Some(STANDARD.decode(content.trim()).map_err(|_| message(400, "invalid base64"))?)
        }
        (content, _) => content.map(|content| content.as_bytes().to_vec()),
    };
    let was_executable = |path: &str| files.get(path).is_some_and(|entry| entry.mode == "100755");
    let asked = action.get("execute_filemode").and_then(Value::as_bool);
    let kept = |path: &str| {
        parent.and_then(|parent| call.settings.git.blob(&project.repository, parent, path)).unwrap_or_default()
    };
    match field("action") {
        Some("create") if exists => return Err(message(400, "A file with this name already exists")),
        Some("create") => {
            changes.push(Change::Write { path, bytes: bytes.unwrap_or_default(), executable: asked.unwrap_or(false) });
        }
        Some("update") => {
            known(&path)?;
            let executable = asked.unwrap_or_else(|| was_executable(&path));
            changes.push(Change::Write { path, bytes: bytes.unwrap_or_default(), executable });
        }
        Some("delete") => {
            known(&path)?;
            changes.push(Change::Delete { path });
        }
        Some("chmod") => {
            known(&path)?;
            let bytes = kept(&path);
            changes.push(Change::Write { path, bytes, executable: asked.unwrap_or(false) });
        }
        Some("move") => {
            known(&previous)?;
            if exists {
                return Err(message(400, "A file with this name already exists"));
            }
            let executable = asked.unwrap_or_else(|| was_executable(&previous));
            let bytes = bytes.unwrap_or_else(|| kept(&previous));
            changes.push(Change::Delete { path: previous });
            changes.push(Change::Write { path, bytes, executable });
        }
        _ => return Err(error(400, "actions[0][action] does not have a valid value")),
    }
    Ok(())
}

const CREATE: &[&str] =
    &["branch", "commit_message", "start_branch", "start_sha", "author_name", "author_email", "force", "actions"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/repository/commits", Need::Read, &["ref_name"], list),
    Route::new("GET", "/projects/:id/repository/commits/:sha", Need::Read, &["stats"], get),
    Route::new("POST", "/projects/:id/repository/commits", Need::Write, CREATE, create),
];
