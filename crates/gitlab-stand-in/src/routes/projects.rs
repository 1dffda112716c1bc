//! Projects: finding, creating, editing, deleting.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::groups::namespace_json;
use super::project_settings::{create_names, defaults, edit_names, sent};
use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{ADMIN, DEVELOPER, GUEST, MAINTAINER, Member, OWNER, Premium, Project};
use crate::pushes;
use crate::reply::{Body, Outcome, Refusal, Reply, error, forbidden, message, not_found};
use crate::router::Route;
use crate::state::State;

const VISIBILITIES: &[&str] = &["private", "internal", "public"];

/// A project as a member sees it.
fn project_json(call: &Call<'_>, id: u64) -> Result<Value, Refusal> {
    let (state, settings, project) = (&*call.state, call.settings, call.at(id)?);
    let namespace = state.namespaces.get(&project.namespace).ok_or_else(|| not_found("Namespace"))?;
    let path = state.project_path(project);
    let url = &settings.url;
    let user = call.user()?;
    let level =
        |level: u8| if level == 0 { Value::Null } else { json!({ "access_level": level, "notification_level": 3 }) };
    let direct = project.members.get(&user).map_or(0, |member| member.level);
    let mut value = json!({
        "id": project.id,
        "description": project.description,
        "name": project.name,
        "name_with_namespace": format!("{} / {}", state.full_name(project.namespace), project.name),
        "path": project.path,
        "path_with_namespace": path,
        "created_at": project.created_at,
        "default_branch": project.default_branch,
        "tag_list": [],
        "ssh_url_to_repo": null,
        "http_url_to_repo": format!("{url}/{path}.git"),
        "web_url": format!("{url}/{path}"),
        "readme_url": null,
        "forks_count": 0,
        "star_count": 0,
        "namespace": namespace_json(state, settings, namespace),
        "empty_repo": settings.git.references(&project.repository, "refs/heads")?.is_empty(),
        "archived": false,
        "visibility": project.visibility,
        "creator_id": user,
        "permissions": {
            "project_access": level(direct),
            "group_access": level(state.group_role(user, project.namespace)),
        },
    });
    if let Value::Object(map) = &mut value {
        map.extend(project.settings.clone());
        if project.settings.get("issues_access_level").is_none_or(|level| level != "disabled") {
            let open = project.issues.iter().filter(|issue| issue.value["state"] == "opened").count();
            map.insert("open_issues_count".into(), open.into());
        }
        map.insert("tag_list".into(), project.settings.get("topics").cloned().unwrap_or_default());
    }
    Ok(value)
}

/// A project as other things refer to it.
pub(super) fn project_reference(state: &State, project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "path": project.path,
        "path_with_namespace": state.project_path(project),
        "created_at": project.created_at,
    })
}

fn list(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    let search = call.text("search").unwrap_or_default().to_lowercase();
    let with_namespaces = call.boolean("search_namespaces")?.unwrap_or(false);
    let (owned, membership) = (call.boolean("owned")?.unwrap_or(false), call.boolean("membership")?.unwrap_or(false));
    let least = call.integer("min_access_level")?.unwrap_or(0);
    let visibility = call.one_of("visibility", VISIBILITIES)?;
    let state = &*call.state;
    let mut ids: Vec<_> = state
        .projects
        .values()
        .filter(|project| {
            let role = state.role(user, project);
            let text = if with_namespaces { state.project_path(project) } else { project.path.clone() };
            (role >= GUEST || project.visibility != "private")
                && (!owned || role >= OWNER)
                && (!membership || role >= GUEST)
                && i64::from(role) >= least
                && visibility.as_ref().is_none_or(|wanted| *wanted == project.visibility)
                && (text.to_lowercase().contains(&search) || project.name.to_lowercase().contains(&search))
        })
        .map(|project| project.id)
        .collect();
    ids.reverse();
    let values: Result<Vec<_>, _> = ids.into_iter().map(|id| project_json(call, id)).collect();
    Ok(Reply::list(values?))
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(0)?;
    project_json(call, id).map(Reply::ok)
}

/// A path made of a name, as GitLab makes one: lower case, everything else a dash.
fn slug(name: &str) -> String {
    let text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    text.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

fn valid_path(path: &str) -> bool {
    path.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && path.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !path.to_ascii_lowercase().ends_with(".git")
        && !path.to_ascii_lowercase().ends_with(".atom")
}

/// The namespace a new project goes to: the one named, else the caller's own.
fn new_project_namespace(call: &mut Call<'_>) -> Result<u64, Refusal> {
    let user = call.user()?;
    let Some(id) = call.id("namespace_id")? else {
        return call
            .state
            .namespaces
            .values()
            .find(|namespace| namespace.person == Some(user))
            .map(|namespace| namespace.id)
            .ok_or_else(|| forbidden(""));
    };
    let role = if call.state.namespaces.contains_key(&id) { call.state.group_role(user, id) } else { 0 };
    call.role = Some(role);
    if role < GUEST {
        return Err(not_found("Namespace"));
    }
    let level = call.state.limit(id, "project_creation_level").and_then(serde_json::Value::as_str);
    let least = match level {
        Some("noone") => u8::MAX,
        Some("administrator") => ADMIN,
        Some("owner") => OWNER,
        Some("maintainer") => MAINTAINER,
        _ => DEVELOPER,
    };
    if role < least {
        return Err(message(400, json!({ "namespace": ["is not valid"] })));
    }
    Ok(id)
}

fn create(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    let (name, path) = match (call.text("name"), call.text("path")) {
        (Some(name), Some(path)) => (name, path),
        (Some(name), None) => (name.clone(), slug(&name)),
        (None, Some(path)) => (path.clone(), path),
        (None, None) => return Err(error(400, "name, path are missing, at least one parameter must be provided")),
    };
    let visibility = call.one_of("visibility", VISIBILITIES)?;
    let attributes = sent(call, create_names())?;
    let readme = call.boolean("initialize_with_readme")?.unwrap_or(false);
    let namespace = new_project_namespace(call)?;
    if !valid_path(&path) {
        return Err(message(400, json!({ "path": ["can contain only letters, digits, '_', '-' and '.'."] })));
    }
    let taken = call.state.projects.values().any(|p| p.namespace == namespace && p.path.eq_ignore_ascii_case(&path));
    if taken {
        return Err(message(
            400,
            json!({ "project_namespace.name": ["has already been taken"], "name": ["has already been taken"], "path": ["has already been taken"] }),
        ));
    }
    let default_branch = call.text("default_branch").filter(|b| !b.is_empty()).unwrap_or_else(|| "main".to_owned());
    let id = call.state.next_id();
    let repository = call.settings.directory.join("repositories").join(format!("{id}.git"));
    call.settings.git.init(&repository, &default_branch, &call.settings.directory.join("hooks"))?;
    let mut settings = defaults(call.settings);
    settings.extend(attributes);
    let own_group = call.state.group_role(user, namespace);
    // Who may create a project in a group without owning the group still owns the project.
    let members = if own_group >= OWNER {
        BTreeMap::new()
    } else {
        BTreeMap::from([(user, Member { level: OWNER, expires_at: None, created_at: now() })])
    };
    let project = Project {
        id,
        namespace,
        name,
        path,
        visibility: visibility.unwrap_or_else(|| "private".to_owned()),
        description: call.text("description"),
        default_branch: default_branch.clone(),
        settings,
        members,
        protected_branches: Vec::new(),
        protected_tags: Vec::new(),
        premium: Premium::default(),
        deploy_keys: Vec::new(),
        bots: Vec::new(),
        variables: Vec::new(),
        environments: Vec::new(),
        job_token_enabled: true,
        job_token_projects: Vec::new(),
        job_token_groups: Vec::new(),
        pipelines: Vec::new(),
        schedules: Vec::new(),
        issues: Vec::new(),
        states: BTreeMap::new(),
        state_locks: BTreeMap::new(),
        merge_requests: Vec::new(),
        repository,
        first_push: None,
        created_at: now(),
    };
    let readme = readme.then(|| format!("# {}\n", project.name));
    call.state.projects.insert(id, project);
    call.role = Some(call.state.role(user, call.at(id)?));
    if let Some(text) = readme {
        pushes::seed(call, id, &default_branch, "README.md", &text)?;
    }
    project_json(call, id).map(Reply::created)
}

fn edit(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let visibility = call.one_of("visibility", VISIBILITIES)?;
    let attributes = sent(call, edit_names())?;
    if !edit_parameters().iter().any(|name| call.has(name)) {
        return Err(error(
            400,
            "name, description, visibility, … are missing, at least one parameter must be provided",
        ));
    }
    if let Some(visibility) = visibility.filter(|v| call.at(id).is_ok_and(|project| project.visibility != *v)) {
        if call.role < Some(OWNER) {
            return Err(forbidden(""));
        }
        call.at_mut(id)?.visibility = visibility;
    }
    if let Some(branch) = call.text("default_branch") {
        let project = call.at(id)?;
        if call.settings.git.branch(&project.repository, &branch).is_none() {
            return Err(message(400, json!({ "base": ["Could not set the default branch"] })));
        }
        let head = format!("refs/heads/{branch}");
        call.settings.git.run(&project.repository, &["symbolic-ref", "HEAD", &head], b"")?;
        call.at_mut(id)?.default_branch = branch;
    }
    let (name, description) = (call.text("name"), call.has("description").then(|| call.text("description")));
    let path = call.text("path").filter(|path| !path.is_empty());
    if path.as_ref().is_some_and(|path| !valid_path(path)) {
        return Err(message(400, json!({ "path": ["can contain only letters, digits, '_', '-' and '.'."] })));
    }
    let project = call.at_mut(id)?;
    project.settings.extend(attributes);
    project.name = name.unwrap_or_else(|| project.name.clone());
    project.path = path.unwrap_or_else(|| project.path.clone());
    project.description = description.unwrap_or_else(|| project.description.clone());
    project_json(call, id).map(Reply::ok)
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(OWNER)?;
    if let Some(project) = call.state.projects.remove(&id) {
        std::fs::remove_dir_all(&project.repository)
            .map_err(|error| message(500, format!("the repository cannot be removed: {error}")))?;
    }
    Ok(Reply::new(202, Body::Json(json!({ "message": "202 Accepted" }))))
}

/// The parameters with a meaning of their own; the rest is in [`super::project_settings`].
const PROJECT: &[&str] = &["name", "path", "description", "visibility", "default_branch"];
const LIST: &[&str] = &[
    "search",
    "search_namespaces",
    "owned",
    "membership",
    "min_access_level",
    "visibility",
    "simple",
    "order_by",
    "sort",
    "archived",
];

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects", Need::Read, LIST, list),
    Route::new("POST", "/projects", Need::Write, &["namespace_id", "initialize_with_readme"], create)
        .also(create_parameters),
    Route::new("GET", "/projects/:id", Need::Read, &["statistics", "license", "with_custom_attributes"], get),
    Route::new("PUT", "/projects/:id", Need::Write, &[], edit).also(edit_parameters),
    Route::new("DELETE", "/projects/:id", Need::Write, &[], delete),
];

fn create_parameters() -> Vec<&'static str> {
    PROJECT.iter().copied().chain(create_names()).collect()
}

fn edit_parameters() -> Vec<&'static str> {
    PROJECT.iter().copied().chain(edit_names()).collect()
}
