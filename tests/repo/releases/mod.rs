//! Every released version of the templates, frozen: what its factoryup made, and that this one upgrades all of it.
//!
//! `tests/fixtures/releases/VERSION.bundle` is a git bundle with one branch for each set of answers, each with the first commit
//! that the factoryup of that release made: rendered files, manifest, answers, former texts. Nothing is rendered again with today's
//! code, so that an upgrade from it starts where a user's would. [`freeze`] makes it, once, when a version is released.

mod freeze;
mod from_1_0;
mod upgraded;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use factoryup::templating::tree::Mode;

use crate::support::need;

/// Where the frozen releases are.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/releases")
}

/// The frozen versions, in no order.
fn versions() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_suffix(".bundle")?.to_owned())).collect()
}

fn bundle(version: &str) -> PathBuf {
    folder().join(format!("{version}.bundle"))
}

/// The sets of answers of a frozen version.
fn branches(version: &str) -> Vec<String> {
    let output = Command::new("git").args(["bundle", "list-heads"]).arg(bundle(version)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_once(" refs/heads/").expect("a branch").1.to_owned()).collect()
}

/// What a frozen version made of a set of answers, checked out in `folder`.
fn thaw(version: &str, answers: &str, folder: &Path) {
    let mut command = Command::new("git");
    command.args(["clone", "-q", "--no-tags", "--single-branch", "--branch", answers]).arg(bundle(version)).arg(folder);
    assert!(command.status().unwrap().success(), "{version}: {answers}");
}

fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|part| part.parse().unwrap()).collect()
}

/// A version that was released stays what it was: whoever changes what it renders raises the version in `catalogue.toml`, once.
/// Until that one is released and frozen in turn, the templates change freely.
#[test]
fn a_released_version_is_never_another() {
    if !need("git") {
        return;
    }
    let own = crate::control_repo::rendered("defaults");
    assert!(!versions().is_empty());
    for version in versions() {
        assert!(
            numbers(&version) <= numbers(&own.version),
            "the templates are {}, and {version} was released already: raise `version` in src/templating/catalogue.toml",
            own.version
        );
        if version != own.version {
            continue;
        }
        let raise = format!(
            "{version} was released and renders this otherwise: raise `version` in src/templating/catalogue.toml"
        );
        for answers in branches(&version) {
            let temp = tempfile::tempdir().unwrap();
            let repo = temp.path().join("repo");
            thaw(&version, &answers, &repo);
            let factory = factoryup::factory::read(&repo.join("factory.toml")).unwrap();
            let tree = factoryup::templating::render::render(&factory).unwrap();
            for file in &tree.files {
                let path = repo.join(&file.path);
                let was = match file.mode {
                    Mode::Link => fs::read_link(&path).map(|to| to.into_os_string().into_encoded_bytes()),
                    _ => fs::read(&path),
                };
                assert!(was.is_ok_and(|bytes| bytes == file.bytes), "{answers}: {}: {raise}", file.path);
            }
            let manifest = fs::read_to_string(repo.join(".factory/manifest.toml")).unwrap();
            assert!(manifest.contains(&tree.pack_sha256), "{answers}: the templates as a whole: {raise}");
        }
    }
}
