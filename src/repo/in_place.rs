//! An upgrade written into the work tree, for repos that no merge request will ever see: all of it, or nothing.
//!
//! Everything that is to be written is first put aside in git's own folder, and synced. Then one journal names every step with what is
//! there before and what will be after. With the journal in its place the upgrade is decided: whatever happens from there, the next
//! start takes the same steps again until none is left. Without it, what was put aside is thrown away. A step that finds neither
//! the one nor the other content stops, since then someone else has been there.
//!
//! Only paths that are as they were committed are touched. What git ignores or does not know is never written over.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clean::{changed, present};
use super::create::sync;
use super::digest::sha256;
use super::error::{RepoError, RepoResult};
use super::failpoint::reached;
use super::git::Git;
use super::git::write::Edit;
use super::tree::Mode;
use crate::factory::FILE_NAME;

/// Format number of the journal.
const SCHEMA: u32 = 1;
/// In git's own folder.
const FOLDER: &str = "factoryup-upgrade";
const JOURNAL: &str = "journal.json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    schema: u32,
    steps: Vec<Step>,
}

/// One path: what is there, what will be. A side is the mode with the digest of the content, or nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    path: String,
    before: Option<(String, String)>,
    after: Option<(String, String)>,
}

/// Whether the work tree holds what `edits` make.
pub(crate) fn is_written(git: &Git, edits: &[Edit]) -> RepoResult<bool> {
    for edit in edits {
        let (path, after) = match edit {
            Edit::Put(blob) => (&blob.path, Some((blob.mode.as_str().to_owned(), sha256(&blob.bytes)))),
            Edit::Remove(path) => (path, None),
        };
        if present(&place(git.dir(), path)?)? != after {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes `edits` into the work tree, where `factory.toml` reads as `answers`: it may be edited and not committed, for it is from there
/// that the answers were read. It is written only when there are new ones.
pub(crate) fn write(git: &Git, edits: &[Edit], answers: &str) -> RepoResult<()> {
    let folder = folder(git)?;
    let dir = git.dir().to_owned();
    let (own, others): (Vec<&Edit>, Vec<&Edit>) =
        edits.iter().partition(|edit| matches!(edit, Edit::Put(blob) if blob.path == FILE_NAME));
    refuse_uncommitted(git, &others)?;
    let new = |edit: &&Edit| matches!(edit, Edit::Put(blob) if blob.bytes != answers.as_bytes());
    let edits: Vec<&Edit> = others.into_iter().chain(own.into_iter().filter(new)).collect();
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).map_err(RepoError::io("make", &folder))?;
    let mut steps = Vec::with_capacity(edits.len());
    for (index, edit) in edits.iter().enumerate() {
        let (path, after) = match edit {
            Edit::Put(blob) => {
                let digest = sha256(&blob.bytes);
                let aside = folder.join(&digest);
                fs::write(&aside, &blob.bytes).map_err(RepoError::io("write", &aside))?;
                (&blob.path, Some((blob.mode.as_str().to_owned(), digest)))
            }
            Edit::Remove(path) => (path, None),
        };
        let before = present(&place(&dir, path)?)?;
        if path == FILE_NAME && before.as_ref().is_none_or(|(_, digest)| *digest != sha256(answers.as_bytes())) {
            let why = "it was changed while the upgrade was prepared";
            return Err(RepoError::WorkTree { path: path.clone(), why: why.into() });
        }
        steps.push(Step { before, path: path.clone(), after });
        reached(&format!("aside-{index}"));
    }
    // What goes makes room for what comes.
    steps.sort_by_key(|step| step.after.is_some());
    sync(&folder)?;
    reached("aside");
    let journal = serde_json::to_vec(&Journal { schema: SCHEMA, steps }).unwrap_or_default();
    let (draft, path) = (folder.join("draft"), folder.join(JOURNAL));
    let mut file = File::create(&draft).map_err(RepoError::io("write", &draft))?;
    file.write_all(&journal).and_then(|()| file.sync_all()).map_err(RepoError::io("write", &draft))?;
    reached("draft");
    fs::rename(&draft, &path).map_err(RepoError::io("write", &path))?;
    sync(&folder)?;
    reached("journal");
    replay(&dir, &folder)
}

/// Whether a killed run decided on an upgrade that is not written yet.
pub(crate) fn is_cut_short(git: &Git) -> RepoResult<bool> {
    Ok(folder(git)?.join(JOURNAL).is_file())
}

/// Ends what a killed run began, or throws away what it had not decided. Says whether there was something to end.
pub(crate) fn recover(git: &Git) -> RepoResult<bool> {
    let folder = folder(git)?;
    if folder.join(JOURNAL).is_file() {
        replay(git.dir(), &folder)?;
        return Ok(true);
    }
    if folder.is_dir() {
        fs::remove_dir_all(&folder).map_err(RepoError::io("remove", &folder))?;
    }
    Ok(false)
}

fn folder(git: &Git) -> RepoResult<PathBuf> {
    Ok(PathBuf::from(git.line(&["rev-parse", "--absolute-git-dir"])?).join(FOLDER))
}

fn replay(dir: &Path, folder: &Path) -> RepoResult<()> {
    let path = folder.join(JOURNAL);
    let text = fs::read(&path).map_err(RepoError::io("read", &path))?;
    let unreadable = |why: String| RepoError::Journal { path: path.clone(), why };
    let journal: Journal = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
    if journal.schema != SCHEMA {
        return Err(unreadable("it was written by another factoryup".into()));
    }
    for step in &journal.steps {
        check(dir, folder, step).map_err(|why| RepoError::Journal { path: path.clone(), why })?;
    }
    for (index, step) in journal.steps.iter().enumerate() {
        take(dir, folder, index, step)?;
    }
    sync(dir)?;
    reached("written");
    fs::remove_file(&path).map_err(RepoError::io("remove", &path))?;
    reached("ended");
    fs::remove_dir_all(folder).map_err(RepoError::io("remove", folder))
}

/// Whether a step is one that this program wrote: the journal lies in a folder that somebody else may have packed. No path leads out of
/// the work tree, and what is to be written is what was put aside, and not a file from elsewhere.
fn check(dir: &Path, folder: &Path, step: &Step) -> Result<(), String> {
    place(dir, &step.path).map_err(|error| error.to_string())?;
    let Some((mode, digest)) = &step.after else { return Ok(()) };
    if Mode::parse(mode).is_none() {
        return Err(format!("{} would get the mode {mode}", step.path));
    }
    if digest.len() != 64 || !digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(format!("{digest} is no SHA-256"));
    }
    match fs::read(folder.join(digest)) {
        Ok(bytes) if sha256(&bytes) == *digest => Ok(()),
        Ok(_) => Err(format!("what was put aside for {} is not what it says", step.path)),
        Err(error) => Err(format!("what was put aside for {} cannot be read: {error}", step.path)),
    }
}

/// Takes one step, unless it was taken already.
fn take(dir: &Path, folder: &Path, index: usize, step: &Step) -> RepoResult<()> {
    let place = place(dir, &step.path)?;
    let there = present(&place)?;
    if there == step.after {
        return Ok(());
    }
    if there != step.before {
        let why = "it was changed after the upgrade began";
        return Err(RepoError::WorkTree { path: step.path.clone(), why: why.into() });
    }
    let Some((mode, digest)) = &step.after else {
        fs::remove_file(&place).map_err(RepoError::io("remove", &place))?;
        reached(&format!("step-{index}"));
        remove_empty(dir, &place);
        return Ok(());
    };
    let parent = place.parent().unwrap_or(dir);
    fs::create_dir_all(parent).map_err(RepoError::io("make", parent))?;
    let aside = folder.join(digest);
    let bytes = fs::read(&aside).map_err(RepoError::io("read", &aside))?;
    // Beside its place, since git's folder may be on another file system; by a name that a second run finds again.
    let draft = parent.join(format!(".factoryup-step-{index}"));
    let _ = fs::remove_file(&draft);
    match Mode::parse(mode) {
        Some(Mode::Link) => symlink(String::from_utf8_lossy(&bytes).as_ref(), &draft),
        mode => fs::write(&draft, &bytes).and_then(|()| {
            let bits = if mode == Some(Mode::Executable) { 0o755 } else { 0o644 };
            fs::set_permissions(&draft, Permissions::from_mode(bits))
        }),
    }
    .map_err(RepoError::io("write", &draft))?;
    reached(&format!("draft-{index}"));
    fs::rename(&draft, &place).map_err(RepoError::io("write", &place))?;
    reached(&format!("step-{index}"));
    Ok(())
}

/// As git does: a folder that nothing is in any more goes too.
pub(crate) fn remove_empty(dir: &Path, removed: &Path) {
    for folder in removed.ancestors().skip(1).take_while(|folder| *folder != dir) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
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

/// Refuses paths that are not as they were committed, and those in a folder that git ignores whole.
fn refuse_uncommitted(git: &Git, edits: &[&Edit]) -> RepoResult<()> {
    let touched: Vec<&str> = edits
        .iter()
        .map(|edit| match edit {
            Edit::Put(blob) => blob.path.as_str(),
            Edit::Remove(path) => path.as_str(),
        })
        .collect();
    let changed = changed(git, &touched)?;
    let listing = git.run(&["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"])?;
    let text = String::from_utf8_lossy(&listing);
    let ignored: Vec<&str> = text.split('\0').filter(|entry| entry.ends_with('/')).collect();
    let meets =
        |path: &&str| changed.iter().any(|c| c.path == *path) || ignored.iter().any(|folder| path.starts_with(folder));
    let dirty: Vec<&str> = touched.into_iter().filter(meets).collect();
    if dirty.is_empty() { Ok(()) } else { Err(RepoError::Uncommitted(dirty.join(", "))) }
}
