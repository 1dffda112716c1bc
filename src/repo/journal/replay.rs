//! One step after the other: what is there, what was there, what will be.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{Step, is, place, remove_empty, there};
use crate::repo::clean::restore;
use crate::repo::error::{RepoError, RepoResult};
use crate::repo::failpoint::reached;
use crate::repo::git::Git;
use crate::repo::tree::Mode;
use crate::shell;

/// Where steps are taken.
pub(super) struct Replay<'a> {
    pub(super) git: &'a Git,
    /// What was put aside.
    pub(super) folder: &'a Path,
    /// Whether the work tree tells which files can be executed.
    pub(super) has_modes: bool,
}

impl Replay<'_> {
    /// Whether a step was taken; an error when what is there is neither what was nor what will be.
    pub(super) fn is_taken(&self, step: &Step) -> RepoResult<bool> {
        let there = there(&place(self.git.dir(), &step.path)?)?;
        if there == step.after {
            return Ok(true);
        }
        if is(&there, &step.before, self.has_modes) {
            return Ok(false);
        }
        if is(&there, &step.after, self.has_modes) {
            return Ok(true);
        }
        Err(RepoError::Met { path: step.path.clone(), folder: self.folder.to_owned(), back: self.way_back(step)? })
    }

    /// What to type so that a step finds again what it left, where somebody else has been there since.
    fn way_back(&self, step: &Step) -> RepoResult<String> {
        let path = shell::word(&step.path);
        let git_has = match &step.before {
            Some((_, digest)) => restore(self.git, &step.path, digest)?,
            None => return Ok(format!("rm {path}")),
        };
        let aside = |digest: &str| shell::word(&self.folder.join(digest).display().to_string());
        Ok(match (git_has, &step.after) {
            (Some(restore), _) => format!("{restore} {path}"),
            // Answers that were never committed, or something else was committed since: then what that run would have made of it.
            (None, Some((_, after))) => format!("cp {} {path}", aside(after)),
            (None, None) => format!("rm {path}"),
        })
    }

    /// Takes one step, unless it was taken already.
    pub(super) fn take(&self, index: usize, step: &Step) -> RepoResult<()> {
        let dir = self.git.dir();
        let place = place(dir, &step.path)?;
        if self.is_taken(step)? {
            // Its folders may be what a kill left.
            if step.after.is_none() {
                remove_empty(dir, &place);
            }
            return Ok(());
        }
        let Some((mode, digest)) = &step.after else {
            fs::remove_file(&place).map_err(RepoError::io("remove", &place))?;
            reached(&format!("step-{index}"));
            remove_empty(dir, &place);
            return Ok(());
        };
        let parent = place.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(RepoError::io("make", parent))?;
        let aside = self.folder.join(digest);
        let bytes = fs::read(&aside).map_err(RepoError::io("read", &aside))?;
        // Beside its place, since git's folder may be on another file system; by a name that a second run finds again.
        let draft = parent.join(format!(".factoryup-step-{index}"));
        let _ = fs::remove_file(&draft);
        match Mode::parse(mode) {
            Some(Mode::Link) => symlink(String::from_utf8_lossy(&bytes).as_ref(), &draft),
            mode => fs::write(&draft, &bytes).and_then(|()| {
                let bits = if mode == Some(Mode::Executable) { 0o755 } else { 0o644 };
                // A file system without permissions may refuse them.
                fs::set_permissions(&draft, Permissions::from_mode(bits))
                    .or_else(|error| if self.has_modes { Err(error) } else { Ok(()) })
            }),
        }
        .map_err(RepoError::io("write", &draft))?;
        reached(&format!("draft-{index}"));
        // A folder that nothing is in; where something is in it, the next line fails.
        let _ = fs::remove_dir(&place);
        fs::rename(&draft, &place).map_err(RepoError::io("write", &place))?;
        reached(&format!("step-{index}"));
        Ok(())
    }
}
