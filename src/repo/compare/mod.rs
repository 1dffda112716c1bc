//! Compares a control repo with the desired one, and merges the user's changes with the templates'.
//!
//! Files are paired by their id, through the manifest, so that an edit follows a file that the templates rename. Each pair is
//! decided by `fate`, according to the file's class; a text that both sides changed is [merged](super::merge). Then the
//! files are placed: one whose new place is taken stays where it is, as a conflict. At a conflict the user's version stays in
//! the commit, the proposal is put aside under `.factory/conflicts/ID`, and the record keeps the base it had, so that the next
//! upgrade starts from the same three versions.

mod fate;
pub(crate) mod paths;

use std::collections::{BTreeMap, BTreeSet};

use super::control::{ControlRepo, Current};
use super::desired::Desired;
use super::manifest::{FileRecord, Manifest, State, Tombstone};
use super::merge::Conflict;
use super::record::{BASE, CONFLICTS};
use super::report::{Finding, LINES, Report, Sort};
use crate::digest::sha256;
use crate::factory::FILE_NAME;
use crate::git::Blob;
use crate::migrations::{Change, Migration};
use crate::templating::tree::{RenderedFile, owned};
use fate::Fate;
use paths::Paths;

/// One file that will be different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEdit {
    /// Where.
    pub(crate) path: String,
    /// What the commit holds there.
    pub(crate) before: Option<Vec<u8>>,
    /// What it will hold there.
    pub(crate) after: Option<Blob>,
}

/// All that differs.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    /// Files that will be different, sorted by path, without those of `.factory/`.
    pub(crate) edits: Vec<FileEdit>,
    /// What the user should hear.
    pub(crate) report: Report,
    /// Proposals that wait for the user, under `.factory/conflicts/`.
    pub(crate) proposals: Vec<Blob>,
    /// Proposals that wait no longer.
    pub(crate) settled: Vec<String>,
    /// Whether the manifest has something new to say, apart from files that will be different.
    pub(crate) news: bool,
    /// How many are as they should be.
    pub(crate) unchanged: usize,
    /// The manifest after the edits.
    pub(crate) manifest: Manifest,
}

impl Comparison {
    /// Whether nothing needs to be committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.proposals.is_empty() && self.settled.is_empty() && !self.news
    }
}

/// A desired file with what is there for it.
struct Pair<'a> {
    file: &'a RenderedFile,
    record: Option<&'a FileRecord>,
    /// Where it is now, when it is there.
    at: Option<&'a str>,
    fate: Fate,
}

/// Compares the control repo with the desired one.
pub(crate) fn compare(desired: &Desired, repo: &ControlRepo) -> Comparison {
    let records: BTreeMap<&str, &FileRecord> = repo.manifest.files.iter().map(|r| (r.id.as_str(), r)).collect();
    let made: BTreeSet<&str> = desired.tree.files.iter().map(|file| file.id.as_str()).collect();
    let retired: Vec<(&FileRecord, Fate)> = repo
        .manifest
        .files
        .iter()
        .filter(|record| !made.contains(record.id.as_str()))
        .map(|record| (record, fate::of_retired(record, repo)))
        .collect();
    // A file that never came to be, since its place was taken, owns nothing, nor does one that the user deleted, and one that the
    // user keeps is the user's.
    let holds = |record: &&FileRecord| !record.base.is_empty() && record.state != State::DeletedByUser;
    let came = repo.manifest.files.iter().filter(holds).filter(|record| made.contains(record.id.as_str()));
    let goes = retired.iter().filter(|(_, fate)| *fate == Fate::Delete).map(|(record, _)| *record);
    let owners: BTreeMap<&str, &str> = came.chain(goes).map(|r| (r.path.as_str(), r.id.as_str())).collect();
    let mut pairs: Vec<Pair<'_>> = desired
        .tree
        .files
        .iter()
        .map(|file| {
            let record = records.get(file.id.as_str()).copied();
            let at = place_of(file, record, repo, &owners);
            Pair { file, record, at, fate: fate::of(file, record, at.and_then(|path| repo.files.get(path)), repo) }
        })
        .collect();
    settle(&mut pairs, &retired, repo);

    let mut manifest = Manifest::new(&desired.tree, desired.answers_sha256.clone());
    manifest.files.clear();
    manifest.tombstones.clone_from(&repo.manifest.tombstones);
    manifest.migrations.clone_from(&repo.manifest.migrations);
    let report = Report::new(&repo.manifest.template.version, &desired.tree.version);
    let mut result = Comparison {
        edits: Vec::new(),
        report,
        proposals: Vec::new(),
        settled: Vec::new(),
        news: false,
        unchanged: 0,
        manifest,
    };
    for pair in pairs {
        result.take(pair, repo);
    }
    for (record, fate) in retired {
        result.retire(record, &fate, repo);
    }
    result.finish(desired, repo);
    result
}

/// Where the user has the file: where it was last, or already where the templates will put it. What is at a path that the manifest
/// knows as another file is that other file.
fn place_of<'a>(
    file: &'a RenderedFile,
    record: Option<&'a FileRecord>,
    repo: &ControlRepo,
    owners: &BTreeMap<&str, &str>,
) -> Option<&'a str> {
    let there = |path: &&str| repo.files.contains_key(*path) && owners.get(path).is_none_or(|id| *id == file.id);
    [record.map(|r| r.path.as_str()), Some(file.path.as_str())].into_iter().flatten().find(there)
}

/// Finds the files that cannot land where they should, until no more are found: each one that stays may be in the way of another.
fn settle(pairs: &mut [Pair<'_>], retired: &[(&FileRecord, Fate)], repo: &ControlRepo) {
    loop {
        let moving = |pair: &&Pair<'_>| pair.lands().is_some() && pair.at.is_some();
        let leaving: BTreeSet<&str> = pairs
            .iter()
            .filter(moving)
            .filter_map(|pair| pair.at)
            .chain(retired.iter().filter(|(_, fate)| *fate == Fate::Delete).map(|(r, _)| r.path.as_str()))
            .collect();
        let paths = Paths::new(repo.paths().filter(|path| !leaving.contains(path)));
        let blocked: Vec<usize> =
            (0..pairs.len()).filter(|i| pairs[*i].lands().is_some_and(|path| paths.collides(path))).collect();
        if blocked.is_empty() {
            return;
        }
        for index in blocked {
            pairs[index].fate = Fate::Conflict(Conflict::PathTaken);
        }
    }
}

impl Pair<'_> {
    /// The path that it comes to, when it is not there already.
    fn lands(&self) -> Option<&str> {
        let path = self.file.path.as_str();
        let comes = match self.fate {
            Fate::Keep => self.at.is_some_and(|at| at != path),
            Fate::Write { .. } => self.at != Some(path),
            _ => false,
        };
        comes.then_some(path)
    }
}

impl Comparison {
    fn take(&mut self, pair: Pair<'_>, repo: &ControlRepo) {
        let Pair { file, record, at, fate } = pair;
        let current = at.and_then(|path| repo.files.get(path)).and_then(Current::blob);
        let known = record.filter(|r| r.base == file.sha256());
        let since = known.map_or(&self.manifest.template.version, |r| &r.since);
        let fresh = FileRecord::of(file, since);
        let holding =
            |bytes: &[u8]| FileRecord { written: sha256(owned(file.class, bytes).unwrap_or(bytes)), ..fresh.clone() };
        let kept = current.as_ref().map_or_else(|| fresh.clone(), |blob| holding(&blob.bytes));
        match fate {
            Fate::Leave => {
                self.unchanged += 1;
                let mine = current.as_ref().map(|blob| String::from_utf8_lossy(&blob.bytes));
                let former = record.filter(|record| !record.base.is_empty() && known.is_none());
                if let (Some(mine), Some(former)) = (mine, former) {
                    // Told once: from now on the record is of what would be made today.
                    let would = String::from_utf8_lossy(&file.bytes);
                    let lacks = would.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                    let lacks = lacks.filter(|line| mine.lines().all(|own| own.trim() != *line)).map(str::to_owned);
                    let lacks: Vec<String> = lacks.take(LINES).collect();
                    // Comments alone are no reason to look.
                    if !lacks.is_empty() {
                        self.news = true;
                        self.report.push(&former.path, Sort::Yours { lacks });
                    }
                    let (base, since) = (fresh.base.clone(), fresh.since.clone());
                    self.manifest.files.push(FileRecord { base, since, ..former.clone() });
                } else {
                    self.manifest.files.push(record.cloned().unwrap_or(kept));
                }
            }
            Fate::Keep if at == Some(&file.path) => {
                self.unchanged += 1;
                self.manifest.files.push(kept);
            }
            Fate::Keep => {
                self.put(at, current.map(|blob| Blob { path: file.path.clone(), ..blob }), file, repo);
                self.report.push(&file.path, Sort::Moved { from: at.unwrap_or_default().to_owned() });
                self.manifest.files.push(kept);
            }
            Fate::Write { mode, bytes, merged } => {
                if merged {
                    self.report.push(&file.path, Sort::Merged);
                }
                self.manifest.files.push(holding(&bytes));
                self.put(at, Some(Blob { path: file.path.clone(), mode, bytes }), file, repo);
            }
            Fate::StaysDeleted { changed } => {
                if changed {
                    self.news = true;
                    self.report.push(&file.path, Sort::DeletedByYou);
                }
                self.manifest.files.push(FileRecord { state: State::DeletedByUser, ..fresh });
            }
            Fate::Delete | Fate::Abandon => {}
            Fate::Conflict(why) => {
                let blob = Blob::file(format!("{CONFLICTS}{}", file.id), file.bytes.clone());
                let path = at.or(record.map(|r| r.path.as_str())).unwrap_or(&file.path).to_owned();
                self.report.push(
                    &path,
                    Sort::Conflict { id: file.id.clone(), why: why.as_str(), proposal: blob.path.clone() },
                );
                self.proposals.push(blob);
                let unknown = FileRecord { base: String::new(), written: String::new(), ..fresh };
                self.manifest.files.push(FileRecord { state: State::Conflict, ..record.cloned().unwrap_or(unknown) });
            }
        }
    }

    /// The file is written where it should be, and no longer is where it was.
    fn put(&mut self, at: Option<&str>, after: Option<Blob>, file: &RenderedFile, repo: &ControlRepo) {
        if let Some(old) = at.filter(|at| *at != file.path) {
            self.edits.push(FileEdit { path: old.into(), before: bytes_at(repo, old), after: None });
        }
        self.edits.push(FileEdit { path: file.path.clone(), before: bytes_at(repo, &file.path), after });
    }

    /// A file that the templates no longer make.
    fn retire(&mut self, record: &FileRecord, fate: &Fate, repo: &ControlRepo) {
        match fate {
            Fate::Delete => {
                self.edits.push(FileEdit {
                    path: record.path.clone(),
                    before: bytes_at(repo, &record.path),
                    after: None,
                });
            }
            Fate::Abandon => self.report.push(&record.path, Sort::YoursNow),
            _ => {}
        }
        self.news = true;
        let removed_in = self.manifest.template.version.clone();
        self.manifest.tombstones.push(Tombstone { id: record.id.clone(), path: record.path.clone(), removed_in });
    }

    fn finish(&mut self, desired: &Desired, repo: &ControlRepo) {
        let ids: BTreeSet<&str> = self.manifest.files.iter().map(|r| r.id.as_str()).collect();
        // The last one of an id counts, and none of an id that is back.
        let last: BTreeMap<String, Tombstone> = self.manifest.tombstones.drain(..).map(|t| (t.id.clone(), t)).collect();
        self.manifest.tombstones = last.into_values().filter(|t| !ids.contains(t.id.as_str())).collect();
        // A file that takes another's place is one edit and not two.
        let written: BTreeSet<String> =
            self.edits.iter().filter(|e| e.after.is_some()).map(|e| e.path.clone()).collect();
        self.edits.retain(|e| e.after.is_some() || !written.contains(&e.path));
        // What has the name of no file that the templates ever had is somebody's own, and stays.
        let renamed = |id: &str| {
            let migrations = crate::migrations::all().unwrap_or_default();
            let from = |m: &Migration| matches!(&m.change, Change::RenameFile { from, .. } if id.starts_with(from));
            migrations.iter().any(from)
        };
        let was: BTreeSet<&str> = repo.manifest.files.iter().map(|record| record.id.as_str()).collect();
        let own = |path: &String| {
            let id = path.strip_prefix(CONFLICTS)?;
            let gone = self.manifest.tombstones.iter().any(|tombstone| tombstone.id == id);
            (gone || was.contains(id) || ids.contains(id) || renamed(id)).then(|| path.clone())
        };
        self.settled = repo.files.keys().filter_map(own).collect();
        self.settled.retain(|path| self.proposals.iter().all(|blob| blob.path != *path));
        self.proposals.retain(|blob| bytes_at(repo, &blob.path).as_ref() != Some(&blob.bytes));
        self.sort_and_carry(desired, repo);
    }

    /// Where there is something to commit, `factory.toml` comes along; then all is sorted.
    pub(crate) fn sort_and_carry(&mut self, desired: &Desired, repo: &ControlRepo) {
        if !self.is_empty() && self.edits.iter().all(|edit| edit.path != FILE_NAME) {
            let before = bytes_at(repo, FILE_NAME);
            if before.as_deref() != Some(desired.factory_toml.as_bytes()) {
                self.edits.push(FileEdit { path: FILE_NAME.into(), before, after: Some(desired.factory_blob()) });
            }
        }
        self.edits.sort_by(|a, b| a.path.cmp(&b.path));
        self.report.findings.sort_by(|a: &Finding, b| a.path.cmp(&b.path));
    }
}

/// The pristine text of a record, when it is kept and is what the record says.
fn base_text<'a>(record: &FileRecord, repo: &'a ControlRepo) -> Option<&'a [u8]> {
    let bytes = repo.files.get(&format!("{BASE}{}", record.base))?.bytes.as_deref()?;
    (sha256(bytes) == record.base).then_some(bytes)
}

fn bytes_at(repo: &ControlRepo, path: &str) -> Option<Vec<u8>> {
    repo.files.get(path).and_then(|current| current.bytes.clone())
}

#[cfg(test)]
mod tests;
