//! What needs a licence: protected environments, approval rules and settings, push rules.
//!
//! On the Community Edition these calls do not exist, and an Enterprise Edition without a licence answers 404 too (its exact code
//! was not observed). With a licence what is sent is kept and shown; **none of it is enforced here**.

use serde_json::{Map, Value, json};

use crate::auth::Need;
use crate::call::Call;
use crate::editions::Feature;
use crate::model::MAINTAINER;
use crate::reply::{Outcome, Reply, error, message, not_found};
use crate::router::Route;

fn environments(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    Ok(Reply::list(call.at(id)?.premium.environments.clone()))
}

fn environment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let found = call.at(id)?.premium.environments.iter().find(|value| value["name"] == call.param(1));
    found.cloned().map(Reply::ok).ok_or_else(|| not_found("ProtectedEnvironment"))
}

fn protect_environment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let name = call.required("name")?;
    let levels = call.input.get("deploy_access_levels").cloned();
    let levels = levels.filter(Value::is_array).ok_or_else(|| error(400, "deploy_access_levels is missing"))?;
    let rules = call.input.get("approval_rules").cloned().unwrap_or_else(|| json!([]));
    let environments = &mut call.at_mut(id)?.premium.environments;
    if environments.iter().any(|value| value["name"] == name.as_str()) {
        return Err(message(409, format!("Protected environment '{name}' already exists")));
    }
    let value =
        json!({ "name": name, "deploy_access_levels": levels, "approval_rules": rules, "required_approval_count": 0 });
    environments.push(value.clone());
    Ok(Reply::created(value))
}

fn unprotect_environment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let name = call.param(1).to_owned();
    let environments = &mut call.at_mut(id)?.premium.environments;
    let at = environments.iter().position(|value| value["name"] == name.as_str());
    environments.remove(at.ok_or_else(|| not_found("ProtectedEnvironment"))?);
    Ok(Reply::no_content())
}

fn approval_rules(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    Ok(Reply::list(call.at(id)?.premium.approval_rules.clone()))
}

fn add_approval_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let (name, kind) = (call.required("name")?, call.text("rule_type").unwrap_or_else(|| "regular".to_owned()));
    let required = call.integer("approvals_required")?.ok_or_else(|| error(400, "approvals_required is missing"))?;
    let rule = call.state.next_id();
    let rules = &mut call.at_mut(id)?.premium.approval_rules;
    if kind == "any_approver" && rules.iter().any(|rule| rule["rule_type"] == "any_approver") {
        return Err(message(400, json!({ "rule_type": ["any-approver for the project already exists"] })));
    }
    let value = json!({ "id": rule, "name": name, "rule_type": kind, "approvals_required": required });
    rules.push(value.clone());
    Ok(Reply::created(value))
}

fn approvals(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let unset = APPROVALS.iter().map(|name| ((*name).to_owned(), Value::Bool(false)));
    let mut value: Map<_, _> = unset.collect();
    value.extend(call.at(id)?.premium.approvals.clone());
    Ok(Reply::ok(Value::Object(value)))
}

fn change_approvals(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let mut sent = Map::new();
    for name in APPROVALS {
        if let Some(value) = call.boolean(name)? {
            sent.insert((*name).to_owned(), value.into());
        }
    }
    call.at_mut(id)?.premium.approvals.extend(sent);
    approvals(call).map(|reply| Reply { status: 201, ..reply })
}

fn push_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    Ok(Reply::ok(call.at(id)?.premium.push_rule.clone().map_or(Value::Null, Value::Object)))
}

fn add_push_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    if call.at(id)?.premium.push_rule.is_some() {
        return Err(error(400, "Project push rule exists"));
    }
    write_push_rule(call, id).map(Reply::created)
}

fn change_push_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    if call.at(id)?.premium.push_rule.is_none() {
        return Err(not_found("Push Rule"));
    }
    write_push_rule(call, id).map(Reply::ok)
}

fn write_push_rule(call: &mut Call<'_>, project: u64) -> Result<Value, crate::reply::Refusal> {
    let sent = call.input.clone().into_iter().filter(|(name, _)| PUSH_RULE.contains(&name.as_str()));
    let sent: Map<_, _> = sent.collect();
    let rule = call.at_mut(project)?.premium.push_rule.get_or_insert_with(Map::new);
    rule.extend(sent);
    Ok(Value::Object(rule.clone()))
}

const APPROVALS: &[&str] = &[
    "disable_overriding_approvers_per_merge_request",
    "merge_requests_author_approval",
    "merge_requests_disable_committers_approval",
    "reset_approvals_on_push",
    "selective_code_owner_removals",
    "require_reauthentication_to_approve",
];
const PUSH_RULE: &[&str] = &[
    "deny_delete_tag",
    "member_check",
    "prevent_secrets",
    "commit_message_regex",
    "commit_message_negative_regex",
    "branch_name_regex",
    "author_email_regex",
    "file_name_regex",
    "max_file_size",
    "commit_committer_check",
    "commit_committer_name_check",
    "reject_unsigned_commits",
    "reject_non_dco_commits",
];
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
const ENVIRONMENT: &[&str] = &["name", "deploy_access_levels", "approval_rules"];
const ENVIRONMENTS: &str = "/projects/:id/protected_environments";
const ONE_ENVIRONMENT: &str = "/projects/:id/protected_environments/:name";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", ENVIRONMENTS, Need::Read, &[], environments).only_with(Feature::Premium),
    Route::new("POST", ENVIRONMENTS, Need::Write, ENVIRONMENT, protect_environment).only_with(Feature::Premium),
    Route::new("GET", ONE_ENVIRONMENT, Need::Read, &[], environment).only_with(Feature::Premium),
    Route::new("DELETE", ONE_ENVIRONMENT, Need::Write, &[], unprotect_environment).only_with(Feature::Premium),
    Route::new("GET", "/projects/:id/approval_rules", Need::Read, &[], approval_rules).only_with(Feature::Premium),
    Route::new("POST", "/projects/:id/approval_rules", Need::Write, RULE, add_approval_rule)
        .only_with(Feature::Premium),
    Route::new("GET", "/projects/:id/approvals", Need::Read, &[], approvals).only_with(Feature::Premium),
    Route::new("POST", "/projects/:id/approvals", Need::Write, APPROVALS, change_approvals).only_with(Feature::Premium),
    Route::new("GET", "/projects/:id/push_rule", Need::Read, &[], push_rule).only_with(Feature::Premium),
    Route::new("POST", "/projects/:id/push_rule", Need::Write, PUSH_RULE, add_push_rule).only_with(Feature::Premium),
    Route::new("PUT", "/projects/:id/push_rule", Need::Write, PUSH_RULE, change_push_rule).only_with(Feature::Premium),
];
