//! From an empty group to a project under the policy, and again.

use std::os::unix::fs::PermissionsExt;

use factoryup::dialog::Silent;
use factoryup::factory::RunnerKind;
use factoryup::gitlab::GitlabTarget;
use factoryup::plan::{Action, Outcome, StateDir, converge};
use factoryup::secret::Secret;
use serde_json::{Value, json};

use super::plane::git;
use super::situation::{QUIET, Situation};

#[test]
fn an_empty_group_becomes_a_project_under_the_policy() {
    let Some(situation) = Situation::new() else { return };
    let plan = situation.plan();
    assert!(plan.changes.iter().all(|c| matches!(c.action, Action::Create | Action::Update)), "{:?}", plan.changes);
    let outcome = situation.apply(QUIET).unwrap();
    assert!(matches!(outcome, Outcome::Applied { changes, .. } if changes == plan.changes.len()), "{outcome:?}");

    let project = situation.get("");
    for (key, value) in [
        ("visibility", "private"),
        ("merge_method", "ff"),
        ("squash_option", "always"),
        ("squash_commit_template", "%{title}\n\n%{description}\n\nSee merge request %{reference}"),
        ("ci_pipeline_variables_minimum_override_role", "no_one_allowed"),
        ("default_branch", "main"),
    ] {
        assert_eq!(project[key], value, "{key}");
    }
    for (key, value) in [
        ("only_allow_merge_if_pipeline_succeeds", true),
        ("allow_merge_on_skipped_pipeline", false),
        ("only_allow_merge_if_all_discussions_are_resolved", true),
        ("public_jobs", false),
        ("ci_separated_caches", true),
        ("ci_push_repository_for_job_token_allowed", false),
        ("auto_devops_enabled", false),
        ("shared_runners_enabled", false),
        ("group_runners_enabled", false),
        ("protect_merge_request_pipelines", false),
    ] {
        assert_eq!(project[key], value, "{key}");
    }

    let head = git(&situation.repo, &["rev-parse", "main"]).output.trim().to_owned();
    assert_eq!(situation.get("/repository/branches/main")["commit"]["id"], head.as_str());
    assert_eq!(situation.get("/protected_branches").as_array().unwrap().len(), 2);
    for (name, push) in [("main", 0), ("factory%2F%2A", 40)] {
        let rule = situation.get(&format!("/protected_branches/{name}"));
        assert_eq!(rule["push_access_levels"][0]["access_level"], push);
        assert_eq!(rule["merge_access_levels"][0]["access_level"], 40);
        assert_eq!(rule["allow_force_push"], push == 40);
    }
    let tags = situation.get("/protected_tags");
    assert_eq!((&tags[0]["name"], &tags[0]["create_access_levels"][0]["access_level"]), (&"v*".into(), &40.into()));
    let environments = situation.get("/environments");
    let tier =
        |name: &str| environments.as_array().unwrap().iter().find(|e| e["name"] == name).unwrap()["tier"].clone();
    assert_eq!((tier("staging"), tier("production")), ("staging".into(), "production".into()));
    let member = situation.get(&format!("/members/{}", situation.agent()));
    assert_eq!((&member["access_level"], &member["username"]), (&30.into(), &"factory-agent".into()));
    assert!(member["expires_at"].is_string());
}

#[test]
fn the_control_repo_knows_where_it_was_pushed_to_unless_its_owner_said_otherwise() {
    let Some(situation) = Situation::new() else { return };
    let origin = || git(&situation.repo, &["config", "--get-all", "remote.origin.url"]).output.trim().to_owned();
    let url = format!(
        "{}/{}/{}.git",
        situation.plane.url(),
        situation.factory.gitlab.group,
        situation.factory.gitlab.project
    );
    let summary = format!("set the control repo's remote origin to {url}");
    assert!(situation.plan().changes.iter().any(|change| change.summary == summary));
    situation.apply(QUIET).unwrap();
    assert_eq!(origin(), url);
    let follows = git(&situation.repo, &["config", "--get-regexp", r"^branch\.main\."]).output;
    assert_eq!(follows, "branch.main.remote origin\nbranch.main.merge refs/heads/main\n");
    assert!(!url.contains('@'));
    let config = std::fs::read_to_string(situation.repo.join(".git/config")).unwrap();
    assert!(!config.contains(situation.plane.stand_in.owner_token()));
    // Gone, it comes back; another one stays.
    git(&situation.repo, &["remote", "remove", "origin"]);
    assert_eq!(situation.pending(), ["remote:origin"]);
    situation.apply(QUIET).unwrap();
    git(&situation.repo, &["remote", "set-url", "origin", "git@example.org:mine.git"]);
    assert_eq!(situation.pending(), [""; 0]);
    situation.apply(QUIET).unwrap();
    assert_eq!(origin(), "git@example.org:mine.git");
}

#[test]
fn the_branch_is_locked_before_the_agent_exists() {
    let Some(situation) = Situation::new() else { return };
    situation.apply(QUIET).unwrap();
    let log = situation.plane.log();
    let at = |method: &str, route: &str| {
        log.iter()
            .rposition(|r| r.method == method && r.route == Some(route) && r.status < 300)
            .unwrap_or_else(|| panic!("{route}"))
    };
    let locked = at("POST", "/projects/:id/protected_branches");
    let agent = log.iter().position(|r| r.method == "POST" && r.route == Some("/groups/:id/service_accounts")).unwrap();
    assert!(locked < agent && at("POST", "/projects/:id/protected_tags") < agent);
    // The proof changes settings too, to what they are.
    let settings = log.iter().position(|r| r.method == "PUT" && r.route == Some("/projects/:id")).unwrap();
    assert!(settings < at("POST", "/projects/:id/members"));
    let push = log.iter().position(|r| r.path.ends_with("/git-receive-pack")).unwrap();
    assert!(push < locked);
}

#[test]
fn nobody_sees_or_runs_the_first_push_whom_the_policy_keeps_out() {
    let Some(situation) = Situation::new() else { return };
    let group = situation.plane.get("/groups/factory").body["id"].clone();
    for (path, visibility) in [("control", None), ("adopted", Some("internal"))] {
        let mut situation_factory = situation.factory.clone();
        situation_factory.gitlab.project = path.into();
        situation_factory.agent.username = format!("{path}-agent");
        if let Some(visibility) = visibility {
            let body = json!({ "path": path, "namespace_id": group, "visibility": visibility });
            assert_eq!(situation.plane.post("/projects", &body).status, 201);
        }
        situation.plane.stand_in.clear_log();
        let token = Secret::new(situation.plane.stand_in.owner_token());
        let state = StateDir::at(situation.directory().join(path)).unwrap();
        let mut target = GitlabTarget::new(&situation_factory, token, &situation.repo, &state).unwrap();
        converge(&mut target, &Silent, &state, QUIET).unwrap();
        let log = situation.plane.log();
        let push = log.iter().position(|r| r.path.ends_with("/git-receive-pack")).unwrap();
        let before = |key: &str, value: Value| {
            log[..push].iter().any(|r| r.is_write() && r.body.as_ref().is_some_and(|body| body[key] == value))
        };
        assert!(before("visibility", json!("private")), "{path}");
        assert!(before("shared_runners_enabled", json!(false)), "{path}");
        assert!(before("group_runners_enabled", json!(false)), "{path}");
        git(&situation.repo, &["remote", "remove", "origin"]);
    }
}

#[test]
fn what_the_groups_variables_open_is_told() {
    let Some(situation) = Situation::handed_off() else { return };
    for (key, protected) in [("SHARED_SECRET", false), ("GUARDED", true)] {
        let body = json!({ "key": key, "value": "a value of some length", "protected": protected });
        assert_eq!(situation.plane.post("/groups/factory/variables", &body).status, 201);
    }
    let plan = situation.plan();
    assert!(plan.is_empty());
    assert_eq!(
        plan.notes,
        [
            "the CI/CD variable SHARED_SECRET of the group factory is not protected: jobs of every branch can read it, including the agent's"
        ]
    );
}

#[test]
fn a_second_apply_only_reads() {
    let Some(situation) = Situation::handed_off() else { return };
    let outcome = situation.apply(QUIET).unwrap();
    assert_eq!(outcome, Outcome::AlreadyRight { proofs: 0 });
    assert_eq!(situation.writes(), Vec::<String>::new());
    let requests = situation.plane.log().len();
    assert!(requests <= 30, "{requests} requests: {:#?}", situation.plane.log());
}

#[test]
fn what_is_shown_once_is_kept_privately() {
    let Some(situation) = Situation::handed_off() else { return };
    assert!(situation.kept("agent-token").starts_with("glpat-"));
    assert!(situation.kept("runner-trusted-token").starts_with("glrt-"));
    assert!(situation.kept("runner-untrusted-token").starts_with("glrt-"));
    for name in ["agent-token", "runner-trusted-token", "runner-untrusted-token", "gitlab.json"] {
        let mode = std::fs::metadata(situation.state.file(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let runners = situation.get("/runners?type=project_type");
    for runner in runners.as_array().unwrap() {
        let detail = situation.plane.get(&format!("/runners/{}", runner["id"])).body;
        let trusted = detail["description"] == "factoryup acme: trusted";
        assert_eq!(detail["access_level"], if trusted { "ref_protected" } else { "not_protected" });
        assert_eq!(detail["run_untagged"], !trusted);
        assert_eq!(detail["locked"], true);
        let kind = if trusted { "trusted" } else { "untrusted" };
        assert_eq!(detail["tag_list"], serde_json::json!([format!("acme-{kind}"), kind]));
    }
    let token = situation.plane.as_token(&situation.kept("agent-token")).get("/personal_access_tokens/self").body;
    assert_eq!(token["scopes"], serde_json::json!(["read_api", "write_repository", "self_rotate"]));
    assert_eq!(token["user_id"], situation.agent());
}

#[test]
fn missing_groups_are_made_from_the_top_down() {
    let Some(mut situation) = Situation::new() else { return };
    situation.factory.gitlab.group = "fresh/inner".into();
    let ids = situation.pending();
    assert_eq!(ids[..3], ["group:fresh", "group:fresh/inner", "project:fresh/inner/control"]);
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.plane.get("/groups/fresh%2Finner").body["visibility"], "private");
    situation.factory.gitlab.group = "factory/below".into();
    situation.factory.agent.username = "another-agent".into();
    assert_eq!(situation.pending()[..2], ["group:factory/below", "project:factory/below/control"]);
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.pending(), Vec::<String>::new());
}

#[test]
fn with_shared_runners_only_the_trusted_one_is_made() {
    let Some(mut situation) = Situation::new() else { return };
    situation.factory.runner.kind = RunnerKind::Shared;
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.get("")["shared_runners_enabled"], true);
    let runners = situation.get("/runners?type=project_type");
    assert_eq!(runners.as_array().unwrap().len(), 1);
    assert_eq!(runners[0]["description"], "factoryup acme: trusted");
    // That no runner of the instance has its tags is seen without a request more.
    situation.plane.stand_in.clear_log();
    situation.apply(QUIET).unwrap();
    assert!(situation.plane.log().len() <= 16, "{:#?}", situation.plane.log());
}

#[test]
fn a_runners_token_is_made_again_only_while_no_runner_has_it() {
    let Some(situation) = Situation::handed_off() else { return };
    let lost = situation.kept("runner-trusted-token");
    std::fs::remove_file(situation.state.file("runner-trusted-token")).unwrap();
    assert_eq!(situation.pending(), ["runner:trusted"]);
    situation.apply(QUIET).unwrap();
    let now = situation.kept("runner-trusted-token");
    assert_ne!(now, lost);
    assert_eq!(situation.plane.post("/runners/verify", &json!({ "token": lost })).status, 403);
    assert_eq!(situation.plane.post("/runners/verify", &json!({ "token": now })).status, 200);
    std::fs::remove_file(situation.state.file("runner-trusted-token")).unwrap();
    assert_eq!(situation.pending(), Vec::<String>::new());
}

/// GitLab knows of a first push once a job of its own has run.
#[test]
fn a_first_push_that_gitlab_shows_later_is_waited_for() {
    let Some(situation) = Situation::with(|options| options.first_push_takes = std::time::Duration::from_secs(4))
    else {
        return;
    };
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.pending(), Vec::<String>::new());
}
