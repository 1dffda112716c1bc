//! The evidence log, followed from an issue to an apply, and what `scripts/evidence verify` finds in it without GitLab.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::plane::Plane;
use crate::support;

const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A control repo whose origin is on a stand-in, and keys for statements.
pub(crate) struct World {
    pub(crate) plane: Plane,
    pub(crate) project: u64,
    pub(crate) repo: ControlRepo,
    pub(crate) token: String,
}

impl World {
    pub(crate) fn new() -> Option<Self> {
        if !support::available(&["base64", "curl", "git", "jq", "ssh-keygen"]) {
            return None;
        }
        let plane = Plane::start()?;
        let project = plane.project("control");
        let repo = ControlRepo::new("defaults");
        let token = plane.owner_token();
        repo.git(&["remote", "set-url", "origin", &plane.remote("control", &token)]);
        let world = Self { plane, project, repo, token };
        for name in ["ci", "foreign"] {
            let key = world.key(name);
            let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key.to_str().unwrap()];
            passed(&world.repo.command("ssh-keygen").args(arguments).output().unwrap());
        }
        let public = fs::read_to_string(world.key("ci.pub")).unwrap();
        world.commit(
            "evidence/allowed_signers",
            &format!("ci namespaces=\"factory-evidence\" {public}"),
            "Name the key",
        );
        Some(world)
    }

    /// A file beside the repo.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.repo.path().join("..").join(name)
    }

    /// Commits a file to the default branch, there and at origin as it is known here; returns the commit.
    pub(crate) fn commit(&self, path: &str, content: &str, message: &str) -> String {
        self.repo.write(path, content);
        self.repo.git(&["add", path]);
        self.repo.git(&["commit", "-qm", message]);
        self.repo.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        self.head()
    }

    pub(crate) fn head(&self) -> String {
        self.repo.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// `scripts/evidence` as job `job` of the newest commit.
    pub(crate) fn job(&self, job: u32, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let script = self.repo.path().join("scripts/evidence");
        let mut command = self.repo.command(script.to_str().unwrap());
        command.args(arguments).env("GITLAB_TOKEN", &self.token).env("EVIDENCE_SIGNING_KEY", self.one_line("ci"));
        command.env("CI_JOB_URL", format!("https://gitlab.example/jobs/{job}")).env("CI_PIPELINE_ID", "7");
        command.env("CI_COMMIT_REF_NAME", "main").env("GITLAB_USER_LOGIN", "ada");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// The key as the CI/CD variable has it.
    pub(crate) fn one_line(&self, name: &str) -> String {
        STANDARD.encode(fs::read(self.key(name)).unwrap())
    }

    /// The gate of the newest commit, which came by a push after `before`.
    fn gate(&self, job: u32, result: &str, before: &str) {
        self.repo.write("gate-result", &format!("{result} 7\n"));
        let push = [("CI_PIPELINE_SOURCE", "push"), ("CI_COMMIT_BRANCH", "main"), ("CI_COMMIT_BEFORE_SHA", before)];
        passed(&self.job(job, &["gate"], &push));
    }

    /// GitLab's log becomes these lines, as whoever can write it may do.
    pub(crate) fn replace(&self, serial: u64, lines: &[String]) {
        self.replace_state(&json!({"serial": serial, "log": lines}));
    }

    pub(crate) fn replace_state(&self, state: &Value) {
        let path = format!("/projects/{}/terraform/state/evidence", self.project);
        assert_eq!(self.plane.post(&path, state).status, 200);
    }

    /// Three commits, an apply and a release; returns the last commit.
    pub(crate) fn history(&self) -> String {
        let first = self.head();
        self.gate(1, "success", NOTHING);
        let message = "Do the thing\n\nCloses #7. It holds.\n\nSee merge request acme/factory!12";
        let commit = self.commit("NEWS", "one\n", message);
        self.gate(2, "success", &first);
        self.repo.write("plan.cache", "the plan");
        passed(&self.job(3, &["apply", "plan.cache", "--", "grep", "-q", "plan", "plan.cache"], &[]));
        self.repo.git(&["tag", "v1.0.0"]);
        passed(&self.job(4, &["release", "NEWS", "--", "true"], &[("CI_COMMIT_REF_NAME", "v1.0.0")]));
        commit
    }

    pub(crate) fn log(&self) -> Vec<String> {
        let state = self.plane.get(&format!("/projects/{}/terraform/state/evidence", self.project)).body;
        state["log"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn verify(&self, lines: &[String]) -> Output {
        self.repo.write("copy.jsonl", &file(lines));
        self.repo.run(&["scripts/evidence", "verify", "copy.jsonl"])
    }

    /// A line with this statement, signed as a job signs it.
    pub(crate) fn signed(&self, key: &str, statement: &Value) -> String {
        let (text, kind) = (statement.to_string(), "application/vnd.in-toto+json");
        fs::write(self.key("text"), format!("DSSEv1 {} {kind} {} {text}", kind.len(), text.len())).unwrap();
        let _ = fs::remove_file(self.key("text.sig"));
        let (key, file) = (self.key(key), self.key("text"));
        let arguments =
            ["-q", "-Y", "sign", "-n", "factory-evidence", "-f", key.to_str().unwrap(), file.to_str().unwrap()];
        passed(&self.repo.command("ssh-keygen").args(arguments).output().unwrap());
        let sig = STANDARD.encode(fs::read(self.key("text.sig")).unwrap());
        json!({"payloadType": kind, "payload": STANDARD.encode(text), "signatures": [{"keyid": "ci", "sig": sig}]})
            .to_string()
    }
}

pub(crate) fn statement(line: &str) -> Value {
    let envelope: Value = serde_json::from_str(line).unwrap();
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}

/// The lines as a file.
pub(crate) fn file(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The lines, with the statement at `at` changed and all that follows chained again; signatures stay as they were.
pub(crate) fn changed(lines: &[String], at: usize, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut lines = lines.to_vec();
    let mut envelope: Value = serde_json::from_str(&lines[at]).unwrap();
    let mut new = statement(&lines[at]);
    change(&mut new);
    envelope["payload"] = STANDARD.encode(new.to_string()).into();
    lines[at] = envelope.to_string();
    lines
}

#[test]
fn a_change_is_followed_from_its_issue_to_its_apply_without_gitlab() {
    let Some(world) = World::new() else { return };
    let commit = world.history();
    let said = passed(&world.job(0, &["verify"], &[]));
    assert_eq!(said, "4 statements, 3 commits: all recorded, signed and in order\n");
    passed(&world.job(0, &["fetch", "copy.jsonl"], &[]));
    let World { plane, repo, .. } = world;
    drop(plane);

    assert_eq!(passed(&repo.run(&["scripts/evidence", "verify", "copy.jsonl"])), said);
    let shown: Value =
        serde_json::from_str(&passed(&repo.run(&["scripts/evidence", "show", &commit, "copy.jsonl"]))).unwrap();
    let all = shown["statements"].as_array().unwrap();
    let kinds: Vec<_> =
        all.iter().map(|one| one["predicateType"].as_str().unwrap().split(':').nth(3).unwrap()).collect();
    assert_eq!(kinds, ["ci-gate", "ci-apply", "ci-release"]);
    let gate = &all[0]["predicate"];
    assert_eq!((&gate["issues"], &gate["merge_request"]), (&json!(["7"]), &json!("acme/factory!12")));
    assert_eq!((&gate["passed"], &gate["result"]), (&json!(["validate", "test"]), &json!("success")));
    assert_eq!(all[1]["subject"][1], json!({"name": "plan.cache", "digest": {"sha256": sha256("the plan")}}));
    assert_eq!((&all[1]["predicate"]["actor"], &all[1]["predicate"]["result"]), (&json!("ada"), &json!("success")));

    // As docs/evidence.md says: with nothing of this repository but the public key.
    let page = repo.read("docs/evidence.md");
    let by_hand = page.split("```sh\n").find(|block| block.contains("ssh-keygen -Y verify")).unwrap();
    let by_hand = by_hand.split("```").next().unwrap();
    let run = || repo.run(&["sh", "-euc", by_hand]);
    assert_eq!(
        passed(&run()).lines().filter(|line| line.starts_with("Good \"factory-evidence\" signature")).count(),
        4
    );
    repo.edit("copy.jsonl", "\"payload\":\"ey", "\"payload\":\"fy");
    assert!(!run().status.success());
}

#[test]
fn what_was_removed_altered_reordered_cut_or_signed_by_another_is_found() {
    let Some(world) = World::new() else { return };
    let commit = world.history();
    let log = world.log();
    passed(&world.verify(&log));
    // The last line of a copy counts, also if it does not end.
    let forged = changed(&log, 3, |one| one["predicate"]["actor"] = "eve".into());
    world.repo.write("copy.jsonl", file(&forged).trim_end());
    let output = world.repo.run(&["scripts/evidence", "verify", "copy.jsonl"]);
    assert!(stdout(&output).contains("statement 4 (ci-release) has no valid signature"), "{}", text(&output));
    let without = |at: usize| [&log[..at], &log[at + 1..]].concat();
    let with = |statement: &Value, key: &str| [&log[..], &[world.signed(key, statement)]].concat();
    let mut next = statement(&log[1]);
    next["prev"] = sha256(&log[3]).into();
    next["at"] = statement(&log[3])["at"].clone();
    passed(&world.verify(&with(&next, "ci")));
    let mut running = next.clone();
    running["predicate"]["result"] = "running".into();
    let mut early = next.clone();
    early["at"] = "2001-01-01T00:00:00Z".into();
    let mut unsigned: Value = serde_json::from_str(&log[3]).unwrap();
    unsigned["signatures"] = json!([]);
    let swapped = [&log[..1], &[log[2].clone(), log[1].clone()], &log[3..]].concat();
    let gate = format!("commit {} (Do the thing) has no record of its gate", &commit[..7]);
    for (what, lines, finding) in [
        ("removed", without(1), "statement 2 does not follow from the one before"),
        ("removed, and so nothing of the commit", without(1), &gate),
        ("the first removed", without(0), "statement 1 does not follow from the one before"),
        (
            "altered",
            changed(&log, 1, |one| one["predicate"]["actor"] = "eve".into()),
            "statement 2 (ci-gate) has no valid signature",
        ),
        (
            "the last altered",
            changed(&log, 3, |one| one["predicate"]["result"] = "failed".into()),
            "statement 4 (ci-release) has no valid signature",
        ),
        ("reordered", swapped, "statement 2 does not follow from the one before"),
        ("unsigned", [&log[..3], &[unsigned.to_string()]].concat(), "statement 4 (ci-release) is not signed"),
        ("no envelope", [&log[..3], &["{}".to_owned()]].concat(), "statement 4 cannot be read"),
        ("cut from the end", log[..3].to_vec(), "tag v1.0.0 has no record of its release"),
        ("cut to the first", log[..1].to_vec(), &gate),
        ("cut to nothing", Vec::new(), &gate),
        ("still running", with(&running, "ci"), "statement 5 (ci-gate) has no result: \"running\""),
        ("by a foreign key", with(&next, "foreign"), "statement 5 (ci-gate) has no valid signature"),
        ("dated back", with(&early, "ci"), "statement 5 (ci-gate) is of 2001-01-01T00:00:00Z, which is before"),
    ] {
        let output = world.verify(&lines);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", text(&output));
        assert!(stdout(&output).contains(finding), "{what}: {}", text(&output));
    }
    // A gate that has no result is no record of the gate.
    let lines = [
        &log[..1],
        &[world.signed("ci", &{
            let mut running = statement(&log[1]);
            running["predicate"]["result"] = "running".into();
            running
        })],
    ]
    .concat();
    assert!(stdout(&world.verify(&lines)).contains(&gate));

    // Commits of one push have one pipeline.
    let second = world.commit("NEWS", "two\n", "Two");
    world.commit("NEWS", "three\n", "Three");
    let pushed = world.verify(&log);
    assert!(stdout(&pushed).contains("(Two) has no record") && stdout(&pushed).contains("(Three) has no record"));
    world.gate(5, "failed", &commit);
    passed(&world.verify(&world.log()));
    world.commit("NEWS", "four\n", "Four");
    world.gate(6, "success", &second);
    passed(&world.verify(&world.log()));
}

#[test]
fn a_gap_that_a_merge_request_explains_is_a_note() {
    let Some(world) = World::new() else { return };
    world.history();
    let verified = || world.verify(&world.log());
    let skipped = world.commit("NEWS", "two\n", "Two [skip ci]");
    world.repo.git(&["tag", "v1.1.0"]);
    let third = world.commit("NEWS", "three\n", "Three");
    world.gate(5, "success", &skipped);
    let found = stdout(&verified());
    assert!(
        found.contains("(Two [skip ci]) has no record of its gate") && found.contains("in evidence/gaps"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 2, "{found}");
    let gaps = |text: &str, before: &str, job: u32| {
        let commit = world.commit("evidence/gaps", text, "Explain");
        world.gate(job, "success", before);
        commit
    };
    // Without a reason, of too few digits, or of another commit.
    let text = format!("# Why\n{skipped}\n{} short\n{third} other\nv1.1 tag\n", &skipped[..6]);
    let fourth = gaps(&text, &third, 6);
    assert_eq!(stdout(&verified()).lines().count(), 2, "{text}");
    gaps(&format!("{} skipped by mistake\nv1.1.0 so too\n", &skipped[..7]), &fourth, 7);
    let said = passed(&verified());
    assert!(
        said.contains(&format!("{skipped} has no record, which evidence/gaps explains: skipped by mistake\n")),
        "{said}"
    );
    assert!(said.contains("in order, except for 2 that evidence/gaps explains\n"), "{said}");
}

#[test]
fn a_retired_key_counts_for_what_it_signed_before() {
    let Some(world) = World::new() else { return };
    world.history();
    let log = world.log();
    let signers = "evidence/allowed_signers";
    let retired = |day: &str| {
        let option = format!("ci namespaces=\"factory-evidence\",valid-before=\"{day}\"");
        let line = world.repo.read(signers).replace("ci namespaces=\"factory-evidence\"", &option);
        let before = world.head();
        world.commit(signers, &line, "Retire the key");
        let output = world.verify(&log);
        world.repo.git(&["reset", "-q", "--hard", &before]);
        world.repo.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        stdout(&output)
    };
    assert!(!retired("29991231").contains("signature"));
    assert_eq!(retired("20200101").matches("has no valid signature").count(), 4);
    // The key of `factoryup apply` is in a protected tag.
    world.repo.git(&["rm", "-q", signers]);
    world.repo.git(&["commit", "-qm", "No file"]);
    world.repo.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    assert_eq!(stdout(&world.verify(&log)).matches("has no valid signature").count(), 4);
    let public = fs::read_to_string(world.key("ci.pub")).unwrap();
    let message = format!("Signs the evidence\n\nci namespaces=\"factory-evidence\" {public}");
    world.repo.git(&["tag", "-a", "-m", &message, "evidence/signer-1"]);
    assert!(!stdout(&world.verify(&log)).contains("signature"));
}
