//! Writes files to a work tree: all of them, or none.
//!
//! Everything that is to be written is first put aside in git's own folder, and synced. Then one journal names every step with what is
//! there before and what will be after. With the journal in its place it is decided: whatever happens from there, the next start takes
//! the same steps again until none is left. Without it, what was put aside is thrown away. A step that finds neither the one nor the
//! other content stops all of them, since then someone else has been there.
//!
//! What is there before is put aside too. Where a step fails, the others are taken back in the same manner, by a journal with the two
//! sides exchanged.
//!
//! Where the work tree does not tell which files can be executed, modes are not compared, and what is written is staged, always: else
//! the user's `git add` would give a new file no such mode, and leave a file's former one.
//!
//! What is there before is read when the steps are made, so whoever uses them looks only then whether a path may be written over
//! ([`clean`](super::clean)): a change that comes later is met by the step itself.

mod exchange;
mod replay;
mod undo;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clean::{FOLDER as DIRECTORY, Side, has_modes, is, place, present, stage};
use super::create::sync;
use super::error::{RepoError, RepoResult};
use super::failpoint::reached;
use crate::budget;
use crate::digest::sha256;
use crate::git::Git;
use crate::git::write::Edit;
use crate::templating::tree::Mode;
use replay::Replay;

/// Format number of the journal. The first had no `stage`.
const SCHEMA: u32 = 2;
/// In git's own folder.
const FOLDER: &str = "factoryup-upgrade";
pub(super) const JOURNAL: &str = "journal.json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    schema: u32,
    /// Whether the paths are staged when all are written.
    #[serde(default)]
    stage: bool,
    steps: Vec<FileStep>,
}

/// One path: what is there, what will be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStep {
    path: String,
    before: Side,
    after: Side,
}

/// What is to be written, with what was there when it was made.
#[derive(Debug)]
pub(crate) struct Steps<'a> {
    git: &'a Git,
    steps: Vec<(FileStep, &'a [u8])>,
}

impl<'a> Steps<'a> {
    /// Looks at what is there where `edits` are to be written. Of two for the same path the later one counts.
    ///
    /// Fails when one cannot be written: on its way or in its place is something that none of the edits removes.
    pub(crate) fn new(git: &'a Git, edits: impl IntoIterator<Item = &'a Edit>) -> RepoResult<Self> {
        let mut steps: Vec<(FileStep, &[u8])> = Vec::new();
        for edit in edits {
            let (path, after, bytes) = match edit {
                Edit::Put(blob) => {
                    (&blob.path, Some((blob.mode.as_str().to_owned(), sha256(&blob.bytes))), blob.bytes.as_slice())
                }
                Edit::Remove(path) => (path, None, [].as_slice()),
            };
            let before = there(&place(git.dir(), path)?)?;
            steps.retain(|(step, _)| step.path != *path);
            steps.push((FileStep { before, path: path.clone(), after }, bytes));
        }
        // What goes makes room for what comes.
        steps.sort_by_key(|(step, _)| step.after.is_some());
        let steps = Self { git, steps };
        steps.refuse_without_room()?;
        Ok(steps)
    }

    /// What was at `path`: mode and digest of the content.
    pub(crate) fn before(&self, path: &str) -> Option<&(String, String)> {
        self.steps.iter().find(|(step, _)| step.path == path).and_then(|(step, _)| step.before.as_ref())
    }

    /// The same without what is there already.
    pub(crate) fn that_change_something(mut self) -> RepoResult<Self> {
        let (has_modes, index) = (has_modes(self.git)?, self.git.index()?);
        let staged = |path: &String, mode: &str| index.get(path).is_some_and(|entry| entry.mode == mode);
        self.steps.retain(|(step, _)| match &step.after {
            Some((mode, _)) if !has_modes => !is(&step.before, &step.after, false) || !staged(&step.path, mode),
            after => step.before != *after,
        });
        Ok(self)
    }

    fn refuse_without_room(&self) -> RepoResult<()> {
        let dir = self.git.dir();
        let gone = self.steps.iter().filter(|(step, _)| step.after.is_none());
        let gone: BTreeSet<PathBuf> = gone.map(|(step, _)| dir.join(&step.path)).collect();
        let refused = |path: &str, other: &Path, what: &str| {
            let why = format!("{what} {}", other.strip_prefix(dir).unwrap_or(other).display());
            Err(RepoError::NoRoom { path: path.to_owned(), why })
        };
        for (step, _) in self.steps.iter().filter(|(step, _)| step.after.is_some()) {
            let place = dir.join(&step.path);
            for folder in place.ancestors().skip(1).take_while(|folder| *folder != dir) {
                if fs::symlink_metadata(folder).is_ok_and(|m| !m.is_dir()) && !gone.contains(folder) {
                    return refused(&step.path, folder, "its directory cannot be created because of the file");
                }
            }
            if let Some(other) = stays_in(&place, &gone) {
                return refused(&step.path, &other, "in its place is a directory that contains");
            }
        }
        Ok(())
    }

    /// Writes all of it, and stages it when wanted.
    pub(crate) fn carry_out(self, stage: bool) -> RepoResult<()> {
        let folder = folder(self.git)?;
        if folder.join(JOURNAL).exists() {
            return Err(RepoError::Busy(self.git.dir().to_owned()));
        }
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(RepoError::io("create", &folder))?;
        let mut steps = Vec::with_capacity(self.steps.len());
        for (index, (step, bytes)) in self.steps.into_iter().enumerate() {
            if let Some((_, digest)) = &step.after {
                let aside = folder.join(digest);
                fs::write(&aside, bytes).map_err(RepoError::io("write", &aside))?;
            }
            undo::put_aside(self.git.dir(), &folder, &step)?;
            steps.push(step);
            reached(&format!("aside-{index}"));
        }
        sync(&folder)?;
        reached("aside");
        decide(&folder, &Journal { schema: SCHEMA, stage: stage || !has_modes(self.git)?, steps })?;
        reached("journal");
        replay(self.git, &folder).map_err(|error| undo::take_back(self.git, &folder, error))
    }
}

/// Puts the journal in its place: from then on it is what is done.
fn decide(folder: &Path, journal: &Journal) -> RepoResult<()> {
    let (draft, path) = (folder.join("draft"), folder.join(JOURNAL));
    let mut file = File::create(&draft).map_err(RepoError::io("write", &draft))?;
    let text = serde_json::to_vec(journal).unwrap_or_default();
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(RepoError::io("write", &draft))?;
    reached("draft");
    fs::rename(&draft, &path).map_err(RepoError::io("write", &path))?;
    sync(folder)
}

pub(super) fn read(folder: &Path) -> RepoResult<Journal> {
    let path = folder.join(JOURNAL);
    let text = budget::read(&path).map_err(RepoError::io("read", &path))?;
    let unreadable = |why: String| RepoError::Journal { path: path.clone(), why };
    let journal: Journal = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
    if (1..=SCHEMA).contains(&journal.schema) {
        Ok(journal)
    } else {
        Err(unreadable("it was written by another version of factoryup".into()))
    }
}

/// What is in the folder at `place` besides the files that go: nothing when it is no folder.
fn stays_in(place: &Path, gone: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    if !fs::symlink_metadata(place).is_ok_and(|m| m.is_dir()) {
        return None;
    }
    let Ok(entries) = fs::read_dir(place) else { return Some(place.to_owned()) };
    let mut entries = entries.flatten().map(|entry| entry.path());
    entries.find_map(|path| {
        if path.is_symlink() || !path.is_dir() {
            (!gone.contains(&path)).then_some(path)
        } else {
            // An empty folder below is none that goes with its files.
            let empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
            if empty { Some(path) } else { stays_in(&path, gone) }
        }
    })
}

/// As [`present`], of what could be written over: a folder is nothing of that kind.
fn there(place: &Path) -> RepoResult<Side> {
    Ok(present(place)?.filter(|(mode, _)| mode != DIRECTORY))
}

/// Whether a killed run decided on steps that are not all taken yet.
pub(crate) fn is_cut_short(git: &Git) -> RepoResult<bool> {
    Ok(folder(git)?.join(JOURNAL).is_file())
}

/// Ends what a killed run began, or throws away what it had not decided. Says whether there was something to end.
pub(crate) fn recover(git: &Git) -> RepoResult<bool> {
    let folder = folder(git)?;
    if folder.join(JOURNAL).is_file() {
        replay(git, &folder)?;
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

fn replay(git: &Git, folder: &Path) -> RepoResult<()> {
    let dir = git.dir();
    let path = folder.join(JOURNAL);
    let journal = read(folder)?;
    for step in &journal.steps {
        check(dir, folder, step).map_err(|why| RepoError::Journal { path: path.clone(), why })?;
    }
    // All of them before the first, so that a change of somebody else's stops it before more is written.
    let replay = Replay { git, folder, has_modes: has_modes(git)? };
    for step in &journal.steps {
        replay.is_taken(step)?;
    }
    for (index, step) in journal.steps.iter().enumerate() {
        replay.take(index, step)?;
    }
    sync(dir)?;
    reached("written");
    if journal.stage {
        // git takes no paths that neither it knows nor are there.
        let index = git.index()?;
        let known =
            |step: &&FileStep| index.contains_key(&step.path) || fs::symlink_metadata(dir.join(&step.path)).is_ok();
        let mode = |step: &'_ FileStep| step.after.as_ref().map(|(mode, _)| mode.clone());
        let paths = journal.steps.iter().filter(known).map(|step| (step.path.as_str(), mode(step)));
        stage(git, paths, replay.has_modes)?;
        reached("in-index");
    }
    fs::remove_file(&path).map_err(RepoError::io("remove", &path))?;
    reached("ended");
    fs::remove_dir_all(folder).map_err(RepoError::io("remove", folder))
}

/// Whether a step is one that this program wrote: the journal lies in a folder that somebody else may have packed. No path leads out of
/// the work tree, and what is to be written is what was put aside, and not a file from elsewhere.
fn check(dir: &Path, folder: &Path, step: &FileStep) -> Result<(), String> {
    place(dir, &step.path).map_err(|error| error.to_string())?;
    let Some((mode, digest)) = &step.after else { return Ok(()) };
    if Mode::parse(mode).is_none() {
        return Err(format!("{} would get the mode {mode}", step.path));
    }
    if digest.len() != 64 || !digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(format!("{digest} is not a SHA-256"));
    }
    match budget::read(&folder.join(digest)) {
        Ok(bytes) if sha256(&bytes) == *digest => Ok(()),
        Ok(_) => Err(format!("the saved content for {} does not match its digest", step.path)),
        Err(error) => Err(format!("cannot read the saved content for {}: {error}", step.path)),
    }
}

/// As git does: a folder that nothing is in any more goes too.
pub(crate) fn remove_empty(dir: &Path, removed: &Path) {
    for folder in removed.ancestors().skip(1).take_while(|folder| *folder != dir) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Blob;
    use crate::git::ObjectFormat;

    #[test]
    fn a_folder_makes_room_for_a_file_and_a_file_for_a_folder() {
        let temp = tempfile::tempdir().unwrap();
        let git = Git::new(temp.path()).unwrap();
        git.init("main", ObjectFormat::Sha1).unwrap();
        let at = |path: &str| temp.path().join(path);
        fs::create_dir_all(at("folder/deep")).unwrap();
        for path in ["folder/a", "folder/deep/b", "file"] {
            fs::write(at(path), "old").unwrap();
        }
        let put = |path: &str| Edit::Put(Blob::file(path, "new"));
        let gone = |path: &str| Edit::Remove(path.to_owned());
        let refused = |edits: &[Edit]| Steps::new(&git, edits).unwrap_err().to_string();
        assert!(refused(&[put("folder"), gone("folder/a")]).contains("a directory that contains folder/deep/b"));
        assert!(refused(&[put("file/a")]).contains("because of the file file"));

        let edits = [put("folder"), put("file/a"), gone("folder/a"), gone("folder/deep/b"), gone("file")];
        Steps::new(&git, &edits).unwrap().carry_out(true).unwrap();
        assert_eq!(["folder", "file/a"].map(|path| fs::read_to_string(at(path)).unwrap()), ["new", "new"]);
        assert_eq!(git.index().unwrap().into_keys().collect::<Vec<_>>(), ["file/a", "folder"]);
        assert!(!is_cut_short(&git).unwrap() && !at(".git/factoryup-upgrade").exists());
    }

    #[test]
    fn a_removal_that_was_cut_leaves_no_folder_in_the_way() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("folder/deep")).unwrap();
        let before = Some(("100644".to_owned(), sha256(b"old")));
        let step = FileStep { path: "folder/deep/b".into(), before, after: None };
        let replay = Replay { git: &Git::new(temp.path()).unwrap(), folder: temp.path(), has_modes: true };
        replay.take(0, &step).unwrap();
        assert!(!temp.path().join("folder").exists());
    }

    #[test]
    fn a_journal_of_the_first_format_is_read() {
        let text = r#"{"schema":1,"steps":[{"path":"a","before":null,"after":["100644","x"]}]}"#;
        let journal: Journal = serde_json::from_str(text).unwrap();
        assert!(!journal.stage && journal.steps[0].before.is_none());
    }
}
