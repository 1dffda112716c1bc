//! What can go wrong in this room, and the remedy for each.

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
    #[error("the template catalogue is wrong: {0}")]
    Catalogue(String),
    #[error("the template {template} does not render: {message}, at line {line}")]
    Template { template: String, line: usize, message: String },
    #[error("{path} cannot be part of a control repo: {why}")]
    Rendered { path: String, why: String },
    #[error("git is not on PATH")]
    NoGit,
    #[error("git cannot be run: {0}")]
    GitDoesNotRun(std::io::Error),
    #[error("`git {verb}` failed in {}: {stderr}", dir.display())]
    Git { verb: String, dir: PathBuf, stderr: String },
    #[error("{what} is {limit}")]
    Budget { what: String, limit: Exceeded },
    #[error("git does not trust {}: it belongs to another user", .0.display())]
    NotTrusted(PathBuf),
    #[error("{path} cannot be written in this work tree: {why}")]
    WorkTree { path: String, why: String },
    #[error("{path} cannot be written in this work tree: {why}")]
    NoRoom { path: String, why: String },
    #[error("{path} was changed after the run began that was cut short")]
    Met { path: String, folder: PathBuf, back: String },
    #[error("{0}; what was written before that is taken back, so nothing is changed")]
    TakenBack(Box<Self>),
    #[error("{error}; and what was written before that cannot be taken back: {left}")]
    HalfDone { error: Box<Self>, left: Box<Self>, folder: PathBuf },
    #[error("{} cannot be carried out: {why}", path.display())]
    Journal { path: PathBuf, why: String },
    #[error("{0} in the meantime")]
    Meanwhile(String),
    #[error("there are changes that are not committed: {}", some(.0))]
    Uncommitted(Vec<String>),
    #[error("git was told to overlook changes of {}", some(.0))]
    Overlooked(Vec<String>),
    #[error("the sparse checkout leaves out what is to be written: {}", some(.0))]
    Sparse(Vec<String>),
    #[error("git keeps {path} in another form ({attribute}), and factoryup would commit it as the work tree has it")]
    Converted { path: &'static str, attribute: String, adopting: bool },
    #[error("cannot {verb} {}: {source}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot generate a control repo in {}: {why}", dir.display())]
    Occupied { dir: PathBuf, why: String },
    #[error("cannot create a repo in {}: {why}", dir.display())]
    Unfit { dir: PathBuf, why: String },
    #[error("{} holds a repo that factoryup did not make", .0.display())]
    Foreign(PathBuf),
    #[error("{} holds a repo without a commit", .0.display())]
    NoCommit(PathBuf),
    #[error("{} is a bare repo, which has no work tree", .0.display())]
    Bare(PathBuf),
    #[error("the repo in {} cannot be adopted: {path} has a name under which factoryup keeps its records", dir.display())]
    OwnName { dir: PathBuf, path: String },
    #[error("another factoryup is at work in {}", .0.display())]
    Busy(PathBuf),
    #[error("{file}: {why}")]
    Unreadable { file: &'static str, why: String },
    #[error("{file} was written by a newer factoryup: {why}")]
    Newer { file: &'static str, why: String },
    #[error("the migration `{id}` cannot be done here: {why}")]
    Migration { id: String, why: String },
    #[error("cannot work with the remote {url}: {why}")]
    Remote { url: String, why: String, kind: Kind },
}

impl RepoError {
    /// Turns an I/O error into one that names what was tried on which path.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }
}

const MAKE_ROOM: &str = "make room on that file system, then run this again";

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
                .hint("the templates are part of this factoryup; report it, with the output of `factoryup --version`"),
            RepoError::Rendered { .. } => {
                Self::data(text).hint(format!("change the value in {}", crate::factory::FILE_NAME))
            }
            RepoError::WorkTree { .. } => {
                Self::usage(text).hint("put back what git has there: git restore PATH; then run this again")
            }
            RepoError::TakenBack(_) | RepoError::HalfDone { .. } => Self::internal(text),
            RepoError::NoRoom { .. } => Self::usage(text).hint("move that away, then run this again"),
            RepoError::Met { folder, back, .. } => Self::usage(text)
                .hint(format!("to end that run: keep your change elsewhere, then {back}; then run this again"))
                .hint(format!(
                    "to give it up and keep all as it is now: rm -r {}",
                    shell::word(&folder.display().to_string())
                )),
            RepoError::Journal { path, .. } => {
                let folder = path.parent().unwrap_or(path).display().to_string();
                Self::data(text).hint(format!(
                    "it would end a run that was cut short; where you began none, remove it: rm -r {}",
                    shell::word(&folder)
                ))
            }
            RepoError::Meanwhile(_) => Self::new(Kind::CutShort, text)
                .hint("nothing was written over; run this again, and it starts from what is there now"),
            RepoError::Uncommitted(_) => Self::usage(text).hint("commit or stash them, then run this again"),
            RepoError::Overlooked(paths) => {
                let paths: Vec<String> = paths.iter().map(|path| shell::word(path)).collect();
                let paths = paths.join(" ");
                Self::usage(text)
                    .hint(format!("let it look again: git update-index --no-assume-unchanged {paths}"))
                    .hint(format!("and: git update-index --no-skip-worktree {paths}"))
                    .hint("commit what is changed there, then run this again; an upgrade onto a branch needs none of this")
            }
            RepoError::Sparse(_) => Self::usage(text)
                .hint("have all files: git sparse-checkout disable; then run this again")
                .hint("an upgrade onto a branch needs no work tree: factoryup upgrade, without --in-place"),
            RepoError::Converted { path, adopting, .. } => converted(Self::usage(text), path, *adopting),
            RepoError::NoGit => Self::new(Kind::CannotWrite, text)
                .hint("install git 2.28 or newer, on Debian with `apt install git`, then run this again"),
            RepoError::GitDoesNotRun(_) => {
                Self::new(Kind::CannotWrite, text).hint("try `git --version`; git 2.28 or newer is needed")
            }
            RepoError::Git { stderr, .. } => {
                let failed = Self::new(Kind::CannotWrite, text);
                let full = ["No space left", "Out of diskspace"].iter().any(|sign| stderr.contains(sign));
                if full { failed.hint(MAKE_ROOM) } else { failed }
            }
            RepoError::Budget { limit: Exceeded::Time(_), .. } => Self::new(Kind::CutShort, text)
                .hint("run this again; if it takes as long again, see what holds git up: GIT_TRACE=1 git status"),
            RepoError::Budget { .. } => Self::data(text)
                .hint("nothing more was read: it is no control repo, or somebody made it to be too large; do not use it")
                .hint("if it is yours, look for what is large in it: git count-objects -vH"),
            RepoError::NotTrusted(dir) => Self::new(Kind::NotPermitted, text).hint(format!(
                "run this as the owner of the folder, or trust it with: git config --global --add safe.directory {}",
                shell::word(&dir.display().to_string())
            )),
            RepoError::Io { source, path, .. } => of_io(source, path, text),
            RepoError::Occupied { .. } => Self::new(Kind::CannotWrite, text)
                .hint("give a folder that is empty or not there yet; at most a factory.toml may be in it"),
            RepoError::Unfit { .. } => Self::usage(text).hint("choose a folder for projects, such as ~/my-factory"),
            RepoError::Foreign(dir) => Self::new(Kind::CannotWrite, text).hint(format!(
                "to bring factoryup's files into it, on a branch of their own and over none of yours: factoryup init {}",
                shell::word(&dir.display().to_string())
            )),
            RepoError::NoCommit(_) => Self::new(Kind::CannotWrite, text)
                .hint("make a first one, then run this again: git commit --allow-empty -m Start"),
            RepoError::Bare(dir) => Self::new(Kind::CannotWrite, text).hint(format!(
                "clone it and work in the clone: git clone {} FOLDER",
                shell::word(&dir.display().to_string())
            )),
            RepoError::OwnName { path, .. } => Self::new(Kind::CannotWrite, text)
                .hint(format!("give it another name: git mv {} NAME; commit that, then run this again", shell::word(path))),
            RepoError::Busy(_) => Self::new(Kind::CannotWrite, text).hint("wait for it to end, then run this again"),
            RepoError::Unreadable { .. } => Self::data(text).hint(
                "the folder .factory/ is written by factoryup alone; restore it with: git checkout COMMIT -- .factory",
            ),
            RepoError::Migration { .. } => {
                Self::data(text).hint("put that right and commit it, then run this again; nothing was changed")
            }
            RepoError::Newer { .. } => Self::data(text).hint("use that factoryup, or a newer one"),
            RepoError::Remote { kind, .. } => {
                let remote = Self::new(*kind, text);
                match kind {
                    Kind::NotPermitted => remote.hint("check that the token is valid and may write to that repository"),
                    Kind::Unreachable => remote.hint("check the URL and the network, then run this again"),
                    _ => remote,
                }
            }
        }
    }
}

/// Says what to do where git keeps a file in another form. An adoption has no other way than the branch.
fn converted(refused: Error, path: &str, adopting: bool) -> Error {
    let in_place = "have git commit it: factoryup upgrade --in-place, then git add --all && git commit";
    let refused = if adopting { refused } else { refused.hint(in_place) };
    let line = format!("{path} -filter -working-tree-encoding -ident");
    refused.hint(format!("to have git keep it as it is, make this the last line of .gitattributes: {line}"))
}

/// What went wrong first is what has to be mended.
fn as_first(first: RepoError, text: String) -> Error {
    let first = Error::from(first);
    first.hints().iter().fold(Error::new(first.kind(), text), Error::hint)
}

fn half_done(first: RepoError, text: String, folder: &Path) -> Error {
    Error::new(Error::from(first).kind(), text)
        .hint("remove what is in the way, then run the same command again: it ends what was begun")
        .hint(format!("to give it up and keep all as it is now: rm -r {}", shell::word(&folder.display().to_string())))
}

fn of_io(source: &std::io::Error, path: &Path, text: String) -> Error {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let error = Error::new(Kind::CannotWrite, text);
    match source.kind() {
        PermissionDenied => error.hint(format!("choose a folder that you may write to; {} is not one", path.display())),
        ReadOnlyFilesystem => error.hint("choose a folder on a file system that is not read-only"),
        StorageFull => error.hint(MAKE_ROOM),
        NotFound => error.hint("something removed it in the meantime; run this again"),
        _ => error,
    }
}

/// Names paths, and of many only the first.
pub(crate) fn some(paths: &[String]) -> String {
    const SHOWN: usize = 8;
    let first = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if paths.len() > SHOWN { format!("{first} and {} more", paths.len() - SHOWN) } else { first }
}
