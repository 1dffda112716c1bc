//! What differs between a control repo and the desired one, and whose a difference is.
//!
//! A file follows the templates only while it is what factoryup wrote. What the user edited, deleted or put there is left alone
//! and said so; merging it is what an upgrade is for.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::Class;
use super::desired::{Desired, blob};
use super::digest::sha256;
use super::manifest::{FileRecord, Manifest, State, Tombstone};
use super::observe::{ControlRepo, Current};
use super::record::Blob;
use super::tree::{RenderedFile, owned};
use crate::factory::FILE_NAME;

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

/// One file that would be different and is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Where.
    pub(crate) path: String,
    /// Why.
    pub(crate) why: &'static str,
}

/// All that differs.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    /// Files that will be different, sorted by path.
    pub(crate) edits: Vec<FileEdit>,
    /// Files left alone.
    pub(crate) kept: Vec<Kept>,
    /// How many are as they should be.
    pub(crate) unchanged: usize,
    /// The manifest after the edits.
    pub(crate) manifest: Manifest,
}

const EDITED: &str = "edited by you, left alone; merging it comes with `factoryup upgrade`";
const DELETED: &str = "deleted by you, and stays so; its new text is not brought back";
const YOURS: &str = "a file of yours is where a new one would land; left alone";
const NO_LONGER: &str = "no longer made by the templates, but edited by you; kept, and yours from now on";

/// What becomes of one file.
enum Fate {
    /// As it should be; the record stays.
    Unchanged,
    /// What is there happens to be what should be; it is recorded.
    Adopted,
    /// It gets this content.
    Written(Vec<u8>),
    /// It is left alone, and why.
    Kept(&'static str),
}

/// Compares the control repo with the desired one.
pub(crate) fn compare(desired: &Desired, repo: &ControlRepo) -> Comparison {
    let mut records: BTreeMap<&str, &FileRecord> = repo.manifest.files.iter().map(|r| (r.id.as_str(), r)).collect();
    let made: BTreeSet<&str> = desired.tree.files.iter().map(|file| file.id.as_str()).collect();
    let retiring: BTreeMap<&str, &FileRecord> =
        records.values().filter(|r| !made.contains(r.id.as_str())).map(|r| (r.path.as_str(), *r)).collect();
    let mut manifest = Manifest::new(&desired.tree, desired.answers_sha256.clone());
    manifest.files.clear();
    manifest.tombstones.clone_from(&repo.manifest.tombstones);
    manifest.migrations.clone_from(&repo.manifest.migrations);
    let mut result = Comparison { edits: Vec::new(), kept: Vec::new(), unchanged: 0, manifest };
    let paths = Paths::new(&repo.files);
    for file in &desired.tree.files {
        let record = records.remove(file.id.as_str());
        let fate = match record {
            None => fate_of_new(file, repo, &paths, &retiring),
            Some(record) => fate_of_known(file, record, repo, &paths),
        };
        result.take(file, record, fate, repo);
    }
    let landing: BTreeSet<&str> = desired.tree.files.iter().map(|file| file.path.as_str()).collect();
    for record in records.into_values() {
        result.retire(record, repo, landing.contains(record.path.as_str()));
    }
    if !result.edits.is_empty() {
        let before = repo.files.get(FILE_NAME).and_then(|f| f.bytes.clone());
        if before.as_deref() != Some(desired.factory_toml.as_bytes()) {
            result.edits.push(FileEdit { path: FILE_NAME.into(), before, after: Some(desired.factory_blob()) });
        }
    }
    result.edits.sort_by(|a, b| a.path.cmp(&b.path));
    result
}

impl Comparison {
    fn take(&mut self, file: &RenderedFile, record: Option<&FileRecord>, fate: Fate, repo: &ControlRepo) {
        let written = FileRecord::of(file, &self.manifest.template.version);
        match fate {
            Fate::Unchanged => {
                self.unchanged += 1;
                self.manifest.files.extend(record.cloned());
            }
            Fate::Adopted => self.manifest.files.push(written),
            Fate::Written(bytes) => {
                if let Some(old) = record.map(|r| r.path.as_str()).filter(|path| *path != file.path) {
                    self.edits.push(FileEdit { path: old.into(), before: bytes_at(repo, old), after: None });
                }
                let after = Some(Blob { bytes, ..blob(file) });
                self.edits.push(FileEdit { path: file.path.clone(), before: bytes_at(repo, &file.path), after });
                self.manifest.files.push(written);
            }
            Fate::Kept(why) => {
                self.kept.push(Kept { path: file.path.clone(), why });
                self.manifest.files.extend(record.map(|r| {
                    let state = if why == DELETED { State::DeletedByUser } else { r.state };
                    FileRecord { state, ..r.clone() }
                }));
            }
        }
    }

    /// A file that the templates no longer make; `replaced` when another one lands where it was.
    fn retire(&mut self, record: &FileRecord, repo: &ControlRepo, replaced: bool) {
        let goes = record.class != Class::Seeded && !replaced;
        if let Some(current) = repo.files.get(&record.path).filter(|_| goes) {
            if record.class != Class::Block && is_as_written(record, current) {
                self.edits.push(FileEdit { path: record.path.clone(), before: current.bytes.clone(), after: None });
            } else {
                self.kept.push(Kept { path: record.path.clone(), why: NO_LONGER });
            }
        }
        let removed_in = self.manifest.template.version.clone();
        self.manifest.tombstones.retain(|t| t.id != record.id);
        self.manifest.tombstones.push(Tombstone { id: record.id.clone(), path: record.path.clone(), removed_in });
    }
}

fn fate_of_new(file: &RenderedFile, repo: &ControlRepo, paths: &Paths, retiring: &BTreeMap<&str, &FileRecord>) -> Fate {
    let replaces = |current| retiring.get(file.path.as_str()).is_some_and(|record| is_as_written(record, current));
    match repo.files.get(&file.path) {
        Some(current) if is_the_same(file, current) => Fate::Adopted,
        Some(current) if replaces(current) => Fate::Written(file.bytes.clone()),
        None if !paths.collides(&file.path) => Fate::Written(file.bytes.clone()),
        Some(_) | None => Fate::Kept(YOURS),
    }
}

fn fate_of_known(file: &RenderedFile, record: &FileRecord, repo: &ControlRepo, paths: &Paths) -> Fate {
    let same_render = record.base == file.sha256()
        && record.mode == file.mode.as_str()
        && record.path == file.path
        && record.class == file.class;
    if same_render || file.class == Class::Seeded {
        return Fate::Unchanged;
    }
    let Some(current) = repo.files.get(&record.path) else { return Fate::Kept(DELETED) };
    let moves = record.path != file.path;
    if !moves && is_the_same(file, current) {
        return Fate::Adopted;
    }
    if !is_as_written(record, current) {
        return Fate::Kept(EDITED);
    }
    if moves && (repo.files.contains_key(&file.path) || paths.collides(&file.path)) {
        return Fate::Kept(YOURS);
    }
    match (file.class, current.bytes.as_deref().map(std::str::from_utf8)) {
        (Class::Block, Some(Ok(text))) if record.class == Class::Block => {
            let body = std::str::from_utf8(file.owned()).unwrap_or_default();
            super::block::replace(text, body).map_or(Fate::Kept(EDITED), |text| Fate::Written(text.into_bytes()))
        }
        _ => Fate::Written(file.bytes.clone()),
    }
}

/// Whether a file is what factoryup last wrote there, in content and mode.
fn is_as_written(record: &FileRecord, current: &Current) -> bool {
    let content = current.bytes.as_deref().and_then(|bytes| owned(record.class, bytes)).map(sha256);
    content.is_some_and(|digest| digest == record.written) && current.mode == record.mode
}

fn is_the_same(file: &RenderedFile, current: &Current) -> bool {
    current.bytes.as_ref() == Some(&file.bytes) && current.mode == file.mode.as_str()
}

fn bytes_at(repo: &ControlRepo, path: &str) -> Option<Vec<u8>> {
    repo.files.get(path).and_then(|current| current.bytes.clone())
}

/// The paths of a commit, for finding what a new one would push aside.
struct Paths {
    lower_case: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Paths {
    fn new(files: &BTreeMap<String, Current>) -> Self {
        let lower_case: BTreeSet<String> = files.keys().map(|path| path.to_lowercase()).collect();
        let folders =
            lower_case.iter().flat_map(|path| path.match_indices('/').map(|(end, _)| path[..end].to_owned())).collect();
        Self { lower_case, folders }
    }

    /// Whether a file at `path` would meet another file, but for case, stand where a folder is, or below where a file is.
    fn collides(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        self.lower_case.contains(&path)
            || self.folders.contains(&path)
            || path.match_indices('/').any(|(end, _)| self.lower_case.contains(&path[..end]))
    }
}

#[cfg(test)]
mod tests;
