//! The checker itself, and the stand-in's own idea of GitLab: every call of it is one that GitLab's description knows.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/openapi.rs"]
mod openapi;
#[path = "support/plane.rs"]
mod plane;
mod support;

use gitlab_stand_in::served_calls;
use openapi::OpenApi;
use plane::{Plane, expires_in};
use serde_json::json;

/// The calls of a hand-off, as a correct client makes them.
fn hand_off(plane: &Plane) {
    let group = plane.get("/groups/factory").body["id"].clone();
    plane.get("/metadata");
    plane.get("/personal_access_tokens/self");
    plane.get("/user");
    assert_eq!(plane.get("/projects/factory%2Fcontrol").status, 404);
    let made = plane.post(
        "/projects",
        &json!({"name": "Control", "path": "control", "namespace_id": group, "visibility": "private", "initialize_with_readme": false}),
    );
    let id = made.body["id"].as_u64().unwrap();
    let at = |path: &str| format!("/projects/{id}{path}");
    assert_eq!(plane.get(&at("/repository/branches/main")).status, 404);
    let files = json!([{"action": "create", "file_path": ".gitlab-ci.yml", "content": "check:\n  script: [make]\n"}]);
    let seed =
        plane.post(&at("/repository/commits"), &json!({"branch": "main", "commit_message": "Seed", "actions": files}));
    assert_eq!(seed.status, 201, "{}", seed.body);
    assert_eq!(plane.get(&at("/ci/lint?content_ref=main&include_jobs=true")).body["valid"], true);
    plane.delete(&at("/protected_branches/main"));
    plane.post(
        &at("/protected_branches"),
        &json!({"name": "main", "push_access_level": 0, "merge_access_level": 40, "allow_force_push": false}),
    );
    plane.post(&at("/protected_tags"), &json!({"name": "v*", "create_access_level": 40}));
    let tag = json!({"tag_name": "v0", "ref": "main", "message": "The first\n\nof all"});
    assert_eq!(plane.post(&at("/repository/tags"), &tag).status, 201);
    let settings = json!({
        "only_allow_merge_if_pipeline_succeeds": true,
        "allow_merge_on_skipped_pipeline": false,
        "only_allow_merge_if_all_discussions_are_resolved": true,
        "public_jobs": false,
        "ci_pipeline_variables_minimum_override_role": "no_one_allowed",
        "ci_separated_caches": true,
        "ci_forward_deployment_enabled": true,
        "ci_push_repository_for_job_token_allowed": false,
        "auto_devops_enabled": false,
        "shared_runners_enabled": false,
        "merge_method": "ff",
        "squash_option": "always",
    });
    assert_eq!(plane.put(&format!("/projects/{id}"), &settings).body["merge_method"], "ff");
    assert_eq!(plane.patch(&at("/job_token_scope"), &json!({"enabled": true})).status, 204);
    plane.post(&at("/environments"), &json!({"name": "production", "tier": "production"}));
    let variable = json!({
        "key": "DEPLOY_TOKEN", "value": "s3cret-s3cret", "protected": true, "masked_and_hidden": true,
        "environment_scope": "production", "raw": true, "variable_type": "env_var",
    });
    assert_eq!(plane.post(&at("/variables"), &variable).status, 201);
    let path = at("/variables/DEPLOY_TOKEN?filter[environment_scope]=production");
    assert_eq!(plane.delete(&path).status, 204);
    assert_eq!(plane.post(&at("/variables"), &variable).status, 201);
    let runner = plane.post(
        "/user/runners",
        &json!({
            "runner_type": "project_type", "project_id": id, "description": "trusted", "access_level": "ref_protected",
            "locked": true, "run_untagged": false, "tag_list": ["trusted"],
        }),
    );
    plane.post("/runners/verify", &json!({"token": runner.body["token"], "system_id": "s_1"}));
    plane.get(&at("/runners?type=project_type&per_page=100"));
    let account = plane.post(&at("/service_accounts"), &json!({"name": "Agent", "username": "factory-agent"}));
    let user = account.body["id"].as_u64().unwrap();
    plane.post(&at("/members"), &json!({"user_id": user, "access_level": 30, "expires_at": expires_in(30)}));
    let token = plane.post(
        &at(&format!("/service_accounts/{user}/personal_access_tokens")),
        &json!({"name": "day one", "scopes": ["api"], "expires_at": expires_in(30)}),
    );
    let agent = plane.as_token(token.body["token"].as_str().unwrap());
    assert_eq!(agent.post(&at("/pipeline"), &json!({"ref": "main"})).status, 400);
    assert_eq!(agent.get(&at("/variables")).status, 403);
    assert_eq!(agent.send("DELETE", "/personal_access_tokens/self", None).status, 204);
}

#[test]
fn a_hand_off_keeps_to_the_description() {
    let (Some(api), Some(plane)) = (OpenApi::load(), Plane::start()) else { return };
    hand_off(&plane);
    let log = plane.log();
    assert!(log.len() >= 25, "{} requests", log.len());
    assert_eq!(api.problems(&log), Vec::<String>::new());
    let unknown: Vec<_> = log.iter().filter(|request| !request.unknown_keys.is_empty()).collect();
    assert!(unknown.is_empty(), "the stand-in does not know these keys: {unknown:?}");
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let (Some(api), Some(plane)) = (OpenApi::load(), Plane::start()) else { return };
    let id = plane.project("control");
    plane.stand_in.clear_log();
    let at = |path: &str| format!("/projects/{id}{path}");
    let rule = |rule: serde_json::Value| plane.post(&at("/protected_branches"), &rule);
    for (make, problem) in [
        (
            Box::new(|| rule(json!({"name": "a", "push_acces_level": 0}))) as Box<dyn Fn() -> plane::Got>,
            "push_acces_level",
        ),
        (Box::new(|| rule(json!({"push_access_level": 0}))), "\"name\" is a required property"),
        (Box::new(|| rule(json!({"name": "b", "push_access_level": 35}))), "35 is not one of"),
        (Box::new(|| rule(json!({"name": "c", "allow_force_push": "no"}))), "is not of type \"boolean\""),
        (Box::new(|| plane.get(&at("/pipelines?reff=main"))), "unknown query parameter reff"),
        (Box::new(|| plane.get(&at("/repository/files/README.md"))), "query parameter ref is missing"),
        (Box::new(|| plane.get(&at("/protected_branch"))), "GitLab has no such call"),
        (Box::new(|| plane.post(&at("/members"), &json!(null))), "needs a body"),
    ] {
        make();
        let problems = api.problems(&plane.log());
        plane.stand_in.clear_log();
        assert!(problems.iter().any(|found| found.contains(problem)), "wanted {problem:?}, got {problems:?}");
    }
}

#[test]
fn every_route_of_the_stand_in_is_a_call_of_gitlab() {
    let Some(api) = OpenApi::load() else { return };
    // The description has not the calls of https://docs.gitlab.com/api/notes/, nor what only runners call, and send:
    // https://gitlab.com/gitlab-org/gitlab-runner/-/blob/v19.3.0/network/gitlab.go
    // The first is no call of the REST API.
    let left_out = [
        "/api/graphql",
        "/jobs/request",
        "/projects/:id/issues/:issue_iid/notes",
        "/projects/:id/merge_requests/:merge_request_iid/notes",
    ];
    let mut problems = Vec::new();
    for call in served_calls().filter(|call| !left_out.contains(&call.path)) {
        let path = format!("/api/v4{}", call.path);
        match api.parameters(call.method, &path) {
            None => problems.push(format!("{} {}: no such call", call.method, call.path)),
            Some(known) => {
                // With the last, an engine names its lock: `lib/api/terraform/state.rb`.
                let is_known = |name: &str| known.contains(name) || ["filter", "info", "ID"].contains(&name);
                let unknown = call.parameters.iter().filter(|name| !is_known(name));
                problems.extend(unknown.map(|name| format!("{} {}: no parameter {name}", call.method, call.path)));
            }
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}

// Left out: `/user` and `/projects`, of which the description knows only the short form.
#[test]
fn answers_have_no_names_of_their_own() {
    let (Some(api), Some(plane)) = (OpenApi::load(), Plane::start()) else { return };
    hand_off(&plane);
    let id = plane.get("/projects/factory%2Fcontrol").body["id"].clone();
    let mut problems = Vec::new();
    for path in [
        "/metadata",
        "/version",
        "/personal_access_tokens/self",
        "/groups/factory",
        "/namespaces",
        "/projects/:id",
        "/projects/:id/protected_branches",
        "/projects/:id/protected_tags",
        "/projects/:id/members",
        "/projects/:id/environments",
        "/projects/:id/variables",
        "/projects/:id/runners",
        "/projects/:id/job_token_scope",
        "/projects/:id/pipelines",
        "/projects/:id/jobs",
        "/projects/:id/repository/branches",
        "/projects/:id/repository/commits",
        "/projects/:id/repository/tags",
        "/projects/:id/repository/tree",
        "/projects/:id/ci/lint",
        "/projects/:id/service_accounts",
    ] {
        let path = path.replace(":id", &id.to_string());
        let got = plane.get(&path);
        assert_eq!(got.status, 200, "{path}");
        let object = if got.body.is_array() { got.body[0].clone() } else { got.body };
        let Some(known) = api.answer("GET", &format!("/api/v4{path}"), 200) else { continue };
        for name in object.as_object().unwrap_or_else(|| panic!("{path} is empty")).keys() {
            if !known.contains(name) {
                problems.push(format!("{path}: {name}"));
            }
        }
    }
    assert_eq!(problems, Vec::<String>::new());
}
