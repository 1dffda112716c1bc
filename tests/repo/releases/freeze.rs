//! Freezing a version: `cargo test --test repo releases::freeze -- --ignored`, once, at its release.

use std::fs;
use std::process::Command;

use factoryup::dialog::Silent;
use factoryup::plan::{Options, StateDir, converge};
use factoryup::repo::RepoTarget;

use super::{branches, bundle};
use crate::control_repo::{ANSWERS, answers, factory_toml, rendered};

#[test]
#[ignore = "makes the frozen release: run it once, when a version of the templates is released"]
fn freeze() {
    let version = rendered(ANSWERS[0].0).version;
    let file = bundle(&version);
    assert!(!file.exists(), "{} is frozen already: raise `version` in src/templating/catalogue.toml", file.display());
    let temp = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(temp.path()).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git(&["init", "-q", "--bare", "all.git"]);
    for (name, _) in ANSWERS {
        let mut target = RepoTarget::new(temp.path().join(name), &answers(name), &factory_toml(name)).unwrap();
        let state = StateDir::at(temp.path().join("state").join(name)).unwrap();
        converge(&mut target, &Silent, &state, Options { yes: true, ..Options::default() }).unwrap();
        git(&["-C", "all.git", "fetch", "-q", &format!("../{name}"), &format!("HEAD:refs/heads/{name}")]);
    }
    git(&["-C", "all.git", "repack", "-q", "-adf", "--window=250", "--depth=50"]);
    git(&["-C", "all.git", "bundle", "create", "-q", "new", "--all"]);
    fs::copy(temp.path().join("all.git/new"), &file).unwrap();
    assert_eq!(branches(&version).len(), ANSWERS.len());
}
