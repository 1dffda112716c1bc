//! What needs a license: protected environments and the push rule. Approvals are in [`super::approvals`].
//!
//! On the Community Edition these calls do not exist, and an Enterprise Edition without a license answers 404 too (its exact code
//! was not observed), except that it lists protected environments: none. Of the push rule only `prevent_secrets` is enforced here.
//! Sources: `ee/lib/api/protected_environments.rb`, `ee/lib/api/project_push_rule.rb`.

use serde_json::{Map, Value, json};

use super::protection::{change_grants, grants_json};
use crate::auth::Need;
use crate::call::Call;
use crate::editions::Feature;
use crate::model::{MAINTAINER, ProtectedEnvironment};
use crate::reply::{Outcome, Refusal, Reply, error, message, not_found};
use crate::router::Route;

fn environment_json(call: &Call<'_>, environment: &ProtectedEnvironment) -> Value {
    json!({
        "name": environment.name,
        "deploy_access_levels": grants_json(call, &environment.deploy),
        "approval_rules": environment.approval_rules,
        "required_approval_count": 0,
    })
}

fn environments(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let all = &call.at(id)?.premium.environments;
    Ok(Reply::list(all.iter().map(|one| environment_json(call, one)).collect::<Vec<_>>()))
}

fn position(call: &Call<'_>, project: u64) -> Result<usize, Refusal> {
    let found = call.at(project)?.premium.environments.iter().position(|one| one.name == call.param(1));
    found.ok_or_else(|| not_found(""))
}

fn environment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let at = position(call, id)?;
    Ok(Reply::ok(environment_json(call, &call.at(id)?.premium.environments[at])))
}

fn protect_environment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let name = call.required("name")?;
    if !call.input.get("deploy_access_levels").is_some_and(Value::is_array) {
        return Err(error(400, "deploy_access_levels is missing"));
    }
    if call.at(id)?.premium.environments.iter().any(|one| one.name == name) {
        return Err(message(409, format!("409 Environment '{name}' is already protected")));
    }
    let mut deploy = Vec::new();
    change_grants(call, &mut deploy, "deploy_access_levels");
    if deploy.is_empty() {
        return Err(message(422, json!(["Deploy access levels is too short (minimum is 1 character)"])));
    }
    let approval_rules = call.input.get("approval_rules").cloned().unwrap_or_else(|| json!([]));
    let environment = ProtectedEnvironment { name, deploy, approval_rules };
    let value = environment_json(call, &environment);
    call.at_mut(id)?.premium.environments.push(environment);
    Ok(Reply::created(value))
}

fn change_environment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let at = position(call, id)?;
    let mut environment = call.at(id)?.premium.environments[at].clone();
    change_grants(call, &mut environment.deploy, "deploy_access_levels");
    if let Some(rules) = call.input.get("approval_rules") {
        environment.approval_rules = rules.clone();
    }
    let value = environment_json(call, &environment);
    call.at_mut(id)?.premium.environments[at] = environment;
    Ok(Reply::ok(value))
}

fn unprotect_environment(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let at = position(call, id)?;
    call.at_mut(id)?.premium.environments.remove(at);
    Ok(Reply::no_content())
}

fn push_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    Ok(Reply::ok(call.at(id)?.premium.push_rule.clone().map_or(Value::Null, Value::Object)))
}

fn add_push_rule(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    if call.at(id)?.premium.push_rule.is_some() {
        return Err(message(422, "422 Unprocessable entity - Project push rule exists"));
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

fn write_push_rule(call: &mut Call<'_>, project: u64) -> Result<Value, Refusal> {
    let sent = call.input.clone().into_iter().filter(|(name, _)| PUSH_RULE.contains(&name.as_str()));
    let sent: Map<_, _> = sent.collect();
    let rule = call.at_mut(project)?.premium.push_rule.get_or_insert_with(Map::new);
    rule.extend(sent);
    Ok(Value::Object(rule.clone()))
}

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
const ENVIRONMENT: &[&str] = &["name", "deploy_access_levels", "approval_rules"];
const CHANGE: &[&str] = &["deploy_access_levels", "approval_rules"];
const ENVIRONMENTS: &str = "/projects/:id/protected_environments";
const ONE_ENVIRONMENT: &str = "/projects/:id/protected_environments/:name";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", ENVIRONMENTS, Need::Read, &[], environments).only_with(Feature::EnterpriseFields),
    Route::new("POST", ENVIRONMENTS, Need::Write, ENVIRONMENT, protect_environment).only_with(Feature::Premium),
    Route::new("GET", ONE_ENVIRONMENT, Need::Read, &[], environment).only_with(Feature::Premium),
    Route::new("PUT", ONE_ENVIRONMENT, Need::Write, CHANGE, change_environment).only_with(Feature::Premium),
    Route::new("DELETE", ONE_ENVIRONMENT, Need::Write, &[], unprotect_environment).only_with(Feature::Premium),
    Route::new("GET", "/projects/:id/push_rule", Need::Read, &[], push_rule).only_with(Feature::Premium),
    Route::new("POST", "/projects/:id/push_rule", Need::Write, PUSH_RULE, add_push_rule).only_with(Feature::Premium),
    Route::new("PUT", "/projects/:id/push_rule", Need::Write, PUSH_RULE, change_push_rule).only_with(Feature::Premium),
];
