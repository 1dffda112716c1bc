//! The way back: the agent and the runners lose their access first; what was there before factoryup comes back as it was.

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::gitlab::RevertGitlab;
use factoryup::plan::{Outcome, Plan, Receipt, Target, converge};
use factoryup::secret::Secret;
use serde_json::{Value, json};

use super::plane::git;
use super::situation::{QUIET, Situation};

fn revert(situation: &Situation) -> factoryup::Result<Outcome> {
    converge(&mut RevertGitlab::new(situation.target()), &Silent, &situation.state, QUIET)
}

fn plan(situation: &Situation) -> Plan {
    RevertGitlab::new(situation.target()).observe(&Silent).unwrap()
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.changes.iter().map(|change| change.id.as_str()).collect()
}

/// All that a hand-off changes in a project which was there before, apart from ids.
fn state(situation: &Situation) -> Value {
    let mut all = json!({
        "project": situation.get(""),
        "branches": situation.get("/protected_branches"),
        "tags": situation.get("/protected_tags"),
        "environments": situation.get("/environments"),
        "runners": situation.get("/runners?type=project_type"),
        "members": situation.get("/members"),
        "scope": situation.get("/job_token_scope"),
    });
    // The pipeline of the push, which stays, brought these.
    let by_pipeline =
        |environment: &Value| ["control-plane", "evidence"].iter().any(|name| environment["name"] == *name);
    all["environments"].as_array_mut().unwrap().retain(|environment| !by_pipeline(environment));
    for rules in ["branches", "tags"] {
        all[rules].as_array_mut().unwrap().sort_by_key(|rule| rule["name"].to_string());
    }
    without_what_moves(&mut all);
    all
}

/// Some settings are null until they are first changed.
fn without_what_moves(value: &mut Value) {
    match value {
        Value::Bool(false) => *value = Value::Null,
        Value::String(text) if text.is_empty() => *value = Value::Null,
        Value::Array(values) => values.iter_mut().for_each(without_what_moves),
        Value::Object(map) => {
            // The push stays, and so does the branch that it made the default one.
            // It is not shown to others again.
            for moving in
                ["id", "last_activity_at", "updated_at", "default_branch", "empty_repo", "commit", "visibility"]
            {
                map.remove(moving);
            }
            map.values_mut().for_each(without_what_moves);
        }
        _ => {}
    }
}

/// A project that somebody had before, with settings and rules of its own.
fn lived_in() -> Option<Situation> {
    let situation = Situation::new()?;
    let plane = &situation.plane;
    let namespace = plane.get(&format!("/namespaces/{}", situation.factory.gitlab.group)).body["id"].clone();
    let made = plane.post(
        "/projects",
        &json!({ "path": "control", "name": "control", "namespace_id": namespace, "visibility": "internal" }),
    );
    assert_eq!(made.status, 201, "{}", made.body);
    let ours = json!({ "merge_method": "merge", "public_jobs": true, "squash_option": "never", "only_allow_merge_if_pipeline_succeeds": false });
    assert_eq!(plane.put(&situation.path(""), &ours).status, 200);
    for (list, rule) in [
        (
            "/protected_branches",
            json!({ "name": "main", "push_access_level": 40, "merge_access_level": 30, "allow_force_push": true }),
        ),
        ("/protected_branches", json!({ "name": "m*", "push_access_level": 40, "merge_access_level": 40 })),
        ("/protected_branches", json!({ "name": "release/*", "push_access_level": 40, "merge_access_level": 40 })),
        ("/protected_tags", json!({ "name": "v*", "create_access_level": 30 })),
        ("/environments", json!({ "name": "production", "tier": "other" })),
        // So it gets no first one, which would stay.
        ("/issues", json!({ "title": "Ship it" })),
    ] {
        let made = plane.post(&situation.path(list), &rule);
        assert_eq!(made.status, 201, "{}", made.body);
    }
    assert!(plane.patch(&situation.path("/job_token_scope"), &json!({ "enabled": false })).status < 300);
    Some(situation)
}

#[test]
fn in_a_project_that_factoryup_created_only_the_access_goes() {
    let Some(situation) = Situation::handed_off() else { return };
    let token = situation.kept("agent-token");
    let found = plan(&situation);
    assert_eq!(
        ids(&found),
        [
            "ci-token:desk",
            "ci-token:report",
            "ci-token:apply",
            "ci-token:plan",
            "ci-account:desk",
            "ci-account:report",
            "ci-account:apply",
            "ci-account:plan",
            "agent-token:factory-agent",
            "member:factory-agent",
            "runner:trusted",
            "runner:untrusted"
        ]
    );
    assert!(
        found.notes.iter().any(|note| note.contains("the project stays as factoryup created it")),
        "{:?}",
        found.notes
    );
    assert!(matches!(revert(&situation).unwrap(), Outcome::Applied { changes: 12, .. }));

    let user = situation.plane.stand_in.url().trim_end_matches('/').to_owned() + "/api/v4/user";
    let agent =
        factoryup::gitlab::GitlabTarget::new(&situation.factory, Secret::new(token), &situation.repo, &situation.state);
    let refused = agent.unwrap().observe(&Silent).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotPermitted, "{user}: {refused}");
    assert_eq!(situation.get("/runners?type=project_type"), json!([]));
    for kept in ["agent-token", "desk-token", "runner-trusted-token", "runner-untrusted-token"] {
        assert!(!situation.directory().join("state").join(kept).exists(), "{kept}");
    }
    assert_eq!(situation.get("/protected_branches")[0]["push_access_levels"][0]["access_level"], 0);
    assert_eq!(situation.get("")["visibility"], "private");

    assert!(matches!(revert(&situation).unwrap(), Outcome::AlreadyRight { .. }));
    // The way there is open again.
    situation.apply(QUIET).unwrap();
    assert_eq!(ids(&plan(&situation)).len(), 12);
}

#[test]
fn a_project_from_before_is_as_it_was() {
    let Some(situation) = lived_in() else { return };
    let before = state(&situation);
    situation.apply(QUIET).unwrap();
    assert_ne!(state(&situation), before);
    revert(&situation).unwrap();
    let now = state(&situation);
    for (key, before) in before.as_object().unwrap() {
        assert_eq!(&now[key], before, "{key}");
    }
    assert_eq!(git(&situation.repo, &["remote"]).output, "");
    assert_eq!(situation.get("")["visibility"], "private");
    assert!(matches!(revert(&situation).unwrap(), Outcome::AlreadyRight { .. }));
}

#[test]
fn what_somebody_changed_since_stays_and_is_named() {
    let Some(situation) = lived_in() else { return };
    situation.apply(QUIET).unwrap();
    let plane = &situation.plane;
    plane.put(&situation.path(""), &json!({ "squash_option": "default_on" }));
    plane.delete(&situation.path("/protected_branches/main"));
    plane.post(
        &situation.path("/protected_branches"),
        &json!({ "name": "main", "push_access_level": 0, "merge_access_level": 30 }),
    );
    let found = plan(&situation);
    let notes = found.notes.join("\n");
    assert!(notes.contains("the branch rule main changed after apply"), "{notes}");
    assert!(
        found.changes.iter().any(|change| change.summary.contains("squash_option changed after apply")),
        "{found:?}"
    );
    revert(&situation).unwrap();
    let project = situation.get("");
    assert_eq!((&project["squash_option"], &project["merge_method"]), (&json!("default_on"), &json!("merge")));
    assert_eq!(situation.get("/protected_branches/main")["merge_access_levels"][0]["access_level"], 30);
}

#[test]
fn the_agent_is_out_before_any_lock_goes() {
    let Some(situation) = lived_in() else { return };
    situation.apply(QUIET).unwrap();
    situation.plane.stand_in.clear_log();
    revert(&situation).unwrap();
    let writes: Vec<_> = situation
        .writes()
        .into_iter()
        .filter(|line| !line.starts_with("POST /projects/:id/protected_branches 4"))
        .collect();
    let at = |what: &str| {
        writes.iter().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {writes:?}"))
    };
    let out = at("DELETE /personal_access_tokens/self").max(at("DELETE /projects/:id/members/:user_id"));
    for lock in [
        "PUT /projects/:id 200",
        "DELETE /projects/:id/protected_branches/:name",
        "DELETE /projects/:id/protected_tags/:name",
    ] {
        assert!(out < at(lock), "{lock}: {writes:?}");
    }
}

#[test]
fn a_kind_that_this_version_does_not_know_is_refused_by_name() {
    let Some(situation) = Situation::handed_off() else { return };
    let path = situation.state.file("receipt-gitlab.json");
    let mut receipt = Receipt::read(&path).unwrap().unwrap();
    receipt.record("webhook:1", factoryup::plan::Action::Create, factoryup::plan::Undo::Remove);
    receipt.write(&path).unwrap();
    let error = revert(&situation).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("`webhook`"), "{error}");
    assert_eq!(situation.writes(), [""; 0]);
}

#[test]
fn a_token_that_a_killed_run_did_not_record_is_revoked_all_the_same() {
    let Some(situation) = Situation::handed_off() else { return };
    let path = situation.state.file("receipt-gitlab.json");
    let mut receipt = Receipt::read(&path).unwrap().unwrap();
    for id in ["agent-token:factory-agent", "runner:trusted", "ci-token:apply", "ci-account:apply"] {
        receipt.forget(id);
    }
    receipt.write(&path).unwrap();
    assert_eq!(ids(&plan(&situation)).len(), 12);
    revert(&situation).unwrap();
    assert!(plan(&situation).is_empty());
    assert_eq!(situation.get("/runners?type=project_type"), json!([]));
}

#[test]
fn every_token_that_factoryup_made_is_revoked_also_as_an_older_receipt_has_it() {
    let Some(situation) = Situation::handed_off() else { return };
    let old = situation.kept("agent-token");
    converge(&mut situation.target().replacing_agent_token(true), &Silent, &situation.state, QUIET).unwrap();
    let new = situation.kept("agent-token");
    assert_ne!(old, new);
    let path = situation.state.file("receipt-gitlab.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut receipt: Value = serde_json::from_str(&text).unwrap();
    let entries = receipt["entries"].as_array_mut().unwrap();
    let entry = entries.iter_mut().find(|entry| entry["id"] == "agent-token:factory-agent").unwrap();
    entry["undo"] = json!({ "how": "never", "reason": "a token is shown only once; it expires by itself" });
    std::fs::write(&path, receipt.to_string()).unwrap();
    revert(&situation).unwrap();
    for token in [old, new] {
        let refused = situation.target_with(Secret::new(token.trim_end())).observe(&Silent).unwrap_err();
        assert!(refused.to_string().contains("401"), "{refused}");
    }
}

#[test]
fn a_token_outlives_its_project_and_is_revoked_all_the_same() {
    let Some(situation) = Situation::handed_off() else { return };
    let token = situation.kept("agent-token");
    assert!(situation.plane.delete(&situation.path("")).status < 300);
    let found = plan(&situation);
    // A service account of the project goes with it, and its tokens with the account.
    if !found.is_empty() {
        assert_eq!(ids(&found), ["agent-token:factory-agent"]);
        revert(&situation).unwrap();
    }
    let refused = situation.target_with(Secret::new(token.trim_end())).observe(&Silent).unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    assert!(found.notes.iter().any(|note| note.contains("does not exist")), "{:?}", found.notes);
}

#[test]
fn on_premium_a_rule_gets_its_grants_back_and_keeps_the_rest() {
    let premium = |options: &mut gitlab_stand_in::Options| {
        options.edition = gitlab_stand_in::Edition::Ee;
        options.tier = gitlab_stand_in::Tier::Premium;
    };
    let Some(mut situation) = Situation::with(premium) else { return };
    situation.licensed();
    let plane = &situation.plane;
    let namespace = plane.get(&format!("/namespaces/{}", situation.factory.gitlab.group)).body["id"].clone();
    plane.post("/projects", &json!({ "path": "control", "name": "control", "namespace_id": namespace }));
    let rule = json!({ "name": "main", "push_access_level": 40, "merge_access_level": 30, "code_owner_approval_required": true });
    assert_eq!(plane.post(&situation.path("/protected_branches"), &rule).status, 201);
    situation.apply(QUIET).unwrap();
    plane.stand_in.clear_log();
    revert(&situation).unwrap();
    let rule = situation.get("/protected_branches/main");
    assert_eq!(rule["push_access_levels"][0]["access_level"], 40);
    assert_eq!(rule["merge_access_levels"][0]["access_level"], 30);
    assert_eq!(rule["code_owner_approval_required"], true);
    // Only the rule of what factoryup proposes from is gone.
    let gone = |line: &&String| line.starts_with("DELETE /projects/:id/protected_branches");
    assert_eq!(situation.writes().iter().filter(gone).count(), 1);
}

#[test]
fn the_owners_later_change_of_the_agents_role_stays() {
    let Some(situation) = lived_in() else { return };
    situation.apply(QUIET).unwrap();
    let member = situation.path(&format!("/members/{}", situation.agent()));
    assert_eq!(situation.plane.put(&member, &json!({ "access_level": 20 })).status, 200);
    let found = plan(&situation);
    assert!(found.notes.iter().any(|note| note.contains("to Reporter; not reverted")), "{:?}", found.notes);
    assert!(!ids(&found).contains(&"member:factory-agent"));
}

#[test]
fn a_project_gets_its_first_issue_once() {
    let Some(situation) = Situation::handed_off() else { return };
    let issues = situation.get("/issues");
    assert_eq!(issues.as_array().unwrap().len(), 1, "{issues}");
    assert!(issues[0]["title"].as_str().unwrap().starts_with("First day: "), "{issues}");
    // Closed or open, it is not created again.
    for state in ["close", "reopen"] {
        let closed = situation.plane.put(&situation.path("/issues/1"), &json!({ "state_event": state }));
        assert_eq!(closed.status, 200, "{}", closed.body);
        situation.apply(QUIET).unwrap();
        assert_eq!(situation.get("/issues").as_array().unwrap().len(), 1);
    }
}
