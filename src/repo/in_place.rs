//! An upgrade written into the work tree, for repos that no merge request will ever see: all of it, or nothing ([`journal`](super::journal)).
//!
//! Only paths are touched that are as the commit has them from which the edits were made, and only while that one is checked out. What
//! git ignores or does not know is never written over.

use super::clean::{changed, has_modes, is, place, present, refuse_overlooked};
use super::error::{RepoError, RepoResult};
use super::journal::Steps;
use crate::digest::sha256;
use crate::factory::FILE_NAME;
use crate::git::Git;
use crate::git::write::Edit;

/// Whether the work tree holds what `edits` make.
pub(crate) fn is_written(git: &Git, edits: &[Edit]) -> RepoResult<bool> {
    let has_modes = has_modes(git)?;
    for edit in edits {
        let (path, after) = match edit {
            Edit::Put(blob) => (&blob.path, Some((blob.mode.as_str().to_owned(), sha256(&blob.bytes)))),
            Edit::Remove(path) => (path, None),
        };
        if !is(&present(&place(git.dir(), path)?)?, &after, has_modes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes `edits`, which were made from the commit `head`, into the work tree, where `factory.toml` reads as `answers`: it may be edited
/// and not committed, for it is from there that the answers were read. It is written only when there are new ones.
pub(crate) fn write(git: &Git, head: &str, edits: &[Edit], answers: &str) -> RepoResult<()> {
    let own = |edit: &&Edit| matches!(edit, Edit::Put(blob) if blob.path == FILE_NAME);
    let same = |edit: &&Edit| matches!(edit, Edit::Put(blob) if own(edit) && blob.bytes == answers.as_bytes());
    let edits: Vec<&Edit> = edits.iter().filter(|edit| !same(edit)).collect();
    let steps = Steps::new(git, edits.iter().copied())?;
    let others: Vec<&Edit> = edits.iter().copied().filter(|edit| !own(edit)).collect();
    refuse_uncommitted(git, head, &others)?;
    refuse_new_answers(git, answers)?;
    steps.that_change_something()?.carry_out(false)
}

/// Refuses a `factory.toml` that is not the one that was read.
fn refuse_new_answers(git: &Git, answers: &str) -> RepoResult<()> {
    match present(&place(git.dir(), FILE_NAME)?)? {
        Some((_, digest)) if digest == sha256(answers.as_bytes()) => Ok(()),
        _ => Err(RepoError::Meanwhile(format!("{FILE_NAME} was changed"))),
    }
}

/// Refuses paths that are not as they were committed, and those in a folder that git ignores whole.
fn refuse_uncommitted(git: &Git, head: &str, edits: &[&Edit]) -> RepoResult<()> {
    let touched: Vec<&str> = edits
        .iter()
        .map(|edit| match edit {
            Edit::Put(blob) => blob.path.as_str(),
            Edit::Remove(path) => path.as_str(),
        })
        .collect();
    refuse_overlooked(git, &touched)?;
    let changed = changed(git, head, &touched)?;
    let listing = git.run(&["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"])?;
    let text = String::from_utf8_lossy(&listing);
    let ignored: Vec<&str> = text.split('\0').filter(|entry| entry.ends_with('/')).collect();
    let meets =
        |path: &&str| changed.iter().any(|c| c.path == *path) || ignored.iter().any(|folder| path.starts_with(folder));
    let dirty: Vec<String> = touched.into_iter().filter(meets).map(str::to_owned).collect();
    if dirty.is_empty() { Ok(()) } else { Err(RepoError::Uncommitted(dirty)) }
}
