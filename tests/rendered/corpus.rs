//! Every different file that the combinations make, laid out in folders so that a tool reads all of them in one run.
//!
//! The first form of each path lies under `0/`, the second under `1/` and so on. A file that many combinations share is there
//! once, so what holds for the corpus holds for every combination.
#![allow(clippy::case_sensitive_file_extension_comparisons)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use factoryup::templating::tree::Mode;
use tempfile::TempDir;

use crate::combinations::PAIRWISE;
use crate::control_repo::text;
use crate::support;

pub(crate) struct Corpus {
    folder: TempDir,
    pub(crate) files: Vec<Item>,
}

/// One form of a file.
pub(crate) struct Item {
    /// Its path in a control repo.
    pub(crate) path: &'static str,
    pub(crate) text: &'static str,
    /// Its place in the corpus.
    pub(crate) place: PathBuf,
    /// A combination that makes it.
    pub(crate) of: String,
    pub(crate) executable: bool,
}

pub(crate) static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut forms: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    let mut files = Vec::new();
    for combination in PAIRWISE.iter() {
        for file in combination.tree.files.iter().filter(|f| f.mode != Mode::Link) {
            let known = forms.entry(&file.path).or_default();
            if known.contains(&file.bytes.as_slice()) {
                continue;
            }
            let place = folder.path().join(known.len().to_string()).join(&file.path);
            known.push(&file.bytes);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, &file.bytes).unwrap();
            let executable = file.mode == Mode::Executable;
            if executable {
                fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
            }
            let text = std::str::from_utf8(&file.bytes).unwrap();
            files.push(Item { path: &file.path, text, place, of: combination.name(), executable });
        }
    }
    Corpus { folder, files }
});

impl Corpus {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Files whose path ends so.
    pub(crate) fn ending<'a>(&'a self, suffixes: &'a [&str]) -> impl Iterator<Item = &'a Item> {
        self.files.iter().filter(move |item| suffixes.iter().any(|suffix| item.path.ends_with(suffix)))
    }

    /// Files that a shell runs.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = &Item> {
        let shell = |item: &&Item| item.path.ends_with(".sh") || item.text.starts_with("#!/bin/sh\n");
        self.files.iter().filter(shell)
    }

    /// Runs a tool once over these files, by their places relative to the corpus; it has to pass. Findings name the place, so a
    /// finding is followed by the combination that makes the file.
    pub(crate) fn passes<'a>(&self, tool: &str, arguments: &[&str], files: impl Iterator<Item = &'a Item>) {
        let files: Vec<_> = files.collect();
        assert!(files.len() > 10, "{tool}: only {} files", files.len());
        let output = self.run(tool, arguments, files.iter().copied());
        let found = text(&output);
        let of: Vec<_> =
            files.iter().filter(|f| found.contains(self.place(f))).map(|f| (self.place(f), &f.of)).collect();
        assert!(output.status.success(), "{found}\nfrom: {of:#?}");
    }

    pub(crate) fn run<'a>(&self, tool: &str, arguments: &[&str], files: impl Iterator<Item = &'a Item>) -> Output {
        let places = files.map(|item| item.place.strip_prefix(self.path()).unwrap());
        let mut command = std::process::Command::new(support::tool(tool).unwrap());
        command.current_dir(self.path()).env("PATH", support::path()).args(arguments).args(places).output().unwrap()
    }

    fn place<'a>(&self, item: &'a Item) -> &'a str {
        item.place.strip_prefix(self.path()).unwrap().to_str().unwrap()
    }
}
