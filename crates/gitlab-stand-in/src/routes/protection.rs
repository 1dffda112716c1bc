//! Protected branches and protected tags.
//!
//! Without a license no call changes who may push and merge: `PATCH` answers 200 and changes `allow_force_push` alone, which is
//! why a client must delete and protect again. Sources: <https://docs.gitlab.com/api/protected_branches/>,
//! <https://docs.gitlab.com/api/protected_tags/>.

use serde_json::{Value, json};

use crate::auth::Need;
use crate::call::Call;
use crate::editions::Feature;
use crate::model::{DEVELOPER, Grant, Grantee, MAINTAINER, ProtectedBranch, ProtectedTag, REPORTER};
use crate::reply::{Outcome, Refusal, Reply, error, message, not_found};
use crate::router::Route;

fn description(level: u8) -> &'static str {
    match level {
        0 => "No one",
        30 => "Developers + Maintainers",
        60 => "Administrators",
        _ => "Maintainers",
    }
}

pub(super) fn grants_json(call: &Call<'_>, grants: &[Grant]) -> Value {
    let ee = call.settings.has(Feature::EnterpriseFields);
    grants
        .iter()
        .map(|grant| {
            let (level, user, group) = match grant.who {
                Grantee::Level(level) => (Some(level), None, None),
                Grantee::User(user) => (Some(MAINTAINER), Some(user), None),
                Grantee::Group(group) => (Some(MAINTAINER), None, Some(group)),
            };
            let words = match grant.who {
                Grantee::Level(level) => description(level).to_owned(),
                Grantee::User(id) => call.state.users.get(&id).map(|user| user.name.clone()).unwrap_or_default(),
                Grantee::Group(id) => call.state.full_name(id),
            };
            let mut value = json!({
                "id": grant.id,
                "access_level": level,
                "access_level_description": words,
                "deploy_key_id": null,
            });
            if ee {
                value["user_id"] = user.into();
                value["group_id"] = group.into();
            }
            value
        })
        .collect()
}

fn branch_json(call: &Call<'_>, rule: &ProtectedBranch) -> Value {
    let mut value = json!({
        "id": rule.id,
        "name": rule.name,
        "push_access_levels": grants_json(call, &rule.push),
        "merge_access_levels": grants_json(call, &rule.merge),
        "allow_force_push": rule.allow_force_push,
    });
    if call.settings.has(Feature::EnterpriseFields) {
        value["unprotect_access_levels"] = grants_json(call, &rule.unprotect);
        value["code_owner_approval_required"] = rule.code_owner_approval_required.into();
        value["inherited"] = false.into();
    }
    value
}

fn tag_json(call: &Call<'_>, rule: &ProtectedTag) -> Value {
    json!({ "name": rule.name, "create_access_levels": grants_json(call, &rule.create) })
}

/// The level a parameter asks for, one of those allowed; 40 when it is not sent.
fn level(call: &Call<'_>, name: &str, allowed: &[i64]) -> Result<Option<u8>, Refusal> {
    let Some(level) = call.integer(name)? else { return Ok(None) };
    match u8::try_from(level) {
        Ok(level) if allowed.contains(&i64::from(level)) => Ok(Some(level)),
        _ => Err(error(400, format!("{name} does not have a valid value"))),
    }
}

/// The grants of a new rule: a level, and on Premium the users and groups named. Without a licence those are ignored.
fn grants(call: &mut Call<'_>, level: Option<u8>, named: &str) -> Vec<Grant> {
    let mut grants: Vec<_> = if call.settings.has(Feature::NamedGrants) { listed(call, named) } else { Vec::new() };
    if grants.is_empty() || level.is_some() {
        grants.push(Grantee::Level(level.unwrap_or(MAINTAINER)));
    }
    grants.into_iter().map(|who| Grant { id: call.state.next_id(), who }).collect()
}

fn listed(call: &Call<'_>, name: &str) -> Vec<Grantee> {
    let entries = call.input.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let id = |key: &str| entry.get(key).and_then(Value::as_u64);
            let user = id("user_id").filter(|id| call.state.users.contains_key(id)).map(Grantee::User);
            let group = || id("group_id").filter(|id| call.state.namespaces.contains_key(id)).map(Grantee::Group);
            let level = || id("access_level").and_then(|level| u8::try_from(level).ok()).map(Grantee::Level);
            user.or_else(group).or_else(level)
        })
        .collect()
}

fn branches(call: &mut Call<'_>) -> Outcome {
    let project = call.project(REPORTER)?;
    let search = call.text("search").unwrap_or_default();
    let rules = call.at(project)?.protected_branches.iter().filter(|rule| rule.name.contains(&search));
    Ok(Reply::list(rules.map(|rule| branch_json(call, rule))))
}

fn branch(call: &mut Call<'_>) -> Outcome {
    let project = call.project(REPORTER)?;
    let rule = call.at(project)?.protected_branches.iter().find(|rule| rule.name == call.param(1));
    rule.map(|rule| Reply::ok(branch_json(call, rule))).ok_or_else(|| not_found(""))
}

fn protect_branch(call: &mut Call<'_>) -> Outcome {
    let project = call.project(MAINTAINER)?;
    let name = call.required("name")?;
    let push = level(call, "push_access_level", &[0, 30, 40, 60])?;
    let merge = level(call, "merge_access_level", &[0, 30, 40, 60])?;
    let unprotect = level(call, "unprotect_access_level", &[30, 40, 60])?;
    let force = call.boolean("allow_force_push")?.unwrap_or(false);
    let owners = call.boolean("code_owner_approval_required")?.unwrap_or(false);
    if call.at(project)?.protected_branches.iter().any(|rule| rule.name == name) {
        return Err(message(409, format!("Protected branch '{name}' already exists")));
    }
    let rule = ProtectedBranch {
        id: call.state.next_id(),
        name,
        push: grants(call, push, "allowed_to_push"),
        merge: grants(call, merge, "allowed_to_merge"),
        unprotect: if call.settings.has(Feature::NamedGrants) {
            grants(call, unprotect, "allowed_to_unprotect")
        } else {
            Vec::new()
        },
        allow_force_push: force,
        code_owner_approval_required: owners && call.settings.has(Feature::NamedGrants),
    };
    let value = branch_json(call, &rule);
    call.at_mut(project)?.protected_branches.push(rule);
    Ok(Reply::created(value))
}

/// Whether pushes may be forced changes everywhere; who may push and merge only where rules can name users. The rest is ignored, and
/// answered with 200.
fn change_branch(call: &mut Call<'_>) -> Outcome {
    let project = call.project(MAINTAINER)?;
    let name = call.param(1).to_owned();
    let find = |rule: &ProtectedBranch| rule.name == name;
    let mut rule =
        call.at(project)?.protected_branches.iter().find(|rule| find(rule)).cloned().ok_or_else(|| not_found(""))?;
    if call.settings.has(Feature::PatchForcePush) {
        rule.allow_force_push = call.boolean("allow_force_push")?.unwrap_or(rule.allow_force_push);
        if call.settings.has(Feature::NamedGrants) {
            let owners = call.boolean("code_owner_approval_required")?;
            rule.code_owner_approval_required = owners.unwrap_or(rule.code_owner_approval_required);
            change_grants(call, &mut rule.push, "allowed_to_push");
            change_grants(call, &mut rule.merge, "allowed_to_merge");
            change_grants(call, &mut rule.unprotect, "allowed_to_unprotect");
        }
        if let Some(kept) = call.at_mut(project)?.protected_branches.iter_mut().find(|rule| find(rule)) {
            *kept = rule.clone();
        }
    }
    Ok(Reply::ok(branch_json(call, &rule)))
}

/// Removes the grants sent with `_destroy`, adds those sent without an id.
pub(super) fn change_grants(call: &mut Call<'_>, grants: &mut Vec<Grant>, name: &str) {
    let entries = call.input.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let destroyed: Vec<_> = entries
        .iter()
        .filter(|entry| entry.get("_destroy").is_some_and(|value| value == true))
        .filter_map(|entry| entry.get("id").and_then(Value::as_u64))
        .collect();
    grants.retain(|grant| !destroyed.contains(&grant.id));
    for who in listed(call, name) {
        if !grants.iter().any(|grant| grant.who == who) {
            grants.push(Grant { id: call.state.next_id(), who });
        }
    }
}

fn unprotect_branch(call: &mut Call<'_>) -> Outcome {
    let project = call.project(MAINTAINER)?;
    let name = call.param(1).to_owned();
    let rules = &mut call.at_mut(project)?.protected_branches;
    let at = rules.iter().position(|rule| rule.name == name).ok_or_else(|| not_found(""))?;
    rules.remove(at);
    Ok(Reply::no_content())
}

fn tags(call: &mut Call<'_>) -> Outcome {
    let project = call.project(DEVELOPER)?;
    Ok(Reply::list(call.at(project)?.protected_tags.iter().map(|rule| tag_json(call, rule))))
}

fn tag(call: &mut Call<'_>) -> Outcome {
    let project = call.project(DEVELOPER)?;
    let rule = call.at(project)?.protected_tags.iter().find(|rule| rule.name == call.param(1));
    rule.map(|rule| Reply::ok(tag_json(call, rule))).ok_or_else(|| not_found(""))
}

fn protect_tag(call: &mut Call<'_>) -> Outcome {
    let project = call.project(MAINTAINER)?;
    let name = call.required("name")?;
    let create = level(call, "create_access_level", &[0, 30, 40, 60])?;
    if call.at(project)?.protected_tags.iter().any(|rule| rule.name == name) {
        return Err(message(422, format!("Protected tag '{name}' already exists")));
    }
    let rule = ProtectedTag { name, create: grants(call, create, "allowed_to_create") };
    let value = tag_json(call, &rule);
    call.at_mut(project)?.protected_tags.push(rule);
    Ok(Reply::created(value))
}

fn unprotect_tag(call: &mut Call<'_>) -> Outcome {
    let project = call.project(MAINTAINER)?;
    let name = call.param(1).to_owned();
    let rules = &mut call.at_mut(project)?.protected_tags;
    let at = rules.iter().position(|rule| rule.name == name).ok_or_else(|| not_found(""))?;
    rules.remove(at);
    Ok(Reply::no_content())
}

const BRANCH: &[&str] = &[
    "name",
    "push_access_level",
    "merge_access_level",
    "unprotect_access_level",
    "allow_force_push",
    "allowed_to_push",
    "allowed_to_merge",
    "allowed_to_unprotect",
    "code_owner_approval_required",
];
const CHANGE: &[&str] = &[
    "unprotect_access_level",
    "allow_force_push",
    "allowed_to_push",
    "allowed_to_merge",
    "allowed_to_unprotect",
    "code_owner_approval_required",
];
const TAG: &[&str] = &["name", "create_access_level", "allowed_to_create"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/protected_branches", Need::Read, &["search"], branches),
    Route::new("GET", "/projects/:id/protected_branches/:name", Need::Read, &[], branch),
    Route::new("POST", "/projects/:id/protected_branches", Need::Write, BRANCH, protect_branch),
    Route::new("PATCH", "/projects/:id/protected_branches/:name", Need::Write, CHANGE, change_branch),
    Route::new("DELETE", "/projects/:id/protected_branches/:name", Need::Write, &[], unprotect_branch),
    Route::new("GET", "/projects/:id/protected_tags", Need::Read, &[], tags),
    Route::new("GET", "/projects/:id/protected_tags/:name", Need::Read, &[], tag),
    Route::new("POST", "/projects/:id/protected_tags", Need::Write, TAG, protect_tag),
    Route::new("DELETE", "/projects/:id/protected_tags/:name", Need::Write, &[], unprotect_tag),
];
