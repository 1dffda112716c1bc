//! What jobs write into the evidence log, the state `evidence` in GitLab, and when they do not.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};

use crate::control_repo::{passed, stdout, text};
use crate::evidence::{World, changed, file, statement};
use crate::support;

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
}

#[test]
fn a_log_that_was_tampered_with_is_put_back_and_what_was_there_is_kept() {
    let Some(world) = World::new() else { return };
    world.history();
    let log = world.log();
    let restore = |lines: &[String]| {
        world.repo.write("copy.jsonl", &file(lines));
        world.job(0, &["restore", "copy.jsonl"], &[])
    };
    let kept = || {
        let names = fs::read_dir(world.repo.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.to_string_lossy().contains("evidence-replaced-")).collect::<Vec<_>>()
    };
    // One that is whole loses nothing.
    let output = restore(&log[..3]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    assert!(passed(&restore(&log)).contains("the same as copy.jsonl"));
    let output = restore(&changed(&log, 1, |one| one["predicate"]["actor"] = "eve".into()));
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    assert_eq!((world.log(), kept().len()), (log.clone(), 0));

    let with_junk = [&log[..], &["junk".to_owned()]].concat();
    for (at, (what, state)) in [
        ("cut", json!({"log": log[..2]})),
        ("cut to nothing", json!({"log": []})),
        ("a line more", json!({"log": with_junk})),
        ("the last line changed", json!({"log": changed(&log, 3, |one| one["predicate"]["actor"] = "eve".into())})),
        ("no log", json!({"resources": []})),
        ("a log of something else", json!({"log": {"a": 1}})),
    ]
    .into_iter()
    .enumerate()
    {
        let mut state = state;
        state["serial"] = (100 + 10 * at).into();
        world.replace_state(&state);
        if state["log"].as_array().is_none() {
            let output = world.job(9, &["apply", "--", "true"], &[]);
            assert_eq!(output.status.code(), Some(65), "{what}: {}", text(&output));
            assert!(text(&output).contains("scripts/evidence restore"), "{what}: {}", text(&output));
        }
        let said = passed(&restore(&log));
        assert_eq!(world.log(), log, "{what}");
        let there = kept();
        assert!(there.len() == 1 && said.contains(there[0].file_name().unwrap().to_str().unwrap()), "{what}: {said}");
        let bytes = fs::read(&there[0]).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), state, "{what}");
        fs::remove_file(&there[0]).unwrap();
    }
    passed(&world.verify(&world.log()));

    // As a backup has it, into the project that takes the place of a lost one.
    let state = world.plane.get(&format!("/projects/{}/terraform/state/evidence", world.project)).body;
    let restored = world.plane.project("restored");
    world.repo.git(&["remote", "set-url", "origin", &world.plane.remote("restored", &world.token)]);
    world.repo.write("evidence.json", &state.to_string());
    let said = passed(&world.job(0, &["restore", "evidence.json"], &[]));
    assert!(said.contains("GitLab had none before"), "{said}");
    let there = world.plane.get(&format!("/projects/{restored}/terraform/state/evidence")).body;
    assert_eq!(there["log"], state["log"]);
}

#[test]
fn what_nobody_signed_decides_nothing_about_the_next_statement() {
    let Some(world) = World::new() else { return };
    let recorded = |job: u32| passed(&world.job(job, &["apply"], &[("CI_JOB_STATUS", "success")]));
    recorded(1);
    let first = world.log().remove(0);
    let line = |at: Value| json!({"payload": STANDARD.encode(json!({"at": at}).to_string())}).to_string();
    let ahead = |minutes| {
        json!(Timestamp::now().checked_add(Span::new().minutes(minutes)).unwrap().strftime("%FT%TZ").to_string())
    };
    let (soon, late) = (ahead(50), ahead(70));
    let twice = format!("{0} {0}", line(soon.clone()));
    let times = [json!("zzz"), json!("9999-12-31T23:59:59Z"), Value::Null, json!("2026-02-31T00:00:00Z"), late];
    let times = times.into_iter().map(line).chain([twice, "junk".to_owned()]);
    for (at, last) in (2..).zip(times) {
        world.replace(u64::from(at) * 10, &[first.clone(), last.clone()]);
        recorded(at);
        let own = statement(&world.log()[2])["at"].as_str().unwrap().to_owned();
        assert!(own.starts_with("20") && own.len() == 20 && json!(own).as_str() < soon.as_str(), "{last}: {own}");
        let found = stdout(&world.verify(&world.log()));
        assert!(!found.contains("statement 3 (ci-apply) has"), "{last}: {found}");
    }
    // Clocks differ by that much.
    world.replace(200, &[first.clone(), line(soon.clone())]);
    recorded(50);
    assert_eq!(statement(&world.log()[2])["at"], soon);

    // A job's statement in another's hand is not its statement.
    let mut unsigned: Value = serde_json::from_str(&first).unwrap();
    unsigned["signatures"] = json!([]);
    for (serial, line) in [(300, unsigned.to_string()), (400, world.signed("foreign", &statement(&first)))] {
        world.replace(serial, &[line]);
        recorded(1);
        assert_eq!(world.log().len(), 2);
        recorded(1);
        assert_eq!(world.log().len(), 2);
    }
}

#[test]
fn a_connection_that_breaks_loses_no_statement() {
    let Some(world) = World::new() else { return };
    let home = world.key(".local/bin");
    fs::create_dir_all(&home).unwrap();
    // The first of each kind breaks, and every removal of an old version.
    support::make_program(
        home.join("curl"),
        r#"#!/bin/sh
for kind in GET POST DELETE; do
    case " $* " in *" -X $kind "*) break ;; esac
done
echo "$kind" >>"$HOME/asked"
if [ "$kind" = DELETE ] || [ "$(grep -c "$kind" "$HOME/asked")" = 1 ]; then
    printf 000
    exit 56
fi
PATH=${PATH#*:}
exec curl "$@"
"#,
    );
    world.replace(100, &[]);
    passed(&world.job(1, &["apply"], &[("CI_JOB_STATUS", "success")]));
    assert_eq!(world.log().len(), 1);
    assert_eq!(fs::read_to_string(world.key("asked")).unwrap(), "GET\nGET\nPOST\nGET\nPOST\nDELETE\n");
    // Nothing is done that cannot be recorded, and a copy of nothing is none.
    fs::remove_file(world.key("asked")).unwrap();
    let output = world.job(2, &["apply", "--", "touch", "applied"], &[]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    assert!(!world.repo.path().join("applied").exists());
    fs::remove_file(world.key("asked")).unwrap();
    let output = world.job(0, &["fetch", "copy.jsonl"], &[]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    assert!(!world.repo.path().join("copy.jsonl").exists());
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
