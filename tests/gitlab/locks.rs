//! Checksums of providers: a job of the first pipeline proposes them, by `scripts/infra propose-locks` of the control repo.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::ci::value;
use super::control_repo::{passed, text};
use super::situation::Situation;
use super::support;

const TOKEN: &str = "CONTROL_PLANE_APPLY_TOKEN";

/// As the engine: `providers lock` writes the file, or finds no registry.
const ENGINE: &str = r#"#!/bin/sh
case $1 in
get) ;;
providers) [ ! -e "$HOME/offline" ] && echo "hashes of $*" >.terraform.lock.hcl ;;
*) exit 9 ;;
esac
"#;

fn propose(situation: &Situation, clone: &Path, token: Option<String>) -> Output {
    let bin = situation.directory().join(".local/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("tofu"), ENGINE).unwrap();
    fs::set_permissions(bin.join("tofu"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(clone.join("scripts/infra"));
    command.arg("propose-locks").current_dir(clone).env("PATH", support::path()).env("HOME", situation.directory());
    command.env("CI_API_V4_URL", format!("{}/api/v4", situation.plane.url())).env("CI_DEFAULT_BRANCH", "main");
    command.env("CI_PROJECT_ID", situation.get("")["id"].to_string()).envs(token.map(|token| (TOKEN, token)));
    let output = command.output().unwrap();
    passed(&Command::new("git").args(["clean", "-qfd"]).current_dir(clone).output().unwrap());
    output
}

fn requests(situation: &Situation) -> Vec<Value> {
    situation.get("/merge_requests?state=all").as_array().unwrap().clone()
}

#[test]
fn the_first_pipeline_proposes_the_checksums_of_providers_once() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(situation) = Situation::handed_off() else { return };
    let token = value(&situation, TOKEN, "control-plane").unwrap();
    let clone = situation.plane.clone("control", &situation.plane.owner_token());
    let job = || propose(&situation, &clone.path, Some(token.clone()));

    let without = propose(&situation, &clone.path, None);
    assert_eq!(without.status.code(), Some(78), "{}", text(&without));
    fs::write(situation.directory().join("offline"), "").unwrap();
    let offline = job();
    assert_eq!(offline.status.code(), Some(75), "{}", text(&offline));
    assert!(text(&offline).contains("the checksums of control-plane cannot be had"), "{}", text(&offline));
    assert!(requests(&situation).is_empty());
    fs::remove_file(situation.directory().join("offline")).unwrap();

    // The agent knows the branch's name, and cannot push to it.
    let sum = Command::new("sh").args(["-c", "printf ' control-plane' | sha256sum | cut -c 1-8"]).output().unwrap();
    let target = format!("HEAD:factory/provider-locks-{}", String::from_utf8(sum.stdout).unwrap().trim());
    let agent = situation.plane.clone("control", &situation.kept("agent-token"));
    agent.commit("README.md", "planted\n");
    let options = ["-o", "merge_request.create", "-o", "merge_request.target=main", "origin", &target];
    assert!(agent.push(&options).refused("not allowed to push code to protected branches"));
    assert!(requests(&situation).is_empty());

    let said = passed(&job());
    let all = requests(&situation);
    let [one] = &all[..] else { panic!("{all:?}") };
    assert!(said.contains(&format!("merge request: {}", one["web_url"].as_str().unwrap())), "{said}");
    assert!(!said.contains(&token), "{said}");
    assert!(one["author"]["username"].as_str().unwrap().ends_with("-apply"), "{one}");
    let branch = one["source_branch"].as_str().unwrap();
    clone.git(&["fetch", "-q"]);
    let changes = clone.git(&["diff", "--stat=200", "main", &format!("origin/{branch}")]);
    assert!(
        changes.contains("infra/control-plane/.terraform.lock.hcl") && changes.contains("1 file changed"),
        "{changes}"
    );
    let lock = clone.git(&["show", &format!("origin/{branch}:infra/control-plane/.terraform.lock.hcl")]);
    assert_eq!(lock.trim(), "hashes of providers lock -platform=linux_amd64 -platform=linux_arm64");

    // The card asks for it.
    let now = situation.target().now(Vec::new()).unwrap().unwrap().proposals.unwrap();
    let now: Vec<_> = now.iter().map(|one| (one.title.as_str(), &one.web_url)).collect();
    assert_eq!(now, [("Record the providers' checksums", &one["web_url"].as_str().unwrap().to_owned())]);

    // It waits for the owner, whose decision holds.
    let path = situation.path(&format!("/merge_requests/{}", one["iid"]));
    for (event, state) in [("", "opened"), ("close", "closed"), ("reopen", "opened")] {
        if !event.is_empty() {
            assert_eq!(situation.plane.put(&path, &json!({ "state_event": event })).status, 200);
        }
        let said = passed(&job());
        assert!(said.contains("no lock for control-plane: ") && said.contains(&format!("is {state}")), "{said}");
        assert_eq!(requests(&situation).len(), 1);
    }
    situation.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    assert_eq!(situation.plane.put(&format!("{path}/merge"), &json!({})).status, 200);
    clone.git(&["pull", "-q"]);
    assert_eq!(passed(&job()), "every root has a .terraform.lock.hcl\n");
}
