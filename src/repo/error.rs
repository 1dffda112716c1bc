//! The errors of this room, with the remedy for each.

use std::path::{Path, PathBuf};

use crate::dialog::plain;
use crate::error::{Error, IoError, Kind};
use crate::git::error::GitError;
use crate::shell;
use crate::templating::error::TemplateError;

/// `Result` with [`RepoError`].
pub(crate) type RepoResult<T> = std::result::Result<T, RepoError>;

/// A failure of the repo target, before it is turned into the program's one [`Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepoError {
    #[error("cannot write {path} in this work tree: {why}")]
    WorkTree { path: String, why: String },
    #[error("cannot write {path} in this work tree: {why}")]
    NoRoom { path: String, why: String },
    #[error("{path} was changed after the interrupted run started")]
    Met { path: String, folder: PathBuf, back: String },
    #[error("{0}; rolled back, no files changed")]
    TakenBack(Box<Self>),
    #[error("{error}; the rollback failed too: {left}")]
    HalfDone { error: Box<Self>, left: Box<Self>, folder: PathBuf },
    #[error("cannot complete {}: {why}", path.display())]
    Journal { path: PathBuf, why: String },
    #[error("{0} while factoryup was running")]
    Meanwhile(String),
    #[error("uncommitted changes: {}", some(.0))]
    Uncommitted(Vec<String>),
    #[error("git ignores changes of {}", some(.0))]
    Overlooked(Vec<String>),
    #[error("the sparse checkout excludes files to be written: {}", some(.0))]
    Sparse(Vec<String>),
    #[error("a git filter applies to {path} ({attribute}), and factoryup would commit the file without it")]
    Converted { path: &'static str, attribute: String, adopting: bool },
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Io(#[from] IoError),
    #[error("cannot generate a control repo in {}: {why}", dir.display())]
    Occupied { dir: PathBuf, why: String },
    #[error("cannot create a repo in {}: {why}", dir.display())]
    Unfit { dir: PathBuf, why: String },
    #[error("{} is a git repo that factoryup did not create", .0.display())]
    Foreign(PathBuf),
    #[error("{} is a git repo without a commit", .0.display())]
    NoCommit(PathBuf),
    #[error("{} is a bare repo, which has no work tree", .0.display())]
    Bare(PathBuf),
    #[error("the repo in {} cannot be adopted: factoryup needs the name {path} for its records", dir.display())]
    OwnName { dir: PathBuf, path: String },
    #[error("another factoryup process is running in {}", .0.display())]
    Busy(PathBuf),
    #[error("{file}: {why}")]
    Unreadable { file: &'static str, why: String },
    #[error("{file} was written by a newer factoryup: {why}")]
    Newer { file: &'static str, why: String },
    #[error("cannot run the migration `{id}`: {why}")]
    Migration { id: String, why: String },
}

impl RepoError {
    /// Adds the operation and the path to an I/O error.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| IoError::at(verb, path)(source).into()
    }
}

impl From<RepoError> for Error {
    fn from(error: RepoError) -> Self {
        let text = plain(&error.to_string());
        let error = match error {
            RepoError::TakenBack(first) => return as_first(*first, text),
            RepoError::HalfDone { error: first, folder, .. } => return half_done(*first, text, &folder),
            RepoError::Git(error) => return error.into(),
            RepoError::Template(error) => return error.into(),
            RepoError::Io(error) => return error.into(),
            error => error,
        };
        match &error {
            RepoError::WorkTree { .. } => {
                Self::usage(text).hint("restore the committed file with `git restore PATH`, then run the command again")
            }
            RepoError::TakenBack(_)
            | RepoError::HalfDone { .. }
            | RepoError::Git(_)
            | RepoError::Template(_)
            | RepoError::Io(_) => Self::internal(text),
            RepoError::NoRoom { .. } => Self::usage(text).hint("move it away, then run the command again"),
            RepoError::Met { folder, back, .. } => Self::usage(text)
                .hint(format!(
                    "to finish that run, save your change elsewhere, run `{back}`, then run the command again"
                ))
                .hint(format!(
                    "or abandon that run and keep the files as they are: rm -r {}",
                    shell::word(&folder.display().to_string())
                )),
            RepoError::Journal { path, .. } => {
                let folder = path.parent().unwrap_or(path).display().to_string();
                Self::data(text).hint(format!(
                    "it belongs to an interrupted run; if you started none, delete it: rm -r {}",
                    shell::word(&folder)
                ))
            }
            RepoError::Meanwhile(_) => {
                Self::new(Kind::CutShort, text).hint("run the command again; nothing was overwritten")
            }
            RepoError::Uncommitted(_) => Self::usage(text).hint("commit or stash them, then run the command again"),
            RepoError::Overlooked(paths) => {
                let paths: Vec<String> = paths.iter().map(|path| shell::word(path)).collect();
                let paths = paths.join(" ");
                Self::usage(text)
                    .hint(format!("clear its flag: git update-index --no-assume-unchanged {paths}"))
                    .hint(format!("and: git update-index --no-skip-worktree {paths}"))
                    .hint("commit their changes, then run the command again")
            }
            RepoError::Sparse(_) => Self::usage(text)
                .hint("check out all files with `git sparse-checkout disable`, then run the command again")
                .hint("or upgrade on a branch, which needs no work tree: run `factoryup upgrade` without --in-place"),
            RepoError::Converted { path, adopting, .. } => converted(Self::usage(text), path, *adopting),
            RepoError::Occupied { .. } => Self::new(Kind::CannotWrite, text)
                .hint("choose a new or empty directory; it may contain a factory.toml"),
            RepoError::Unfit { .. } => Self::usage(text).hint("choose a directory for projects, such as ~/my-factory"),
            RepoError::Foreign(dir) => Self::new(Kind::CannotWrite, text).hint(format!(
                "to add factoryup's files on a new branch, keeping yours: factoryup init {}",
                shell::word(&dir.display().to_string())
            )),
            RepoError::NoCommit(_) => Self::new(Kind::CannotWrite, text)
                .hint("create a first commit, then run the command again: git commit --allow-empty -m Start"),
            RepoError::Bare(dir) => Self::new(Kind::CannotWrite, text).hint(format!(
                "clone it and work in the clone: git clone {} DIR",
                shell::word(&dir.display().to_string())
            )),
            RepoError::OwnName { path, .. } => Self::new(Kind::CannotWrite, text).hint(format!(
                "rename it with `git mv {} NAME`, commit, then run the command again",
                shell::word(path)
            )),
            RepoError::Busy(_) => {
                Self::new(Kind::CannotWrite, text).hint("wait until it ends, then run the command again")
            }
            RepoError::Unreadable { .. } => Self::data(text)
                .hint("restore .factory/, which only factoryup may write: git checkout COMMIT -- .factory"),
            RepoError::Migration { .. } => {
                Self::data(text).hint("fix it, commit, then run the command again; nothing was changed")
            }
            RepoError::Newer { .. } => Self::data(text).hint("use that version of factoryup, or a newer one"),
        }
    }
}

/// Adds the hints for a file with a git filter. An adoption always uses the branch.
fn converted(refused: Error, path: &str, adopting: bool) -> Error {
    let in_place = "let git commit it: factoryup upgrade --in-place, then git add --all && git commit";
    let refused = if adopting { refused } else { refused.hint(in_place) };
    let line = format!("{path} -filter -working-tree-encoding -ident");
    refused.hint(format!("or turn the filter off with this as the last line of .gitattributes: {line}"))
}

/// Returns the original error with another text.
fn as_first(first: RepoError, text: String) -> Error {
    let first = Error::from(first);
    first.hints().iter().fold(Error::new(first.kind(), text), Error::hint)
}

fn half_done(first: RepoError, text: String, folder: &Path) -> Error {
    Error::new(Error::from(first).kind(), text)
        .hint("remove the obstacle, then run the command again; it finishes the run")
        .hint(format!(
            "or abandon that run and keep the files as they are: rm -r {}",
            shell::word(&folder.display().to_string())
        ))
}

/// Lists paths, shortened after the first few.
pub(crate) fn some(paths: &[String]) -> String {
    const SHOWN: usize = 8;
    let first = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if paths.len() > SHOWN { format!("{first} and {} more", paths.len() - SHOWN) } else { first }
}
