//! CI's age keys: made by the hand-off, hidden, and readers of secrets once the owner merges that.

use std::process::Command;

use factoryup::dialog::Silent;
use factoryup::gitlab::RevertGitlab;
use factoryup::plan::Target;
use serde_json::{Value, json};

use super::ci::{add, remove, revert, value, variable};
use super::situation::{QUIET, Situation};
use super::support;

const KEY: &str = "SOPS_AGE_KEY";
const OWNER: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

fn with_key() -> Option<Situation> {
    let mut situation = Situation::new()?;
    situation.with_secrets_of(OWNER);
    Some(situation)
}

/// The merge requests about readers: number, state and branch.
fn requests(situation: &Situation) -> Vec<(u64, String, String)> {
    let all = situation.get("/merge_requests?state=all&target_branch=main");
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = all.as_array().unwrap().iter();
    let all = all.map(|one| (one["iid"].as_u64().unwrap(), text(one, "state"), text(one, "source_branch")));
    let mut all: Vec<_> = all.filter(|(_, _, branch)| branch.starts_with("factory/readers-")).collect();
    all.sort();
    all
}

fn merge(situation: &Situation, number: u64) {
    situation.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    let merged = situation.plane.put(&situation.path(&format!("/merge_requests/{number}/merge")), &json!({}));
    assert_eq!(merged.status, 200, "{}", merged.body);
    situation.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
}

/// The public half of the key that an environment has.
fn recipient(situation: &Situation, environment: &str) -> String {
    let shown = variable(situation, KEY, environment).unwrap();
    for flag in ["protected", "masked", "hidden", "raw"] {
        assert_eq!(shown[flag], true, "{environment} {flag}");
    }
    assert_eq!(shown["variable_type"], "env_var");
    let said = shown["description"].as_str().unwrap().strip_prefix("factoryup: age key ").unwrap().to_owned();
    let said = said.split(';').next().unwrap().to_owned();
    // It is the half of the key that jobs get.
    let pairs = factoryup::age::pairs(&value(situation, KEY, environment).unwrap());
    assert_eq!(pairs[0].recipient(), said);
    said
}

#[test]
fn each_environments_key_reads_its_folder_once_merged() {
    let Some(situation) = with_key() else { return };
    situation.apply(QUIET).unwrap();
    let [staging, production] = ["staging", "production"].map(|name| recipient(&situation, name));
    assert_ne!(staging, production);
    assert_eq!(variable(&situation, KEY, "control-plane"), None);
    for entry in std::fs::read_dir(situation.state.path()).unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        assert!(!text.contains(&value(&situation, KEY, "staging").unwrap()), "{:?}", entry.path());
    }

    let all = requests(&situation);
    let [(number, state, branch)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(state, "opened");
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.notes, [format!("CI can read secrets/staging, secrets/production once you merge !{number}")]);
    let clone = situation.plane.clone("control", &situation.plane.owner_token());
    let changes = clone.git(&["diff", "-U0", "main", &format!("origin/{branch}")]);
    let changes: Vec<_> = changes.lines().filter(|line| line.starts_with(['-', '+'])).collect();
    assert_eq!(
        changes,
        [
            "--- a/.sops.yaml".to_owned(),
            "+++ b/.sops.yaml".to_owned(),
            format!("-    age: {OWNER}"),
            format!("+    age: {OWNER},{staging}"),
            format!("-    age: {OWNER}"),
            format!("+    age: {OWNER},{production}"),
        ]
    );
    merge(&situation, *number);
    let plan = situation.plan();
    assert!(plan.is_empty() && plan.notes.is_empty(), "{plan:?}");

    if !support::available(&["sops"]) {
        return;
    }
    clone.git(&["pull", "-q"]);
    std::fs::create_dir_all(clone.path.join("secrets/production")).unwrap();
    let sops = |arguments: &[&str], key: &str| {
        let mut command = Command::new("sops");
        command.arg("--disable-version-check").args(arguments).current_dir(&clone.path).env("PATH", support::path());
        command.env("HOME", situation.directory()).env("SOPS_AGE_KEY", value(&situation, KEY, key).unwrap());
        command.output().unwrap()
    };
    std::fs::write(clone.path.join("secrets/production/app.yaml"), "TOKEN: canary\n").unwrap();
    assert!(sops(&["encrypt", "--in-place", "secrets/production/app.yaml"], "production").status.success());
    let read = sops(&["decrypt", "secrets/production/app.yaml"], "production");
    assert_eq!(String::from_utf8_lossy(&read.stdout), "TOKEN: canary\n", "{read:?}");
    assert!(!sops(&["decrypt", "secrets/production/app.yaml"], "staging").status.success(), "staging reads production");
}

#[test]
fn a_lost_key_is_made_again_or_left_to_the_owner() {
    let Some(situation) = with_key() else { return };
    situation.apply(QUIET).unwrap();
    let old = recipient(&situation, "staging");
    // A decision of the owner's holds.
    let (number, ..) = requests(&situation).remove(0);
    let closed = situation.path(&format!("/merge_requests/{number}"));
    assert_eq!(situation.plane.put(&closed, &json!({ "state_event": "close" })).status, 200);
    assert_eq!(situation.pending(), [""; 0]);
    assert_eq!(situation.plane.put(&closed, &json!({ "state_event": "reopen" })).status, 200);
    merge(&situation, number);

    remove(&situation, KEY, "staging");
    assert_eq!(situation.pending(), ["secrets-key:staging", "secrets-readers:main"]);
    situation.apply(QUIET).unwrap();
    assert_ne!(recipient(&situation, "staging"), old);
    assert_eq!(situation.pending(), [""; 0]);
    merge(&situation, requests(&situation)[1].0);

    // What is encrypted already opens for the owner alone.
    let body = json!({
        "branch": "more", "start_branch": "main", "commit_message": "a secret",
        "actions": [{ "action": "create", "file_path": "secrets/production/app.yaml", "content": "encrypted" }],
    });
    assert_eq!(situation.plane.post(&situation.path("/repository/commits"), &body).status, 201);
    let body = json!({ "source_branch": "more", "target_branch": "main", "title": "a secret" });
    let more = situation.plane.post(&situation.path("/merge_requests"), &body).body["iid"].as_u64().unwrap();
    merge(&situation, more);
    remove(&situation, KEY, "production");
    situation.apply(QUIET).unwrap();
    let plan = situation.plan();
    let how = format!("scripts/secret add-recipient secrets/production {}", recipient(&situation, "production"));
    assert!(plan.is_empty() && plan.notes[0].contains(&how), "{plan:?}");

    // Every branch could read it.
    let one = situation.path(&format!("/variables/{KEY}?filter[environment_scope]=production"));
    assert_eq!(situation.plane.put(&one, &json!({ "protected": false })).status, 200);
    assert_eq!(situation.pending(), ["secrets-key:production"]);
    // The owner's own key is kept.
    remove(&situation, KEY, "production");
    add(&situation, KEY, "production");
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.notes, ["the CI/CD variable SOPS_AGE_KEY (production) is your own; factoryup keeps it"]);
}

#[test]
fn in_a_project_that_was_there_before_the_way_back_removes_the_keys() {
    let Some(situation) = with_key() else { return };
    situation.plane.project("control");
    situation.apply(QUIET).unwrap();
    let back = RevertGitlab::new(situation.target()).observe(&Silent).unwrap();
    for name in ["staging", "production"] {
        assert!(back.changes.iter().any(|change| change.id == format!("secrets-key:{name}")), "{back:?}");
    }
    revert(&situation);
    assert_eq!(variable(&situation, KEY, "staging"), None);
    assert_eq!(requests(&situation).len(), 1, "the merge request stays");
}

#[test]
fn without_the_owners_key_there_is_nothing_to_read() {
    let Some(situation) = Situation::handed_off() else { return };
    assert_eq!(variable(&situation, KEY, "staging"), None);
    assert!(requests(&situation).is_empty());
}
