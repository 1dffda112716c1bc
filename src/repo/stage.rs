//! A staging directory next to the target, where a repo is completed before it appears.
//!
//! The place is a folder `.factoryup-…` that holds a locked file `lock` and the repo in `tree`. For a folder that is not there yet
//! it is a sibling, so that one rename makes the repo appear. In a folder that is there it lies inside: the folder keeps its
//! identity for the shells that stand in it, may be a mount point, and its parent need not be writable. A place whose lock can be
//! taken was left behind by a run that was killed.
//!
//! What is removed as a place must be one: its name has the form that factoryup gives it, it holds nothing else, `lock` begins with a
//! fixed line, and git knows nothing in it. Any other folder is somebody's own.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};

use super::error::{RepoError, RepoResult};
use crate::digest::sha256;
use crate::git::Git;
use crate::git::error::GitError;

const PREFIX: &str = ".factoryup-";
const LOCK: &str = "lock";
const TREE: &str = "tree";
/// The first line of `lock`, with the number of this form.
const MARKER: &[u8] = b"factoryup stage 1\n";
/// How many letters and digits at random end a name.
const RANDOM: usize = 6;

/// A staging place, held by this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    container: PathBuf,
    /// Held as long as this value lives.
    _lock: Option<File>,
    /// Whether this run made the place, so that nothing of it may be left after a failure.
    own: bool,
}

impl Stage {
    /// Makes a place for `target`.
    pub(crate) fn new(target: &Path) -> RepoResult<Self> {
        let (folder, prefix) = if target.is_dir() { inside(target) } else { beside(target) };
        let container = crate::private::builder(&prefix)
            .rand_bytes(RANDOM)
            .tempdir_in(&folder)
            .map_err(RepoError::io("write in", &folder))?
            .keep();
        let path = container.join(LOCK);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let mut lock = file.map_err(RepoError::io("write", &path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|e| RepoError::io("lock", &path)(e.into()))?;
        let marker = String::from_utf8_lossy(MARKER);
        let says = format!(
            "{marker}{} is made here; when factoryup is not running, this folder can be removed\n",
            target.display()
        );
        lock.write_all(says.as_bytes()).map_err(RepoError::io("write", &path))?;
        let stage = Self { container, _lock: Some(lock), own: true };
        fs::create_dir(stage.tree()).map_err(RepoError::io("write", &stage.tree()))?;
        Ok(stage)
    }

    /// The places that killed runs left behind for `target`, each now held.
    pub(crate) fn left_behind(target: &Path) -> RepoResult<Vec<Self>> {
        let mut stages = Vec::new();
        for (folder, prefix) in [inside(target), beside(target)] {
            // A folder that cannot be listed cannot have been written in.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Some(Place { lock }) = place(&folder, &prefix, &entry.file_name())? else { continue };
                let container = entry.path();
                if lock
                    .as_ref()
                    .is_some_and(|l| rustix::fs::flock(l, FlockOperation::NonBlockingLockExclusive).is_err())
                {
                    return Err(RepoError::Busy(target.to_owned()));
                }
                stages.push(Self { container, _lock: lock, own: false });
            }
        }
        Ok(stages)
    }

    /// Whether `name`, in the folder `target`, is a staging place of it.
    pub(crate) fn is_in(target: &Path, name: &OsStr) -> RepoResult<bool> {
        let (folder, prefix) = inside(target);
        Ok(place(&folder, &prefix, name)?.is_some())
    }

    /// Where the repo is made.
    pub(crate) fn tree(&self) -> PathBuf {
        self.container.join(TREE)
    }

    /// Removes the place with all that is in it.
    pub(crate) fn remove(self) -> RepoResult<()> {
        // A git whose factoryup was killed may write on for a moment and put a file into a folder that is being removed.
        for _ in 0..20 {
            if self.clear().is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.clear().map_err(RepoError::io("remove", &self.container))
    }

    /// What tells that it is a place goes last, so that a run that is killed meanwhile leaves one.
    fn clear(&self) -> std::io::Result<()> {
        let absent = |e: std::io::Error| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) };
        fs::remove_dir_all(self.tree()).or_else(absent)?;
        fs::remove_file(self.container.join(LOCK)).or_else(absent)?;
        fs::remove_dir(&self.container).or_else(absent)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.own {
            let _ = self.clear();
        }
    }
}

/// What is a staging place.
struct Place {
    /// Not taken yet; `None` when its run was killed before it could make it.
    lock: Option<File>,
}

/// The place `name` in `folder`, when it is one.
fn place(folder: &Path, prefix: &str, name: &OsStr) -> RepoResult<Option<Place>> {
    let random = |rest: &str| rest.len() == RANDOM && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let Some(name) = name.to_str().filter(|name| name.strip_prefix(prefix).is_some_and(random)) else {
        return Ok(None);
    };
    let container = folder.join(name);
    let own =
        fs::symlink_metadata(&container).is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::geteuid().as_raw());
    let Some(names) = own.then(|| names(&container)).flatten() else { return Ok(None) };
    if names.iter().any(|name| name != LOCK && name != TREE) {
        return Ok(None);
    }
    if names.is_empty() {
        return Ok(Some(Place { lock: None }));
    }
    let Some((lock, begin)) = read_lock(&container.join(LOCK)) else { return Ok(None) };
    // One that was killed before it could write into the lock has no tree.
    let is_marked = begin == MARKER || begin.is_empty() && names.len() == 1;
    Ok((is_marked && !is_known(folder, name)?).then_some(Place { lock: Some(lock) }))
}

fn names(folder: &Path) -> Option<Vec<OsString>> {
    fs::read_dir(folder).ok()?.map(|entry| entry.map(|e| e.file_name())).collect::<std::io::Result<_>>().ok()
}

/// The file at `path` with what it begins with, when it is one: a pipe would be waited for, and a link leads elsewhere.
fn read_lock(path: &Path) -> Option<(File, Vec<u8>)> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    let mut begin = Vec::new();
    let is_file = file.metadata().is_ok_and(|m| m.is_file());
    (is_file && (&file).take(MARKER.len() as u64).read_to_end(&mut begin).is_ok()).then_some((file, begin))
}

/// Whether git has something of the folder `name` in the index of the repo that `folder` lies in. What it cannot tell, it does not know.
fn is_known(folder: &Path, name: &str) -> RepoResult<bool> {
    match Git::new(folder)?.run(&["ls-files", "-z", "--", name]) {
        Ok(listing) => Ok(!listing.is_empty()),
        Err(GitError::Failed { .. } | GitError::NotTrusted(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The folder for staging places inside `target`, and what their names begin with.
fn inside(target: &Path) -> (PathBuf, String) {
    (target.to_owned(), PREFIX.to_owned())
}

/// The same for staging places beside `target`, which name it by a digest, since its own name may be as long as a name can be.
fn beside(target: &Path) -> (PathBuf, String) {
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    let parent = target.parent().unwrap_or(Path::new("/"));
    (parent.to_owned(), format!("{PREFIX}{}-", &sha256(name)[..8]))
}
