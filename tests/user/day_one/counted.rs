//! What day one leaves to the owner, as README counts it.

use std::fs;
use std::process::Output;

use super::said;

/// Whether README has this line.
pub(super) fn counts(line: &str) -> bool {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap().contains(line)
}

/// The agent's login, and two precautions.
pub(super) fn left_to_the_owner(apply: &Output) {
    let text = said(apply);
    let (_, next) = text.split_once("Next, for you:").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(next.lines().filter(|line| line.starts_with("  ") && line.get(3..5) == Some(". ")).count(), 3, "{next}");
    for how in ["sudo -iu agent claude auth login", "factoryup keys init", "state-passphrase-"] {
        assert!(next.contains(how), "{next}");
    }
    assert!(counts("| the agent's first merge request | 1: log the agent in"));
}
