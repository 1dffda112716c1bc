//! The policy checks that need a job: they hold on a runner that keeps to the policy, name what was loosened, and leave nothing.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use factoryup::Kind;
use factoryup::plan::{Proof, Target, converge};
use serde_json::{Value, json};

use super::runner::{Playing, Runner};
use super::situation::{PROVE, QUIET, Recorder, Situation};

pub const RUNS: &str = "the agent cannot run a job on the trusted runner from a branch";
pub const READS: &str = "the agent cannot read a protected variable in a pipeline of a branch";
pub const DOWNLOADS: &str = "the agent cannot download a stored plan";
pub const CLAIMS: [&str; 3] = [RUNS, READS, DOWNLOADS];

fn runners(situation: &Situation) -> [Runner; 2] {
    ["trusted", "untrusted"]
        .map(|name| Runner::new(&situation.plane.url(), &situation.kept(&format!("runner-{name}-token"))))
}

/// The factory's runners, which run the checks' own scripts.
pub fn at_work(situation: &Situation) -> Vec<Playing> {
    let script = Arc::new(|_: &str| ("fine\n".to_owned(), 0));
    runners(situation).into_iter().map(|runner| runner.keep_playing(script.clone())).collect()
}

/// A plan as a runner archives it.
fn archive(dir: &Path) -> Vec<u8> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let root = dir.join("infra/control-plane");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("plan.cache"), "a plan\n".repeat(99)).unwrap();
    std::fs::write(root.join("plan.sha256"), format!("{}  plan.cache\n", "0".repeat(64))).unwrap();
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    let tree = String::from_utf8(git(&["write-tree"])).unwrap();
    git(&["archive", "--format=zip", tree.trim()])
}

/// Plays the first pipeline, whose plan is stored.
pub fn first_pipeline(situation: &Situation) {
    let dir = tempfile::tempdir().unwrap();
    let plan = archive(dir.path());
    let runners = runners(situation);
    while let Some((runner, job)) = runners.iter().find_map(|runner| Some((runner, runner.take()?))) {
        if job["job_info"]["name"] == "plan:control-plane" {
            assert_eq!(runner.upload(&job, &plan), 201);
        }
        assert_eq!(runner.put(&job, "success", 0), 200);
    }
}

/// A hand-off whose runners took the first pipeline.
fn begun() -> Option<Situation> {
    let situation = Situation::handed_off()?;
    first_pipeline(&situation);
    Some(situation)
}

fn proofs(situation: &Situation) -> Vec<Proof> {
    let mut target = situation.target();
    target.observe(&factoryup::dialog::Silent).unwrap();
    target.prove(&factoryup::dialog::Silent).unwrap()
}

fn broken(proofs: &[Proof]) -> Vec<&str> {
    proofs.iter().filter(|proof| !proof.held).map(|proof| proof.claim.as_str()).collect()
}

/// What the checks make, and must not leave.
fn left(situation: &Situation) -> Vec<String> {
    let keys = |path: &str, key: &str| {
        let all = situation.get(path);
        all.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = [keys("/repository/branches", "name"), keys("/pipelines", "ref"), keys("/variables", "key")].concat();
    all.into_iter().filter(|name| name.to_ascii_lowercase().contains("proof")).collect()
}

#[test]
fn what_needs_a_job_is_named_until_runners_are_there_and_then_holds() {
    let Some(situation) = Situation::new() else { return };
    let recorder = Recorder::default();
    converge(&mut situation.target(), &recorder, &situation.state, QUIET).unwrap();
    let tried = |recorder: &Recorder| {
        let proofs = recorder.proofs.borrow();
        CLAIMS.into_iter().filter(|claim| proofs.iter().any(|p| p.claim == *claim && p.held)).collect::<Vec<_>>()
    };
    assert_eq!(tried(&recorder), [""; 0]);
    let note = format!(
        "not tried yet; `factoryup apply` tries it once runners are online and the pipeline passed: {RUNS}; {READS}; {DOWNLOADS}"
    );
    assert!(recorder.told.borrow().contains(&note), "{:#?}", recorder.told.borrow());
    assert!(situation.target().owes_jobs().unwrap());

    first_pipeline(&situation);
    let pipelines = situation.get("/pipelines");
    let runners = at_work(&situation);
    let recorder = Recorder::default();
    converge(&mut situation.target(), &recorder, &situation.state, PROVE).unwrap();
    drop(runners);
    assert_eq!(tried(&recorder), CLAIMS, "{:#?}", recorder.proofs.borrow());
    let proofs = recorder.proofs.borrow();
    let detail = |claim: &str| proofs.iter().find(|proof| proof.claim == claim).unwrap().detail.clone();
    assert!(
        detail(RUNS).starts_with("the agent's job trusted is pending; the owner's of the same commit"),
        "{}",
        detail(RUNS)
    );
    assert!(detail(READS).contains("did not get the variable; the owner's"), "{}", detail(READS));
    assert!(detail(READS).ends_with("and got the variable"), "{}", detail(READS));
    assert!(detail(DOWNLOADS).ends_with("refused (403 Forbidden)"), "{}", detail(DOWNLOADS));
    assert!(proofs.iter().any(|proof| proof.claim == "the agent's desk account cannot download a stored plan"));
    assert_eq!(left(&situation), [""; 0]);
    assert_eq!(situation.get("/pipelines"), pipelines);
    super::contract::is_known(&situation);
    assert!(!situation.target().owes_jobs().unwrap());
    // The next change asks for them again, once the runner takes jobs.
    let all = situation.get("/runners?type=project_type");
    for runner in all.as_array().unwrap() {
        let paused = situation.plane.put(&format!("/runners/{}", runner["id"]), &json!({ "paused": true }));
        assert_eq!(paused.status, 200);
    }
    assert_eq!(situation.plane.delete(&situation.path("/protected_branches/main")).status, 204);
    situation.apply(QUIET).unwrap();
    assert!(situation.target().owes_jobs().unwrap());
}

/// Makes the variable of the checks one that every branch gets, as soon as it is there.
fn open_variable(situation: &Situation, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        for variable in situation.get("/variables").as_array().unwrap() {
            let key = variable["key"].as_str().unwrap();
            if key.starts_with("FACTORYUP_PROOF_") && variable["protected"] == true {
                situation.plane.put(&situation.path(&format!("/variables/{key}")), &json!({ "protected": false }));
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn each_loosened_rule_fails_its_check_by_name() {
    let Some(situation) = begun() else { return };
    let runners = at_work(&situation);
    assert_eq!(broken(&proofs(&situation)), [""; 0]);
    let trusted = situation.get("/runners?type=project_type");
    let trusted = trusted.as_array().unwrap().iter().find(|r| r["description"] == "factoryup acme: trusted").unwrap();
    let runner = format!("/runners/{}", trusted["id"]);
    let set = |access: &str| assert_eq!(situation.plane.put(&runner, &json!({ "access_level": access })).status, 200);
    set("not_protected");
    assert_eq!(broken(&proofs(&situation)), [RUNS]);
    set("ref_protected");

    // Every branch of this name is protected, and the agent may push to it.
    let rule = json!({ "name": "factoryup-*", "push_access_level": 30, "merge_access_level": 40 });
    assert_eq!(situation.plane.post(&situation.path("/protected_branches"), &rule).status, 201);
    assert_eq!(broken(&proofs(&situation)), [RUNS, READS]);
    assert_eq!(situation.plane.delete(&situation.path("/protected_branches/factoryup-%2A")).status, 204);

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| open_variable(&situation, &stop));
        assert_eq!(broken(&proofs(&situation)), [READS]);
        stop.store(true, Ordering::SeqCst);
    });
    drop(runners);
    assert_eq!(left(&situation), [""; 0]);
}

#[test]
fn a_plan_that_developers_download_fails_its_check() {
    let Some(situation) = Situation::new() else { return };
    let file = situation.repo.join("templates/infra/template.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("access: maintainer"));
    std::fs::write(&file, text.replace("access: maintainer", "access: developer")).unwrap();
    let git = ["-c", "user.name=a", "-c", "user.email=a@b.invalid", "commit", "--quiet", "-am", "Open plans"];
    assert!(Command::new("git").args(git).current_dir(&situation.repo).status().unwrap().success());
    situation.apply(QUIET).unwrap();
    first_pipeline(&situation);
    let runners = at_work(&situation);
    let recorder = Recorder::default();
    let error = converge(&mut situation.target(), &recorder, &situation.state, PROVE).unwrap_err();
    drop(runners);
    assert_eq!(error.kind(), Kind::Pending);
    assert_eq!(broken(&recorder.proofs.borrow()), [DOWNLOADS]);
    assert!(situation.target().owes_jobs().unwrap());
}

#[test]
fn what_a_killed_run_left_is_removed() {
    let Some(situation) = begun() else { return };
    let work = situation.plane.clone("control", situation.plane.stand_in.owner_token());
    work.git(&["switch", "--quiet", "--create", "factoryup-proof-dead-jobs"]);
    work.commit(".gitlab-ci.yml", "trusted: {tags: [trusted], script: [sleep 9]}");
    assert!(work.push(&["origin", "factoryup-proof-dead-jobs"]).ok());
    assert!(work.push(&["origin", "HEAD:factory/factoryup-proof-dead-jobs"]).ok());
    let variable = json!({ "key": "FACTORYUP_PROOF_DEAD", "value": "0123456789", "protected": true });
    assert_eq!(situation.plane.post(&situation.path("/variables"), &variable).status, 201);
    assert_eq!(left(&situation).len(), 5, "{:?}", left(&situation));
    let runners = at_work(&situation);
    assert_eq!(broken(&proofs(&situation)), [""; 0]);
    drop(runners);
    assert_eq!(left(&situation), [""; 0]);
    let all: Value = situation.get("/pipelines");
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
}
