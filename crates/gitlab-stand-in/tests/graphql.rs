//! The GraphQL API: what each role sees, page by page, and what is wrong with a query.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/plane.rs"]
mod plane;
mod support;

use plane::{As, Plane};
use serde_json::{Value, json};

const QUERY: &str = "query($path: ID!, $after: String) { project(fullPath: $path) {
    ciCdSettings { inboundJobTokenScopeEnabled }
    runners(type: PROJECT_TYPE) { count nodes { id tagList accessLevel } }
    environments { nodes { name tier } }
    projectMembers(relations: [DIRECT, INHERITED]) { nodes { accessLevel { integerValue } user { username } } }
    ciVariables(first: 2, after: $after) { nodes { key } pageInfo { hasNextPage endCursor } }
    inheritedCiVariables { nodes { key groupCiCdSettingsPath } }
    repository { tree(ref: \"main\", refType: HEADS) { lastCommit { sha } } }
} }";

fn ask(who: &As<'_>, after: &Value) -> Value {
    let variables = json!({ "path": "factory/control", "after": after });
    let got = who.at_root("POST", "/api/graphql", Some(&json!({ "query": QUERY, "variables": variables })));
    assert_eq!(got.status, 200, "{}", got.body);
    got.body
}

#[test]
fn each_role_sees_what_it_may_and_lists_come_in_pages() {
    let Some(plane) = Plane::start() else { return };
    let id = plane.project("control");
    for key in ["A", "B", "C"] {
        let variable = json!({ "key": key, "value": "x" });
        assert_eq!(plane.post(&format!("/projects/{id}/variables"), &variable).status, 201);
    }
    assert_eq!(plane.post("/groups/factory/variables", &json!({ "key": "OURS", "value": "x" })).status, 201);
    let runner =
        json!({ "runner_type": "project_type", "project_id": id, "tag_list": ["a"], "access_level": "ref_protected" });
    assert_eq!(plane.post("/user/runners", &runner).status, 201);
    let environment = json!({ "name": "live", "tier": "production" });
    assert_eq!(plane.post(&format!("/projects/{id}/environments"), &environment).status, 201);

    // A Maintainer of the project alone reads what its jobs get from the group.
    let mia = plane.member(id, "mia", 40);
    let seen = ask(&plane.as_token(&mia), &Value::Null)["data"]["project"].clone();
    assert_eq!(seen["runners"]["nodes"][0]["accessLevel"], "REF_PROTECTED");
    assert_eq!(seen["environments"]["nodes"], json!([{ "name": "live", "tier": "PRODUCTION" }]));
    let inherited = json!([{ "key": "OURS", "groupCiCdSettingsPath": "/groups/factory/-/settings/ci_cd" }]);
    assert_eq!(seen["inheritedCiVariables"]["nodes"], inherited);
    let roles: Vec<_> = seen["projectMembers"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["accessLevel"]["integerValue"])
        .collect();
    assert_eq!(roles, [50, 40]);
    let page = &seen["ciVariables"];
    assert_eq!(
        (&page["nodes"], &page["pageInfo"]["hasNextPage"]),
        (&json!([{ "key": "A" }, { "key": "B" }]), &json!(true))
    );
    let next = ask(&plane.as_token(&mia), &page["pageInfo"]["endCursor"])["data"]["project"]["ciVariables"].clone();
    assert_eq!((&next["nodes"], &next["pageInfo"]["hasNextPage"]), (&json!([{ "key": "C" }]), &json!(false)));
    let end = ask(&plane.as_token(&mia), &next["pageInfo"]["endCursor"])["data"]["project"]["ciVariables"].clone();
    assert_eq!((&end["nodes"], &end["pageInfo"]["endCursor"]), (&json!([]), &Value::Null));

    let dan = plane.member(id, "dan", 30);
    let got = ask(&plane.as_token(&dan), &Value::Null);
    let seen = &got["data"]["project"];
    assert!(
        got["errors"][0]["message"].as_str().unwrap().starts_with("The resource that you are attempting to access")
    );
    assert!(
        ["runners", "ciVariables", "inheritedCiVariables", "ciCdSettings"].iter().all(|name| seen[name].is_null()),
        "{seen}"
    );
    assert_eq!(seen["environments"]["nodes"][0]["name"], "live");

    plane.stand_in.add_user("eve").unwrap();
    let eve = plane.token("eve", &["api"]);
    assert_eq!(ask(&plane.as_token(&eve), &Value::Null), json!({ "data": { "project": null } }));
}

#[test]
fn a_query_that_gitlab_would_not_take_is_an_error() {
    let Some(plane) = Plane::start() else { return };
    let path = "/api/graphql?query=%7Bproject(fullPath%3A%22a%2Fb%22)%7BrunersX%7Bid%7D%7D%7D";
    let got = plane.as_token(plane.owner_token().as_str()).at_root("GET", path, None);
    assert_eq!(got.body["errors"][0]["message"], "Field 'runersX' doesn't exist on type 'Project'");
}
