//! What jobs write into the evidence log, the state `evidence` in GitLab, and when they do not.

use serde_json::json;

use crate::control_repo::{passed, stdout, text};
use crate::evidence::{World, file, statement};

#[test]
fn what_cannot_be_recorded_is_not_done_and_nothing_is_recorded_twice() {
    let Some(world) = World::new() else { return };
    let apply = ["apply", "--", "touch", "applied"];
    let applied = || world.repo.path().join("applied").exists();
    let output = world.job(1, &apply, &[("EVIDENCE_SIGNING_KEY", "")]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    let output = world.job(1, &apply, &[("GITLAB_TOKEN", "glpat-unknown")]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    assert!(!applied());
    // The agent reads the log, and cannot write it.
    passed(&world.job(1, &apply, &[]));
    assert!(applied());
    let agent = world.plane.member(world.project, "agent", 30);
    let output = world.job(2, &["apply", "--", "true"], &[("GITLAB_TOKEN", &agent)]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    assert!(text(&output).contains("GitLab answers 403"), "{}", text(&output));
    passed(&world.job(2, &["fetch", "theirs.jsonl"], &[("GITLAB_TOKEN", &agent)]));
    assert_eq!(world.log().len(), 1);

    // The after_script of a job says nothing new, and says what the job could not write, as the job saw it.
    passed(&world.job(2, &["apply"], &[("CI_JOB_STATUS", "failed")]));
    assert_eq!(statement(&world.log()[1])["predicate"]["result"], "success");
    passed(&world.job(2, &["apply"], &[("CI_JOB_STATUS", "failed")]));
    assert_eq!(world.log().len(), 2);
    // A command that failed is recorded so, and fails the job.
    let output = world.job(3, &["apply", "--", "sh", "-c", "exit 9"], &[]);
    assert_eq!(output.status.code(), Some(9), "{}", text(&output));
    assert_eq!(statement(&world.log()[2])["predicate"]["result"], "failed");
    // And one that was canceled before it could say so.
    passed(&world.job(4, &["apply"], &[("CI_JOB_STATUS", "canceled")]));
    assert_eq!(statement(&world.log()[3])["predicate"]["result"], "canceled");
    let output = world.job(5, &["apply"], &[("CI_JOB_STATUS", "running")]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert_eq!(world.log().len(), 4);

    // Jobs that end together: each is there once, and the chain holds.
    let folder = |n: u32| world.repo.path().join(format!("../clone-{n}"));
    let running: Vec<_> = (10..14)
        .map(|n| {
            world.repo.git(&["clone", "-q", ".", folder(n).to_str().unwrap()]);
            let mut command = world.repo.command(folder(n).join("scripts/evidence").to_str().unwrap());
            command.args(["apply"]).env("CI_JOB_STATUS", "success").env("GITLAB_TOKEN", &world.token);
            command.env("CI_JOB_URL", n.to_string()).env("EVIDENCE_SIGNING_KEY", world.one_line("ci"));
            command.env("CI_API_V4_URL", format!("{}/api/v4", world.plane.url()));
            command.env("CI_PROJECT_ID", world.project.to_string()).spawn().unwrap()
        })
        .collect();
    for job in running {
        assert!(job.wait_with_output().unwrap().status.success());
    }
    assert_eq!(world.log().len(), 8);
    let found = stdout(&world.verify(&world.log()));
    assert!(!found.contains("statement "), "{found}");

    // A log that was cut is put back from a copy, and never replaces a longer one.
    world.repo.write("copy.jsonl", &file(&world.log()));
    let output = world.job(0, &["restore", "copy.jsonl"], &[]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    let state = format!("/projects/{}/terraform/state/evidence", world.project);
    let cut = json!({"serial": 100, "log": world.log()[..3]});
    assert_eq!(world.plane.post(&state, &cut).status, 200);
    passed(&world.job(0, &["restore", "copy.jsonl"], &[]));
    assert_eq!(world.log().len(), 8);
}

#[test]
fn a_statement_says_what_the_job_did_and_to_which_files() {
    let Some(world) = World::new() else { return };
    // The gate's result is what its job left, and that of another pipeline says nothing.
    for (job, left, result) in
        [(1, None, "failed"), (2, Some("success 6\n"), "failed"), (3, Some("success 7\n"), "success")]
    {
        if let Some(left) = left {
            world.repo.write("gate-result", left);
        }
        let protected = [("CI_JOB_STATUS", "running"), ("CI_COMMIT_REF_PROTECTED", "true")];
        passed(&world.job(job, &["gate"], &protected));
        let gate = statement(world.log().last().unwrap());
        assert_eq!((&gate["predicate"]["result"], &gate["predicate"]["ref_protected"]), (&json!(result), &json!(true)));
        assert_eq!(gate["subject"][0]["digest"]["gitCommit"], world.head());
    }
    let without = world.job(4, &["gate"], &[("CI_PIPELINE_ID", "")]);
    assert!(!without.status.success() && text(&without).contains("only a job knows"), "{}", text(&without));

    // What is released is named, with the notes since the tag before.
    world.repo.git(&["tag", "v1.0.0"]);
    world.commit("NEWS", "more\n", "Say more");
    world.repo.git(&["tag", "v1.1.0"]);
    let bundle = world.repo.path().join("scripts/release");
    let mut bundle = world.repo.command(bundle.to_str().unwrap());
    passed(
        &bundle
            .arg("bundle")
            .envs([("CI_COMMIT_TAG", "v1.1.0"), ("CI_PROJECT_PATH", "acme/factory")])
            .output()
            .unwrap(),
    );
    let changelog = world.repo.read("release/CHANGELOG.md");
    assert!(changelog.starts_with("Changes since v1.0.0:\n\n- Say more ("), "{changelog}");
    passed(&world.repo.run(&[
        "sh",
        "-c",
        "cd release && sha256sum --check --strict SHA256SUMS && tar -tzf factory-v1.1.0.tar.gz factory-v1.1.0/NEWS",
    ]));
    let files = ["release/CHANGELOG.md", "release/SHA256SUMS", "release/factory-v1.1.0.tar.gz"];
    passed(&world.job(5, &[&["release"], &files[..], &["missing", "--", "true"]].concat(), &[]));
    let statement = statement(world.log().last().unwrap());
    let named: Vec<_> = statement["subject"].as_array().unwrap().iter().skip(1).map(|s| s["name"].clone()).collect();
    assert_eq!(named, files);
    // Nothing of it is taken for a change.
    assert_eq!(world.repo.git(&["status", "--porcelain"]), "");
}
