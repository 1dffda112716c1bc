//! Approval rules and settings of a project, and approving a merge request.
//!
//! Sources: `ee/lib/api/project_approval_rules.rb`, `ee/lib/api/merge_request_approval_settings.rb`, `ee/lib/api/project_approvals.rb`, `lib/api/merge_request_approvals.rb`.

use serde_json::{Map, Value, json};

use super::accounts::user_json;
use super::merge_requests::{position, source_sha};
use crate::approvals::{self, ALLOW_COMMITTERS, Held, REAUTHENTICATE, SETTINGS};
use crate::auth::Need;
use crate::call::Call;
use crate::editions::Feature;
use crate::model::{ApprovalRule, DEVELOPER, MAINTAINER, MergeRequest, OWNER, Project, REPORTER};
use crate::reply::{Outcome, Refusal, Reply, forbidden, message, not_found};
use crate::router::Route;

fn user(call: &Call<'_>, id: u64) -> Value {
    call.state.users.get(&id).map(|user| user_json(user, &call.settings.url)).unwrap_or_default()
}

fn rules(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let user = |id| user(call, id);
    let all = &call.at(id)?.premium.approval_rules;
    Ok(Reply::list(all.iter().map(|rule| approvals::rule_json(call.state, rule, &user)).collect::<Vec<_>>()))
}

/// The ids in a list; a user or group that there is not is left out, as GitLab does.
fn ids(call: &Call<'_>, name: &str) -> Option<Vec<u64>> {
    let list = call.input.get(name)?.as_array()?;
    let known = |id: &u64| match name {
        "user_ids" => call.state.users.contains_key(id),
        "group_ids" => call.state.namespaces.contains_key(id),
        _ => true,
    };
    Some(list.iter().filter_map(Value::as_u64).filter(known).collect())
}

fn change(call: &Call<'_>, rule: &mut ApprovalRule) -> Result<(), Refusal> {
    rule.name = call.text("name").unwrap_or_else(|| rule.name.clone());
    let required = call.integer("approvals_required")?.map(|number| u64::try_from(number).unwrap_or_default());
    rule.required = required.unwrap_or(rule.required);
    rule.users = ids(call, "user_ids").unwrap_or_else(|| rule.users.clone());
    rule.groups = ids(call, "group_ids").unwrap_or_else(|| rule.groups.clone());
    rule.branches = ids(call, "protected_branch_ids").unwrap_or_else(|| rule.branches.clone());
    Ok(())
}

fn add_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let (name, kind) = (call.required("name")?, call.text("rule_type").unwrap_or_else(|| "regular".to_owned()));
    call.required("approvals_required")?;
    let rules = &call.at(id)?.premium.approval_rules;
    if kind == "any_approver" && rules.iter().any(|rule| rule.kind == "any_approver") {
        return Err(message(400, json!({ "rule_type": ["any-approver for the project already exists"] })));
    }
    if rules.iter().any(|rule| rule.name == name) {
        return Err(message(400, json!({ "name": ["has already been taken"] })));
    }
    let mut rule = ApprovalRule { id: call.state.next_id(), kind, ..ApprovalRule::default() };
    change(call, &mut rule)?;
    let value = approvals::rule_json(call.state, &rule, &|id| user(call, id));
    call.at_mut(id)?.premium.approval_rules.push(rule);
    Ok(Reply::created(value))
}

fn rule_at(call: &Call<'_>, project: u64) -> Result<usize, Refusal> {
    let id = call.param_id(1)?;
    call.at(project)?.premium.approval_rules.iter().position(|rule| rule.id == id).ok_or_else(|| not_found(""))
}

fn change_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let at = rule_at(call, id)?;
    let mut rule = call.at(id)?.premium.approval_rules[at].clone();
    change(call, &mut rule)?;
    let value = approvals::rule_json(call.state, &rule, &|id| user(call, id));
    call.at_mut(id)?.premium.approval_rules[at] = rule;
    Ok(Reply::ok(value))
}

fn remove_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let at = rule_at(call, id)?;
    call.at_mut(id)?.premium.approval_rules.remove(at);
    Ok(Reply::no_content())
}

fn settings(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    Ok(Reply::ok(Value::Object(approvals::settings(call.state, call.at(id)?))))
}

fn change_settings(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let mut sent = Map::new();
    for name in SETTINGS {
        if let Some(value) = call.boolean(name)? {
            sent.insert((*name).to_owned(), value.into());
        }
    }
    let mut all = approvals::settings(call.state, call.at(id)?);
    all.extend(sent.clone());
    let both = ["reset_approvals_on_push", "selective_code_owner_removals"].iter().all(|name| all[*name] == true);
    if both {
        let text = "selective_code_owner_removals can only be enabled when retain_approvals_on_push is enabled";
        return Err(message(400, json!({ "base": [text] })));
    }
    call.at_mut(id)?.premium.approvals.extend(sent);
    settings(call).map(|reply| Reply { status: 201, ..reply })
}

/// The same settings by other names, with what locks them.
fn locks(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let (all, project) = (approvals::settings(call.state, call.at(id)?), call.at(id)?);
    let locked = approvals::are_committers_locked_out(call.state, project);
    let one = |value: bool, locked: bool| json!({ "value": value, "locked": locked, "inherited_from": locked.then_some("group") });
    let on = |name: &str| all.get(name) == Some(&Value::Bool(true));
    Ok(Reply::ok(json!({
        "allow_author_approval": one(on("merge_requests_author_approval"), false),
        ALLOW_COMMITTERS: one(!on("merge_requests_disable_committers_approval"), locked),
        "allow_overrides_to_approver_list_per_merge_request":
            one(!on("disable_overriding_approvers_per_merge_request"), false),
        "retain_approvals_on_push": one(!on("reset_approvals_on_push"), false),
        "selective_code_owner_removals": one(on("selective_code_owner_removals"), false),
    })))
}

fn lock(call: &mut Call<'_>) -> Outcome {
    let id = call.group(OWNER)?;
    let value = call.boolean(ALLOW_COMMITTERS)?.unwrap_or(true);
    let group = call.state.namespaces.get_mut(&id).ok_or_else(|| not_found("Group"))?;
    group.limits.insert(ALLOW_COMMITTERS.to_owned(), value.into());
    Ok(Reply::ok(json!({ ALLOW_COMMITTERS: { "value": value, "locked": false, "inherited_from": null } })))
}

fn held_json(call: &Call<'_>, held: &Held) -> Value {
    let users = |ids: &[u64]| ids.iter().map(|id| user(call, *id)).collect::<Vec<_>>();
    json!({
        "id": held.id,
        "name": held.name,
        "rule_type": held.kind,
        "report_type": null,
        "eligible_approvers": users(&held.approvers),
        "approvals_required": held.required,
        "users": [],
        "groups": [],
        "contains_hidden_groups": false,
        "section": held.section,
        "source_rule": null,
        "overridden": false,
        "code_owner": held.kind == "code_owner",
        "approved_by": users(&held.approved_by),
        "approved": held.is_approved(),
    })
}

fn state(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let project = call.at(id)?;
    let held = approvals::rules(call.state, call.settings, project, &project.merge_requests[at])?;
    let rules: Vec<_> = held.iter().map(|held| held_json(call, held)).collect();
    Ok(Reply::ok(json!({ "approval_rules_overwritten": false, "rules": rules })))
}

fn approval_json(call: &Call<'_>, project: u64, at: usize) -> Result<Value, Refusal> {
    let request = &call.at(project)?.merge_requests[at];
    let approved_by: Vec<_> = request.approvers().map(|id| json!({ "user": user(call, id) })).collect();
    Ok(json!({
        "id": request.id,
        "iid": request.iid,
        "project_id": project,
        "title": request.title,
        "state": request.state,
        "approved": is_approved(call, call.at(project)?, request)?,
        "approved_by": approved_by,
    }))
}

/// Without a license an approval is a remark, and nothing waits for it.
pub(super) fn is_approved(call: &Call<'_>, project: &Project, request: &MergeRequest) -> Result<bool, Refusal> {
    if !call.settings.has(Feature::Premium) {
        return Ok(true);
    }
    let held = approvals::rules(call.state, call.settings, project, request)?;
    Ok(held.iter().all(Held::is_approved))
}

fn approve(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    // A Reporter may once it is assigned or asked to review, and here no one is.
    if call.role < Some(DEVELOPER) {
        return Err(forbidden(""));
    }
    let (user, project) = (call.user()?, call.at(id)?);
    let request = &project.merge_requests[at];
    let source = source_sha(call, project, request);
    if let Some(sha) = call.text("sha").filter(|sha| Some(sha) != source.as_ref()) {
        return Err(message(409, format!("SHA does not match HEAD of source branch: {sha}")));
    }
    let needs_password = approvals::settings(call.state, project).get(REAUTHENTICATE) == Some(&Value::Bool(true));
    if needs_password && call.settings.has(Feature::Premium) {
        return Err(message(401, "401 Unauthorized"));
    }
    let is_out = call.settings.has(Feature::Premium)
        && approvals::excluded(call.state, call.settings, project, request)?.contains(&user);
    if is_out || request.approvers().any(|id| id == user) {
        return Err(message(401, "401 Unauthorized"));
    }
    call.at_mut(id)?.merge_requests[at].approved_by.push((user, None));
    approval_json(call, id, at).map(Reply::created)
}

fn unapprove(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let user = call.user()?;
    let request = &mut call.at_mut(id)?.merge_requests[at];
    if !request.approvers().any(|id| id == user) {
        return Err(not_found(""));
    }
    request.approved_by.retain(|(id, _)| *id != user);
    approval_json(call, id, at).map(Reply::created)
}

const RULE: &[&str] = &[
    "name",
    "approvals_required",
    "rule_type",
    "user_ids",
    "usernames",
    "group_ids",
    "protected_branch_ids",
    "applies_to_all_protected_branches",
];
const RULES: &str = "/projects/:id/approval_rules";
const ONE: &str = "/projects/:id/approval_rules/:approval_rule_id";
const REQUEST: &str = "/projects/:id/merge_requests/:merge_request_iid/approve";
const UNDO: &str = "/projects/:id/merge_requests/:merge_request_iid/unapprove";
const STATE: &str = "/projects/:id/merge_requests/:merge_request_iid/approval_state";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", RULES, Need::Read, &[], rules).only_with(Feature::Premium),
    Route::new("POST", RULES, Need::Write, RULE, add_rule).only_with(Feature::Premium),
    Route::new("PUT", ONE, Need::Write, RULE, change_rule).only_with(Feature::Premium),
    Route::new("DELETE", ONE, Need::Write, &[], remove_rule).only_with(Feature::Premium),
    Route::new("GET", "/projects/:id/approvals", Need::Read, &[], settings).only_with(Feature::Premium),
    Route::new("POST", "/projects/:id/approvals", Need::Write, SETTINGS, change_settings).only_with(Feature::Premium),
    Route::new("GET", "/projects/:id/merge_request_approval_setting", Need::Read, &[], locks)
        .only_with(Feature::Premium),
    Route::new("PUT", "/groups/:id/merge_request_approval_setting", Need::Write, &[ALLOW_COMMITTERS], lock)
        .only_with(Feature::Premium),
    Route::new("GET", STATE, Need::Read, &[], state).only_with(Feature::Premium),
    Route::new("POST", REQUEST, Need::Write, &["sha"], approve),
    Route::new("POST", UNDO, Need::Write, &[], unapprove),
];
