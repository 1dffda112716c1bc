//! The errors of this room, with the remedy for each.

use std::path::{Path, PathBuf};

use crate::budget::Exceeded;
use crate::dialog::plain;
use crate::error::{Error, Kind};
use crate::shell;

/// `Result` with [`RepoError`].
pub(crate) type RepoResult<T> = std::result::Result<T, RepoError>;

/// A failure of the repo target, before it is turned into the program's one [`Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepoError {
    #[error("invalid template catalogue: {0}")]
    Catalogue(String),
    #[error("cannot render the template {template}: {message}, at line {line}")]
    Template { template: String, line: usize, message: String },
    #[error("{path} cannot be part of a control repo: {why}")]
    Rendered { path: String, why: String },
    #[error("git is not on PATH")]
    NoGit,
    #[error("cannot run git: {0}")]
    GitDoesNotRun(std::io::Error),
    #[error("`git {verb}` failed in {}: {stderr}", dir.display())]
    Git { verb: String, dir: PathBuf, stderr: String },
    #[error("{what} is {limit}")]
    Budget { what: String, limit: Exceeded },
    #[error("git does not trust {}: it belongs to another user", .0.display())]
    NotTrusted(PathBuf),
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
    #[error("cannot {verb} {}: {source}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: std::io::Error },
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
    #[error("cannot work with the remote {url}: {why}")]
    Remote { url: String, why: String, kind: Kind },
}

impl RepoError {
    /// Adds the operation and the path to an I/O error.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }
}

const MAKE_ROOM: &str = "free space on that file system, then run the command again";

impl From<RepoError> for Error {
    fn from(error: RepoError) -> Self {
        let text = plain(&error.to_string());
        let error = match error {
            RepoError::TakenBack(first) => return as_first(*first, text),
            RepoError::HalfDone { error: first, folder, .. } => return half_done(*first, text, &folder),
            error => error,
        };
        match &error {
            RepoError::Catalogue(_) | RepoError::Template { .. } => Self::internal(text)
                .hint("report this error with the output of `factoryup --version`: the templates are part of factoryup"),
            RepoError::Rendered { .. } => {
                Self::data(text).hint(format!("change the value in {}", crate::factory::FILE_NAME))
            }
            RepoError::WorkTree { .. } => {
                Self::usage(text).hint("restore the committed file with `git restore PATH`, then run the command again")
            }
            RepoError::TakenBack(_) | RepoError::HalfDone { .. } => Self::internal(text),
            RepoError::NoRoom { .. } => Self::usage(text).hint("move it away, then run the command again"),
            RepoError::Met { folder, back, .. } => Self::usage(text)
                .hint(format!("to finish that run, save your change elsewhere, run `{back}`, then run the command again"))
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
            RepoError::Meanwhile(_) => Self::new(Kind::CutShort, text)
                .hint("run the command again; nothing was overwritten"),
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
            RepoError::NoGit => Self::new(Kind::CannotWrite, text)
                .hint("install git 2.28 or newer (on Debian: `apt install git`), then run the command again"),
            RepoError::GitDoesNotRun(_) => {
                Self::new(Kind::CannotWrite, text).hint("check `git --version`; factoryup needs git 2.28 or newer")
            }
            RepoError::Git { stderr, .. } => {
                let failed = Self::new(Kind::CannotWrite, text);
                let full = ["No space left", "Out of diskspace"].iter().any(|sign| stderr.contains(sign));
                if full { failed.hint(MAKE_ROOM) } else { failed }
            }
            RepoError::Budget { limit: Exceeded::Time(_), .. } => Self::new(Kind::CutShort, text)
                .hint("run the command again; if it is slow again, find the cause with `GIT_TRACE=1 git status`"),
            RepoError::Budget { .. } => Self::data(text)
                .hint("do not use this repo: it is not a control repo, or it was made too large on purpose")
                .hint("or, if it is yours, find what is large in it: git count-objects -vH"),
            RepoError::NotTrusted(dir) => Self::new(Kind::NotPermitted, text).hint(format!(
                "run the command as the owner of the directory, or trust it: git config --global --add safe.directory {}",
                shell::word(&dir.display().to_string())
            )),
            RepoError::Io { source, path, .. } => of_io(source, path, text),
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
            RepoError::OwnName { path, .. } => Self::new(Kind::CannotWrite, text)
                .hint(format!("rename it with `git mv {} NAME`, commit, then run the command again", shell::word(path))),
            RepoError::Busy(_) => Self::new(Kind::CannotWrite, text).hint("wait until it ends, then run the command again"),
            RepoError::Unreadable { .. } => Self::data(text).hint(
                "restore .factory/, which only factoryup may write: git checkout COMMIT -- .factory",
            ),
            RepoError::Migration { .. } => {
                Self::data(text).hint("fix it, commit, then run the command again; nothing was changed")
            }
            RepoError::Newer { .. } => Self::data(text).hint("use that version of factoryup, or a newer one"),
            RepoError::Remote { kind, .. } => {
                let remote = Self::new(*kind, text);
                match kind {
                    Kind::NotPermitted => remote.hint("check that the token is valid and has write access to that repository"),
                    Kind::Unreachable => remote.hint("check the URL and the network, then run the command again"),
                    _ => remote,
                }
            }
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

fn of_io(source: &std::io::Error, path: &Path, text: String) -> Error {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let error = Error::new(Kind::CannotWrite, text);
    match source.kind() {
        PermissionDenied => {
            error.hint(format!("choose a directory that you can write to instead of {}", path.display()))
        }
        ReadOnlyFilesystem => error.hint("choose a directory on a writable file system"),
        StorageFull => error.hint(MAKE_ROOM),
        NotFound => error.hint("run the command again; the file was removed while factoryup was running"),
        _ => error,
    }
}

/// Lists paths, shortened after the first few.
pub(crate) fn some(paths: &[String]) -> String {
    const SHOWN: usize = 8;
    let first = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if paths.len() > SHOWN { format!("{first} and {} more", paths.len() - SHOWN) } else { first }
}
