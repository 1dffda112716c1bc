//! How a change travels in the stand-in: a commit, its pipeline, a merge request, the merge.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/plane.rs"]
mod plane;
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::{As, Got, Plane};
use serde_json::{Value, json};

const PIPELINE: &str = "\
stages: [validate, apply]
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/apply@$CI_COMMIT_SHA
    inputs: {root: production, tags: [trusted]}
  - local: /ci/validate.yml
";
const COMPONENT: &str = "\
spec:
  inputs:
    root:
    tags: {type: array}
---
\"apply:$[[ inputs.root ]]\":
  stage: apply
  tags: $[[ inputs.tags ]]
  environment:
    name: $[[ inputs.root ]]
    deployment_tier: production
  needs: [validate]
  rules:
    - if: $CI_COMMIT_REF_PROTECTED == \"true\"
      when: manual
      allow_failure: false
  script: [make apply]
";

fn create(path: &str, content: &str) -> Value {
    json!({"action": "create", "file_path": path, "content": content})
}

fn commit(by: &As<'_>, project: u64, branch: &str, more: &Value, actions: &[Value]) -> Got {
    let mut body = json!({"branch": branch, "commit_message": format!("Change {branch}"), "actions": actions});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    by.post(&format!("/projects/{project}/repository/commits"), &body)
}

/// A project whose main branch has a pipeline with a manual job, protected as the hand-off protects it.
fn seeded(plane: &Plane) -> u64 {
    let project = plane.project("control");
    let owner = plane.as_token(&plane.owner_token());
    let files = [
        create(".gitlab-ci.yml", PIPELINE),
        create("templates/apply/template.yml", COMPONENT),
        create("ci/validate.yml", "validate:\n  stage: validate\n  script: [make]\n"),
    ];
    let seed = commit(&owner, project, "main", &json!({}), &files);
    assert_eq!(seed.status, 201, "{}", seed.body);
    let rules = format!("/projects/{project}/protected_branches");
    assert_eq!(plane.get(&format!("{rules}/main")).body["push_access_levels"][0]["access_level"], 40);
    plane.delete(&format!("{rules}/main"));
    plane.post(&rules, &json!({"name": "main", "push_access_level": 0, "merge_access_level": 40}));
    project
}

#[test]
fn a_commit_is_made_whole_or_not_at_all() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let owner = plane.as_token(&plane.owner_token());
    let at = |path: &str| format!("/projects/{project}/repository{path}");
    assert_eq!(plane.get(&at("/branches/main")).status, 404);
    let seed = commit(&owner, project, "main", &json!({}), &[create("a", "1\n"), create("dir/b", "2\n")]);
    assert_eq!(seed.status, 201);
    let branch = plane.get(&at("/branches/main"));
    assert_eq!(branch.body["commit"]["id"], seed.body["id"]);
    assert_eq!((&branch.body["protected"], &branch.body["default"]), (&json!(true), &json!(true)));

    let half = [
        json!({"action": "update", "file_path": "a", "content": "3\n"}),
        json!({"action": "delete", "file_path": "no"}),
    ];
    let refused = commit(&owner, project, "main", &json!({}), &half);
    assert_eq!((refused.status, &refused.body["message"]), (400, &json!("A file with this name doesn't exist")));
    assert_eq!(plane.get(&at("/files/a/raw?ref=main")).body, json!(1));
    assert_eq!(commit(&owner, project, "main", &json!({}), &[create("a", "again")]).status, 400);
    assert_eq!(commit(&owner, project, "main", &json!({}), &[create("../a", "out")]).status, 400);

    let rest = [
        json!({"action": "create", "file_path": "bin/run", "content": STANDARD.encode("#!/bin/sh\n"), "encoding": "base64", "execute_filemode": true}),
        json!({"action": "move", "file_path": "c", "previous_path": "dir/b"}),
        json!({"action": "delete", "file_path": "a"}),
    ];
    let topic = commit(&owner, project, "topic", &json!({"start_branch": "main"}), &rest);
    assert_eq!(topic.status, 201, "{}", topic.body);
    assert_eq!(topic.body["parent_ids"], json!([seed.body["id"]]));
    let tree = plane.get(&at("/tree?ref=topic&recursive=true"));
    let paths: Vec<_> = tree.body.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["bin/run", "c"]);
    let file = plane.get(&at("/files/bin%2Frun?ref=topic"));
    assert_eq!(file.body["execute_filemode"], true);
    assert_eq!(STANDARD.decode(file.body["content"].as_str().unwrap()).unwrap(), b"#!/bin/sh\n");
    let work = plane.clone("control", &plane.owner_token());
    assert_eq!(work.git(&["rev-parse", "origin/topic"]), topic.body["id"].as_str().unwrap());
}

#[test]
fn lint_reads_what_the_commit_includes() {
    let Some(plane) = Plane::start() else { return };
    let project = seeded(&plane);
    let at = format!("/projects/{project}/ci/lint");
    let lint = plane.get(&format!("{at}?content_ref=main&include_jobs=true"));
    assert_eq!((&lint.body["valid"], &lint.body["warnings"]), (&json!(true), &json!([])), "{}", lint.body);
    let jobs: Vec<_> = lint.body["jobs"].as_array().unwrap().iter().map(|job| (&job["name"], &job["when"])).collect();
    assert_eq!(jobs, [(&json!("validate"), &json!("on_success")), (&json!("apply:production"), &json!("manual"))]);
    let broken = PIPELINE.replace("root: production", "rot: production");
    let lint = plane.post(&at, &json!({"content": broken}));
    assert_eq!(lint.body["valid"], false);
    assert!(lint.body["errors"][0].as_str().unwrap().contains("unknown input arguments: rot"));
    let gone = plane.post(&at, &json!({"content": "include: {local: ci/no.yml}\n"}));
    assert_eq!(gone.body["errors"], json!(["Local file `ci/no.yml` does not exist!"]));
}

#[test]
fn only_who_may_merge_runs_what_is_protected() {
    let Some(plane) = Plane::start() else { return };
    let project = seeded(&plane);
    let at = |path: &str| format!("/projects/{project}{path}");
    let agent = plane.member(project, "agent", 30);
    let agent = plane.as_token(&agent);
    let pipeline = plane.get(&at("/pipelines?ref=main")).body[0].clone();
    assert_eq!((&pipeline["status"], &pipeline["source"]), (&json!("pending"), &json!("push")));
    let jobs = at(&format!("/pipelines/{}/jobs", pipeline["id"]));
    let job = agent.get(&jobs).body[1].clone();
    assert_eq!((&job["name"], &job["status"]), (&json!("apply:production"), &json!("created")));
    let play = at(&format!("/jobs/{}/play", job["id"]));
    assert_eq!(plane.post(&play, &json!({})).body["message"], "400 Bad request - Unplayable Job");
    assert_eq!(plane.stand_in.finish_pipelines("factory/control", "success").unwrap(), 1);
    assert_eq!(plane.get(&format!("{jobs}?scope[]=manual")).body[0]["id"], job["id"]);
    assert_eq!(agent.post(&play, &json!({})).status, 403);
    assert_eq!(plane.post(&play, &json!({})).body["status"], "pending");

    let refused = agent.post(&at("/pipeline"), &json!({"ref": "main"}));
    assert_eq!(refused.status, 400);
    assert!(
        refused.body["message"]["base"][0]
            .as_str()
            .unwrap()
            .contains("sufficient permission to run a pipeline on 'main'")
    );
    assert_eq!(plane.post(&at("/pipeline"), &json!({"ref": "main"})).status, 201);
    assert_eq!(commit(&agent, project, "main", &json!({}), &[create("x", "x")]).status, 403);
    assert_eq!(commit(&agent, project, "topic", &json!({"start_branch": "main"}), &[create("x", "x")]).status, 201);
    assert_eq!(agent.post(&at("/pipeline"), &json!({"ref": "topic"})).status, 201);

    plane.put(&at(""), &json!({"ci_pipeline_variables_minimum_override_role": "no_one_allowed"}));
    let with_variables = json!({"ref": "topic", "variables": [{"key": "A", "value": "b"}]});
    let refused = agent.post(&at("/pipeline"), &with_variables);
    assert_eq!(refused.body["message"]["base"][0], "Insufficient permissions to set pipeline variables");
    // The pipeline made the environment its job names, with the tier the job gives it.
    let environments = plane.get(&at("/environments?name=production"));
    assert_eq!(environments.body[0]["tier"], "production");
    assert_eq!(plane.post(&at("/environments"), &json!({"name": "production"})).status, 400);
}

#[test]
fn a_merge_needs_the_right_the_pin_and_the_pipeline() {
    let Some(plane) = Plane::start() else { return };
    let project = seeded(&plane);
    let at = |path: &str| format!("/projects/{project}{path}");
    plane.put(
        &at(""),
        &json!({"only_allow_merge_if_pipeline_succeeds": true, "merge_method": "ff", "squash_option": "always",
            "squash_commit_template": "%{title}\n\n%{description}\n\nSee merge request %{reference}"}),
    );
    for title in ["Wanted", "Another"] {
        plane.post(&at("/issues"), &json!({ "title": title }));
    }
    let agent = plane.member(project, "agent", 30);
    let agent = plane.as_token(&agent);
    let first = commit(&agent, project, "topic", &json!({"start_branch": "main"}), &[create("x", "1\n")]);
    let asked = json!({"source_branch": "topic", "target_branch": "main", "title": "Add x", "description": "Closes #1. Not #2."});
    let request = agent.post(&at("/merge_requests"), &asked);
    assert_eq!((request.status, &request.body["sha"]), (201, &first.body["id"]));
    assert_eq!(agent.post(&at("/merge_requests"), &asked).status, 409);
    let one = at(&format!("/merge_requests/{}", request.body["iid"]));
    let merge = format!("{one}/merge");
    assert_eq!(agent.put(&merge, &json!({})).status, 401);

    let update = json!({"action": "update", "file_path": "x", "content": "2\n"});
    let second = commit(&agent, project, "topic", &json!({}), &[update]);
    let stale = plane.put(&merge, &json!({"sha": first.body["id"]}));
    assert_eq!(stale.status, 409);
    let pinned = json!({"sha": second.body["id"]});
    assert_eq!(plane.get(&one).body["detailed_merge_status"], "ci_still_running");
    assert_eq!(plane.put(&merge, &pinned).status, 405);
    plane.stand_in.finish_pipelines("factory/control", "failed").unwrap();
    assert_eq!(plane.get(&one).body["detailed_merge_status"], "ci_must_pass");
    plane.post(&at("/pipeline"), &json!({"ref": "topic"}));
    plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    assert_eq!(plane.put(&one, &json!({"title": "Draft: Add x"})).body["draft"], true);
    assert_eq!(plane.put(&merge, &pinned).status, 405);
    plane.put(&one, &json!({"title": "Add x"}));

    let before = plane.get(&at("/repository/branches/main")).body["commit"]["id"].clone();
    let merged = plane.put(&merge, &pinned);
    assert_eq!((merged.status, &merged.body["state"]), (200, &json!("merged")), "{}", merged.body);
    let main = plane.get(&at("/repository/branches/main")).body["commit"].clone();
    // Squashed and fast-forwarded: one commit on top of what was there.
    assert_eq!((&main["parent_ids"], &main["title"]), (&json!([before]), &json!("Add x")));
    assert_eq!(merged.body["squash_commit_sha"], main["id"]);
    assert_eq!(main["message"], "Add x\n\nCloses #1. Not #2.\n\nSee merge request factory/control!1");
    let states = [1, 2].map(|issue| plane.get(&at(&format!("/issues/{issue}"))).body["state"].clone());
    assert_eq!(states, ["closed", "opened"]);
    assert_eq!(plane.get(&at("/repository/files/x/raw?ref=main")).body, json!(2));
    assert_eq!(plane.get(&at("/repository/branches/topic")).status, 404);
    assert_eq!(plane.put(&merge, &json!({})).status, 405);
}

#[test]
fn what_has_fallen_behind_is_rebased_first() {
    let Some(plane) = Plane::start() else { return };
    let project = seeded(&plane);
    let at = |path: &str| format!("/projects/{project}{path}");
    let owner = plane.as_token(&plane.owner_token());
    let open = |branch: &str, files: &[Value]| {
        assert_eq!(commit(&owner, project, branch, &json!({"start_branch": "main"}), files).status, 201);
        let asked = json!({"source_branch": branch, "target_branch": "main", "title": branch});
        at(&format!("/merge_requests/{}", plane.post(&at("/merge_requests"), &asked).body["iid"]))
    };
    let status = |one: &str| plane.get(one).body["detailed_merge_status"].as_str().unwrap().to_owned();
    let (first, second, third) = (
        open("first", &[create("x", "1\n")]),
        open("second", &[create("y", "1\n")]),
        open("third", &[create("x", "2\n")]),
    );
    assert_eq!(plane.put(&format!("{first}/merge"), &json!({})).status, 200);
    assert_eq!((status(&second), status(&third)), ("mergeable".into(), "conflict".into()));
    assert_eq!(plane.put(&format!("{third}/merge"), &json!({})).status, 422);
    plane.put(&at(""), &json!({"merge_method": "ff"}));
    assert_eq!(status(&second), "need_rebase");
    plane.put(&at(""), &json!({"merge_method": "merge"}));
    let merged = plane.put(&format!("{second}/merge"), &json!({}));
    let main = plane.get(&at("/repository/branches/main")).body["commit"].clone();
    assert_eq!(main["id"], merged.body["merge_commit_sha"]);
    assert_eq!(main["parent_ids"].as_array().unwrap().len(), 2);
}

#[test]
fn rules_decide_which_pipelines_there_are() {
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let at = |path: &str| format!("/projects/{project}{path}");
    let owner = plane.as_token(&plane.owner_token());
    let pipeline = "workflow:\n  rules:\n    - if: $CI_PIPELINE_SOURCE == \"merge_request_event\"\n    - if: $CI_COMMIT_BRANCH == \
                    $CI_DEFAULT_BRANCH\ncheck:\n  script: [make]\n  rules: [{when: on_success}]\ndeploy:\n  script: [make]\n  \
                    rules:\n    - if: $CI_COMMIT_REF_PROTECTED == \"true\"\n      changes: [infra/**/*]\n      when: manual\n";
    commit(&owner, project, "main", &json!({}), &[create(".gitlab-ci.yml", pipeline)]);
    let shown = || -> Vec<String> {
        let pipelines = plane.get(&at("/pipelines")).body;
        let of = |pipeline: &Value| {
            let jobs = plane.get(&at(&format!("/pipelines/{}/jobs", pipeline["id"]))).body;
            let names: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
            format!("{} {}", pipeline["ref"].as_str().unwrap(), names.join(" "))
        };
        pipelines.as_array().unwrap().iter().map(of).collect()
    };
    // A branch's first push counts as a change of everything.
    assert_eq!(shown(), ["main check deploy"]);
    commit(&owner, project, "main", &json!({}), &[create("docs/a.md", "a")]);
    assert_eq!(shown(), ["main check", "main check deploy"]);
    commit(&owner, project, "topic", &json!({"start_branch": "main"}), &[create("infra/a.tf", "a")]);
    assert_eq!(shown().len(), 2);
    plane.post(&at("/merge_requests"), &json!({"source_branch": "topic", "target_branch": "main", "title": "a"}));
    assert_eq!(shown()[0], "refs/merge-requests/1/head check");
    commit(&owner, project, "topic", &json!({}), &[create("infra/b.tf", "b")]);
    assert_eq!(shown().len(), 4);
    plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    assert_eq!(plane.put(&at("/merge_requests/1/merge"), &json!({})).status, 200);
    assert_eq!(shown()[0], "main check deploy");
    let refused = plane.post(&at("/pipeline"), &json!({"ref": "gone"}));
    assert_eq!(refused.body["message"]["base"][0], "Reference not found");
    let broken = json!({"action": "update", "file_path": ".gitlab-ci.yml", "content": "check:\n  stage: none\n  script: [make]\n"});
    commit(&owner, project, "main", &json!({}), &[broken]);
    let failed = plane.get(&at("/pipelines")).body[0].clone();
    assert_eq!(failed["status"], "failed");
    let failed = plane.get(&at(&format!("/pipelines/{}", failed["id"])));
    assert!(failed.body["yaml_errors"].as_str().unwrap().contains("chosen stage none does not exist"));
}
