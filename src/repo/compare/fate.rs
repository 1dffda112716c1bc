//! Decides the change of one file, by its class.

use super::base_text;
use crate::digest::sha256;
use crate::repo::control::{ControlRepo, Current};
use crate::repo::manifest::FileRecord;
use crate::repo::merge::{Base, Conflict, Decision, Version, decide, has_markers};
use crate::templating::block;
use crate::templating::catalogue::Class;
use crate::templating::tree::{Mode, RenderedFile};

/// What becomes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is none of the templates' business any more.
    Leave,
    /// What is there stays, or moves as it is when the templates renamed it.
    Keep,
    /// It gets this content.
    Write { mode: Mode, bytes: Vec<u8>, merged: bool },
    /// The user deleted it.
    StaysDeleted { changed: bool },
    /// It goes.
    Delete,
    /// It stays, and is no longer the templates'.
    Abandon,
    /// It stays until the user says what is to become of it.
    Conflict(Conflict),
}

/// The fate of a file that the templates make. `current` is what is there for it.
pub(super) fn of(
    file: &RenderedFile,
    record: Option<&FileRecord>,
    current: Option<&Current>,
    repo: &ControlRepo,
) -> Fate {
    let Ok(version) = current.map(version).transpose() else {
        return Fate::Conflict(Conflict::Type);
    };
    // A file that was recorded without a base met one of the user's.
    let known = record.filter(|record| !record.base.is_empty());
    let fate = match file.class {
        // The user's from the moment that it is there, or was.
        Class::Seeded if known.is_some() || version.is_some() => Fate::Leave,
        Class::Block => of_block(file, known, version, repo),
        Class::Managed | Class::Merge | Class::Seeded => {
            let base = known.and_then(|record| base(record, repo));
            outcome(decide(&file.path, base, version, Some(new(file))), file)
        }
    };
    let moves = record.is_some_and(|record| record.path != file.path);
    match (fate, version) {
        (Fate::Keep, Some(version)) if moves && has_markers(version.bytes) => Fate::Conflict(Conflict::Markers),
        // Not even with other permission bits, or around a block.
        (Fate::Write { ref bytes, .. }, Some(version)) if has_markers(bytes) && has_markers(version.bytes) => {
            Fate::Conflict(Conflict::Markers)
        }
        // Whoever edits a managed file is told so, and not that its former text is missing, which it always is.
        (Fate::Conflict(Conflict::MissingBase), _) if file.class == Class::Managed => {
            Fate::Conflict(Conflict::Tampered)
        }
        (fate, _) => fate,
    }
}

/// The fate of a file that the templates no longer make.
pub(super) fn of_retired(record: &FileRecord, repo: &ControlRepo) -> Fate {
    let Some(current) = repo.files.get(&record.path) else { return Fate::Leave };
    let untouched = |current| {
        let version = version(current).ok()?;
        let base = base(record, repo).filter(|_| !record.base.is_empty())?;
        (decide(&record.path, Some(base), Some(version), None) == Decision::Delete).then_some(())
    };
    match record.class {
        Class::Seeded => Fate::Leave,
        // What stands around the block is the user's.
        Class::Managed | Class::Merge if untouched(current).is_some() => Fate::Delete,
        Class::Block | Class::Managed | Class::Merge => Fate::Abandon,
    }
}

/// The block is merged as part of the user's file, which is where its lines mean something.
fn of_block(file: &RenderedFile, known: Option<&FileRecord>, version: Option<Version<'_>>, repo: &ControlRepo) -> Fate {
    let Some(current) = version else {
        return known
            .map_or_else(|| write(file), |record| Fate::StaysDeleted { changed: record.base != file.sha256() });
    };
    if known.is_some_and(|record| record.base == file.sha256()) {
        return Fate::Keep;
    }
    let text = std::str::from_utf8(current.bytes).ok().filter(|_| current.mode != Mode::Link);
    let (Some(text), Ok(body)) = (text, std::str::from_utf8(file.owned())) else {
        return Fate::Conflict(Conflict::NoBlock);
    };
    let Some(mine) = block::body(text) else { return Fate::Conflict(Conflict::NoBlock) };
    let put = |body: &str| block::replace(text, body).unwrap_or_default();
    if mine == body {
        return Fate::Keep;
    }
    let Some(record) = known else { return Fate::Conflict(Conflict::BothAdded) };
    let wanted = put(body);
    let merged = if sha256(mine.as_bytes()) == record.base {
        Ok((wanted.into_bytes(), false))
    } else {
        match base_text(record, repo).map(std::str::from_utf8) {
            Some(Ok(base)) => {
                crate::repo::merge::text(&file.path, put(base).as_bytes(), current.bytes, wanted.as_bytes())
                    .map(|bytes| (bytes, true))
            }
            _ => Err(Conflict::MissingBase),
        }
    };
    match merged {
        Ok((bytes, _)) if std::str::from_utf8(&bytes).ok().and_then(block::body).is_none() => {
            Fate::Conflict(Conflict::NoBlock)
        }
        Ok((bytes, merged)) => Fate::Write { mode: current.mode, bytes, merged },
        Err(why) => Fate::Conflict(why),
    }
}

fn outcome(decision: Decision, file: &RenderedFile) -> Fate {
    match decision {
        Decision::Keep => Fate::Keep,
        Decision::Take => write(file),
        Decision::Merge(merged) => Fate::Write { mode: merged.mode, bytes: merged.bytes, merged: true },
        Decision::Delete => Fate::Delete,
        Decision::StaysDeleted { changed } => Fate::StaysDeleted { changed },
        Decision::Abandon => Fate::Abandon,
        Decision::Conflict(why) => Fate::Conflict(why),
    }
}

fn write(file: &RenderedFile) -> Fate {
    Fate::Write { mode: file.mode, bytes: file.bytes.clone(), merged: false }
}

fn new(file: &RenderedFile) -> Version<'_> {
    Version { mode: file.mode, bytes: &file.bytes }
}

fn base<'a>(record: &'a FileRecord, repo: &'a ControlRepo) -> Option<Base<'a>> {
    let bytes = if record.keeps_base() { base_text(record, repo) } else { None };
    Some(Base { mode: Mode::parse(&record.mode)?, sha256: &record.base, bytes })
}

/// What is there; an error for a submodule, which is none of ours.
fn version(current: &Current) -> Result<Version<'_>, ()> {
    match (Mode::parse(&current.mode), &current.bytes) {
        (Some(mode), Some(bytes)) => Ok(Version { mode, bytes }),
        _ => Err(()),
    }
}
