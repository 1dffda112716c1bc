//! Who approves a merge request under a license, and what waits for it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/plane.rs"]
mod plane;
mod support;

use std::time::Duration;

use gitlab_stand_in::{Edition, Tier};
use plane::Plane;
use serde_json::{Value, json};

/// When a push removes approvals.
const LATER: Duration = Duration::from_millis(400);

/// A project with owners of its code, whose Developer `dev` has opened a merge request that changes the pipeline.
struct Case {
    plane: Plane,
    id: u64,
    dev: String,
}

impl Case {
    fn new() -> Option<Self> {
        let plane = Plane::with(|options| {
            (options.edition, options.tier) = (Edition::Ee, Tier::Premium);
            options.approvals_reset_after = LATER;
        })?;
        let id = plane.project("control");
        let dev = plane.member(id, "dev", 30);
        let case = Self { plane, id, dev };
        let owners = "[Policy]\n/.gitlab-ci.yml owner@stand-in.invalid\n/scripts/ @nobody\n";
        case.commit("main", &json!([{"action": "create", "file_path": "CODEOWNERS", "content": owners}]));
        case.plane.patch(&case.at("/protected_branches/main"), &json!({"code_owner_approval_required": true}));
        Some(case)
    }

    fn at(&self, rest: &str) -> String {
        format!("/projects/{}{rest}", self.id)
    }

    fn commit(&self, branch: &str, actions: &Value) {
        let mut body = json!({"branch": branch, "commit_message": "Change", "actions": actions});
        if self.plane.get(&self.at("/repository/branches/main")).status == 200 {
            body["start_branch"] = "main".into();
        }
        if self.plane.get(&self.at(&format!("/repository/branches/{branch}"))).status == 200 {
            body.as_object_mut().unwrap().remove("start_branch");
        }
        let got = self.plane.post(&self.at("/repository/commits"), &body);
        assert_eq!(got.status, 201, "{}", got.body);
    }

    /// A request by `dev` or the owner, from a branch of this name with one change.
    fn open(&self, branch: &str, path: &str, by_dev: bool) -> String {
        self.commit(branch, &json!([{"action": "create", "file_path": path, "content": branch}]));
        let body = json!({"source_branch": branch, "target_branch": "main", "title": branch});
        let dev = self.plane.as_token(&self.dev);
        let made = if by_dev {
            dev.post(&self.at("/merge_requests"), &body)
        } else {
            self.plane.post(&self.at("/merge_requests"), &body)
        };
        assert_eq!(made.status, 201, "{}", made.body);
        self.at(&format!("/merge_requests/{}", made.body["iid"]))
    }

    /// `regular 1/1 no` for each rule of a request.
    fn state(&self, request: &str) -> Vec<String> {
        let state = self.plane.get(&format!("{request}/approval_state")).body;
        let one = |rule: &Value| {
            let approvers = rule["eligible_approvers"].as_array().unwrap().len();
            let kind = rule["rule_type"].as_str().unwrap();
            format!(
                "{kind} {}/{approvers} {}",
                rule["approvals_required"],
                if rule["approved"] == true { "yes" } else { "no" }
            )
        };
        state["rules"].as_array().unwrap().iter().map(one).collect()
    }

    fn status(&self, request: &str) -> Value {
        self.plane.get(request).body["detailed_merge_status"].clone()
    }

    fn rule(&self, body: &Value) -> Value {
        let made = self.plane.post(&self.at("/approval_rules"), body);
        assert_eq!(made.status, 201, "{}", made.body);
        made.body
    }
}

#[test]
fn a_rule_that_names_the_author_alone_is_approved_and_any_approver_is_not() {
    let Some(case) = Case::new() else { return };
    let owner = case.plane.get("/user").body["id"].clone();
    let rule = case.rule(&json!({"name": "Owner", "approvals_required": 1, "user_ids": [owner]}));
    assert_eq!(rule["eligible_approvers"][0]["id"], owner);
    let (devs, owners) = (case.open("a", "a.txt", true), case.open("b", "b.txt", false));
    assert_eq!(case.state(&devs), ["regular 1/1 no"]);
    assert_eq!(case.status(&devs), "not_approved");
    assert_eq!(case.state(&owners), ["regular 1/0 yes"]);
    assert_eq!(case.status(&owners), "mergeable");
    case.rule(&json!({"name": "All", "rule_type": "any_approver", "approvals_required": 1}));
    assert_eq!(case.state(&owners), ["regular 1/0 yes", "any_approver 1/0 no"]);
    assert_eq!(case.status(&owners), "not_approved");
}

#[test]
fn an_approval_is_the_owners_and_ends_with_a_push() {
    let Some(case) = Case::new() else { return };
    let owner = case.plane.get("/user").body["id"].clone();
    case.rule(&json!({"name": "Owner", "approvals_required": 1, "user_ids": [owner]}));
    let request = case.open("a", ".gitlab-ci.yml", true);
    assert_eq!(case.state(&request), ["regular 1/1 no", "code_owner 1/1 no"]);
    let approve = format!("{request}/approve");
    assert_eq!(case.plane.as_token(&case.dev).post(&approve, &json!({})).status, 401);
    assert_eq!(case.plane.put(&format!("{request}/merge"), &json!({})).status, 405);
    assert_eq!(case.plane.post(&approve, &json!({"sha": "0000"})).status, 409);
    assert_eq!(case.plane.post(&approve, &json!({})).status, 201);
    assert_eq!(case.plane.post(&approve, &json!({})).status, 401, "once each");
    assert_eq!(case.state(&request), ["regular 1/1 yes", "code_owner 1/1 yes"]);
    // The same content again changes no patch, and what changes one counts a moment later.
    case.commit("a", &json!([{"action": "chmod", "file_path": ".gitlab-ci.yml", "execute_filemode": false}]));
    assert_eq!(case.status(&request), "mergeable");
    case.commit("a", &json!([{"action": "create", "file_path": "more", "content": "x"}]));
    assert_eq!(case.status(&request), "mergeable");
    std::thread::sleep(LATER);
    assert_eq!(case.status(&request), "not_approved");
    // An owner who is no member makes no approval necessary.
    let other = case.open("b", "scripts/x", true);
    assert_eq!(case.state(&other), ["regular 1/1 no", "code_owner 0/0 yes"]);
    assert_eq!(case.plane.post(&format!("{other}/approve"), &json!({})).status, 201);
    assert_eq!(case.status(&other), "mergeable");
}

/// The commits here are the owner's, whose request the Developer opened.
#[test]
fn a_committer_who_may_not_approve_leaves_the_rule_without_approvers() {
    let Some(case) = Case::new() else { return };
    let owner = case.plane.get("/user").body["id"].clone();
    case.rule(&json!({"name": "Owner", "approvals_required": 1, "user_ids": [owner]}));
    let request = case.open("a", "a.txt", true);
    assert_eq!(case.status(&request), "not_approved");
    let got = case.plane.post(&case.at("/approvals"), &json!({"merge_requests_disable_committers_approval": true}));
    assert_eq!(got.status, 201, "{}", got.body);
    assert_eq!(case.state(&request), ["regular 1/0 yes"]);
    assert_eq!(case.status(&request), "mergeable");
}

#[test]
fn a_protected_environment_is_for_those_it_names() {
    let Some(case) = Case::new() else { return };
    let body =
        |sha: &str| json!({"environment": "production", "sha": sha, "ref": "main", "tag": false, "status": "success"});
    let dev = case.plane.as_token(&case.dev);
    let deploy = |sha: &str| dev.post(&case.at("/deployments"), &body(sha));
    assert_eq!(deploy("main").status, 201, "without a rule any Developer may");
    let rule = json!({"name": "production", "deploy_access_levels": [{"access_level": 40}]});
    let made = case.plane.post(&case.at("/protected_environments"), &rule);
    assert_eq!(
        (made.status, &made.body["deploy_access_levels"][0]["access_level"]),
        (201, &json!(40)),
        "{}",
        made.body
    );
    assert_eq!(case.plane.post(&case.at("/protected_environments"), &rule).status, 409);
    assert_eq!(deploy("main").status, 403);
    let none = case.plane.post(&case.at("/deployments"), &body(&"1".repeat(40)));
    assert_eq!((none.status, &none.body["message"]["sha"][0]), (400, &json!("The commit does not exist")));
}
