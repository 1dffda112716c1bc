//! What the hand-off makes for pipelines, and where each may be; and that the search for secrets finds one.

use std::fs;
use std::process::Command;

use super::canary::{self, Watcher, find_in_tree};
use super::{Journey, Secrecy};

/// Of tokens and of the key for evidence GitLab has the only copy. A passphrase has one in the state folder.
pub(super) fn secrets(journey: &Journey) -> Vec<Secrecy> {
    let value = |key: &str| journey.plane.stand_in.variable_value("factory/factory", key, "control-plane").unwrap();
    let tokens = ["CONTROL_PLANE_PLAN_TOKEN", "CONTROL_PLANE_APPLY_TOKEN", "REPORT_TOKEN", "EVIDENCE_SIGNING_KEY"];
    let mut all: Vec<_> = tokens.iter().map(|key| Secrecy::new(key, &value(key))).collect();
    for path in canary::files(&journey.state()) {
        if path.file_name().unwrap().to_string_lossy().starts_with("state-passphrase-") {
            let text = fs::read_to_string(&path).unwrap().trim_end().to_owned();
            assert_eq!(text, value("STATE_PASSPHRASE"));
            all.push(Secrecy { here: Some(path), ..Secrecy::new("state passphrase", &text) });
        }
    }
    all
}

#[test]
fn the_canary_would_be_seen() {
    let secret = "canary-of-the-canary-41";
    let watcher = Watcher::start(vec![secret.to_owned()]);
    let in_arguments = Command::new("sh").args(["-c", "sleep 1; :", secret]).status().unwrap();
    let in_environment = Command::new("sleep").arg("1.21").env("CANARY", secret).status().unwrap();
    assert!(in_arguments.success() && in_environment.success());
    let seen = watcher.stop();
    assert!(seen.iter().any(|s| s.contains(secret)) && seen.iter().any(|s| s.contains("1.21")), "{seen:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("deep")).unwrap();
    fs::write(folder.path().join("deep/file"), format!("\0binary {secret}")).unwrap();
    assert_eq!(find_in_tree(folder.path(), secret), [folder.path().join("deep/file")]);
}
