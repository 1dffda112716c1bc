//! `factoryup status` against the stand-in: every line is what was read now, and what cannot be read hides nothing else.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::contract::is_known;
use super::plane;
use super::situation::Situation;

/// The card that a command prints with `--json`, and what it said.
#[track_caller]
pub(super) fn card(situation: &Situation, args: &[&str], code: i32) -> Value {
    let said = situation.run(&[&["--json"], args].concat(), code);
    let found = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    found.into_iter().find(|line| line["event"] == "card").unwrap_or_else(|| panic!("{said}"))["card"].clone()
}

/// The state and text of each part; those of the same part in a row.
pub(super) fn parts(card: &Value) -> BTreeMap<String, Vec<(String, String)>> {
    let mut parts: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    for line in card["lines"].as_array().unwrap() {
        parts.entry(text(line, "part")).or_default().push((text(line, "state"), text(line, "text")));
    }
    parts
}

pub(super) fn steps(card: &Value) -> Vec<String> {
    let next = card["next"].as_array().unwrap().iter();
    next.map(|step| format!("{} => {}", step["what"].as_str().unwrap(), step["how"].as_str().unwrap())).collect()
}

#[track_caller]
pub(super) fn is(parts: &BTreeMap<String, Vec<(String, String)>>, part: &str, state: &str, text: &str) {
    let found = parts.get(part).is_some_and(|all| all.iter().any(|(is, says)| is == state && says.contains(text)));
    assert!(found, "{part} {state} {text}: {parts:#?}");
}

/// As the two runners do when they begin.
pub(super) fn connect_runners(situation: &Situation) {
    for name in ["trusted", "untrusted"] {
        let path = situation.directory().join(format!("xdg/factoryup/acme/runner-{name}-token"));
        let token = fs::read_to_string(path).unwrap();
        let asked = situation.plane.as_token("").post("/runners/verify", &json!({ "token": token.trim() }));
        assert_eq!(asked.status, 200, "{}", asked.body);
    }
}

#[test]
fn the_card_shows_what_is_there_and_what_is_left() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    situation.plane.stand_in.clear_log();
    let shown = card(&situation, &["status"], 2);
    assert_eq!(situation.writes(), Vec::<String>::new());
    is_known(&situation);
    let all = parts(&shown);
    let tracked = plane::git(&situation.repo, &["status", "--short", "--branch"]);
    assert_eq!(tracked.output.trim(), "## main...origin/main");
    for part in ["clean", "; pushed", "main at ", "templates 1."] {
        is(&all, "repo", "ok", part);
    }
    is(&all, "host", "ok", "none");
    is(&all, "gitlab", "ok", "GitLab 18.11.0");
    is(&all, "gitlab", "ok", "settings as in factory.toml");
    is(&all, "pipeline", "attention", "is pending: validate pending");
    is(&all, "runner", "attention", "trusted: never_contacted, no contact yet");
    is(&all, "agent", "ok", "the service account factory-agent of the group factory");
    is(&all, "token", "ok", "you: \"stand-in\" ends on ");
    is(&all, "token", "ok", "factory-agent: \"factoryup agent\" ends on ");
    let (of_ci, others): (Vec<_>, Vec<_>) =
        all["token"].iter().partition(|(_, text)| text.starts_with("factoryup-") && !text.contains("-desk: "));
    assert!(others.iter().all(|(_, text)| text.ends_with(", in 30 days")), "{all:?}");
    assert!(others.iter().any(|(_, text)| text.contains("-desk: \"factoryup desk\" ends on ")), "{all:?}");
    for (word, (_, text)) in ["plan", "apply", "report"].iter().zip(&of_ci) {
        let end = format!("-{word}: \"factoryup {word}\" ends on {}", plane::expires_in(90));
        assert!(of_ci.len() == 3 && text.ends_with(&end), "{text}");
    }
    is(&all, "variables", "ok", "all CI variables are set");
    is(&all, "edge", "ok", "none");
    is(&all, "apps", "ok", "none registered");
    let left = steps(&shown);
    for step in ["connect a machine as the trusted runner => docs/", "create your age key"] {
        assert!(left.iter().any(|left| left.starts_with(step)), "{step}: {left:#?}");
    }
    let pipeline = situation.get("/pipelines")[0]["web_url"].clone();
    assert!(shown["lines"].as_array().unwrap().iter().any(|line| line["link"] == pipeline), "{shown}");

    // For people: the same, with marks.
    let text = situation.run(&["status"], 2);
    assert!(text.contains("! pipeline   pipeline ") && text.contains("  host       none"), "{text}");
    assert!(text.contains("Next, for you:\n  1. "), "{text}");

    // What was done is not asked for again.
    connect_runners(&situation);
    situation.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    let shown = card(&situation, &["status"], 2);
    let all = parts(&shown);
    is(&all, "pipeline", "ok", " passed");
    is(&all, "runner", "ok", "untrusted: online, last contact 20");
    is(&all, "runner", "ok", "GitLab shows a dead runner online for up to 2 h");
    is(&all, "variables", "ok", "all CI variables are set");
    assert!(all.values().flatten().all(|(state, _)| state == "ok"), "{all:#?}");
    assert!(
        matches!(&steps(&shown)[..], [key, copy] if key.starts_with("create your age key")
            && copy.starts_with("keep a copy of the state passphrases") && copy.ends_with("-control-plane")),
        "{shown}"
    );
}

#[test]
fn the_card_shows_what_differs_and_what_ends() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    fs::write(situation.repo.join("README.md"), "# Mine\n").unwrap();
    assert!(plane::git(&situation.repo, &["commit", "-q", "--allow-empty", "-m", "Local"]).ok());
    assert_eq!(situation.plane.delete(&situation.path("/protected_branches/main")).status, 204);
    // The agent's own token, and one that the owner made for it.
    let end = plane::expires_in(3);
    let path = situation.agent_tokens();
    let make = |name: &str| {
        let body = json!({ "name": name, "scopes": ["read_api", "write_repository"], "expires_at": end });
        situation.plane.post(&path, &body).body["token"].as_str().unwrap().to_owned()
    };
    make("by hand");
    fs::write(situation.directory().join("xdg/factoryup/acme/agent-token"), make("short") + "\n").unwrap();
    situation.plane.stand_in.age_tokens(27);
    situation.plane.stand_in.finish_pipelines("factory/control", "failed").unwrap();
    let shown = card(&situation, &["status"], 2);
    let all = parts(&shown);
    is(&all, "repo", "attention", "1 file changed and not committed");
    is(&all, "repo", "attention", "main here has commits that are not on GitLab");
    is(&all, "gitlab", "attention", " settings differ from factory.toml");
    is(&all, "token", "attention", &format!("\"short\" ends on {end}, in 3 days"));
    is(&all, "token", "ok", &format!("\"by hand\" ends on {end}, in 3 days"));
    is(&all, "pipeline", "attention", " failed: job validate in stage validate");
    let left = steps(&shown);
    for step in [
        "open a merge request for the commits of main that are not on GitLab",
        "renew the token of factory-agent => factoryup apply",
        "review the differences in GitLab",
        "find out why the pipeline failed",
    ] {
        assert!(left.iter().any(|left| left.starts_with(step)), "{step}: {left:#?}");
    }
}

#[test]
fn what_cannot_be_read_is_said_and_hides_nothing() {
    let Some(mut situation) = Situation::new() else { return };
    let without_token = situation.run_with("", &["status"]);
    let said = String::from_utf8_lossy(&without_token.stdout).into_owned();
    assert_eq!(without_token.status.code(), Some(2), "{without_token:?}");
    assert!(said.contains("? gitlab     cannot tell: no GitLab token for") && said.contains("  apps "), "{said}");
    // A port on which nothing listens.
    situation.behind("http://127.0.0.1:1");
    let shown = card(&situation, &["status"], 69);
    let all = parts(&shown);
    is(&all, "gitlab", "unknown", "cannot tell: GET /metadata: no answer from http://127.0.0.1:1");
    for part in ["pipeline", "runner", "agent", "token", "variables"] {
        is(&all, part, "unknown", "cannot tell: GitLab was not read");
    }
    is(&all, "repo", "ok", "cannot tell whether it is pushed: GitLab was not read");
    is(&all, "apps", "ok", "none registered");
    let text = situation.run(&["status"], 69);
    assert!(text.contains("? gitlab     cannot tell: ") && text.contains("error: "), "{text}");
}

/// Where GitLab has no service accounts, the card says which variables are left and why, and none of them is called set.
#[test]
fn the_card_names_what_factoryup_cannot_make_for_ci() {
    let ce = |options: &mut gitlab_stand_in::Options| options.edition = gitlab_stand_in::Edition::Ce;
    let Some(situation) = Situation::with(ce) else { return };
    let root = situation.plane.token("root", &["api"]);
    let applied = situation.run_with(&root, &["apply", "--yes", "--no-wait"]);
    assert_eq!(applied.status.code(), Some(0), "{applied:?}");
    let said = situation.run_with(&root, &["--json", "status"]);
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let shown = lines.find(|line| line["event"] == "card").unwrap()["card"].clone();
    let all = parts(&shown);
    let names =
        "CI lacks 3 variables: CONTROL_PLANE_PLAN_TOKEN (control-plane), CONTROL_PLANE_APPLY_TOKEN (control-plane), ";
    is(&all, "variables", "attention", names);
    is(
        &all,
        "variables",
        "attention",
        "are left to you (plan, apply, report): GitLab's Community Edition has no service accounts",
    );
    assert!(steps(&shown).iter().any(|step| step.starts_with("create CONTROL_PLANE_PLAN_TOKEN")), "{shown}");
}
