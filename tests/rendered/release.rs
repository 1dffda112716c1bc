//! A bad release of the control repo, and the way back that docs/runbooks/roll-back-release.md describes: all of it by merge request,
//! on the stand-in control plane.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::plane::{Plane, Work};
use crate::support;

/// A program in a clone, by somebody with a name.
fn run(work: &Work, program: &str, arguments: &[&str]) -> Output {
    let mut command =
        Command::new(if program.contains('/') { work.path.join(program) } else { Path::new(program).into() });
    for name in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{name}_NAME"), "Tester").env(format!("GIT_{name}_EMAIL"), "tester@example.com");
    }
    command.args(arguments).current_dir(&work.path).env("PATH", support::path()).output().unwrap()
}

struct World {
    plane: Plane,
    project: u64,
    owner: Work,
    agent: Work,
    runbook: String,
}

impl World {
    fn new() -> Option<Self> {
        let plane = Plane::start()?;
        let project = plane.project("control");
        let repo = ControlRepo::new("defaults");
        let owner = plane.remote("control", &plane.owner_token());
        repo.git(&["push", "--quiet", &owner, "HEAD:main"]);
        // As the hand-off leaves them.
        let at = |path: &str| format!("/projects/{project}{path}");
        plane.delete(&at("/protected_branches/main"));
        let rule = json!({"name": "main", "push_access_level": 0, "merge_access_level": 40});
        assert_eq!(plane.post(&at("/protected_branches"), &rule).status, 201);
        let rule = json!({"name": "v*", "create_access_level": 40});
        assert_eq!(plane.post(&at("/protected_tags"), &rule).status, 201);
        let settings =
            json!({"only_allow_merge_if_pipeline_succeeds": true, "merge_method": "ff", "squash_option": "always"});
        assert_eq!(plane.put(&at(""), &settings).status, 200);
        plane.member(project, "agent", 30);
        let agent = plane.clone("control", &plane.token("agent", &["write_repository"]));
        let owner = plane.clone("control", &plane.owner_token());
        Some(Self { project, owner, agent, runbook: repo.read("docs/runbooks/roll-back-release.md"), plane })
    }

    /// What the agent has committed on this branch, proposed by its script and merged by the owner.
    fn merge(&self, title: &str) -> String {
        passed(&run(&self.agent, "scripts/propose", &[title, "Why."]));
        let at = |path: &str| format!("/projects/{}{path}", self.project);
        let open = self.plane.get(&at("/merge_requests?state=opened")).body;
        assert_eq!((open.as_array().unwrap().len(), &open[0]["title"]), (1, &json!(title)), "{open}");
        let merge = at(&format!("/merge_requests/{}/merge", open[0]["iid"]));
        assert_eq!(self.plane.put(&merge, &json!({})).status, 405, "before its pipeline has passed");
        self.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
        let merged = self.plane.put(&merge, &json!({"sha": open[0]["sha"]}));
        assert_eq!(merged.status, 200, "{}", merged.body);
        self.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
        for work in [&self.owner, &self.agent] {
            work.git(&["fetch", "--quiet", "--tags", "origin"]);
        }
        self.owner.git(&["switch", "--quiet", "--detach", "origin/main"]);
        self.owner.git(&["rev-parse", "origin/main"])
    }

    /// The owner tags what is merged; the tag's pipeline holds the job that makes the release.
    fn release(&self, tag: &str) -> String {
        self.owner.git(&["tag", tag, "origin/main"]);
        assert!(self.owner.push(&["origin", tag]).ok());
        let pipelines = self.plane.get(&format!("/projects/{}/pipelines?ref={tag}", self.project)).body;
        let jobs = self.plane.get(&format!("/projects/{}/pipelines/{}/jobs", self.project, pipelines[0]["id"])).body;
        let names: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["validate", "test", "release", "gate", "evidence"], "{tag}");
        passed(&run(&self.owner, "scripts/release", &["notes", tag]))
    }
}

#[test]
fn a_bad_release_goes_back_by_merge_request() {
    if !support::available(&["git", "jq"]) {
        return;
    }
    let Some(world) = World::new() else { return };
    let component = "templates/check/template.yml";
    world.release("v1.0.0");
    let good = world.owner.read(component);
    let before = world.agent.git(&["rev-parse", "origin/main^{tree}"]);

    world.agent.git(&["switch", "--quiet", "-c", "agent/7-faster"]);
    let bad = good.replace("scripts/check", "true");
    assert_ne!(bad, good);
    world.agent.commit(component, &bad);
    let commit = world.merge("Make the checks faster");
    world.release("v1.1.0");
    assert_eq!(world.owner.git(&["show", &format!("origin/main:{component}")]), bad.trim_end());

    // Diagnosis, as it is written: what changed since the last good tag is this one commit.
    let diagnosis = world.runbook.split("```sh repo\n").nth(1).unwrap().split("```").next().unwrap();
    let diagnosis = diagnosis.replace("good=v1.2.3", "good=v1.0.0");
    let said = passed(&run(&world.agent, "sh", &["-euc", &diagnosis]));
    assert!(said.contains(&format!("{} Make the checks faster", &commit[..7])) && said.contains(component), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("Make the checks faster")).count(), 1, "{said}");

    // Mitigation: the agent prepares the revert, the owner merges it and releases a patch version.
    assert!(world.runbook.contains("`git revert COMMIT`"));
    world.agent.git(&["switch", "--quiet", "-c", "agent/8-back", "origin/main"]);
    passed(&run(&world.agent, "git", &["revert", "--no-edit", &commit]));
    world.merge("Revert \"Make the checks faster\"");
    assert_eq!(world.agent.git(&["rev-parse", "origin/main^{tree}"]), before, "not what was released as v1.0.0");
    let notes = world.release("v1.1.1");
    assert!(
        notes.contains("Changes since v1.1.0:") && notes.contains("- Revert \"Make the checks faster\""),
        "{notes}"
    );

    // "A tag is never moved": GitLab refuses it, to the owner as well, and to the agent any tag.
    let moved = ["--force", "origin", "v1.0.0^{commit}:refs/tags/v1.1.0"];
    assert!(world.owner.push(&moved).refused("v1.1.0"));
    assert!(world.agent.push(&["origin", "HEAD:refs/tags/v1.1.2"]).refused("v1.1.2"));
    let tags = world.plane.get(&format!("/projects/{}/repository/tags/v1.1.0", world.project)).body;
    if tags["commit"]["id"].is_string() {
        assert_eq!(tags["commit"]["id"], json!(commit));
    }
    let there = stdout(&run(&world.owner, "git", &["ls-remote", "origin", "refs/tags/v1.1.0"]));
    assert!(there.starts_with(&commit), "{there}");

    // Roll back of the roll back, "once the cause is repaired".
    world.agent.git(&["switch", "--quiet", "-c", "agent/9-again", "origin/main"]);
    let again = run(&world.agent, "git", &["revert", "--no-edit", "origin/main"]);
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(world.agent.read(component), bad);
}
