//! Runs the steps one after the other, and compares each with the current state.
//!
//! An editor may save a file between the look at it and the write. So what is written changes places with what is there, and only what
//! came out is judged: where it is not what was there before, it goes back.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::exchange::{exchange, move_where_nothing_is};
use super::{FileStep, place, remove_empty, there};
use crate::budget;
use crate::git::Git;
use crate::repo::clean::{is, restore};
use crate::repo::error::{RepoError, RepoResult};
use crate::repo::failpoint::reached;
use crate::shell;
use crate::templating::tree::Mode;

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
    pub(super) fn is_taken(&self, step: &FileStep) -> RepoResult<bool> {
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
        Err(self.met(step))
    }

    /// What to type so that a step finds again what it left, where somebody else has been there since.
    fn way_back(&self, step: &FileStep) -> RepoResult<String> {
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
    pub(super) fn take(&self, index: usize, step: &FileStep) -> RepoResult<()> {
        let dir = self.git.dir();
        let place = place(dir, &step.path)?;
        let parent = place.parent().unwrap_or(dir);
        // Beside its place, since git's folder may be on another file system; by names that a second run finds again.
        let (draft, beside) =
            (parent.join(format!(".factoryup-step-{index}-draft")), parent.join(format!(".factoryup-step-{index}")));
        let _ = fs::remove_file(&draft);
        self.bring_back(step, &place, &beside)?;
        if self.is_taken(step)? {
            // Its folders may be what a kill left.
            if step.after.is_none() {
                remove_empty(dir, &place);
            }
            return Ok(());
        }
        let written = match &step.after {
            None => self.remove(index, step, &place, &beside),
            Some((mode, digest)) => {
                fs::create_dir_all(parent).map_err(RepoError::io("create", parent))?;
                self.draft(mode, digest, &place, &draft)?;
                reached(&format!("draft-{index}"));
                fs::rename(&draft, &beside).map_err(RepoError::io("write", &beside))?;
                self.put(index, step, &place, &beside)
            }
        };
        if self.is_ours(step, &beside) {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// Writes what will be, whole, under another name.
    fn draft(&self, mode: &str, digest: &str, place: &Path, draft: &Path) -> RepoResult<()> {
        let aside = self.folder.join(digest);
        let bytes = budget::read(&aside).map_err(RepoError::io("read", &aside))?;
        let bits =
            |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|m| m.permissions().mode());
        match Mode::parse(mode) {
            Some(Mode::Link) => symlink(String::from_utf8_lossy(&bytes).as_ref(), draft),
            mode => fs::write(draft, &bytes).and_then(|()| {
                // Who may read a file stays as it is; of a new one, the umask says it.
                let bits = bits(place).or_else(|| bits(draft)).unwrap_or(0o644) & 0o777;
                let bits = if mode == Some(Mode::Executable) { bits | (bits & 0o444) >> 2 } else { bits & !0o111 };
                // A file system without permissions may refuse them.
                fs::set_permissions(draft, Permissions::from_mode(bits))
                    .or_else(|error| if self.has_modes { Err(error) } else { Ok(()) })
            }),
        }
        .map_err(RepoError::io("write", draft))
    }

    /// Puts what is `beside` in its place.
    fn put(&self, index: usize, step: &FileStep, place: &Path, beside: &Path) -> RepoResult<()> {
        if step.before.is_none() {
            // A folder that nothing is in; where something is in it, the next line fails.
            let _ = fs::remove_dir(place);
            if !move_where_nothing_is(beside, place).map_err(RepoError::io("write", place))? {
                return self.is_taken(step).and_then(|taken| if taken { Ok(()) } else { Err(self.met(step)) });
            }
            reached(&format!("step-{index}"));
            return Ok(());
        }
        // Where a file system cannot do it, the last look has to do.
        if !exchange(beside, place).map_err(RepoError::io("write", place))? {
            if !self.is_taken(step)? {
                fs::rename(beside, place).map_err(RepoError::io("write", place))?;
            }
            reached(&format!("step-{index}"));
            return Ok(());
        }
        reached(&format!("step-{index}"));
        self.bring_back(step, place, beside)
    }

    /// Takes away what is there.
    fn remove(&self, index: usize, step: &FileStep, place: &Path, beside: &Path) -> RepoResult<()> {
        fs::rename(place, beside).map_err(RepoError::io("remove", place))?;
        reached(&format!("step-{index}"));
        self.bring_back(step, place, beside)?;
        remove_empty(self.git.dir(), place);
        Ok(())
    }

    /// Whether a file holds one side of a step.
    fn is_ours(&self, step: &FileStep, file: &Path) -> bool {
        let found = there(file).unwrap_or_default();
        found.is_some() && (is(&found, &step.before, self.has_modes) || is(&found, &step.after, self.has_modes))
    }

    /// Looks at what came out of a file's place. What somebody else saved there goes back, and is an error; all else goes.
    fn bring_back(&self, step: &FileStep, place: &Path, beside: &Path) -> RepoResult<()> {
        if fs::symlink_metadata(beside).is_err() {
            return Ok(());
        }
        if self.is_ours(step, beside) {
            return fs::remove_file(beside).map_err(RepoError::io("remove", beside));
        }
        if step.after.is_none() {
            move_where_nothing_is(beside, place).map_err(RepoError::io("write", place))?;
            return Err(self.met(step));
        }
        exchange(beside, place).map_err(RepoError::io("write", place))?;
        if self.is_ours(step, beside) {
            fs::remove_file(beside).map_err(RepoError::io("remove", beside))?;
        } else {
            // Saved once more in between: that is what counts. What was saved before it stays beside.
            exchange(beside, place).map_err(RepoError::io("write", place))?;
        }
        Err(self.met(step))
    }

    fn met(&self, step: &FileStep) -> RepoError {
        match self.way_back(step) {
            Ok(back) => RepoError::Met { path: step.path.clone(), folder: self.folder.to_owned(), back },
            Err(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    struct Room {
        _temp: tempfile::TempDir,
        git: Git,
        folder: std::path::PathBuf,
    }

    impl Room {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let (git, folder) = (Git::new(temp.path()).unwrap(), temp.path().join(".git/aside"));
            git.init("main", crate::git::ObjectFormat::Sha1).unwrap();
            let who = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
            git.run(&[&who[..], &["commit", "--quiet", "--allow-empty", "-m", "begin"]].concat()).unwrap();
            fs::create_dir_all(&folder).unwrap();
            for text in ["old", "new"] {
                fs::write(folder.join(sha256(text.as_bytes())), text).unwrap();
            }
            Self { _temp: temp, git, folder }
        }

        fn replay(&self) -> Replay<'_> {
            Replay { git: &self.git, folder: &self.folder, has_modes: true }
        }

        fn at(&self, name: &str) -> std::path::PathBuf {
            self.git.dir().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.at(name), text).unwrap();
        }

        /// Each file of the work tree with its text.
        fn files(&self) -> Vec<(String, String)> {
            let mut files: Vec<_> = fs::read_dir(self.git.dir())
                .unwrap()
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_type().unwrap().is_file())
                .map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path()).unwrap()))
                .collect();
            files.sort();
            files
        }
    }

    fn step(before: Option<&str>, after: Option<&str>) -> FileStep {
        let side = |text: Option<&str>| text.map(|text| ("100644".to_owned(), sha256(text.as_bytes())));
        FileStep { path: "a".into(), before: side(before), after: side(after) }
    }

    fn only(name: &str, text: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), text.to_owned())]
    }

    #[test]
    fn what_was_saved_after_the_last_look_stays() {
        for (before, after) in [(Some("old"), Some("new")), (None, Some("new")), (Some("old"), None)] {
            let (room, step) = (Room::new(), step(before, after));
            room.write("a", "saved");
            let (place, beside) = (room.at("a"), room.at(".factoryup-step-0"));
            let result = if after.is_some() {
                room.write(".factoryup-step-0", "new");
                room.replay().put(0, &step, &place, &beside)
            } else {
                room.replay().remove(0, &step, &place, &beside)
            };
            assert!(matches!(result, Err(RepoError::Met { .. })), "{result:?}");
            let left: Vec<_> = room.files().into_iter().filter(|(_, text)| text != "new").collect();
            assert_eq!(left, only("a", "saved"), "{before:?} {after:?}");
        }
    }

    #[test]
    fn what_a_kill_left_beside_its_place_goes_back_when_somebody_else_wrote_it() {
        // What is in the place, what is beside it, and what is there in the end.
        for (after, there, beside, end) in [
            (Some("new"), Some("new"), "saved", Err("saved")),
            (Some("new"), Some("new"), "old", Ok("new")),
            (Some("new"), Some("old"), "new", Ok("new")),
            (None, None, "saved", Err("saved")),
            (None, None, "old", Ok("")),
        ] {
            let (room, step) = (Room::new(), step(Some("old"), after));
            room.write(".factoryup-step-0", beside);
            room.write(".factoryup-step-0-draft", "ne");
            if let Some(text) = there {
                room.write("a", text);
            }
            let result = room.replay().take(0, &step);
            assert_eq!(matches!(result, Err(RepoError::Met { .. })), end.is_err(), "{result:?}");
            let text = end.unwrap_or_else(|text| text);
            assert_eq!(room.files(), if text.is_empty() { vec![] } else { only("a", text) }, "{there:?} {beside}");
        }
    }

    #[test]
    fn who_may_read_a_file_stays_as_it_is() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let room = Room::new();
        room.write("a", "old");
        fs::set_permissions(room.at("a"), Permissions::from_mode(0o640)).unwrap();
        room.replay().take(0, &step(Some("old"), Some("new"))).unwrap();
        assert_eq!((mode(&room.at("a")), room.files()), (0o640, only("a", "new")));
        let mut step = step(Some("new"), Some("old"));
        step.after.as_mut().unwrap().0 = "100755".into();
        room.replay().take(0, &step).unwrap();
        assert_eq!((mode(&room.at("a")), room.files()), (0o750, only("a", "old")));
    }
}
