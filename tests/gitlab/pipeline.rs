//! `factoryup apply` ends with the newest pipeline of the default branch: on scripted runners, against the stand-in.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::contract::is_known;
use super::runner::{Playing, Runner, Script};
use super::situation::Situation;
use super::status::{card, connect_runners};
use super::support;

/// The runners of a factory, at work.
fn at_work(situation: &Situation, script: impl Fn(&str) -> (String, i64) + Send + Sync + 'static) -> Vec<Playing> {
    let script: Arc<Script> = Arc::new(script);
    let runner = |name: &str| {
        let path = situation.directory().join(format!("xdg/factoryup/acme/runner-{name}-token"));
        Runner::new(&situation.plane.url(), fs::read_to_string(path).unwrap().trim())
    };
    ["trusted", "untrusted"].map(|name| runner(name).keep_playing(Arc::clone(&script))).into_iter().collect()
}

/// Returns once the pipeline was looked at, and a moment after.
fn looked(situation: &Situation) {
    let is_look = |route: Option<&str>| route == Some("/projects/:id/pipelines/:pipeline_id");
    support::wait_until("a look at the pipeline", || {
        situation.plane.log().iter().any(|request| is_look(request.route))
    });
    std::thread::sleep(Duration::from_millis(700));
}

fn passes(_name: &str) -> (String, i64) {
    ("fine\n".into(), 0)
}

/// As on day one: without the credentials, a plan ends with 78.
fn without_credentials(name: &str) -> (String, i64) {
    if name.starts_with("plan:") { ("no credentials\n".into(), 78) } else { passes(name) }
}

#[test]
fn apply_ends_when_the_pipeline_passed_and_the_next_one_waits_for_nothing() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let runners = at_work(&situation, without_credentials);
    let said = situation.run(&["apply", "--yes"], 0);
    assert!(
        said.contains("passed; manual jobs not started: apply:control-plane; allowed to fail: plan:control-plane"),
        "{said}"
    );
    assert!(said.contains("/-/pipelines/") && said.contains("no changes"), "{said}");
    assert!(said.contains("factoryup status") && !said.contains("  repo "), "{said}");
    let states = |pipeline: &Value| {
        let jobs = situation.get(&format!("/pipelines/{}/jobs", pipeline["id"]));
        jobs.as_array().unwrap().iter().map(|job| format!("{} {}", job["name"], job["status"])).collect::<Vec<_>>()
    };
    let all = situation.get("/pipelines").as_array().unwrap().clone();
    assert_eq!((all.len(), all[0]["status"].as_str()), (1, Some("manual")), "{:?}", states(&all[0]));
    drop(runners);
    // It is over: no runner is asked for, and nothing is waited for.
    situation.plane.stand_in.clear_log();
    let shown = card(&situation, &["apply", "--yes"], 0);
    assert_eq!(situation.writes(), Vec::<String>::new());
    let lines = shown["lines"].as_array().unwrap();
    assert!(matches!(&lines[..], [line] if line["part"] == "pipeline" && line["state"] == "ok"), "{shown}");
}

#[test]
fn jobs_are_told_as_they_end_and_the_first_apply_shows_the_whole_card() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "repo", "--yes"], 0);
    situation.run(&["apply", "gitlab", "--yes"], 0);
    connect_runners(&situation);
    // So that this apply changes something, as on day one.
    assert_eq!(situation.plane.delete(&situation.path("/protected_branches/main")).status, 204);
    situation.plane.stand_in.clear_log();
    let run = situation.start(&["apply", "--yes"]);
    // It sees the jobs wait, and then go by.
    looked(&situation);
    let runners = at_work(&situation, without_credentials);
    let output = run.wait_with_output().unwrap();
    drop(runners);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "validate pending, provider-locks pending; 0 of 7 jobs done",
        "job validate: success, ",
        "job plan:control-plane: failed, ",
        "  repo       ",
        "Next, for you:",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("matches factory.toml, verified by this run"), "{said}");
}

#[test]
fn a_job_that_fails_is_shown_with_the_end_of_its_log() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let token = situation.plane.owner_token();
    let log = format!(
        "section_start:1700000000:step_script\r\u{1b}[0K\u{1b}[32;1m$ scripts/check test\u{1b}[0;m\r\nthe token is {token}\n\u{9b}2JERROR: it broke\n"
    );
    let runners = at_work(&situation, move |name| if name == "test" { (log.clone(), 1) } else { passes(name) });
    let output = situation.run_with(situation.plane.stand_in.owner_token(), &["apply", "--yes"]);
    drop(runners);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        "failed: job test in stage test",
        "reason: script_failure; the end of its log:",
        "$ scripts/check test\n",
        "the token is [secret]\n",
        "2JERROR: it broke\n",
        "/-/pipelines/",
        "next: or fix the cause by merge request; then run `factoryup apply` again",
        "! pipeline ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(&token), "{said}");
    assert!(!said.contains("section_start") && !said.contains('\u{9b}') && !said.contains("[32;1m"), "{said}");
    is_known(&situation);
    // It stays so until it was fixed.
    situation.run(&["apply", "--yes"], 2);
    situation.run(&["apply", "--yes", "--no-wait"], 0);
}

#[test]
fn a_pipeline_that_no_runner_takes_is_told_with_the_remedy() {
    let Some(situation) = Situation::new() else { return };
    let said = situation.run(&["apply", "--yes"], 75);
    for part in [
        "waits for a runner: GitLab shows none online that takes the job validate (with the tag acme-untrusted)",
        "next: connect a runner: docs/procedures/start-runners.md",
        "then run `factoryup apply` again",
        "! runner     trusted: never_contacted",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    is_known(&situation);
    // One that is online, and does not take it, is no help.
    let path = situation.directory().join("xdg/factoryup/acme/runner-trusted-token");
    let token = fs::read_to_string(path).unwrap();
    assert_eq!(situation.plane.as_token("").post("/runners/verify", &json!({ "token": token.trim() })).status, 200);
    let said = situation.run(&["apply", "--yes"], 75);
    assert!(said.contains("takes the job validate (with the tag acme-untrusted)"), "{said}");
}

#[test]
fn ctrl_c_leaves_the_pipeline_to_gitlab() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    connect_runners(&situation);
    situation.plane.stand_in.clear_log();
    let run = situation.start(&["apply", "--yes"]);
    looked(&situation);
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", run.id())]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(75), "{said}");
    for part in
        ["stopped waiting for pipeline ", "; it continues in GitLab", "next: watch it: http://", "factoryup status"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
}

#[test]
fn an_account_that_is_not_verified_is_told_so_and_needs_it_for_the_instances_runners_only() {
    let Some(mut situation) = Situation::with(|options| options.verified = false) else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let pipeline = &situation.get("/pipelines")[0];
    assert_eq!(pipeline["status"], "pending", "own runners need no verification: {pipeline}");

    let Some(unverified) = Situation::with(|options| options.verified = false) else { return };
    situation = unverified;
    situation.shared();
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    situation.plane.stand_in.clear_log();
    let said = situation.run(&["apply", "--yes"], 2);
    let (id, url) = (&situation.get("/pipelines?ref=main")[0]["id"], situation.plane.url());
    let text = format!(
        "error: pipeline {id} ended with status failed, without a job: GitLab says: Identity verification is required in order to run CI jobs\n"
    );
    assert!(said.contains(&text), "{said}");
    let hint = format!("next: verify your account, then start the pipeline again: {url}/-/identity_verification\n");
    assert!(said.contains(&hint), "{said}");
    assert!(said.contains("next: or set runner.kind in factory.toml to your own runners"), "{said}");
    assert_eq!(situation.writes(), Vec::<String>::new());
    is_known(&situation);
}

#[test]
fn a_commit_without_a_pipeline_is_told_with_the_reason() {
    let Some(situation) = Situation::new() else { return };
    // The control repo's owner has no jobs for a push.
    let rules = "workflow:\n  rules:\n    - when: never\nx:\n  script: [true]\n";
    fs::write(situation.repo.join(".gitlab-ci.yml"), rules).unwrap();
    assert!(super::plane::git(&situation.repo, &["commit", "-qam", "No pipelines"]).ok());
    situation.run(&["apply", "gitlab", "--yes"], 0);
    let said = situation.run(&["apply", "--yes"], 75);
    assert!(
        said.contains("the commit of main has no pipeline: GitLab gives no reason, and the configuration is valid"),
        "{said}"
    );
    is_known(&situation);
    assert!(said.contains("/-/pipelines/new") && said.contains("! pipeline   none"), "{said}");
}
