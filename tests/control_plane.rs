//! The stand-in control plane, driven as a client drives GitLab: REST through an HTTP client, git through git.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "support/plane.rs"]
mod plane;
mod support;

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
fn a_developer_may_push_until_the_branch_is_protected_against_it() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let work = plane.clone("control", &plane.owner_token());
    work.commit("README.md", "hello\n");
    assert!(work.push(&["origin", "HEAD:main"]).ok());

    let agent = plane.member(project, "agent", 30);
    let theirs = plane.clone("control", &agent);
    assert_eq!(theirs.read("README.md"), "hello\n");
    theirs.commit("README.md", "changed\n");
    assert!(theirs.push(&["origin", "HEAD:main"]).refused("not allowed to push code to protected branches"));
    assert!(theirs.push(&["origin", "HEAD:agent/change"]).ok());

    assert_eq!(plane.delete(&format!("/projects/{project}/protected_branches/main")).status, 204);
    assert!(theirs.push(&["origin", "HEAD:main"]).ok());

    let rule = json!({"name": "main", "push_access_level": 0, "merge_access_level": 40});
    assert_eq!(plane.post(&format!("/projects/{project}/protected_branches"), &rule).status, 201);
    theirs.commit("README.md", "again\n");
    assert!(theirs.push(&["origin", "HEAD:main"]).refused("not allowed to push code to protected branches"));
    work.git(&["pull", "--quiet", "origin", "main"]);
    work.commit("README.md", "mine\n");
    assert!(work.push(&["origin", "HEAD:main"]).refused("not allowed to push code to protected branches"));
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
