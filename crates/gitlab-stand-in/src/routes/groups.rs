//! Metadata, namespaces and groups.

use serde_json::{Value, json};

use crate::Edition;
use crate::auth::Need;
use crate::call::Call;
use crate::editions::Feature;
use crate::model::{DEVELOPER, GUEST, MAINTAINER, Namespace, OWNER};
use crate::reply::{Outcome, Reply, forbidden, invalid, not_found};
use crate::router::Route;
use crate::state::{Settings, State};

/// `MAJOR.MINOR.PATCH-stand-in`: parseable as GitLab's, and not to be mistaken for one.
fn version_text(settings: &Settings) -> String {
    format!("{}-stand-in", settings.version())
}

#[expect(clippy::unnecessary_wraps, reason = "all handlers have one type")]
fn version(call: &mut Call<'_>) -> Outcome {
    Ok(Reply::ok(json!({ "version": version_text(call.settings), "revision": "stand-in" })))
}

#[expect(clippy::unnecessary_wraps, reason = "all handlers have one type")]
fn metadata(call: &mut Call<'_>) -> Outcome {
    Ok(Reply::ok(json!({
        "version": version_text(call.settings),
        "revision": "stand-in",
        "kas": { "enabled": false, "externalUrl": null, "externalK8sProxyUrl": null, "version": null },
        "enterprise": call.settings.edition() == Edition::Ee,
    })))
}

/// A namespace as it appears inside a project.
pub(super) fn namespace_json(state: &State, settings: &Settings, namespace: &Namespace) -> Value {
    let full_path = state.full_path(namespace.id);
    json!({
        "id": namespace.id,
        "name": namespace.name,
        "path": namespace.path,
        "kind": if namespace.person.is_some() { "user" } else { "group" },
        "full_path": full_path,
        "parent_id": namespace.parent,
        "avatar_url": null,
        "web_url": format!("{}/{}{full_path}", settings.url, if namespace.person.is_some() { "" } else { "groups/" }),
    })
}

/// Adds how many compute minutes there are.
pub(super) fn compute_limits(settings: &Settings, value: &mut Value) {
    if settings.has(Feature::ComputeLimits) {
        let crate::ComputeMinutes { monthly, purchased, .. } = settings.compute_minutes;
        value["shared_runners_minutes_limit"] = monthly.into();
        value["extra_shared_runners_minutes_limit"] = purchased.into();
    }
}

fn group_json(state: &State, settings: &Settings, group: &Namespace) -> Value {
    let full_path = state.full_path(group.id);
    let mut value = json!({
        "id": group.id,
        "web_url": format!("{}/groups/{full_path}", settings.url),
        "name": group.name,
        "path": group.path,
        "description": group.description,
        "visibility": group.visibility,
        "full_name": state.full_name(group.id),
        "full_path": full_path,
        "parent_id": group.parent,
        "created_at": group.created_at,
        "default_branch_protection": settings.default_branch_protection,
        "project_creation_level": "developer",
        "subgroup_creation_level": "maintainer",
        "shared_runners_setting": "enabled",
        "membership_lock": false,
        "archived": false,
    });
    compute_limits(settings, &mut value);
    for name in LIMITS {
        if let Some(limit) = state.limit(group.id, name) {
            value[*name] = limit.clone();
        }
    }
    value
}

/// What a group limits its projects to. Source: <https://docs.gitlab.com/api/groups/#update-group-attributes>.
const LIMITS: &[&str] = &["project_creation_level", "shared_runners_setting", "membership_lock"];

fn edit_group(call: &mut Call<'_>) -> Outcome {
    let id = call.group(OWNER)?;
    let sent: Vec<_> = call.input.iter().filter(|(name, _)| LIMITS.contains(&name.as_str())).collect();
    let sent: Vec<_> = sent.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let group = call.state.namespaces.get_mut(&id).ok_or_else(|| not_found("Group"))?;
    group.limits.extend(sent);
    let group = call.state.namespaces.get(&id).ok_or_else(|| not_found("Group"))?;
    Ok(Reply::ok(group_json(call.state, call.settings, group)))
}

fn groups(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    let search = call.text("search").unwrap_or_default().to_lowercase();
    let least = call.integer("min_access_level")?.unwrap_or(0);
    let top_level = call.boolean("top_level_only")?.unwrap_or(false);
    let state = &*call.state;
    Ok(Reply::list(
        state
            .namespaces
            .values()
            .filter(|group| group.person.is_none() && (!top_level || group.parent.is_none()))
            .filter(|group| state.full_path(group.id).to_lowercase().contains(&search))
            .filter(|group| {
                let role = state.group_role(user, group.id);
                i64::from(role) >= least && (role >= GUEST || group.visibility != "private")
            })
            .map(|group| group_json(state, call.settings, group)),
    ))
}

fn group(call: &mut Call<'_>) -> Outcome {
    let id = call.group(0)?;
    let group = call.state.namespaces.get(&id).ok_or_else(|| not_found("Group"))?;
    Ok(Reply::ok(group_json(call.state, call.settings, group)))
}

fn create_group(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    let (name, path) = (call.required("name")?, call.required("path")?);
    let visibility = call.one_of("visibility", &["private", "internal", "public"])?;
    let parent = call.id("parent_id")?;
    if let Some(parent) = parent {
        let Some(group) = call.state.namespaces.get(&parent).filter(|group| group.person.is_none()) else {
            return Err(not_found("Group"));
        };
        let role = call.state.group_role(user, group.id);
        call.role = Some(role);
        if role < MAINTAINER {
            return Err(forbidden(""));
        }
    } else if call.state.users.get(&user).is_none_or(|user| user.bot) {
        return Err(forbidden(""));
    }
    let taken = call.state.namespaces.values().any(|n| n.parent == parent && n.path.eq_ignore_ascii_case(&path));
    if taken {
        return Err(invalid("path", "has already been taken"));
    }
    let description = call.text("description").unwrap_or_default();
    let id = call.state.add_namespace(&path, &name, parent, user);
    if let Some(group) = call.state.namespaces.get_mut(&id) {
        group.visibility = visibility.unwrap_or_else(|| "private".to_owned());
        group.description = description;
    }
    let group = call.state.namespaces.get(&id).ok_or_else(|| not_found("Group"))?;
    Ok(Reply::created(group_json(call.state, call.settings, group)))
}

fn namespaces(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    let search = call.text("search").unwrap_or_default().to_lowercase();
    let state = &*call.state;
    Ok(Reply::list(
        state
            .namespaces
            .values()
            .filter(|namespace| state.group_role(user, namespace.id) >= DEVELOPER)
            .filter(|namespace| state.full_path(namespace.id).to_lowercase().contains(&search))
            .map(|namespace| namespace_json(state, call.settings, namespace)),
    ))
}

fn namespace(call: &mut Call<'_>) -> Outcome {
    let user = call.user()?;
    let found = call.state.namespace(call.param(0)).filter(|n| call.state.group_role(user, n.id) >= GUEST);
    let namespace = found.ok_or_else(|| not_found("Namespace"))?;
    let mut value = namespace_json(call.state, call.settings, namespace);
    let is_owner = namespace.parent.is_none() && call.state.group_role(user, namespace.id) >= OWNER;
    if is_owner && call.settings.has(Feature::ComputeUsage) {
        let crate::ComputeMinutes { used, monthly, purchased } = call.settings.compute_minutes;
        let beyond = monthly.filter(|_| purchased > 0).map_or(0, |monthly| used.saturating_sub(monthly));
        value["ci_minutes_usage"] = json!({ "total_minutes_used": used, "monthly_minutes_used": used - beyond, "purchased_minutes_used": beyond });
    }
    Ok(Reply::ok(value))
}

/// Whether a path is taken, by what the caller can see or not. Source: <https://docs.gitlab.com/api/namespaces/>.
fn namespace_exists(call: &mut Call<'_>) -> Outcome {
    let (path, parent) = (call.param(0).to_owned(), call.id("parent_id")?);
    let exists = call.state.namespaces.values().any(|n| n.parent == parent && n.path.eq_ignore_ascii_case(&path));
    let suggests = if exists { vec![format!("{path}1")] } else { Vec::new() };
    Ok(Reply::ok(json!({ "exists": exists, "suggests": suggests })))
}

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/version", Need::ReadUser, &[], version),
    Route::new("GET", "/metadata", Need::ReadUser, &[], metadata),
    Route::new("GET", "/groups", Need::Read, &["search", "owned", "min_access_level", "top_level_only"], groups),
    Route::new(
        "POST",
        "/groups",
        Need::Write,
        &["name", "path", "parent_id", "visibility", "description"],
        create_group,
    ),
    Route::new("GET", "/groups/:id", Need::Read, &["with_projects", "with_custom_attributes"], group),
    Route::new("PUT", "/groups/:id", Need::Write, LIMITS, edit_group),
    Route::new("GET", "/namespaces", Need::Read, &["search", "owned_only", "top_level_only"], namespaces),
    Route::new("GET", "/namespaces/:id", Need::Read, &[], namespace),
    Route::new("GET", "/namespaces/:id/exists", Need::Read, &["parent_id"], namespace_exists),
];
