//! CI's tokens renew themselves in the night, by `scripts/renew` of the control repo, so that no apply has to.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::json;

use super::ci::{all_are_in_place, value, variable, with_cloudflare};
use super::control_repo::{ControlRepo, passed, text};
use super::plane::expires_in;
use super::situation::{QUIET, Situation};
use super::support;

const KEYS: [&str; 3] = ["CONTROL_PLANE_PLAN_TOKEN", "CONTROL_PLANE_APPLY_TOKEN", "REPORT_TOKEN"];

/// What a proxy answers to whoever renews a token: an error page that says it went well.
const PROXY: &str = r#"#!/bin/sh
case "$*" in *self/rotate*) ;; *) exec "$CURL" "$@" ;; esac
echo '<html>Sign in</html>'
printf 200 >&2
"#;

/// As the nightly job has it: the variables of its environment.
fn renew(situation: &Situation, repo: &ControlRepo) -> Output {
    job(situation, repo).output().unwrap()
}

fn job(situation: &Situation, repo: &ControlRepo) -> Command {
    let mut command = repo.command(repo.path().join("scripts/renew").to_str().unwrap());
    with_variables(situation, &mut command);
    command
}

/// The variables that the nightly job has.
pub fn with_variables(situation: &Situation, command: &mut Command) {
    command.env("CI_API_V4_URL", format!("{}/api/v4", situation.plane.url()));
    command.env("CI_PROJECT_ID", situation.get("")["id"].to_string());
    command.envs(KEYS.into_iter().filter_map(|key| Some((key, value(situation, key, "control-plane")?))));
}

fn texts(situation: &Situation) -> [Option<String>; 3] {
    KEYS.map(|key| value(situation, key, "control-plane"))
}

/// Gives each token so many days of the 90 that it had.
fn end_in(situation: &Situation, days: i64) {
    for key in KEYS {
        let body = json!({ "expires_at": expires_in(days) });
        let text = value(situation, key, "control-plane").unwrap();
        let made = situation.plane.as_token(&text).post("/personal_access_tokens/self/rotate", &body).body;
        let mark = format!(
            "factoryup: token {}, expires {}; empty this text to keep a value of your own",
            made["id"],
            expires_in(days)
        );
        let all = situation.get("/variables");
        for one in all.as_array().unwrap().iter().filter(|one| one["key"] == key) {
            let scope = &one["environment_scope"];
            let body = json!({"value": made["token"], "description": mark, "filter": {"environment_scope": scope}});
            assert_eq!(situation.plane.put(&situation.path(&format!("/variables/{key}")), &body).status, 200);
        }
    }
    situation.plane.stand_in.age_tokens(90 - days);
}

#[test]
fn tokens_of_jobs_renew_themselves_and_leave_an_apply_nothing_to_do() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(mut situation) = Situation::new() else { return };
    with_cloudflare(&mut situation);
    situation.apply(QUIET).unwrap();
    let repo = ControlRepo::new("everything");
    end_in(&situation, 31);
    let first = texts(&situation);
    let said = passed(&renew(&situation, &repo));
    assert_eq!((said.matches(": 31 days left\n").count(), texts(&situation)), (3, first), "{said}");

    end_in(&situation, 30);
    let first = texts(&situation);
    let output = renew(&situation, &repo);
    let said = passed(&output);
    assert_eq!(said.matches(&format!(": renewed, ends on {}\n", expires_in(90))).count(), 3, "{said}");
    let second = texts(&situation);
    for (old, new) in first.iter().zip(&second) {
        assert_ne!(old, new);
        assert!(!text(&output).contains(new.as_deref().unwrap()) && !text(&output).contains(old.as_deref().unwrap()));
    }
    // In every environment that has it, and by the rule that an apply goes by.
    assert_eq!(value(&situation, "REPORT_TOKEN", "production"), second[2]);
    all_are_in_place(&situation);
    let pending: Vec<_> = situation.pending().into_iter().filter(|id| id.starts_with("ci-token")).collect();
    assert_eq!(pending, [""; 0]);
    assert_eq!(passed(&renew(&situation, &repo)).matches(": 90 days left\n").count(), 3);
}

#[test]
fn the_agents_membership_is_renewed_with_the_apply_token() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(situation) = Situation::new() else { return };
    situation.apply(QUIET).unwrap();
    let (repo, member) = (ControlRepo::new("everything"), situation.path(&format!("/members/{}", situation.agent())));
    for (days, said) in [(8, "8 days left".to_owned()), (7, format!("renewed, ends on {}", expires_in(30)))] {
        let body = json!({ "access_level": 30, "expires_at": expires_in(days) });
        assert_eq!(situation.plane.put(&member, &body).status, 200);
        let due = situation.pending() == ["member:factory-agent"];
        assert_eq!(due, days == 7, "by the rule of an apply");
        let output = passed(&renew(&situation, &repo));
        assert!(output.contains(&format!("membership of factory-agent: {said}\n")), "{output}");
    }
    assert_eq!(situation.pending(), [""; 0]);
    // A role that was changed is not renewed.
    let body = json!({ "access_level": 20, "expires_at": expires_in(7) });
    assert_eq!(situation.plane.put(&member, &body).status, 200);
    let output = renew(&situation, &repo);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("the role is not Developer; run: factoryup apply gitlab\n"), "{}", text(&output));
}

#[test]
fn a_page_of_a_proxy_is_no_new_token() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(situation) = Situation::new() else { return };
    situation.apply(QUIET).unwrap();
    end_in(&situation, 30);
    let (repo, before) = (ControlRepo::new("everything"), (texts(&situation), situation.get("/variables")));
    let folder = tempfile::tempdir().unwrap();
    let curl = folder.path().join("curl");
    std::fs::write(&curl, PROXY).unwrap();
    std::fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), support::path());
    let mut command = job(&situation, &repo);
    let output = command.env("CURL", support::tool("curl").unwrap()).env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = "GitLab's answer has no token, and may have ended the old one; run: factoryup apply gitlab";
    assert_eq!(text(&output).matches(said).count(), 3, "{}", text(&output));
    assert_eq!((texts(&situation), situation.get("/variables")), before);
    passed(&renew(&situation, &repo));
    assert_ne!(texts(&situation), before.0);
}

#[test]
fn what_cannot_be_renewed_stays_and_is_said() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let limited = |options: &mut gitlab_stand_in::Options| {
        (options.edition, options.tier) = (gitlab_stand_in::Edition::Ee, gitlab_stand_in::Tier::Premium);
        options.max_token_days = Some(6);
    };
    let Some(situation) = Situation::with(limited) else { return };
    situation.apply(QUIET).unwrap();
    let repo = ControlRepo::new("everything");
    // The owner's own value, without factoryup's description, stays.
    let report = situation.path("/variables/REPORT_TOKEN");
    let body = json!({"description": "mine", "filter": {"environment_scope": "control-plane"}});
    assert_eq!(situation.plane.put(&report, &body).status, 200);
    let first = texts(&situation);
    situation.plane.stand_in.age_tokens(5);
    let said = passed(&renew(&situation, &repo));
    assert!(said.contains("REPORT_TOKEN: not factoryup's, and stays\n"), "{said}");
    assert_eq!(said.matches(&format!(": renewed, ends on {}\n", expires_in(5))).count(), 2, "{said}");
    let second = texts(&situation);
    assert_eq!(first[2], second[2]);

    // A variable that cannot be written is found before the token's old text ends.
    situation.plane.stand_in.age_tokens(5);
    let plan = variable(&situation, KEYS[0], "control-plane").unwrap()["description"].clone();
    let apply = second[1].clone().unwrap();
    let user = situation.plane.as_token(&apply).get("/user").body["id"].clone();
    let role = |level: u8| {
        let body = json!({ "access_level": level });
        assert_eq!(situation.plane.put(&format!("/groups/factory/members/{user}"), &body).status, 200);
    };
    role(30);
    let output = renew(&situation, &repo);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    assert_eq!(texts(&situation), second);
    role(40);
    // A token that works no more.
    let plan_token = situation.plane.as_token(second[0].as_deref().unwrap());
    assert_eq!(plan_token.post("/personal_access_tokens/self/rotate", &json!({})).status, 200);
    let output = renew(&situation, &repo);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("CONTROL_PLANE_PLAN_TOKEN: GitLab answers 401; run: factoryup apply gitlab\n"),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("CONTROL_PLANE_APPLY_TOKEN: renewed"), "{}", text(&output));
    assert_eq!(variable(&situation, KEYS[0], "control-plane").unwrap()["description"], plan);
    let issue = || {
        let all = situation.get("/issues?state=opened&labels=due");
        all.as_array().unwrap().iter().map(|issue| issue["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(issue(), ["Tokens of CI's jobs are not renewed"]);
    // And an apply brings all right again.
    situation.apply(QUIET).unwrap();
    assert_eq!(passed(&renew(&situation, &repo)).matches("_TOKEN: 5 days left\n").count(), 2);
    assert_eq!(issue(), [""; 0]);

    let output = repo.command(repo.path().join("scripts/renew").to_str().unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}
