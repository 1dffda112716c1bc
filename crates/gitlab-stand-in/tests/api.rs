//! The stand-in control plane, driven as a client drives GitLab: REST through an HTTP client, git through git.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/plane.rs"]
mod plane;
mod support;

use std::time::Duration;

use gitlab_stand_in::{Edition, Fault, Tier};
use plane::{Plane, expires_in};
use serde_json::json;

#[test]
fn it_says_what_it_is_wherever_it_speaks() {
    let Some(plane) = Plane::start() else { return };
    let page = plane.agent().get(plane.url()).call().unwrap();
    assert_eq!(page.headers()["x-factoryup-stand-in"], "1");
    assert!(page.into_body().read_to_string().unwrap().contains("It is not GitLab"));
    let version = plane.get("/version");
    assert_eq!(version.body["version"], "18.11.0-stand-in");
    assert_eq!(version.header("x-factoryup-stand-in"), "1");
}

#[test]
fn a_service_account_gets_its_token_once() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let path = format!("/projects/{project}/service_accounts");
    let account = plane.post(&path, &json!({"name": "agent", "username": "factory-agent"}));
    assert_eq!(account.status, 201);
    let user = account.body["id"].as_u64().unwrap();
    let tokens = format!("{path}/{user}/personal_access_tokens");
    let without_end = plane.post(&tokens, &json!({"name": "day one", "scopes": ["api"]}));
    assert_eq!(without_end.status, 400);
    let made = plane.post(&tokens, &json!({"name": "day one", "scopes": ["api"], "expires_at": expires_in(30)}));
    assert_eq!(made.status, 201);
    let text = made.body["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("glpat-"));
    let listed = plane.get(&tokens);
    assert_eq!(listed.body[0]["name"], "day one");
    assert!(listed.body[0].get("token").is_none());
    assert!(!format!("{:?}", plane.log()).contains(&text));
    assert_eq!(plane.as_token(&text).get(&format!("/projects/{project}")).status, 404);
    let member = plane.post(&format!("/projects/{project}/members"), &json!({"user_id": user, "access_level": 30}));
    assert_eq!(member.status, 201);
    assert_eq!(plane.as_token(&text).get("/projects/factory%2Fcontrol").body["id"], project);
}

#[test]
fn tokens_end_and_say_why() {
    let Some(plane) = Plane::start() else { return };
    assert_eq!(plane.as_token("glpat-none").get("/user").body, json!({"message": "401 Unauthorized"}));
    let past = expires_in(-1).parse().unwrap();
    let expired = plane.stand_in.issue_token("owner", &["api"], Some(past)).unwrap();
    let answer = plane.as_token(&expired).get("/user");
    assert_eq!((answer.status, &answer.body["error"]), (401, &json!("invalid_token")));
    assert!(answer.body["error_description"].as_str().unwrap().contains("expired"));

    let first = plane.token("owner", &["api"]);
    let rotated = plane.as_token(&first).post("/personal_access_tokens/self/rotate", &json!({}));
    assert_eq!(rotated.status, 200);
    let second = rotated.body["token"].as_str().unwrap().to_owned();
    let answer = plane.as_token(&first).get("/user");
    assert_eq!(answer.status, 401);
    assert!(answer.body["error_description"].as_str().unwrap().contains("revoked"));
    assert_eq!(plane.as_token(&second).get("/user").status, 200);
    // Somebody rotates the revoked one again: the whole family ends.
    assert_eq!(plane.as_token(&first).post("/personal_access_tokens/self/rotate", &json!({})).status, 401);
    assert_eq!(plane.as_token(&second).get("/user").status, 401);

    let last = plane.token("owner", &["read_user"]);
    assert_eq!(plane.as_token(&last).send("DELETE", "/personal_access_tokens/self", None).status, 204);
    assert_eq!(plane.as_token(&last).get("/user").status, 401);
}

#[test]
fn scopes_open_what_they_say_and_no_more() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let at = format!("/projects/{project}");
    let refused = |token: &str, method: &str, path: &str, body: serde_json::Value| {
        let answer = plane.as_token(token).send(method, path, Some(&body));
        assert_eq!((answer.status, &answer.body["error"]), (403, &json!("insufficient_scope")), "{method} {path}");
    };
    let reader = plane.token("owner", &["read_api"]);
    assert_eq!(plane.as_token(&reader).get(&at).status, 200);
    refused(&reader, "PUT", &at, json!({"merge_method": "ff"}));
    refused(&reader, "POST", "/user/runners", json!({"runner_type": "project_type", "project_id": project}));
    refused(&reader, "POST", "/personal_access_tokens/self/rotate", json!({}));
    let runner = plane.token("owner", &["create_runner"]);
    let body = json!({"runner_type": "project_type", "project_id": project});
    assert_eq!(plane.as_token(&runner).post("/user/runners", &body).status, 201);
    refused(&runner, "GET", &at, json!({}));
    assert_eq!(plane.as_token(&runner).get("/personal_access_tokens/self").body["scopes"], json!(["create_runner"]));
    let rotating = plane.token("owner", &["read_repository", "self_rotate"]);
    assert_eq!(plane.as_token(&rotating).post("/personal_access_tokens/self/rotate", &json!({})).status, 200);
}

#[test]
fn roles_decide_and_strangers_see_nothing() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let at = |path: &str| format!("/projects/{project}{path}");
    plane.stand_in.add_user("stranger").unwrap();
    let stranger = plane.token("stranger", &["api"]);
    let answer = plane.as_token(&stranger).get(&at(""));
    assert_eq!((answer.status, answer.body), (404, json!({"message": "404 Project Not Found"})));

    let agent = plane.member(project, "agent", 30);
    let agent = plane.as_token(&agent);
    assert_eq!(agent.get(&at("")).status, 200);
    for (method, path, body) in [
        ("GET", "/variables", json!({})),
        ("POST", "/protected_branches", json!({"name": "x"})),
        ("DELETE", "/protected_branches/main", json!({})),
        ("POST", "/members", json!({"username": "stranger", "access_level": 30})),
        ("PATCH", "/job_token_scope", json!({"enabled": false})),
        ("PUT", "", json!({"public_jobs": true})),
        ("GET", "/runners", json!({})),
        ("POST", "/service_accounts", json!({"name": "second"})),
    ] {
        assert_eq!(agent.send(method, &at(path), Some(&body)).status, 403, "{method} {path}");
    }
    assert_eq!(plane.log().last().unwrap().role, Some(30));

    // The higher of both roles counts, and nobody gives away more than they have.
    let maintainer = plane.member(project, "maintainer", 40);
    let maintainer = plane.as_token(&maintainer);
    assert_eq!(maintainer.get(&at("/variables")).status, 200);
    let owner = json!({"username": "stranger", "access_level": 50});
    assert_eq!(maintainer.post(&at("/members"), &owner).status, 403);
    assert_eq!(maintainer.post(&at("/members"), &json!({"username": "stranger", "access_level": 40})).status, 201);
    let inherited = plane.get(&at("/members/all"));
    let level = |name: &str| {
        let member = inherited.body.as_array().unwrap().iter().find(|member| member["username"] == name).unwrap();
        member["access_level"].as_u64().unwrap()
    };
    assert_eq!(["owner", "agent", "maintainer"].map(level), [50, 30, 40]);
    let id = plane.get("/users?username=stranger").body[0]["id"].clone();
    let ended = json!({"access_level": 40, "expires_at": expires_in(-1)});
    assert_eq!(plane.put(&at(&format!("/members/{id}")), &ended).status, 200);
    assert_eq!(plane.as_token(&stranger).get(&at("")).status, 404);
}

#[test]
fn without_a_license_only_forced_pushes_are_changed_and_the_answer_is_200() {
    for (edition, enterprise) in [(Edition::Ce, false), (Edition::Ee, true)] {
        let Some(plane) = Plane::with(|options| options.edition = edition) else { return };
        let project = plane.project("control");
        let rules = format!("/projects/{project}/protected_branches");
        assert_eq!(plane.post(&rules, &json!({"name": "release/*", "allow_force_push": false})).status, 201);
        assert_eq!(plane.post(&rules, &json!({"name": "release/*"})).status, 409);
        let one = format!("{rules}/release%2F*");
        let change = json!({"allow_force_push": true, "allowed_to_push": [{"access_level": 0}]});
        assert_eq!(plane.patch(&one, &change).status, 200);
        let rule = plane.get(&one).body;
        assert_eq!(rule["allow_force_push"], true, "{edition:?}");
        assert_eq!(rule["push_access_levels"][0]["access_level"], 40, "{edition:?}");
        assert_eq!(plane.get("/metadata").body["enterprise"], enterprise);
        assert_eq!(plane.delete(&one).status, 204);
        assert_eq!(plane.get(&one).status, 404);
    }
}

#[test]
fn what_needs_a_licence_is_not_there_without() {
    let Some(free) = Plane::with(|options| options.edition = Edition::Ee) else { return };
    let project = free.project("control");
    let at = |path: &str| format!("/projects/{project}{path}");
    // These are listed without one, too.
    assert_eq!(free.get(&at("/protected_environments")).body, json!([]));
    assert_eq!(free.get(&at("/push_rule")).status, 404);
    assert_eq!(free.get(&at("/approval_rules")).status, 404);
    let person = json!({"name": "main", "allowed_to_push": [{"user_id": 2}]});
    let rule = free.post(&at("/protected_branches"), &person);
    assert_eq!(rule.body["push_access_levels"][0]["access_level"], 40);

    let Some(premium) = Plane::with(|options| (options.edition, options.tier) = (Edition::Ee, Tier::Premium)) else {
        return;
    };
    let project = premium.project("control");
    let at = |path: &str| format!("/projects/{project}{path}");
    let environment = json!({"name": "production", "deploy_access_levels": [{"access_level": 40}]});
    assert_eq!(premium.post(&at("/protected_environments"), &environment).status, 201);
    assert_eq!(premium.post(&at("/protected_environments"), &environment).status, 409);
    let owner = premium.get("/user").body["id"].clone();
    let person = json!({"name": "main", "allowed_to_push": [{"user_id": owner}]});
    let rule = premium.post(&at("/protected_branches"), &person);
    assert_eq!(rule.body["push_access_levels"][0]["user_id"], owner);
}

#[test]
fn service_accounts_hang_on_edition_and_version() {
    use Edition::{Ce, Ee};
    use Tier::{Free, Premium};
    for (edition, tier, version, of_project, of_group) in [
        (Ce, Free, "18.11.0", 404, 404),
        (Ce, Free, "19.1.0", 404, 404),
        (Ee, Free, "18.10.3", 404, 404),
        (Ee, Free, "18.11.0", 200, 200),
        (Ee, Premium, "18.10.3", 404, 200),
        (Ee, Premium, "19.2.0", 200, 200),
    ] {
        let plane = Plane::with(|options| {
            (options.edition, options.tier) = (edition, tier);
            version.clone_into(&mut options.version);
        });
        let Some(plane) = plane else { return };
        let project = plane.project("control");
        let what = format!("{edition:?} {tier:?} {version}");
        let accounts = plane.get(&format!("/projects/{project}/service_accounts"));
        assert_eq!(accounts.status, of_project, "{what}");
        assert_eq!(plane.get("/groups/factory/service_accounts").status, of_group, "{what}");
        assert_eq!(plane.get("/version").body["version"], format!("{version}-stand-in"));
        let missing = plane.get("/projects/factory%2Fnone/service_accounts").body;
        let said = if of_project == 200 {
            json!({"message": "404 Project Not Found"})
        } else {
            json!({"error": "404 Not Found"})
        };
        assert_eq!(missing, said, "{what}");
    }
}

#[test]
fn an_administrator_makes_users_and_their_tokens_and_nobody_else_does() {
    let Some(plane) = Plane::with(|options| options.edition = Edition::Ce) else { return };
    let root = plane.token("root", &["api"]);
    let admin = plane.as_token(&root);
    let user = json!({
        "username": "agent", "name": "Agent", "email": "agent@example.invalid", "force_random_password": true,
        "skip_confirmation": true, "external": true, "can_create_group": false, "projects_limit": 0, "note": "ours",
    });
    assert_eq!(plane.post("/users", &user).status, 403);
    let made = admin.post("/users", &user);
    assert_eq!(made.status, 201);
    let id = made.body["id"].as_u64().unwrap();
    assert_eq!(admin.get(&format!("/users/{id}")).body["note"], "ours");
    assert!(plane.get(&format!("/users/{id}")).body["note"].is_null());
    let tokens = format!("/users/{id}/personal_access_tokens");
    let token = json!({"name": "work", "scopes": ["read_api"], "expires_at": expires_in(9)});
    assert_eq!(plane.post(&tokens, &token).status, 403);
    let made = admin.post(&tokens, &token).body["token"].as_str().unwrap().to_owned();
    let own = plane.as_token(&made).get("/user").body;
    assert_eq!(
        (&own["username"], &own["external"], &own["can_create_group"]),
        (&json!("agent"), &json!(true), &json!(false))
    );
    assert_eq!(
        (admin.get("/application/plan_limits").status, plane.get("/application/plan_limits").status),
        (200, 403)
    );
}

#[test]
fn runners_may_be_the_administrators_alone() {
    let Some(plane) = Plane::with(|options| options.runner_registration = false) else { return };
    let runner = json!({"runner_type": "project_type", "project_id": plane.project("control"), "tag_list": ["a"]});
    assert_eq!(plane.post("/user/runners", &runner).status, 403);
    let root = plane.token("root", &["api"]);
    assert_eq!(plane.as_token(&root).post("/user/runners", &runner).status, 201);
}

#[test]
fn faults_come_when_asked_for_and_end() {
    let Some(plane) = Plane::start() else { return };
    plane.stand_in.fail_next(2, Fault::TooManyRequests { retry_after: Duration::from_secs(7) });
    plane.stand_in.fail_next(1, Fault::ServerError);
    for _ in 0..2 {
        let answer = plane.get("/user");
        assert_eq!((answer.status, answer.header("retry-after")), (429, "7"));
    }
    assert_eq!(plane.get("/user").status, 500);
    assert_eq!(plane.get("/user").status, 200);
    assert_eq!(plane.log().iter().filter(|request| request.fault).count(), 3);

    plane.stand_in.fail_next(1, Fault::Drop);
    let body = json!({"name": "First", "path": "first"});
    assert!(plane.as_token(&plane.owner_token()).try_send("POST", "/groups", Some(&body)).is_err());
    assert_eq!(plane.get("/groups/first").status, 404);
    plane.stand_in.fail_next(1, Fault::DropAfter);
    assert!(plane.as_token(&plane.owner_token()).try_send("POST", "/groups", Some(&body)).is_err());
    assert_eq!(plane.get("/groups/first").status, 200);
}

#[test]
fn lists_come_in_pages() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let at = format!("/projects/{project}/variables");
    for number in 0..25 {
        let variable = json!({"key": format!("KEY_{number:02}"), "value": "x"});
        assert_eq!(plane.post(&at, &variable).status, 201);
    }
    let first = plane.get(&at);
    assert_eq!(first.body.as_array().unwrap().len(), 20);
    assert_eq!([first.header("x-page"), first.header("x-next-page"), first.header("x-total")], ["1", "2", "25"]);
    let link = first.header("link");
    let next = link.split(", ").find(|link| link.contains("rel=\"next\"")).unwrap();
    let next = next.trim_start_matches('<').split('>').next().unwrap();
    let second = plane.get(next.split("/api/v4").nth(1).unwrap());
    assert_eq!(second.body[0]["key"], "KEY_20");
    assert_eq!(second.body.as_array().unwrap().len(), 5);
    assert_eq!(second.header("x-next-page"), "");
    assert!(!second.header("link").contains("rel=\"next\""));
    assert_eq!(plane.get(&format!("{at}?per_page=7&page=4")).body[0]["key"], "KEY_21");
    assert_eq!(plane.get(&format!("{at}?per_page=1000")).header("x-per-page"), "100");
}

#[test]
fn the_log_shows_what_was_not_understood_and_hides_what_is_secret() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    plane.stand_in.clear_log();
    assert_eq!(plane.get("/no/such/call").body, json!({"error": "404 Not Found"}));
    let rule = json!({"name": "v*", "create_acces_level": 40});
    assert_eq!(plane.post(&format!("/projects/{project}/protected_tags"), &rule).status, 201);
    let variable = json!({"key": "TOKEN", "value": "canary-8f1c", "masked": true});
    assert_eq!(plane.post(&format!("/projects/{project}/variables"), &variable).status, 201);
    let log = plane.log();
    assert_eq!(log[0].route, None);
    assert_eq!(log[1].unknown_keys, ["create_acces_level"]);
    assert_eq!(log[1].route, Some("/projects/:id/protected_tags"));
    assert_eq!(log[2].body, Some(json!({"key": "TOKEN", "value": "[redacted]", "masked": true})));
    let text = format!("{log:?}");
    assert!(!text.contains("canary-8f1c") && !text.contains(&plane.owner_token()));
}

#[test]
fn variables_live_in_scopes_and_hidden_ones_are_never_shown() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let at = format!("/projects/{project}/variables");
    let variable = |scope: &str| json!({"key": "KEY", "value": "long-enough", "masked_and_hidden": true, "environment_scope": scope});
    let made = plane.post(&at, &variable("production"));
    assert_eq!((made.status, &made.body["value"], &made.body["hidden"]), (201, &json!(null), &json!(true)));
    assert_eq!(plane.post(&at, &variable("production")).body["message"]["key"][0], "(KEY) has already been taken");
    assert_eq!(plane.post(&at, &variable("staging")).status, 201);
    assert_eq!(plane.get(&format!("{at}/KEY")).status, 409);
    let one = format!("{at}/KEY?filter[environment_scope]=staging");
    assert_eq!(plane.put(&one, &json!({"protected": true})).body["protected"], true);
    assert_eq!(plane.put(&one, &json!({"masked": false})).status, 400);
    assert_eq!(plane.get(&format!("{at}/KEY?filter[environment_scope]=production")).body["protected"], false);
    assert_eq!(plane.delete(&one).status, 204);
    assert_eq!(plane.get(&format!("{at}/KEY")).status, 200);
    let short = json!({"key": "SHORT", "value": "seven77", "masked": true});
    assert_eq!(plane.post(&at, &short).body, json!({"message": {"value": ["is invalid"]}}));
}

#[test]
fn a_runner_gets_its_token_once() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let body = json!({
        "runner_type": "project_type", "project_id": project, "tag_list": ["trusted"], "run_untagged": false,
        "locked": true, "access_level": "ref_protected",
    });
    let made = plane.post("/user/runners", &body);
    let token = made.body["token"].as_str().unwrap();
    assert!(token.starts_with("glrt-"));
    let one = format!("/runners/{}", made.body["id"]);
    assert_eq!(plane.get(&one).body["status"], "never_contacted");
    let stranger = plane.as_token("");
    assert_eq!(stranger.post("/runners/verify", &json!({"token": token, "system_id": "s_1"})).status, 200);
    assert_eq!(stranger.post("/runners/verify", &json!({"token": "glrt-wrong"})).status, 403);
    assert_eq!(stranger.post("/jobs/request", &json!({"token": token, "system_id": "s_1"})).status, 204);
    assert_eq!(stranger.post("/jobs/request", &json!({"token": "glrt-wrong"})).status, 403);
    let runner = plane.get(&one);
    assert_eq!((&runner.body["status"], &runner.body["access_level"]), (&json!("online"), &json!("ref_protected")));
    assert!(!runner.body.to_string().contains(token));
    assert_eq!(plane.get(&format!("/projects/{project}/runners")).body[0]["id"], made.body["id"]);
    assert_eq!(plane.put(&one, &json!({"maximum_timeout": 599})).status, 400);
    assert_eq!(plane.put(&one, &json!({"paused": true})).body["paused"], true);
}
