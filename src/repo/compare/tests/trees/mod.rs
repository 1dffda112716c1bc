//! Whole trees under random histories: what must hold of every upgrade. The repo is in memory here, so that there can be many.
//!
//! `cargo test` plays some hundreds; the long run plays 100,000 and prints what it counted:
//!
//! ```sh
//! FACTORYUP_SEED=7 cargo test --release --lib many_trees -- --ignored --nocapture
//! ```
#![allow(clippy::print_stdout)]

mod history;
mod laws;
#[path = "../../../../../tests/merge/oracle.rs"]
mod oracle;

use std::collections::BTreeMap;

use super::*;
use crate::git::Git;
use crate::git::write::Edit;
use crate::random::Random;
use crate::repo::manifest;
use crate::repo::record::ANSWERS;
use crate::templating::tree::Tree;
use history::{File, Files, History};
use laws::Count;

const FEW: u32 = 400;
const MANY: u32 = 100_000;

#[test]
fn random_trees() {
    play(FEW);
}

#[test]
#[ignore = "it takes minutes"]
fn many_trees() {
    play(MANY);
}

fn play(count: u32) {
    let seed = std::env::var("FACTORYUP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(2026);
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path()).unwrap();
    let mut counted = Count::default();
    for _ in 0..count {
        let history = History::new(&mut random);
        laws::hold(&history, &git, &mut counted);
    }
    println!("trees: seed {seed}, {count} histories, {counted:#?}");
    counted.judge();
}

/// A repo in memory, at one commit.
struct Memory {
    git: Git,
    files: Files,
}

/// A pack whose files were rendered.
fn pack(version: &str, files: &[RenderedFile]) -> Desired {
    let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"a@b.c\"\n[gitlab]\ngroup = \"g\"\n";
    let factory: Factory = toml::from_str(text).unwrap();
    let mut files = files.to_vec();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = Tree { version: version.into(), pack_sha256: sha256(version.as_bytes()), files };
    Desired::of(&factory, text, tree)
}

impl Memory {
    /// As `init` makes it from `desired`.
    fn of(git: &Git, desired: &Desired) -> Self {
        let mut memory = Self { git: git.clone(), files: Files::new() };
        memory.commit(&desired.first_commit().unwrap());
        memory
    }

    /// The same with what the user made of it.
    fn used(mut self, history: &History) -> Self {
        self.files.retain(|path, _| path.starts_with(".factory/") || path == FILE_NAME);
        self.files.extend(history.current.clone());
        match history.harm {
            Some(true) => self.files.retain(|path, _| !path.starts_with(BASE)),
            Some(false) => {
                let bases = self.files.iter_mut().filter(|(path, _)| path.starts_with(BASE));
                bases.for_each(|(_, file)| file.1.extend_from_slice(b"altered\n"));
            }
            None => {}
        }
        self
    }

    fn commit(&mut self, edits: &[Edit]) {
        for edit in edits {
            if let Edit::Remove(path) = edit {
                assert!(self.files.remove(path).is_some(), "{path} is removed and was not there");
            }
        }
        for edit in edits {
            if let Edit::Put(blob) = edit {
                self.files.insert(blob.path.clone(), (blob.mode, blob.bytes.clone()));
            }
        }
    }

    /// What is observed of it: the content of those files that matter, and of others that they are there.
    fn observe(&self, desired: &Desired) -> ControlRepo {
        let manifest = Manifest::parse(&String::from_utf8_lossy(&self.files[manifest::PATH].1)).unwrap();
        let wanted = |path: &str| {
            path.starts_with(BASE)
                || path.starts_with(CONFLICTS)
                || [FILE_NAME, ANSWERS].contains(&path)
                || manifest.files.iter().any(|record| record.path == path)
                || desired.tree.files.iter().any(|file| file.path == path)
        };
        let current = |(path, (mode, bytes)): (&String, &File)| {
            let bytes = wanted(path).then(|| bytes.clone());
            (path.clone(), Current { mode: mode.as_str().into(), bytes })
        };
        let files: BTreeMap<String, Current> = self.files.iter().map(current).collect();
        ControlRepo { git: self.git.clone(), head: "0".repeat(40), branch: None, manifest, files, unnamed: Vec::new() }
    }

    /// Upgrades it, as one commit.
    fn follow(&mut self, desired: &Desired) -> Comparison {
        let repo = self.observe(desired);
        let comparison = compare(desired, &repo);
        if !comparison.is_empty() {
            self.commit(&branch::edits(desired, &repo, &comparison).unwrap());
        }
        comparison
    }
}
