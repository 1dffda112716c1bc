//! Passphrases of states: made once, stored before jobs can use them, and never replaced.

use std::os::unix::fs::PermissionsExt;

use factoryup::dialog::Silent;
use factoryup::factory::Engine;
use factoryup::gitlab::Place;
use factoryup::plan::{Outcome, Target, converge};
use factoryup::secret::Secret;
use serde_json::json;

use super::ci::{add, remove, revert, value, variable, with_cloudflare};
use super::situation::{QUIET, Situation};

const PASSPHRASE: &str = "STATE_PASSPHRASE";

/// The name of the file with a root's passphrase.
pub(super) fn passphrase_file(situation: &Situation, root: &str) -> String {
    let folder = std::fs::read_dir(situation.state.path()).unwrap();
    let mut names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_it = |name: &String| name.starts_with("state-passphrase-") && name.ends_with(root);
    names.find(is_it).unwrap_or_else(|| panic!("no passphrase of {root}"))
}

#[test]
fn each_root_has_a_passphrase_that_is_stored_before_jobs_can_use_it() {
    let Some(mut situation) = Situation::new() else { return };
    with_cloudflare(&mut situation);
    situation.apply(QUIET).unwrap();
    let mut seen = Vec::new();
    for root in ["control-plane", "staging", "production"] {
        let shown = variable(&situation, PASSPHRASE, root).unwrap();
        for key in ["protected", "masked", "hidden", "raw"] {
            assert_eq!(shown[key], true, "{root} {key}");
        }
        let file = passphrase_file(&situation, root);
        let stored = situation.kept(&file);
        assert_eq!(stored.len(), 32, "24 bytes in Base64");
        assert_eq!(value(&situation, PASSPHRASE, root), Some(stored.clone()), "{root}");
        let mode = std::fs::metadata(situation.state.file(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!seen.contains(&stored));
        seen.push(stored);
    }
    // Terraform encrypts no state.
    remove(&situation, PASSPHRASE, "staging");
    situation.factory.infra.engine = Engine::Terraform;
    assert_eq!(situation.pending(), [""; 0]);
}

#[test]
fn a_passphrase_is_made_once_and_comes_back_as_it_was() {
    let Some(situation) = Situation::handed_off() else { return };
    let file = passphrase_file(&situation, "control-plane");
    let stored = situation.kept(&file);
    remove(&situation, PASSPHRASE, "control-plane");
    assert_eq!(situation.pending(), ["ci-variable:STATE_PASSPHRASE/control-plane"]);
    situation.apply(QUIET).unwrap();
    assert_eq!(value(&situation, PASSPHRASE, "control-plane"), Some(stored.clone()));
    // Open to every branch, it is closed again, and keeps its value: the state is encrypted with it.
    let path = situation.path("/variables/STATE_PASSPHRASE");
    assert_eq!(situation.plane.put(&path, &json!({ "protected": false })).status, 200);
    assert_eq!(situation.pending(), ["ci-variable:STATE_PASSPHRASE/control-plane"]);
    situation.apply(QUIET).unwrap();
    assert_eq!(variable(&situation, PASSPHRASE, "control-plane").unwrap()["protected"], true);
    assert_eq!(value(&situation, PASSPHRASE, "control-plane"), Some(stored));
    // On another machine nothing is made anew.
    std::fs::remove_file(situation.state.file(&file)).unwrap();
    assert_eq!(situation.pending(), [""; 0]);
}

#[test]
fn a_passphrase_of_the_owners_is_kept_and_named() {
    let Some(situation) = Situation::handed_off() else { return };
    remove(&situation, PASSPHRASE, "control-plane");
    add(&situation, PASSPHRASE, "control-*");
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    let note = "the CI/CD variable STATE_PASSPHRASE (control-plane) is your own; factoryup keeps it";
    assert_eq!(plan.notes, [note]);
}

#[test]
fn another_project_gets_passphrases_of_its_own_and_the_first_ones_stay() {
    let Some(mut situation) = Situation::handed_off() else { return };
    let file = passphrase_file(&situation, "control-plane");
    let stored = situation.kept(&file);
    situation.factory.gitlab.project = "other".into();
    situation.factory.agent.username = "other-agent".into();
    situation.apply(QUIET).unwrap();
    let other = situation.plane.stand_in.variable_value("factory/other", PASSPHRASE, "control-plane").unwrap();
    assert_ne!(other, stored);
    assert_eq!(situation.kept(&file), stored);
}

#[test]
fn no_new_passphrase_is_made_for_a_state_that_exists() {
    let Some(situation) = Situation::handed_off() else { return };
    let file = situation.state.file(&passphrase_file(&situation, "control-plane"));
    std::fs::remove_file(&file).unwrap();
    remove(&situation, PASSPHRASE, "control-plane");
    situation.plane.stand_in.add_state("factory/control", "control-plane").unwrap();
    let is_left = |why: &str| {
        let plan = situation.plan();
        let left = format!("the CI/CD variable STATE_PASSPHRASE (control-plane) is left to you: {why}");
        assert!(plan.notes.iter().any(|note| note.starts_with(&left)), "{left}: {:?}", plan.notes);
        let wanted = vec![Place::new(PASSPHRASE, "control-plane")];
        let now = situation.target().now(wanted).unwrap().unwrap();
        assert!(matches!(&now.missing.unwrap()[..], [missing] if missing.is_by_hand));
        assert!(now.remarks[0].starts_with(&left), "{:?}", now.remarks);
        situation.apply(QUIET).unwrap();
        assert!(!file.exists() && variable(&situation, PASSPHRASE, "control-plane").is_none());
    };
    is_left("the state of control-plane exists, and its passphrase is neither in GitLab nor in /");
    // Switched off, GitLab keeps its states and shows none.
    let off = json!({ "infrastructure_access_level": "disabled" });
    assert_eq!(situation.plane.put(&situation.path(""), &off).status, 200);
    assert_eq!(situation.pending(), [format!("project-settings:{}/{}", "factory", "control")]);
    is_left("GitLab does not say whether control-plane has a state (status 403), and");
    is_left("the state of control-plane exists, and");
}

/// Any part of a state can be a secret.
#[test]
fn a_trace_has_no_part_of_a_state() {
    let Some(situation) = Situation::handed_off() else { return };
    remove(&situation, PASSPHRASE, "control-plane");
    situation.plane.stand_in.add_state("factory/control", "control-plane").unwrap();
    let file = situation.directory().join("trace");
    let said = situation.run(&["--trace", file.to_str().unwrap(), "plan", "gitlab"], 2);
    assert!(said.contains("the state of control-plane exists"), "{said}");
    let trace = std::fs::read_to_string(file).unwrap();
    assert!(trace.contains("/terraform/state/:name") && !trace.contains("what the engine wrote"), "{trace}");
}

/// A Maintainer of the project sees that a group has one, also where GitLab hides the group.
#[test]
fn a_passphrase_of_a_group_is_not_hidden_from_a_state() {
    // Where the agent is a user: only an Owner sees service accounts of the group.
    let ce = |options: &mut gitlab_stand_in::Options| options.edition = gitlab_stand_in::Edition::Ce;
    let Some(situation) = Situation::with(ce) else { return };
    let root = situation.plane.token("root", &["api"]);
    converge(&mut situation.target_with(Secret::new(root)), &Silent, &situation.state, QUIET).unwrap();
    let stored = value(&situation, PASSPHRASE, "control-plane").unwrap();
    remove(&situation, PASSPHRASE, "control-plane");
    let id = situation.get("")["id"].as_u64().unwrap();
    let token = situation.plane.member(id, "mia", 40);
    let target = || situation.target_with(Secret::new(&token));
    // The owner's choice: the state has the group's passphrase, also while an earlier one is stored.
    situation.plane.stand_in.add_state("factory/control", "control-plane").unwrap();
    let of_group = json!({ "key": PASSPHRASE, "value": "of the group", "protected": true });
    assert_eq!(situation.plane.post("/groups/factory/variables", &of_group).status, 201);
    let plan = target().observe(&Silent).unwrap();
    let kept = "the CI/CD variable STATE_PASSPHRASE (control-plane) is your own; factoryup keeps it";
    assert!(plan.is_empty() && plan.notes.iter().any(|note| note == kept), "{plan:?}");
    converge(&mut target(), &Silent, &situation.state, QUIET).unwrap();
    assert_eq!(variable(&situation, PASSPHRASE, "control-plane"), None);
    // Where no group has one, the stored one comes back.
    assert_eq!(situation.plane.delete(&format!("/groups/factory/variables/{PASSPHRASE}")).status, 204);
    let unproved = converge(&mut target(), &Silent, &situation.state, QUIET).unwrap_err();
    assert_eq!(unproved.kind(), factoryup::Kind::Pending, "the checks of a user take a second token");
    assert_eq!(value(&situation, PASSPHRASE, "control-plane"), Some(stored));
}

#[test]
fn a_passphrase_is_found_again_after_the_project_moved() {
    let Some(mut situation) = Situation::handed_off() else { return };
    let stored = value(&situation, PASSPHRASE, "control-plane").unwrap();
    situation.plane.stand_in.add_state("factory/control", "control-plane").unwrap();
    remove(&situation, PASSPHRASE, "control-plane");
    assert_eq!(situation.plane.put(&situation.path(""), &json!({ "path": "moved" })).status, 200);
    situation.factory.gitlab.project = "moved".into();
    situation.apply(QUIET).unwrap();
    let found = situation.plane.stand_in.variable_value("factory/moved", PASSPHRASE, "control-plane");
    assert_eq!(found, Some(stored));
}

#[test]
fn a_passphrase_outlives_the_way_back() {
    let Some(situation) = Situation::new() else { return };
    let namespace = situation.plane.get("/namespaces/factory").body["id"].clone();
    let body = json!({ "path": "control", "name": "control", "namespace_id": namespace });
    assert_eq!(situation.plane.post("/projects", &body).status, 201);
    situation.apply(QUIET).unwrap();
    let file = situation.state.file(&passphrase_file(&situation, "control-plane"));
    revert(&situation);
    assert!(variable(&situation, PASSPHRASE, "control-plane").is_some());
    assert!(file.exists());
    assert!(matches!(revert(&situation), Outcome::AlreadyRight { .. }));
}
