//! A temporary repo between a repo and a remote.
//!
//! A token must not depend on what stands in the repo's own `.git/config`, which comes with a folder that somebody packed: a proxy, a
//! switched-off certificate check or a helper there would have it. So no command that gets a token reads that file: it runs in an empty
//! bare repo that borrows the other's objects. What the user configured for themselves and for the machine holds as ever; the
//! throw-away repo lies in the other's git folder, so that an `includeIf "gitdir:…"` finds it too. One that a killed run left holds no secret; a
//! later call removes it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::FlockOperation;
use tempfile::TempDir;

use super::error::{GitError, GitResult};
use super::{Git, output};
use crate::budget::Budget;
use crate::error::{IoError, Kind};

/// The protocols that a remote is spoken to by.
const PROTOCOLS: &str = "http:https";

/// What the names of the folders begin with.
const PREFIX: &str = "factoryup-remote-";
/// A folder is not taken for left behind before it is this old: it may not be locked yet, or the git of a killed run may still be at
/// work in it. Longer than a remote may be silent.
const SETTLED: Duration = Budget::STALLED.saturating_mul(2);

/// Removes the folders that killed runs left: those that are ours, not new, and locked by nobody. What cannot be removed stays.
fn clear_left_behind(common: &Path) {
    let Ok(entries) = fs::read_dir(common) else { return };
    for path in entries.flatten().filter(|e| e.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
        let path = path.path();
        let is_old = |m: &fs::Metadata| m.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > SETTLED));
        let own = |m: &fs::Metadata| m.is_dir() && m.uid() == rustix::process::geteuid().as_raw();
        if !fs::symlink_metadata(&path).is_ok_and(|m| own(&m) && is_old(&m)) {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The throw-away repo. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    repo: &'a Git,
    git: Git,
    objects: PathBuf,
    _folder: TempDir,
    /// Held as long as this value lives, so that others know the folder is in use.
    _lock: File,
}

impl Git {
    /// Writes entries into the index, in the form of `git update-index -z --index-info`. git looks again at files that were changed in the
    /// moment of the last write, and would start the repo's filters for them; in the throw-away repo there are none.
    pub(crate) fn update_index(&self, entries: &[u8]) -> GitResult<()> {
        let relay = Relay::new(self)?;
        let index = self.dir().join(self.line(&["rev-parse", "--git-path", "index"])?);
        let list = relay.folder().join("entries");
        fs::write(&list, entries).map_err(IoError::at("write", &list))?;
        let input = fs::File::open(&list).map_err(IoError::at("read", &list))?;
        let mut command = relay.command();
        command.current_dir(self.dir()).env("GIT_WORK_TREE", self.dir()).env("GIT_INDEX_FILE", index);
        let args = ["update-index", "-z", "--index-info"];
        let output = output(command.args(args).stdin(input), Budget::GIT)?;
        self.checked(&args, output).map(drop)
    }
}

impl<'a> Relay<'a> {
    /// Makes one that has the objects of `repo`, and no refs.
    pub(super) fn new(repo: &'a Git) -> GitResult<Self> {
        let facts = repo.run(&["rev-parse", "--show-object-format", "--git-path", "objects"])?;
        let facts = String::from_utf8_lossy(&facts).into_owned();
        let (format, objects) = facts.trim_end_matches('\n').split_once('\n').unwrap_or(("sha1", ".git/objects"));
        let objects = repo.dir().join(objects);
        let common = objects.parent().unwrap_or(repo.dir());
        clear_left_behind(common);
        let builder = crate::private::builder(PREFIX);
        // Elsewhere when nothing can be written there, as a listing needs no write.
        let folder = builder
            .tempdir_in(common)
            .or_else(|_| builder.tempdir())
            .map_err(IoError::at("create a directory in", &std::env::temp_dir()))?;
        let lock = File::open(folder.path()).map_err(IoError::at("open", folder.path()))?;
        // Where the file system has no locks, nobody can take one either, and what is left behind stays.
        let _ = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
        let git = Git::new(folder.path())?;
        git.run(&["init", "--quiet", "--bare", "--template=", &format!("--object-format={format}")])?;
        let shallow = common.join("shallow");
        if shallow.is_file() {
            let copy = folder.path().join("shallow");
            fs::copy(&shallow, &copy).map_err(IoError::at("write", &copy))?;
        }
        Ok(Self { repo, git, objects, _folder: folder, _lock: lock })
    }

    /// A git command in it, which may speak HTTP.
    pub(super) fn command(&self) -> Command {
        let mut command = self.git.command();
        // Named, since `safe.bareRepository` can forbid to find one.
        command.env("GIT_DIR", self.git.dir()).env("GIT_OBJECT_DIRECTORY", &self.objects);
        command.env("GIT_ALLOW_PROTOCOL", PROTOCOLS);
        command
    }

    /// A refspec for a push, with the object's id in place of a name that only the repo knows.
    pub(super) fn outgoing(&self, refspec: &str) -> GitResult<String> {
        let (force, rest) = refspec.strip_prefix('+').map_or(("", refspec), |rest| ("+", rest));
        let (from, to) = rest.split_once(':').unwrap_or((rest, rest));
        let oid = if from.is_empty() { None } else { self.repo.resolve(from)? };
        // A name that there is not is left to git, which says so.
        Ok(format!("{force}{}:{to}", oid.as_deref().unwrap_or(from)))
    }

    /// Copies the repo's refs, so that a fetch brings only what is new.
    pub(super) fn know_refs(&self) -> GitResult<()> {
        let commands = self.repo.run(&["for-each-ref", "--format=create %(refname) %(objectname)"])?;
        let copy = self.folder().join("refs-to-copy");
        fs::write(&copy, commands).map_err(IoError::at("write", &copy))?;
        let input = fs::File::open(&copy).map_err(IoError::at("read", &copy))?;
        let args = ["update-ref", "--stdin"];
        let output = output(self.command().args(args).stdin(input), Budget::GIT)?;
        self.git.checked(&args, output).map(drop)
    }

    /// Gives the repo the ref that a fetch brought.
    pub(super) fn hand_over(&self, refspec: &str) -> GitResult<()> {
        let Some((_, to)) = refspec.split_once(':').filter(|(_, to)| !to.is_empty()) else { return Ok(()) };
        let args = ["rev-parse", "--verify", "--end-of-options", to];
        let output = output(self.command().args(args), Budget::GIT)?;
        let oid = String::from_utf8_lossy(&self.git.checked(&args, output)?).trim().to_owned();
        self.repo.run(&["update-ref", to, &oid]).map(drop)
    }

    /// Refuses to fetch into the branch that is checked out, as git does: index and work tree would lag behind it.
    pub(super) fn refuse_checked_out(&self, refspec: &str, url: &str) -> GitResult<()> {
        let to = refspec.split_once(':').map_or("", |(_, to)| to);
        let on = self.repo.head()?.and_then(|(_, branch)| branch).map(|name| format!("refs/heads/{name}"));
        if on.as_deref() != Some(to) {
            return Ok(());
        }
        let why = format!("{to} is checked out in {}", self.repo.dir().display());
        Err(GitError::Remote { url: url.to_owned(), why, kind: Kind::CannotWrite })
    }

    fn folder(&self) -> &Path {
        self.git.dir()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::ObjectFormat;

    #[test]
    fn what_a_killed_run_left_goes_and_what_is_in_use_stays() {
        let temp = tempfile::tempdir().unwrap();
        let git = Git::new(temp.path()).unwrap();
        git.init("main", ObjectFormat::Sha1).unwrap();
        let make = |name: &str, age: Duration| {
            let path = temp.path().join(".git").join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("HEAD"), "").unwrap();
            let folder = File::open(&path).unwrap();
            folder.set_modified(std::time::SystemTime::now() - age).unwrap();
            (path, folder)
        };
        let (left, _) = make("factoryup-remote-left", 2 * SETTLED);
        let (new, _) = make("factoryup-remote-new", SETTLED / 2);
        let (used, lock) = make("factoryup-remote-used", 2 * SETTLED);
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
        let (other, _) = make("factoryup-other", 2 * SETTLED);
        let relay = Relay::new(&git).unwrap();
        let own = relay.folder().to_owned();
        assert!(!left.exists() && new.exists() && used.exists() && other.exists());
        // Its own, old as it may be, is not taken from it.
        File::open(&own).unwrap().set_modified(std::time::SystemTime::now() - 2 * SETTLED).unwrap();
        rustix::fs::flock(&lock, FlockOperation::Unlock).unwrap();
        drop(Relay::new(&git).unwrap());
        assert!(own.exists() && !used.exists());
        drop(relay);
        assert!(!own.exists());
    }
}
