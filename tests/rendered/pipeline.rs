//! The pipeline: its form, which jobs an event starts, and that the jobs of a merge request pass.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::combinations::PAIRWISE;
use crate::control_repo::{ControlRepo, passed, terraform, text};
use crate::yaml::documents;
use crate::{rules, support};

/// Variables by which gitlab-ci-local plays an event; `!NAME` takes one away.
type Event = &'static [&'static str];
const MERGE_REQUEST: Event = &["CI_PIPELINE_SOURCE=merge_request_event", "!CI_COMMIT_BRANCH"];
const PUSH: Event = &["CI_PIPELINE_SOURCE=push", "CI_COMMIT_REF_PROTECTED=true"];
const BY_HAND: Event = &["CI_PIPELINE_SOURCE=web", "CI_COMMIT_REF_PROTECTED=true"];
const NIGHTLY: Event = &["CI_PIPELINE_SOURCE=schedule", "CI_COMMIT_REF_PROTECTED=true"];
const TAG: Event =
    &["CI_PIPELINE_SOURCE=push", "CI_COMMIT_TAG=v1.2.3", "!CI_COMMIT_BRANCH", "CI_COMMIT_REF_PROTECTED=true"];
const UNPROTECTED: [Event; 4] =
    [MERGE_REQUEST, &["CI_PIPELINE_SOURCE=push"], &["CI_PIPELINE_SOURCE=web"], &["CI_PIPELINE_SOURCE=schedule"]];

fn gitlab_ci_local(event: Event, rest: &[&str]) -> Vec<String> {
    // Its schema is older than GitLab's, which has `access: maintainer`; the test of the schema uses GitLab's own.
    let known = ["--ignore-schema-paths", "#/properties/access/enum"].map(str::to_owned);
    let mut arguments = vec!["gitlab-ci-local".to_owned()];
    arguments.extend(known);
    for variable in event {
        match variable.strip_prefix('!') {
            Some(name) => arguments.extend(["--unset-variable".into(), name.into()]),
            None => arguments.extend(["--variable".into(), (*variable).into()]),
        }
    }
    arguments.extend(rest.iter().map(|s| (*s).to_owned()));
    arguments
}

impl ControlRepo {
    fn ci(&self, event: Event, rest: &[&str]) -> std::process::Output {
        let arguments = gitlab_ci_local(event, rest);
        let ignored = "CI_PIPELINE_SOURCE,CI_COMMIT_REF_PROTECTED,CI_COMMIT_TAG,CI_COMMIT_BRANCH";
        let mut command = self.command(&arguments[0]);
        command.args(&arguments[1..]).env("GCL_IGNORE_PREDEFINED_VARS", ignored).output().unwrap()
    }

    /// Names of the jobs that the event starts or offers, with `!` for those that wait for a human.
    fn jobs(&self, event: Event) -> Vec<String> {
        let listed: Value = serde_json::from_str(&passed(&self.ci(event, &["--list-json"]))).unwrap();
        let job = |job: &Value| {
            let name = job["name"].as_str().unwrap();
            match job["when"].as_str().unwrap() {
                "never" => None,
                "manual" => Some(format!("{name}!")),
                _ => Some(name.to_owned()),
            }
        };
        listed.as_array().unwrap().iter().filter_map(job).collect()
    }

    /// The pipeline with all its components put in, every job that any event could start.
    fn whole(&self) -> Value {
        documents(&[&passed(&self.ci(BY_HAND, &["--preview"]))]).remove(0)
    }
}

fn ready() -> bool {
    support::available(&["gitlab-ci-local", "git", "jq", "rsync", "shellcheck", "yamllint"]) && terraform()
}

/// Once for each pipeline that answers can make: its files decide, and few answers change them.
#[test]
fn it_keeps_gitlabs_schema_and_the_rules_that_the_schema_misses() {
    if !ready() {
        return;
    }
    let schema: Value = serde_json::from_str(include_str!("../support/data/gitlab-ci.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let mut seen = Vec::new();
    for combination in PAIRWISE.iter() {
        let of_ci = |path: &str| path == ".gitlab-ci.yml" || path.starts_with("templates/");
        let files: Vec<_> = combination.tree.files.iter().filter(|f| of_ci(&f.path)).map(|f| &f.bytes).collect();
        if seen.contains(&files) {
            continue;
        }
        seen.push(files);
        let name = combination.name();
        let repo = ControlRepo::of(&combination.toml);
        let whole = repo.whole();
        let written = documents(&[combination.text(".gitlab-ci.yml")]).remove(0);
        for (what, pipeline) in [("as written", &written), ("as a whole", &whole)] {
            let errors: Vec<_> = schema.iter_errors(pipeline).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(errors.is_empty(), "{name}, {what}: {errors:#?}");
        }
        assert_eq!(rules::broken(&whole, &combination.factory, &combination.tree), Vec::<String>::new(), "{name}");
        assert_eq!(repo.jobs(MERGE_REQUEST), ["validate", "test"], "{name}");
    }
    assert!(seen.len() > 10, "{} pipelines", seen.len());
}

#[test]
fn an_event_starts_the_jobs_it_should() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let roots = ["control-plane", "staging", "production"];
    let each = |kinds: &[&str]| -> Vec<String> {
        roots.iter().flat_map(|root| kinds.iter().map(move |kind| kind.replace("ROOT", root))).collect()
    };
    let checks = vec!["validate".to_owned(), "test".to_owned()];
    let locks = vec!["provider-locks".to_owned()];
    let mut changes = each(&["plan:ROOT", "apply:ROOT!", "connect:ROOT"]);
    changes.retain(|job| job != "connect:control-plane");
    assert_eq!(repo.jobs(MERGE_REQUEST), checks);
    assert_eq!(
        repo.jobs(BY_HAND),
        [checks.clone(), locks.clone(), changes, vec!["gate".into(), "evidence".into()]].concat()
    );
    assert_eq!(
        repo.jobs(NIGHTLY),
        [
            vec!["freshness".into()],
            locks,
            vec!["backup-drill".into(), "renew".into()],
            each(&["drift:ROOT", "expiry:ROOT"])
        ]
        .concat()
    );
    assert_eq!(repo.jobs(TAG), [checks.clone(), vec!["release".into(), "gate".into(), "evidence".into()]].concat());

    // What is recorded of the gate is what GitLab made of it, and a gate that failed is recorded too.
    let whole = repo.whole();
    let needs = |name: &str| serde_json::to_string(&whole[name]["needs"]).unwrap();
    assert!(needs("gate").contains("validate") && needs("gate").contains("test"), "{}", needs("gate"));
    assert!(needs("evidence").contains("gate") && !needs("evidence").contains("validate"), "{}", needs("evidence"));
    assert_eq!(whole["evidence"]["rules"][0]["when"], "always");
    assert!(whole["gate"]["rules"].as_array().unwrap().iter().all(|rule| rule.get("when").is_none()));

    // A push plans only when the infrastructure has changed.
    assert_eq!(repo.jobs(PUSH), [checks.clone(), vec!["gate".into(), "evidence".into()]].concat());
    repo.write("infra/control-plane/terraform.tfvars", "group = \"acme\"\n");
    repo.git(&["commit", "-qam", "change"]);
    assert_eq!(repo.jobs(PUSH), repo.jobs(BY_HAND));
}

#[test]
fn the_trusted_runner_serves_protected_refs_only() {
    if !ready() {
        return;
    }
    for name in ["everything", "corporate"] {
        let repo = ControlRepo::new(name);
        repo.write("infra/control-plane/terraform.tfvars", "group = \"acme\"\n");
        repo.git(&["commit", "-qam", "change"]);
        let pipeline = repo.whole();
        let tags = serde_json::json!([format!("{}-trusted", repo.factory.factory.name)]);
        let trusted = |job: &str| pipeline[job.trim_end_matches('!')]["tags"] == tags;
        for event in UNPROTECTED {
            let jobs = repo.jobs(event);
            // What comes by schedule has secrets, all of it.
            assert_eq!(jobs.is_empty(), event == ["CI_PIPELINE_SOURCE=schedule"], "{name}: {event:?}");
            assert_eq!(jobs.iter().find(|job| trusted(job)), None, "{name}: {event:?}");
        }
        // What holds a secret or changes something runs there and nowhere else, one at a time.
        for job in repo.jobs(BY_HAND).iter().chain(&repo.jobs(NIGHTLY)).chain(&repo.jobs(TAG)) {
            let check = ["validate", "test"].contains(&job.as_str());
            assert_ne!(trusted(job), check, "{name}: {job}");
            if let Some(root) = job.strip_prefix("apply:") {
                assert!(job.ends_with('!'), "{name}: {job} does not wait for a human");
                let body = &pipeline[job.trim_end_matches('!')];
                assert_eq!(body["resource_group"], root.trim_end_matches('!'), "{name}: {job}");
                assert_eq!(body["needs"][0]["job"], format!("plan:{}", root.trim_end_matches('!')), "{name}: {job}");
            }
            if let Some(root) = job.strip_prefix("connect:") {
                assert_eq!(pipeline[job]["needs"][0]["job"], format!("apply:{root}"), "{name}: {job}");
            }
        }
    }
}

/// Validate and test of every combination, run for real in the shell executor. The tools that these jobs call run once for each
/// different input, and every later call is answered as that run did (`once.sh`): combinations share most of their files.
#[test]
fn the_jobs_of_a_merge_request_pass_for_every_combination() {
    if !ready() {
        return;
    }
    let once = Once::new();
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(combination) = PAIRWISE.get(next.fetch_add(1, Ordering::Relaxed)) {
            let repo = ControlRepo::of(&combination.toml);
            let output = once.merge_request_pipeline(&repo);
            let all = format!("{}: {}", combination.name(), text(&output));
            assert!(output.status.success(), "{all}");
            assert_eq!(all.matches("> all passed").count(), 2, "{all}");
            for check in ["shell", "docs", "formats", "secrets", "infra-format", "infra"] {
                assert_eq!(all.matches(&format!("> == {check}\n")).count(), 1, "{check}: {all}");
            }
            assert_eq!(repo.git(&["status", "--porcelain"]), "", "{all}\nthe jobs left something behind");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(run);
        scope.spawn(run);
    });

    let counts = once.counts();
    println!("{counts:#?}");
    for tool in ["shellcheck", "yamllint", "tofu", "terraform"] {
        let of = |word: &str| counts.get(&format!("{word} {tool}")).copied().unwrap_or_default();
        assert!(of("ran") > 0 && of("shared") > of("ran"), "{counts:#?}");
    }

    // Files that a tool reads beside the one it is called for: what was said before they changed is not said again.
    let toml = &PAIRWISE.iter().find(|c| c.has("cloudflare") && c.has("tofu")).unwrap().toml;
    let fails = |edits: &[(&str, &str, &str)], said: &[&str]| {
        let repo = ControlRepo::of(toml);
        for (path, from, to) in edits {
            repo.edit(path, from, to);
        }
        let output = once.merge_request_pipeline(&repo);
        let all = text(&output);
        assert!(!output.status.success(), "{edits:?}: {all}");
        for said in said {
            assert!(all.contains(said), "{edits:?}: nobody says {said}: {all}");
        }
    };
    fails(
        &[("scripts/lib.sh", "    code=$1\n", "    code=$1\n    : $code\n"), (".yamllint.yaml", "max: 140", "max: 60")],
        &["SC2086", "line too long", "failed: shell formats"],
    );
    let again = once.counts()["ran shellcheck"] - counts["ran shellcheck"];
    assert!(again > 20, "only {again} scripts that source lib.sh were looked at again");
    fails(&[("infra/modules/edge/main.tf", "  account_id", "  account_ix")], &["account_ix", "validate failed: "]);
}

/// Tools that run once for each different input.
struct Once {
    folder: tempfile::TempDir,
}

impl Once {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("answers")).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/once.sh");
        for tool in ["shellcheck", "yamllint", "terraform", "tofu"] {
            symlink(script, folder.path().join("bin").join(tool)).unwrap();
        }
        // They take the place of what scripts/tools installs, and are on record as that.
        let records = folder.path().join("lib/toolchain");
        fs::create_dir_all(&records).unwrap();
        let platform = if cfg!(target_arch = "aarch64") { " linux-arm64 " } else { " linux-amd64 " };
        let digest = Sha256::digest(fs::read(script).unwrap());
        let sum = digest.iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
        for line in include_str!("../../templates/toolchain.lock").lines().filter(|line| line.contains(platform)) {
            let record = records.join(format!("{}.lock", line.split(' ').next().unwrap()));
            fs::write(record, format!("{line}\n{sum}  {}\n", fs::canonicalize(script).unwrap().display())).unwrap();
        }
        Self { folder }
    }

    fn merge_request_pipeline(&self, repo: &ControlRepo) -> Output {
        // Its form is looked at by the test of the schema.
        let arguments = gitlab_ci_local(MERGE_REQUEST, &["--force-shell-executor", "--no-json-schema-validation"]);
        let program = r#"ONCE_PATH=$PATH PATH=$ONCE/bin:$PATH ONCE=$ONCE/answers exec "$@""#;
        let command =
            [&["sh", "-euc", program, "sh"], &*arguments.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let ignored = "CI_PIPELINE_SOURCE,CI_COMMIT_BRANCH";
        let folder = self.folder.path().to_str().unwrap();
        repo.offline(&command, &[("GCL_IGNORE_PREDEFINED_VARS", ignored), ("ONCE", folder)])
    }

    /// How often each tool ran, and how often an answer was shared.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in fs::read_to_string(self.folder.path().join("answers/calls")).unwrap().lines() {
            *counts.entry(call.to_owned()).or_default() += 1;
        }
        counts
    }
}
