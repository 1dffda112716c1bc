//! What the agent checks before it pushes is what CI checks: the same commands, in the same order, compared with the same commit.

use serde_json::Value;

use crate::combinations::PAIRWISE;
use crate::control_repo::{ControlRepo, passed, text};
use crate::support;
use crate::yaml::documents;

/// The commands of CI's check jobs, stage by stage.
fn of_ci(pipeline: &Value) -> Vec<String> {
    let stages = pipeline["stages"].as_array().unwrap();
    let jobs = pipeline["include"].as_array().unwrap().iter();
    let checks = jobs.filter(|job| job["component"].as_str().unwrap().contains("/check@"));
    let mut runs: Vec<_> = checks
        .map(|job| {
            let inputs = &job["inputs"];
            let stage = stages.iter().position(|stage| *stage == inputs["stage"]).unwrap();
            (stage, inputs["run"].as_str().unwrap().to_owned())
        })
        .collect();
    runs.sort();
    runs.into_iter().map(|(_, run)| run).collect()
}

#[test]
fn one_command_runs_what_ci_runs_in_the_same_order() {
    if !support::available(&["git", "python"]) {
        return;
    }
    let mut seen = Vec::new();
    for combination in PAIRWISE.iter() {
        let text_of = |path: &str| {
            let file = combination.tree.files.iter().find(|file| file.path == path).unwrap();
            String::from_utf8_lossy(&file.bytes).into_owned()
        };
        let form = (text_of(".gitlab-ci.yml"), text_of("scripts/check"));
        if seen.contains(&form) {
            continue;
        }
        let (name, repo) = (combination.name(), ControlRepo::of(&combination.toml));
        let checks = repo.path().join("scripts/checks");
        let mut all: Vec<_> =
            std::fs::read_dir(&checks).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        for check in &all {
            repo.write(&format!("scripts/checks/{check}"), &format!("#!/bin/sh\necho ran {check}\n"));
        }
        let ran = |arguments: &[&str]| {
            let lines = passed(&repo.run(arguments));
            lines.lines().filter_map(|line| line.strip_prefix("ran ")).map(str::to_owned).collect::<Vec<_>>()
        };
        let runs = of_ci(&documents(&[&form.0]).remove(0));
        let by_ci: Vec<_> = runs.iter().flat_map(|run| ran(&run.split(' ').collect::<Vec<_>>())).collect();
        let mut here = ran(&["scripts/check"]);
        assert_eq!(here, by_ci, "{name}: {runs:?}");
        // No check is left out of both.
        here.extend(ran(&["scripts/check", "nightly"]));
        here.sort();
        all.sort();
        assert_eq!(here, all, "{name}");
        seen.push(form);
    }
    assert!(seen.len() > 3, "{} forms", seen.len());
}

/// In a job GitLab names the commit; here it is found, also when the default branch went on since.
#[test]
fn a_branch_is_compared_with_the_commit_that_gitlab_names() {
    if !support::available(&["git", "jq"]) {
        return;
    }
    let repo = ControlRepo::new("defaults");
    repo.git(&["switch", "--quiet", "-c", "agent/1-x"]);
    let start = repo.git(&["rev-parse", "HEAD"]).trim().to_owned();
    // What one commit brings and the next takes away is not in the files.
    repo.write("notes.md", &format!("# Notes\n\nghp_{}\n", "a1B2c3D4e5F6".repeat(3)));
    repo.git(&["add", "notes.md"]);
    repo.git(&["commit", "-qm", "Add notes"]);
    repo.git(&["rm", "-q", "notes.md"]);
    repo.git(&["commit", "-qm", "Remove notes"]);
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    let later = repo.git(&["commit-tree", "-p", &start, "-m", "Later", tree.trim()]);
    repo.git(&["update-ref", "refs/remotes/origin/main", later.trim()]);
    let here = repo.run(&["scripts/checks/secrets"]);
    let in_job = repo
        .command("scripts/checks/secrets")
        .envs([("CI", "true"), ("CI_MERGE_REQUEST_DIFF_BASE_SHA", start.as_str())])
        .output()
        .unwrap();
    assert!(!here.status.success() && text(&here).contains("GitHub token"), "{}", text(&here));
    assert_eq!(text(&here), text(&in_job));
    // A pipeline of the default branch is compared with nothing.
    let on_main = repo.command("scripts/checks/secrets").env("CI", "true").output().unwrap();
    assert!(on_main.status.success(), "{}", text(&on_main));

    // The plan's preview gets the same commit.
    repo.write("scripts/infra", "#!/bin/sh\necho \"$*\"\n");
    passed(&repo.run(&["scripts/checks/infra"]));
    assert_eq!(repo.read("plan-preview.txt"), format!("preview {start}\n"));
}
