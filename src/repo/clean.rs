//! Checks that paths of a work tree are as committed, and stages paths by their bytes.
//!
//! `git status` and `git add` would do it too, but they start the filters that the repo is configured for, and in a folder from
//! somebody else those are that somebody's programs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::control::SUBMODULE;
use super::error::{RepoError, RepoResult};
use crate::budget;
use crate::digest::sha256;
use crate::git::Git;
use crate::git::read::TreeEntry;
use crate::templating::tree::Mode;

/// Git's mode of a folder.
pub(crate) const FOLDER: &str = "040000";

/// A path that is not as it was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Where.
    pub(crate) path: String,
    /// Whether the change is staged, and nothing differs from that.
    pub(crate) staged: bool,
}

/// Whether the work tree tells which files can be executed: not where the file system knows no permissions, so that all files look
/// alike, or where the user says that they mean nothing. There a file's mode is the one that is staged. git-config(1), `core.fileMode`.
pub(crate) fn has_modes(git: &Git) -> RepoResult<bool> {
    Ok(git.line(&["config", "--type=bool", "--default=true", "--get", "core.fileMode"])? == "true")
}

/// Whether a file in the work tree has the mode that it should have, as far as that can be told.
fn are_alike(there: &str, wanted: &str, has_modes: bool) -> bool {
    let is_file = |mode: &str| mode == Mode::File.as_str() || mode == Mode::Executable.as_str();
    there == wanted || !has_modes && is_file(there) && is_file(wanted)
}

/// What is at a path: the mode with the digest of the content, or nothing.
pub(crate) type Side = Option<(String, String)>;

/// Whether a path holds what it should, as far as that can be told.
pub(crate) fn is(there: &Side, wanted: &Side, has_modes: bool) -> bool {
    match (there, wanted) {
        (Some((mode, digest)), Some((wanted, of))) => digest == of && are_alike(mode, wanted, has_modes),
        (there, wanted) => there == wanted,
    }
}

/// Those of `paths` that are not as the commit `head` has them, in the index or in the work tree.
///
/// `head` is the commit that was read, and not what is checked out by now: while a prompt or an editor waits somebody may commit, and
/// what was made from the commit before would take that back. Fails when it is not the one that is checked out any more.
pub(crate) fn changed(git: &Git, head: &str, paths: &[&str]) -> RepoResult<Vec<Changed>> {
    let (committed, index) = (git.tree(head)?, git.index()?);
    let has_modes = has_modes(git)?;
    let readable = |entry: &&TreeEntry| Mode::parse(&entry.mode).is_some() && !entry.oid.is_empty();
    let oids: Vec<&str> = paths.iter().filter_map(|p| index.get(*p)).filter(readable).map(|e| e.oid.as_str()).collect();
    let texts: BTreeMap<&str, String> =
        oids.iter().copied().zip(git.contents(&oids)?).map(|(oid, bytes)| (oid, sha256(&bytes))).collect();
    let mut found = Vec::new();
    for path in paths {
        let staged = index.get(*path);
        let there = present(&place(git.dir(), path)?)?;
        let same = match (staged, &there) {
            (None, None) => true,
            // A folder is nothing that could be written over; what is in it has its own paths.
            (None, Some((mode, _))) => mode == FOLDER,
            (Some(_), None) => false,
            (Some(entry), Some((mode, _))) if entry.mode == SUBMODULE => mode == FOLDER,
            (Some(entry), Some((mode, digest))) => {
                are_alike(mode, &entry.mode, has_modes) && texts.get(entry.oid.as_str()) == Some(digest)
            }
        };
        if !same || committed.get(*path) != staged {
            found.push(Changed { path: (*path).to_owned(), staged: same });
        }
    }
    // Last, since what is committed only now differs above as well, and is no change that waits for a commit.
    if git.resolve("HEAD")?.as_deref() != Some(head) {
        return Err(RepoError::Meanwhile(format!("HEAD of {} moved", git.dir().display())));
    }
    Ok(found)
}

/// Refuses paths that git was told to overlook in the work tree: a change of theirs would be in no commit, and what a sparse checkout
/// leaves out is not there to be changed. git-update-index(1), git-ls-files(1): a small letter says `assume-unchanged`, an `S`
/// `skip-worktree`.
pub(crate) fn refuse_overlooked(git: &Git, paths: &[&str]) -> RepoResult<()> {
    let listing = git.run(&["ls-files", "-v", "-z"])?;
    let (mut overlooked, mut absent) = (Vec::new(), Vec::new());
    for (tag, path) in listing.split(|b| *b == 0).filter_map(|line| std::str::from_utf8(line).ok()?.split_once(' ')) {
        if !paths.contains(&path) || !tag.starts_with(|tag: char| tag.is_ascii_lowercase() || tag == 'S') {
            continue;
        }
        let there = fs::symlink_metadata(git.dir().join(path)).is_ok();
        if there { &mut overlooked } else { &mut absent }.push(path.to_owned());
    }
    if !absent.is_empty() {
        return Err(RepoError::Sparse(absent));
    }
    if overlooked.is_empty() { Ok(()) } else { Err(RepoError::Overlooked(overlooked)) }
}

/// Stages paths as they are in the work tree, or are not; each with the mode that it should have, where the work tree cannot tell.
pub(crate) fn stage<'a>(
    git: &Git,
    paths: impl IntoIterator<Item = (&'a str, Option<String>)>,
    has_modes: bool,
) -> RepoResult<()> {
    let mut entries = String::new();
    for (path, wanted) in paths {
        let place = place(git.dir(), path)?;
        let there = present(&place)?.map(|(mode, _)| mode).filter(|mode| Mode::parse(mode).is_some());
        let there = there.map(|mode| wanted.filter(|wanted| are_alike(&mode, wanted, has_modes)).unwrap_or(mode));
        let bytes = match there.as_deref() {
            // git-update-index(1): the mode 0 takes an entry away, whatever its id.
            None => Ok(Vec::new()),
            Some(mode) if mode == Mode::Link.as_str() => fs::read_link(&place).map(|to| to.into_os_string().into_vec()),
            Some(_) => budget::read(&place),
        }
        .map_err(RepoError::io("read", &place))?;
        let mode = there.as_deref().unwrap_or("0");
        let oid = git.feed(&["hash-object", "-w", "--stdin"], &bytes)?;
        let _ = write!(entries, "{mode} {} 0\t{path}\0", String::from_utf8_lossy(&oid).trim());
    }
    Ok(git.update_index(entries.as_bytes())?)
}

/// The command that brings back the file at `path` that had this digest, where git still has it.
pub(crate) fn restore(git: &Git, path: &str, digest: &str) -> RepoResult<Option<&'static str>> {
    for (entries, command) in [(git.index()?, "git restore"), (git.tree("HEAD")?, "git restore --staged --worktree")] {
        let Some(entry) = entries.get(path).filter(|entry| !entry.oid.is_empty()) else { continue };
        if git.contents(&[&entry.oid])?.iter().any(|bytes| sha256(bytes) == digest) {
            return Ok(Some(command));
        }
    }
    Ok(None)
}

/// Where a path of the repo is in the work tree, when no link on the way leads elsewhere.
pub(crate) fn place(dir: &Path, name: &str) -> RepoResult<PathBuf> {
    let mut place = dir.to_owned();
    for part in name.split('/') {
        if place != dir && fs::symlink_metadata(&place).is_ok_and(|m| m.is_symlink()) {
            return Err(RepoError::WorkTree { path: name.to_owned(), why: format!("{} is a link", place.display()) });
        }
        if matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git") {
            return Err(RepoError::WorkTree { path: name.to_owned(), why: "it leads out of the work tree".into() });
        }
        place.push(part);
    }
    Ok(place)
}

/// Mode and digest of what is at a path, or nothing. A folder is not nothing, and never what was there.
pub(crate) fn present(place: &Path) -> RepoResult<Side> {
    let metadata = match fs::symlink_metadata(place) {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(RepoError::io("read", place)(e)),
    };
    if metadata.is_symlink() {
        let destination = fs::read_link(place).map_err(RepoError::io("read", place))?;
        return Ok(Some((Mode::Link.as_str().into(), sha256(destination.as_os_str().as_encoded_bytes()))));
    }
    if metadata.is_dir() {
        return Ok(Some((FOLDER.into(), String::new())));
    }
    if !metadata.is_file() {
        // A pipe or a device, which can have no end; never what was there.
        return Ok(Some(("000000".into(), String::new())));
    }
    let mode = if metadata.permissions().mode() & 0o100 == 0 { Mode::File } else { Mode::Executable };
    Ok(Some((mode.as_str().into(), sha256(&budget::read(place).map_err(RepoError::io("read", place))?))))
}
