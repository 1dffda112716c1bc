//! What cannot work says why, and what to do; what may pass is tried again.

use std::time::Duration;

use factoryup::dialog::Silent;
use factoryup::gitlab::GitlabTarget;
use factoryup::plan::{Target, converge};
use factoryup::secret::Secret;
use factoryup::{Error, Kind};
use gitlab_stand_in::Fault;
use serde_json::json;

use super::cutter::Cutter;
use super::plane::expires_in;
use super::situation::{QUIET, Situation};

fn refusal(situation: &Situation, token: &str) -> Error {
    situation.target_with(Secret::new(token)).observe(&Silent).unwrap_err()
}

#[test]
fn a_token_without_the_scope_is_named_with_the_page_that_makes_one() {
    let Some(situation) = Situation::new() else { return };
    let error = refusal(&situation, &situation.plane.token("owner", &["read_api", "read_repository"]));
    assert_eq!(error.kind(), Kind::NotPermitted);
    assert_eq!(situation.writes(), Vec::<String>::new());
    assert_eq!(
        error.to_string(),
        "the GitLab token \"stand-in\" lacks the scope api; it has read_api, read_repository"
    );
    assert!(
        error.hints()[0].contains("/-/user_settings/personal_access_tokens?name=factoryup&scopes=api"),
        "{:?}",
        error.hints()
    );
}

#[test]
fn a_token_that_ended_or_is_wrong_is_refused_before_anything() {
    let Some(situation) = Situation::new() else { return };
    let today = expires_in(0).parse().unwrap();
    let expired = situation.plane.stand_in.issue_token("owner", &["api"], Some(today)).unwrap();
    let over = "invalid_token: Token is expired. You can either do re-authorization or token refresh.";
    for (token, said) in [(expired.as_str(), over), ("glpat-wrong", "Unauthorized")] {
        let error = refusal(&situation, token);
        assert_eq!(error.kind(), Kind::NotPermitted);
        let words = format!("GET /metadata, as the owner: GitLab refused with status 401: {said}");
        assert_eq!(error.to_string(), words);
        assert!(error.hints()[0].contains("expired or revoked"));
    }
    assert_eq!(situation.writes(), Vec::<String>::new());
}

#[test]
fn an_account_without_the_role_is_told_which_it_needs() {
    let Some(mut situation) = Situation::handed_off() else { return };
    let project = situation.get("")["id"].as_u64().unwrap();
    let bob = situation.plane.member(project, "bob", 30);
    situation.plane.stand_in.clear_log();
    let error = refusal(&situation, &bob);
    assert_eq!(error.kind(), Kind::NotPermitted);
    assert_eq!(
        error.to_string(),
        "your GitLab account is Developer on factory/control; the GitLab setup needs Maintainer or Owner"
    );
    // A stranger sees no project and no group.
    situation.plane.stand_in.add_user("eve").unwrap();
    situation.factory.agent.username = "another-agent".into();
    let mut target = situation.target_with(Secret::new(situation.plane.token("eve", &["api"])));
    let error = converge(&mut target, &Silent, &situation.state, QUIET).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted);
    assert_eq!(error.to_string(), "cannot create the group factory: the path is in use, but hidden from your account");
    assert_eq!(situation.writes(), Vec::<String>::new());
}

#[test]
fn an_old_gitlab_is_refused_with_the_version_it_takes() {
    let Some(situation) = Situation::with(|options| options.version = "17.10.4".into()) else { return };
    let error = situation.target().observe(&Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    let url = situation.plane.url();
    assert_eq!(error.to_string(), format!("{url} runs GitLab 17.10.4-stand-in; the GitLab setup needs 18.4 or later"));
    assert_eq!(situation.writes(), Vec::<String>::new());
}

#[test]
fn a_runner_of_somebody_elses_that_would_take_the_projects_jobs_stops_the_hand_off() {
    let Some(situation) = Situation::handed_off() else { return };
    let project = situation.get("")["id"].as_u64().unwrap();
    let root = situation.plane.token("root", &["api"]);
    let register = |kind: &str, tags: &[&str], untagged: bool| {
        let body = json!({
            "runner_type": kind, "project_id": project, "group_id": situation.plane.get("/groups/factory").body["id"],
            "description": "lab", "tag_list": tags, "run_untagged": untagged,
        });
        let made = situation.plane.as_token(&root).post("/user/runners", &body);
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_u64().unwrap()
    };
    // The settings keep these out, and these take nothing of the project's.
    register("group_type", &["trusted"], true);
    register("instance_type", &["trusted"], true);
    register("project_type", &["lab"], false);
    situation.plane.stand_in.clear_log();
    assert!(situation.plan().is_empty());
    for (tags, untagged, what) in [
        (&["shell", "trusted"][..], false, "it runs jobs with the tag trusted"),
        (&["acme-trusted"], false, "it runs jobs with the tag acme-trusted"),
        (&["untrusted"], true, "it runs jobs with the tag untrusted, and jobs without tags"),
        (&["lab"], true, "it runs jobs without tags"),
    ] {
        let id = register("project_type", tags, untagged);
        situation.plane.stand_in.clear_log();
        let error = situation.apply(QUIET).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert_eq!(error.to_string(), format!("the project has a runner of another owner, {id} (lab): {what}"));
        assert!(error.hints()[0].contains("/-/settings/ci_cd#js-runners-settings"), "{:?}", error.hints());
        assert_eq!(situation.writes(), Vec::<String>::new());
        let paused = situation.plane.put(&format!("/runners/{id}"), &json!({ "paused": true }));
        assert_eq!(paused.status, 200);
        assert!(situation.plan().is_empty());
    }
}

#[test]
fn what_the_group_forbids_is_said_before_anything_is_changed() {
    for (limit, shared, what) in [
        (json!({ "project_creation_level": "noone" }), false, "does not let your account create projects"),
        (json!({ "project_creation_level": "administrator" }), false, "does not let your account create projects"),
        (json!({ "membership_lock": true }), false, "does not let anyone join its projects, so the agent cannot join"),
        (
            json!({ "shared_runners_setting": "disabled_and_unoverridable" }),
            true,
            "does not let projects use the instance's runners, which runner.kind requires",
        ),
    ] {
        let Some(mut situation) = Situation::new() else { return };
        if shared {
            situation.factory.runner.kind = factoryup::factory::RunnerKind::Shared;
        }
        assert!(situation.target().observe(&Silent).is_ok(), "{what}");
        assert_eq!(situation.plane.put("/groups/factory", &limit).status, 200);
        situation.plane.stand_in.clear_log();
        let error = situation.apply(QUIET).unwrap_err();
        assert_eq!(error.kind(), Kind::NotPermitted);
        assert_eq!(error.to_string(), format!("the group factory {what}"));
        assert!(error.hints()[0].starts_with("ask an Owner of the group to change"), "{:?}", error.hints());
        assert_eq!(situation.writes(), Vec::<String>::new());
    }
}

/// GitLab says how many minutes there are in parts, and what it does not say is no reason to stop.
#[test]
fn a_namespace_without_compute_minutes_is_refused_where_gitlab_shows_it() {
    use factoryup::factory::RunnerKind::{Podman, Shared};
    use gitlab_stand_in::{ComputeMinutes, Edition};
    let minutes = |used, monthly, purchased| ComputeMinutes { used, monthly, purchased };
    for (edition, version, group, compute_minutes, kind, said) in [
        (Edition::Ee, "19.4.0", "factory", minutes(400, Some(400), 0), Shared, Some("factory has used 400 of its 400")),
        (
            Edition::Ee,
            "19.4.0",
            "factory/lab",
            minutes(512, Some(400), 100),
            Shared,
            Some("factory has used 512 of its 500"),
        ),
        (Edition::Ee, "19.4.0", "owner", minutes(400, Some(400), 0), Shared, Some("owner has used 400 of its 400")),
        (Edition::Ee, "19.4.0", "factory", minutes(450, Some(400), 100), Shared, None),
        (Edition::Ee, "19.4.0", "factory", minutes(400, Some(0), 0), Shared, None),
        (Edition::Ee, "19.4.0", "factory", minutes(400, None, 0), Shared, None),
        (Edition::Ee, "19.3.0", "factory", minutes(400, Some(400), 0), Shared, None),
        (Edition::Ce, "19.4.0", "factory", minutes(400, Some(400), 0), Shared, None),
        (Edition::Ee, "19.4.0", "factory", minutes(400, Some(400), 0), Podman, None),
    ] {
        let what = format!("{edition:?} {version} {group} {compute_minutes:?} {kind:?}");
        let Some(mut situation) = Situation::with(|options| {
            (options.edition, options.compute_minutes) = (edition, compute_minutes);
            version.clone_into(&mut options.version);
        }) else {
            return;
        };
        (situation.factory.gitlab.group, situation.factory.runner.kind) = (group.to_owned(), kind);
        let root = situation.plane.token("root", &["api"]);
        let token = if edition == Edition::Ce { root } else { situation.plane.owner_token() };
        let error = situation.target_with(Secret::new(token)).observe(&Silent).err();
        assert_eq!(situation.writes(), Vec::<String>::new());
        let Some(said) = said else {
            assert!(error.is_none(), "{what}: {error:?}");
            continue;
        };
        let error = error.unwrap_or_else(|| panic!("{what}"));
        let words = " compute minutes of this month, and runner.kind = \"shared\" needs them for every job";
        assert_eq!((error.kind(), error.to_string()), (Kind::NotPermitted, format!("{said}{words}")), "{what}");
        assert!(error.hints()[0].starts_with("set runner.kind in factory.toml"), "{:?}", error.hints());
        let page = if group == "owner" { "/-/profile/usage_quotas" } else { "/groups/factory/-/usage_quotas" };
        assert!(error.hints()[1].contains(page), "{:?}", error.hints());
    }
}

#[test]
fn an_instance_that_keeps_runners_for_administrators_is_named() {
    let Some(situation) = Situation::with(|options| options.runner_registration = false) else { return };
    let error = situation.apply(QUIET).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted);
    assert!(error.to_string().ends_with("this GitLab does not let Maintainers create runners"), "{error}");
    for (hint, words) in error.hints().iter().zip([
        "\"Members of the project can create runners\": Admin area, Settings, CI/CD, Runners",
        "\"New project runners can be registered\" of the project",
        "or pass an administrator's token",
    ]) {
        assert!(hint.contains(words), "{:?}", error.hints());
    }
    // An administrator goes on where a Maintainer was stopped.
    let root = Secret::new(situation.plane.token("root", &["api"]));
    converge(&mut situation.target_with(root), &Silent, &situation.state, QUIET).unwrap();
}

#[test]
fn what_may_pass_is_tried_again() {
    for fault in [
        Fault::TooManyRequests { retry_after: Duration::from_secs(1) },
        Fault::ServerError,
        Fault::Drop,
        Fault::DropAfter,
    ] {
        let Some(situation) = Situation::handed_off() else { return };
        situation.plane.stand_in.fail_next(2, fault);
        assert!(situation.plan().is_empty(), "{fault:?}");
    }
}

#[test]
fn what_does_not_pass_is_an_end_with_a_word() {
    let Some(situation) = Situation::handed_off() else { return };
    situation.plane.stand_in.fail_next(5, Fault::ServerError);
    let error = situation.target().observe(&Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().starts_with("GET /metadata: GitLab failed with status 500"), "{error}");

    let long = Fault::TooManyRequests { retry_after: Duration::from_hours(1) };
    situation.plane.stand_in.fail_next(1, long);
    let error = situation.target().observe(&Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::CutShort);
    assert!(error.to_string().contains("wait 3600 s"), "{error}");
}

#[test]
fn creations_that_are_cut_off_are_not_repeated_and_the_next_run_goes_on() {
    let Some(mut situation) = Situation::new() else { return };
    let cutter = Cutter::before(&situation.plane.url());
    situation.factory.gitlab.url = cutter.url();
    let mut cuts = 0;
    // Every run loses the answer to its first creation, which was carried out; of the tokens of an account only the first one. What
    // nothing hangs on is left then, and the rest is made.
    while !situation.pending().is_empty() {
        cutter.cut_next();
        let Err(error) = situation.apply(QUIET) else { break };
        assert_eq!(error.kind(), Kind::CutShort, "{error}");
        cuts += 1;
        assert!(cuts < 45, "each run must get further");
    }
    assert!(cuts > 10, "{cuts}");
    assert_eq!(situation.pending(), [""; 0]);
    situation.apply(QUIET).unwrap();
    let count = |rest: &str| situation.get(rest).as_array().unwrap().len();
    assert_eq!(count("/runners?type=project_type"), 2);
    // The desk's, and CI's for reports; the group has the agent's, and CI's for plan and apply.
    assert_eq!(count("/service_accounts"), 2);
    let of_group = situation.plane.get("/groups/factory/service_accounts").body;
    assert_eq!(of_group.as_array().unwrap().len(), 3, "{of_group}");
    // Of CI's tokens those that were lost do not work.
    super::ci::all_are_in_place(&situation);
    assert_eq!(count("/protected_branches"), 2);
    assert_eq!(count("/protected_tags"), 2);
    for name in ["runner-trusted-token", "runner-untrusted-token"] {
        let known = situation.plane.post("/runners/verify", &json!({ "token": situation.kept(name) }));
        assert_eq!(known.status, 200, "{name}");
    }
}

#[test]
fn addresses_that_are_no_gitlab_say_so() {
    let Some(situation) = Situation::new() else { return };
    let observe = |url: &str| {
        let mut factory = situation.factory.clone();
        factory.gitlab.url = url.to_owned();
        let target = GitlabTarget::new(&factory, Secret::new("glpat-canary"), &situation.repo, &situation.state);
        target.and_then(|mut target| target.observe(&Silent)).unwrap_err()
    };
    let plain = answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

    let error = observe("http://gitlab.example.com");
    assert_eq!(error.kind(), Kind::Usage, "{error}");
    assert!(error.to_string().contains("expose the token on the network"));

    let error = observe(&plain.replace("http:", "https:"));
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    assert!(error.to_string().contains("does not speak TLS"), "{error}");

    let error = observe("http://127.0.0.1:1");
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");

    let error = observe("https://factoryup.invalid");
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
    assert!(error.to_string().contains("cannot resolve its name"), "{error}");
}

/// A server that answers everything in one way.
fn answering(response: &'static str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().take(20) {
            let mut client = client.unwrap();
            let mut buffer = [0; 4096];
            let _ = client.read(&mut buffer);
            let _ = client.write_all(response.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn answers_that_are_no_gitlabs_are_named_and_redirects_not_followed() {
    let Some(situation) = Situation::new() else { return };
    for (answer, kind, words) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
            Kind::Data,
            "does not answer like GitLab: GET /metadata got 200 with text/html",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Kind::Data,
            "redirects to https://evil.example/; factoryup sends no token after a redirect",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            Kind::Data,
            "it does not know GET /api/v4/metadata",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"version\":\"x\"}",
            Kind::Data,
            "its version is x",
        ),
        ("SSH-2.0-OpenSSH_9.2\r\n", Kind::Unreachable, "it does not speak HTTP"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n{\"version\"",
            Kind::Unreachable,
            "the connection ended",
        ),
    ] {
        let mut factory = situation.factory.clone();
        factory.gitlab.url = answering(answer);
        let mut target =
            GitlabTarget::new(&factory, Secret::new("glpat-canary"), &situation.repo, &situation.state).unwrap();
        let error = target.observe(&Silent).unwrap_err();
        let all = format!("{error} {error:?} {:?}", error.hints());
        assert_eq!(error.kind(), kind, "{answer}: {error}");
        assert!(error.to_string().contains(words), "{answer}: {error}");
        assert!(!all.contains("canary") && !error.to_string().contains('\u{1b}'), "{all}");
    }
}

#[test]
fn long_lists_are_read_to_their_end() {
    let Some(situation) = Situation::handed_off() else { return };
    for number in 0..120 {
        let rule = json!({ "name": format!("keep/{number}"), "push_access_level": 40 });
        assert_eq!(situation.plane.post(&situation.path("/protected_branches"), &rule).status, 201);
    }
    let last = json!({ "name": "feature/*", "push_access_level": 30 });
    assert_eq!(situation.plane.post(&situation.path("/protected_branches"), &last).status, 201);
    assert_eq!(situation.pending(), ["protected-branch:feature/*"]);
}
