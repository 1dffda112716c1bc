//! Rolls back a run that cannot finish all its steps.

use std::fs;
use std::path::Path;

use super::replay::Replay;
use super::{FileStep, Journal, SCHEMA, decide, has_modes, place, read, replay, sha256};
use crate::budget;
use crate::git::Git;
use crate::repo::error::{RepoError, RepoResult};
use crate::templating::tree::Mode;

/// Keeps what is there before a step, whole and as it was looked at.
pub(super) fn put_aside(dir: &Path, folder: &Path, step: &FileStep) -> RepoResult<()> {
    let Some((mode, digest)) = &step.before else { return Ok(()) };
    let place = place(dir, &step.path)?;
    let bytes = match Mode::parse(mode) {
        None => return Ok(()),
        Some(Mode::Link) => fs::read_link(&place).map(|path| path.into_os_string().into_encoded_bytes()),
        Some(_) => budget::read(&place),
    }
    .map_err(RepoError::io("read", &place))?;
    if sha256(&bytes) != *digest {
        return Err(RepoError::Meanwhile(format!("{} was changed", step.path)));
    }
    let aside = folder.join(digest);
    fs::write(&aside, bytes).map_err(RepoError::io("write", &aside))
}

/// Takes back what was written before `error`, and says whether that could be done.
pub(super) fn take_back(git: &Git, folder: &Path, error: RepoError) -> RepoError {
    let error = Box::new(match error {
        RepoError::Met { path, .. } => RepoError::Meanwhile(format!("{path} was changed")),
        error => error,
    });
    match undo(git, folder) {
        Ok(()) => RepoError::TakenBack(error),
        Err(left) => RepoError::HalfDone { error, left: Box::new(left), folder: folder.to_owned() },
    }
}

fn undo(git: &Git, folder: &Path) -> RepoResult<()> {
    let mut steps = read(folder)?.steps;
    let look = Replay { git, folder, has_modes: has_modes(git)? };
    // Where somebody else has been, there is nothing of this run's.
    steps.retain(|step| matches!(look.is_taken(step), Ok(true)));
    for step in &mut steps {
        std::mem::swap(&mut step.before, &mut step.after);
    }
    steps.sort_by_key(|step| step.after.is_some());
    decide(folder, &Journal { schema: SCHEMA, stage: false, steps })?;
    replay(git, folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::git::Blob;
    use crate::git::write::{Edit, ObjectFormat};
    use crate::repo::journal::{Steps, is_cut_short};

    #[test]
    fn a_run_that_fails_after_its_last_step_leaves_none() {
        let temp = tempfile::tempdir().unwrap();
        let git = Git::new(temp.path()).unwrap();
        git.init("main", ObjectFormat::Sha1).unwrap();
        let at = |path: &str| temp.path().join(path);
        for path in ["a", "gone"] {
            fs::write(at(path), "old").unwrap();
        }
        std::os::unix::fs::symlink("elsewhere", at("link")).unwrap();
        let put = |path: &str| Edit::Put(Blob::file(path, "new"));
        let edits = [put("a"), put("folder/b"), put("link"), Edit::Remove("gone".into())];
        // Another git is at work, or was killed.
        fs::write(at(".git/index.lock"), "").unwrap();
        let error = Error::from(Steps::new(&git, &edits).unwrap().carry_out(true).unwrap_err());
        assert!(
            error.to_string().contains("index.lock") && error.to_string().ends_with("rolled back, no files changed"),
            "{error}"
        );
        assert_eq!(["a", "gone"].map(|path| fs::read_to_string(at(path)).unwrap()), ["old", "old"]);
        assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("elsewhere"));
        assert!(!at("folder").exists() && !is_cut_short(&git).unwrap() && !at(".git/factoryup-upgrade").exists());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 4);

        fs::remove_file(at(".git/index.lock")).unwrap();
        Steps::new(&git, &edits).unwrap().carry_out(true).unwrap();
        assert_eq!(fs::read_to_string(at("folder/b")).unwrap(), "new");
        assert!(!at("gone").exists());
    }

    #[test]
    fn what_cannot_be_taken_back_is_said_with_the_two_ways_on() {
        let temp = tempfile::tempdir().unwrap();
        let git = Git::new(temp.path()).unwrap();
        git.init("main", ObjectFormat::Sha1).unwrap();
        let folder = temp.path().join(".git/factoryup-upgrade");
        fs::create_dir(&folder).unwrap();
        fs::write(temp.path().join("a"), "new").unwrap();
        // What was there before is nowhere.
        let side = |text: &str| Some(("100644".to_owned(), sha256(text.as_bytes())));
        let step = FileStep { path: "a".into(), before: side("old"), after: side("new") };
        decide(&folder, &Journal { schema: SCHEMA, stage: false, steps: vec![step] }).unwrap();
        let error = Error::from(take_back(&git, &folder, RepoError::Meanwhile("b was changed".into())));
        assert!(
            error.to_string().starts_with("b was changed while factoryup was running; the rollback failed too"),
            "{error}"
        );
        assert!(error.hints().iter().any(|hint| hint.contains("rm -r ")), "{error:?}");
        assert_eq!(fs::read_to_string(temp.path().join("a")).unwrap(), "new");
    }
}
