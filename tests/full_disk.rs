//! A full disk under the state folder costs an error, and not the evidence.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

mod support;

use std::path::Path;
use std::process::Command;

use factoryup::plan::Evidence;
use serde_json::json;

/// A file system of one page that is unmounted when dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn at(path: &'a Path) -> Self {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8k", "small"]).arg(path).status();
        assert!(mount.unwrap().success());
        Self(path)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn evidence_that_does_not_fit_leaves_the_chain_whole() {
    if !support::root() || !support::available(&["mount", "umount"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let small = Small::at(folder.path());
    std::fs::write(folder.path().join("ballast"), [0; 4096]).unwrap();
    let evidence = Evidence::at(folder.path().join("log.jsonl"));
    let append = |n: u32| evidence.append("repo", &"a".repeat(64), "apply", json!({ "n": n }));
    let fitted = (0..100).take_while(|n| append(*n).is_ok()).count();
    assert!((1..100).contains(&fitted));
    assert_eq!(evidence.verify().unwrap().0, fitted);
    // Room again: it goes on where it was.
    std::fs::remove_file(folder.path().join("ballast")).unwrap();
    append(7).unwrap();
    assert_eq!(evidence.verify().unwrap().0, fitted + 1);
    drop(small);
}
