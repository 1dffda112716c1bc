//! Keys that CI signs evidence with: made on day one, hidden, and verified by the public half in a protected tag.

use std::fs;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ci::{add, remove, value, variable, with_cloudflare};
use super::situation::{QUIET, Situation};
use super::support;

const KEY: &str = "EVIDENCE_SIGNING_KEY";

/// The tags with public halves, by name.
fn signers(situation: &Situation) -> Vec<Value> {
    let all = situation.get("/repository/tags?search=^evidence/signer-&order_by=name&sort=asc");
    all.as_array().unwrap().clone()
}

/// The public half of a private key, as OpenSSH sees it.
fn public_half(situation: &Situation, private: &str) -> String {
    let file = situation.directory().join("key");
    fs::write(&file, STANDARD.decode(private).unwrap()).unwrap();
    assert!(Command::new("chmod").arg("600").arg(&file).status().unwrap().success());
    let output = Command::new("ssh-keygen").args(["-y", "-f"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn each_environment_has_a_key_of_its_own_with_its_public_half_in_a_protected_tag() {
    if !support::need("ssh-keygen") {
        return;
    }
    let Some(mut situation) = Situation::new() else { return };
    with_cloudflare(&mut situation);
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.pending(), [""; 0]);
    let tags = signers(&situation);
    assert_eq!(tags.len(), 4);
    let mut seen = Vec::new();
    for place in ["control-plane", "staging", "production", "evidence"] {
        let shown = variable(&situation, KEY, place).unwrap();
        for flag in ["protected", "masked", "hidden", "raw"] {
            assert_eq!(shown[flag], true, "{place} {flag}");
        }
        let name = shown["description"].as_str().unwrap();
        let name = name.strip_prefix("factoryup: public half in ").unwrap().split(';').next().unwrap();
        let tag = tags.iter().find(|tag| tag["name"] == name).unwrap();
        assert_eq!(tag["protected"], true);
        let public = public_half(&situation, &value(&situation, KEY, place).unwrap());
        let line = format!("\n\nci namespaces=\"factory-evidence\" {public}");
        assert!(tag["message"].as_str().unwrap().contains(&line), "{tag}");
        assert!(!seen.contains(&public));
        seen.push(public);
    }
    // No copy stays here.
    let key = value(&situation, KEY, "evidence").unwrap();
    for entry in fs::read_dir(situation.state.path()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            assert!(!fs::read_to_string(entry.path()).unwrap().contains(&key), "{:?}", entry.path());
        }
    }
}

#[test]
fn a_key_is_made_once_and_replaced_when_it_is_worth_nothing() {
    let Some(situation) = Situation::handed_off() else { return };
    let first = value(&situation, KEY, "evidence").unwrap();
    let replaced = |before: &str| {
        assert_eq!(situation.pending(), ["evidence-key:evidence"]);
        situation.apply(QUIET).unwrap();
        assert_eq!(situation.pending(), [""; 0]);
        let now = value(&situation, KEY, "evidence").unwrap();
        assert_ne!(now, before);
        now
    };
    remove(&situation, KEY, "evidence");
    let second = replaced(&first);
    // Every branch could read it.
    let one = situation.path(&format!("/variables/{KEY}?filter[environment_scope]=evidence"));
    assert_eq!(situation.plane.put(&one, &json!({ "protected": false })).status, 200);
    let third = replaced(&second);
    assert_eq!(variable(&situation, KEY, "evidence").unwrap()["protected"], true);
    // Nobody could verify with it.
    let name = signers(&situation).last().unwrap()["name"].as_str().unwrap().replace('/', "%2F");
    assert_eq!(situation.plane.delete(&situation.path(&format!("/repository/tags/{name}"))).status, 204);
    replaced(&third);
    // What the keys before signed stays valid.
    assert_eq!(signers(&situation).len(), 4);

    remove(&situation, KEY, "evidence");
    add(&situation, KEY, "evid*");
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    assert_eq!(plan.notes, ["the CI/CD variable EVIDENCE_SIGNING_KEY (evidence) is your own; factoryup keeps it"]);
}

#[test]
fn what_a_job_signs_on_day_one_is_verified_in_any_clone() {
    if !support::available(&["base64", "curl", "git", "jq", "ssh-keygen"]) {
        return;
    }
    let Some(situation) = Situation::handed_off() else { return };
    let token = situation.plane.owner_token();
    let clone = || situation.plane.clone("control", &token).path;
    let job = |key: &str| -> Output {
        let path = clone();
        let mut command = Command::new(path.join("scripts/evidence"));
        command.current_dir(&path).arg("gate").env("PATH", support::path()).env("GITLAB_TOKEN", &token);
        command.env(KEY, key).env("CI_PIPELINE_ID", "7").env("CI_JOB_URL", "https://gitlab.example/-/jobs/1");
        command.output().unwrap()
    };
    let verify = || {
        let path = clone();
        let mut command = Command::new(path.join("scripts/evidence"));
        command.current_dir(&path).arg("verify").env("PATH", support::path()).env("GITLAB_TOKEN", &token);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, found) = verify();
    assert!(code == Some(1) && found.contains("has no record of its gate"), "{found}");
    let output = job(&value(&situation, KEY, "evidence").unwrap());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(verify(), (Some(0), "1 statements, 1 commits: all recorded, signed and in order\n".into()));
}
