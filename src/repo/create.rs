//! Creates a new repo, completely or not at all.
//!
//! The repo is made in a staging place, with its commit and its work tree, synced to disk, and then put in place.
//! Where the folder was not there, one rename does it. Where it was, `.git` is moved in first: from that moment the repo is there
//! with everything in its commit, and what a kill leaves out of the work tree, `finish` brings at the next run (as would
//! `git restore .`). A run killed before leaves the folder as it was, but for the staging place, which the next run removes.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

use super::error::{RepoError, RepoResult};
use super::failpoint::reached;
use super::stage::Stage;
use crate::git::Git;
use crate::git::write::{NewCommit, ObjectFormat};

/// Makes a repo with this first commit in `dir`, which is not there, or holds nothing but files that are in the commit.
pub(crate) fn create(dir: &Path, first: &NewCommit<'_>, format: ObjectFormat) -> RepoResult<()> {
    let parent = dir.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(RepoError::io("create", parent))?;
    for stage in Stage::left_behind(dir)? {
        stage.remove()?;
    }
    let stage = Stage::new(dir)?;
    reached("staged");
    fill(&stage.tree(), first, format)?;
    sync(&stage.tree())?;
    reached("synced");
    if dir.is_dir() {
        move_in(&stage.tree(), dir)?;
    } else {
        rename(&stage.tree(), dir)?;
    }
    reached("placed");
    sync_folder(dir)?;
    sync_folder(parent)?;
    stage.remove()
}

/// Brings the files that a killed run did not get to move. Files that are there by now stay as they are.
pub(crate) fn finish(dir: &Path) -> RepoResult<()> {
    for stage in Stage::left_behind(dir)? {
        let tree = stage.tree();
        if tree.is_dir() && !tree.join(".git").exists() {
            move_entries(&tree, dir)?;
        }
        sync_folder(dir)?;
        stage.remove()?;
    }
    Ok(())
}

fn fill(tree: &Path, first: &NewCommit<'_>, format: ObjectFormat) -> RepoResult<()> {
    let git = Git::new(tree)?;
    git.init(first.branch, format)?;
    reached("initialised");
    git.commit(first)?;
    reached("committed");
    git.fill_work_tree()?;
    reached("filled");
    Ok(())
}

fn move_in(tree: &Path, dir: &Path) -> RepoResult<()> {
    rename(&tree.join(".git"), &dir.join(".git"))?;
    reached("git-moved");
    move_entries(tree, dir)
}

fn move_entries(tree: &Path, dir: &Path) -> RepoResult<()> {
    let entries = fs::read_dir(tree).map_err(RepoError::io("read", tree))?;
    for entry in entries {
        let entry = entry.map_err(RepoError::io("read", tree))?;
        let target = dir.join(entry.file_name());
        if fs::symlink_metadata(&target).is_err() {
            rename(&entry.path(), &target)?;
            reached("entry-moved");
        }
    }
    Ok(())
}

/// Renames without ever replacing anything.
fn rename(from: &Path, to: &Path) -> RepoResult<()> {
    let io = |source: std::io::Error| {
        if matches!(source.kind(), std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::DirectoryNotEmpty) {
            let why = format!("{} was created while factoryup was running", to.display());
            return RepoError::Occupied { dir: to.parent().unwrap_or(to).to_owned(), why };
        }
        RepoError::io("write", to)(source)
    };
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Not every file system has the flag. A folder never replaces one with something in it, so only files need the check.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io(std::io::ErrorKind::AlreadyExists.into()));
            }
            fs::rename(from, to).map_err(io)
        }
        Err(e) => Err(io(e.into())),
    }
}

/// Writes everything below `path` to disk. One `syncfs` is cheaper than an `fsync` for each of hundreds of files.
pub(crate) fn sync(path: &Path) -> RepoResult<()> {
    #[cfg(target_os = "linux")]
    {
        let folder = File::open(path).map_err(RepoError::io("open", path))?;
        rustix::fs::syncfs(&folder).map_err(|e| RepoError::io("sync", path)(e.into()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        rustix::fs::sync();
        Ok(())
    }
}

fn sync_folder(path: &Path) -> RepoResult<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(RepoError::io("sync", path))
}
