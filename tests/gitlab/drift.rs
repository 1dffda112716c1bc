//! What somebody changed behind our back: the plan shows it, applying mends it.

use factoryup::dialog::Silent;
use factoryup::plan::{Action, Outcome, Plan, Target as _, converge};
use factoryup::secret::Secret;
use gitlab_stand_in::{Edition, Tier};
use serde_json::{Value, json};

use super::plane::expires_in;
use super::situation::{QUIET, Situation};

/// Applies, and sees that just these changes were made and nothing is left.
fn mends(situation: &Situation, ids: &[&str]) {
    assert_eq!(situation.pending(), ids);
    let outcome = situation.apply(QUIET).unwrap();
    assert!(matches!(outcome, Outcome::Applied { changes, .. } if changes == ids.len()), "{outcome:?}");
    assert_eq!(situation.pending(), Vec::<String>::new());
}

fn protect(situation: &Situation, rule: &Value) {
    assert_eq!(situation.plane.post(&situation.path("/protected_branches"), rule).status, 201);
}

#[test]
fn a_loosened_branch_is_locked_again_without_ever_being_open() {
    let Some(situation) = Situation::handed_off() else { return };
    situation.plane.delete(&situation.path("/protected_branches/main"));
    protect(
        &situation,
        &json!({ "name": "main", "push_access_level": 30, "merge_access_level": 30, "allow_force_push": true }),
    );
    let plan = situation.plan();
    let diff = plan.changes[0].diff.clone().unwrap();
    assert_eq!(diff.before.as_deref(), Some("push: Developer\nmerge: Developer\nforce push: allowed\n"));
    assert_eq!(diff.after.as_deref(), Some("push: no one\nmerge: Maintainer\nforce push: no\n"));
    situation.plane.stand_in.clear_log();
    mends(&situation, &["protected-branch:main"]);
    assert_eq!(
        situation.writes_before_the_proof(),
        [
            "POST /projects/:id/protected_branches 201",
            "DELETE /projects/:id/protected_branches/:name 204",
            "POST /projects/:id/protected_branches 201",
            "DELETE /projects/:id/protected_branches/:name 204",
        ]
    );
    let names: Vec<_> = situation
        .plane
        .log()
        .into_iter()
        .filter(|r| r.is_write() && r.route.is_some_and(|route| route.contains("protected_branches")))
        .map(|r| r.body.map_or(r.path, |body| body["name"].as_str().unwrap().to_owned()))
        .map(|name| name.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["main*", "main", "main", "main%2A"], "another rule covers the branch while its own is away");
    let rules = situation.get("/protected_branches");
    assert_eq!(rules.as_array().unwrap().len(), 2);
    let rules = situation.get("/protected_branches/main");
    assert_eq!(rules["push_access_levels"][0]["access_level"], 0);
}

#[test]
fn a_rule_beside_it_that_opens_the_branch_is_removed() {
    let Some(situation) = Situation::handed_off() else { return };
    protect(&situation, &json!({ "name": "m*", "push_access_level": 40 }));
    protect(&situation, &json!({ "name": "feature/*", "push_access_level": 30 }));
    protect(&situation, &json!({ "name": "release/*", "push_access_level": 40 }));
    let plan = situation.plan();
    assert!(plan.changes.iter().all(|c| c.action == Action::Delete));
    mends(&situation, &["protected-branch:m*", "protected-branch:feature/*"]);
    assert_eq!(situation.get("/protected_branches").as_array().unwrap().len(), 3);
    // Nor does the agent get to push to what factoryup proposes from.
    let proposing = situation.path("/protected_branches/factory%2F%2A");
    situation.plane.delete(&proposing);
    mends(&situation, &["protected-branch:factory/*"]);
    situation.plane.delete(&proposing);
    protect(&situation, &json!({ "name": "factory/*", "push_access_level": 30, "merge_access_level": 40 }));
    mends(&situation, &["protected-branch:factory/*"]);
}

#[test]
fn on_premium_the_rule_is_changed_in_place() {
    let premium = |options: &mut gitlab_stand_in::Options| {
        options.edition = Edition::Ee;
        options.tier = Tier::Premium;
    };
    let Some(mut situation) = Situation::with(premium) else { return };
    situation.licensed();
    situation.apply(QUIET).unwrap();
    situation.plane.delete(&situation.path("/protected_branches/main"));
    protect(
        &situation,
        &json!({ "name": "main", "push_access_level": 40, "merge_access_level": 30, "code_owner_approval_required": true }),
    );
    situation.plane.stand_in.clear_log();
    mends(&situation, &["protected-branch:main"]);
    assert_eq!(situation.writes_before_the_proof(), ["PATCH /projects/:id/protected_branches/:name 200"]);
    assert_eq!(situation.get("/protected_branches/main")["code_owner_approval_required"], true);
}

#[test]
fn tags_settings_scope_and_environments_are_mended_with_what_differs_only() {
    let Some(situation) = Situation::handed_off() else { return };
    let plane = &situation.plane;
    plane.delete(&situation.path("/protected_tags/evidence%2F%2A"));
    plane.delete(&situation.path("/protected_tags/v%2A"));
    plane.post(&situation.path("/protected_tags"), &json!({ "name": "v*", "create_access_level": 30 }));
    plane.put(&situation.path(""), &json!({ "merge_method": "merge", "public_jobs": true }));
    plane.patch(&situation.path("/job_token_scope"), &json!({ "enabled": false }));
    let environments = situation.get("/environments");
    let production = environments.as_array().unwrap().iter().find(|e| e["name"] == "production").unwrap();
    plane.put(&situation.path(&format!("/environments/{}", production["id"])), &json!({ "tier": "other" }));
    plane.stand_in.clear_log();
    let path = "factory/control";
    mends(
        &situation,
        &[
            "protected-tag:v*",
            "protected-tag:evidence/*",
            &format!("project-settings:{path}"),
            &format!("job-token-scope:{path}"),
            "environment:production",
        ],
    );
    let log = plane.log();
    let sent = log.iter().find(|r| r.method == "PUT" && r.route == Some("/projects/:id")).unwrap();
    assert_eq!(sent.body, Some(json!({ "merge_method": "ff", "public_jobs": false })));
    assert_eq!(situation.get("/protected_tags").as_array().unwrap().len(), 2);
}

#[test]
fn runners_are_mended_or_made_again() {
    let Some(situation) = Situation::handed_off() else { return };
    let runners = situation.get("/runners?type=project_type");
    let id = |suffix: &str| {
        let all = runners.as_array().unwrap();
        all.iter().find(|r| r["description"] == format!("factoryup acme: {suffix}")).unwrap()["id"].clone()
    };
    let (trusted, untrusted) = (id("trusted"), id("untrusted"));
    // Its one tag is as an earlier version made it.
    let loosened = json!({ "access_level": "not_protected", "run_untagged": true, "tag_list": ["trusted"] });
    assert_eq!(situation.plane.put(&format!("/runners/{trusted}"), &loosened).status, 200);
    assert_eq!(situation.plane.delete(&format!("/runners/{untrusted}")).status, 204);
    let kept = (situation.kept("runner-trusted-token"), situation.kept("runner-untrusted-token"));
    mends(&situation, &["runner:untrusted", "runner:trusted"]);
    assert_eq!(situation.kept("runner-trusted-token"), kept.0);
    assert_ne!(situation.kept("runner-untrusted-token"), kept.1);
    let tags = situation.plane.get(&format!("/runners/{trusted}")).body["tag_list"].clone();
    assert_eq!(tags, json!(["acme-trusted", "trusted"]));
}

#[test]
fn an_agent_with_another_role_becomes_a_developer_again() {
    let Some(situation) = Situation::handed_off() else { return };
    let path = situation.path(&format!("/members/{}", situation.agent()));
    situation.plane.put(&path, &json!({ "access_level": 40, "expires_at": expires_in(20) }));
    let plan = situation.plan();
    assert!(plan.changes[0].summary.contains("to Developer, from Maintainer"), "{:?}", plan.changes);
    mends(&situation, &["member:factory-agent"]);
    situation.plane.delete(&path);
    mends(&situation, &["member:factory-agent"]);
    situation.plane.put(&path, &json!({ "access_level": 30, "expires_at": expires_in(5) }));
    mends(&situation, &["member:factory-agent"]);
}

#[test]
fn an_inherited_role_cannot_be_lowered_and_is_named() {
    // A project's service account cannot be in a group; a user can.
    let Some(situation) = Situation::with(|options| options.edition = Edition::Ce) else { return };
    let apply = || {
        let root = Secret::new(situation.plane.token("root", &["api"]));
        converge(&mut situation.target_with(root), &Silent, &situation.state, QUIET)
    };
    apply().unwrap();
    let members = situation.get("/members");
    let agent = members.as_array().unwrap().iter().find(|member| member["username"] == "factory-agent").unwrap();
    let added = situation.plane.post("/groups/factory/members", &json!({ "user_id": agent["id"], "access_level": 40 }));
    assert_eq!(added.status, 201, "{}", added.body);
    let error = apply().unwrap_err();
    assert!(error.to_string().contains("inherits the role Maintainer from the group factory"), "{error}");
}

#[test]
fn a_lost_token_is_rotated_so_that_its_finder_has_nothing() {
    let Some(situation) = Situation::handed_off() else { return };
    let lost = situation.kept("agent-token");
    std::fs::remove_file(situation.state.file("agent-token")).unwrap();
    mends(&situation, &["agent-token:factory-agent"]);
    assert_ne!(situation.kept("agent-token"), lost);
    assert_eq!(situation.plane.as_token(&lost).get("/personal_access_tokens/self").status, 401);
}

#[test]
fn a_token_that_ends_soon_or_was_revoked_or_is_too_wide_is_replaced() {
    let Some(situation) = Situation::handed_off() else { return };
    let tokens = situation.agent_tokens();
    let newest = || {
        let all = situation.plane.get(&tokens).body;
        all.as_array().unwrap().iter().rfind(|t| t["active"] == true).unwrap()["id"].clone()
    };
    let write = |text: &Value| std::fs::write(situation.state.file("agent-token"), text.as_str().unwrap()).unwrap();

    let soon = situation.plane.post(&format!("{tokens}/{}/rotate", newest()), &json!({ "expires_at": expires_in(6) }));
    write(&soon.body["token"]);
    situation.plane.stand_in.age_tokens(24);
    assert!(situation.plan().changes[0].summary.starts_with("rotate the token"));
    mends(&situation, &["agent-token:factory-agent"]);

    let kept = situation.kept("agent-token");
    situation.plane.as_token(&kept).send("DELETE", "/personal_access_tokens/self", None);
    mends(&situation, &["agent-token:factory-agent"]);

    let wide = json!({ "name": "wide", "scopes": ["api"], "expires_at": expires_in(20) });
    let wide = situation.plane.post(&tokens, &wide).body["token"].clone();
    write(&wide);
    mends(&situation, &["agent-token:factory-agent"]);
    assert_eq!(situation.plane.as_token(wide.as_str().unwrap()).get("/personal_access_tokens/self").status, 401);
}

/// On demand, before its end: the agent can take the new one while the old one works.
#[test]
fn the_agents_token_is_replaced_and_the_old_one_works_until_it_is_revoked() {
    let Some(situation) = Situation::handed_off() else { return };
    let old = situation.kept("agent-token");
    let mut target = situation.target().replacing_agent_token(true);
    let plan = target.observe(&Silent).unwrap();
    let ids: Vec<_> = plan.changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!(ids, ["agent-token:factory-agent", "ci-token:desk"]);
    let said = &plan.changes[0].summary;
    assert!(
        said.starts_with("create a new token for factory-agent") && said.ends_with("until you revoke it"),
        "{said}"
    );
    let outcome = converge(&mut target, &Silent, &situation.state, QUIET).unwrap();
    assert!(matches!(outcome, Outcome::Applied { changes: 2, .. }), "{outcome:?}");
    let new = situation.kept("agent-token");
    assert_ne!(old, new);
    let works = |token: &str| situation.plane.as_token(token).get("/personal_access_tokens/self");
    for token in [&old, &new] {
        assert_eq!(works(token).status, 200);
    }
    // The old one is named until it is revoked.
    let stray = |plan: &Plan| plan.notes.iter().filter(|note| note.contains("another valid token")).count();
    let plan = situation.plan();
    assert!(plan.is_empty() && stray(&plan) == 1, "{:?}", plan.notes);
    assert_eq!(situation.plane.as_token(&old).send("DELETE", "/personal_access_tokens/self", None).status, 204);
    let plan = situation.plan();
    assert!(plan.is_empty() && stray(&plan) == 0, "{:?}", plan.notes);
    assert_eq!(works(&new).status, 200);
}

#[test]
fn a_flag_of_apply_replaces_the_agents_token_once() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let kept = || std::fs::read_to_string(situation.directory().join("xdg/factoryup/acme/agent-token")).unwrap();
    let old = kept();
    for target in ["repo", "host"] {
        let said = situation.run(&["apply", target, "--yes", "--rotate-agent-token"], 64);
        assert!(said.contains("--rotate-agent-token") && kept() == old, "{said}");
    }
    let said = situation.run(&["apply", "gitlab", "--yes", "--rotate-agent-token"], 0);
    assert!(said.contains("create a new token for factory-agent") && kept() != old, "{said}");
    let new = kept();
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    assert_eq!(kept(), new);
}

#[test]
fn local_commits_are_pointed_out_and_never_pushed() {
    let Some(situation) = Situation::handed_off() else { return };
    let commit = super::plane::git(&situation.repo, &["commit", "--quiet", "--allow-empty", "--message", "Local"]);
    assert!(commit.ok());
    let plan = situation.plan();
    assert!(plan.is_empty());
    assert!(plan.notes.iter().any(|note| note.contains("open a merge request")), "{:?}", plan.notes);
}

#[test]
fn a_branch_with_another_history_is_left_alone() {
    let Some(situation) = Situation::new() else { return };
    let project = situation.plane.project("control");
    let made = situation.plane.post(
        &format!("/projects/{project}/repository/commits"),
        &json!({ "branch": "main", "commit_message": "Other", "actions": [{ "action": "create", "file_path": "a", "content": "b" }] }),
    );
    assert_eq!(made.status, 201, "{}", made.body);
    let error = situation.apply(QUIET).unwrap_err();
    assert!(error.to_string().contains("another history"), "{error}");
    assert_eq!(situation.get("/repository/branches/main")["commit"]["id"], made.body["id"]);
}
