//! A place beside the target where a repo is made whole before it appears.
//!
//! The place is a folder `.factoryup-…` that holds a locked file `lock` and the repo in `tree`. For a folder that is not there yet
//! it is a sibling, so that one rename makes the repo appear. In a folder that is there it lies inside: the folder keeps its
//! identity for the shells that stand in it, may be a mount point, and its parent need not be writable. A place whose lock can be
//! taken was left behind by a run that was killed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::digest::sha256;
use super::error::{RepoError, RepoResult};

const PREFIX: &str = ".factoryup-";
const LOCK: &str = "lock";
const TREE: &str = "tree";

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
        let container = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(&folder)
            .map_err(RepoError::io("write in", &folder))?
            .keep();
        let path = container.join(LOCK);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let mut lock = file.map_err(RepoError::io("write", &path))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| RepoError::Io {
            verb: "lock",
            path: path.clone(),
            source: e.into(),
        })?;
        writeln!(lock, "factoryup makes {} here; when it is not running, this folder can be removed", target.display())
            .map_err(RepoError::io("write", &path))?;
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
            for entry in entries.flatten().filter(|e| e.file_name().as_encoded_bytes().starts_with(prefix.as_bytes())) {
                let container = entry.path();
                let own = fs::symlink_metadata(&container)
                    .is_ok_and(|m| m.is_dir() && m.uid() == rustix::process::geteuid().as_raw());
                // A run that was killed before it could make the lock left an empty folder.
                let lock = File::open(container.join(LOCK)).ok();
                if !own || lock.is_none() && !is_empty(&container) {
                    continue;
                }
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

    /// Whether `name`, in the folder of `target`, is a staging place of it.
    pub(crate) fn is_name(target: &Path, name: &str) -> bool {
        name.starts_with(&inside(target).1)
    }

    /// Where the repo is made.
    pub(crate) fn tree(&self) -> PathBuf {
        self.container.join(TREE)
    }

    /// Removes the place with all that is in it.
    pub(crate) fn remove(self) -> RepoResult<()> {
        // A git whose factoryup was killed may write on for a moment and put a file into a folder that is being removed.
        for _ in 0..20 {
            if fs::remove_dir_all(&self.container).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        fs::remove_dir_all(&self.container).map_err(RepoError::io("remove", &self.container))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.own {
            let _ = fs::remove_dir_all(&self.container);
        }
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
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
