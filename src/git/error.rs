//! What can fail in git, with the remedy for each.

use std::path::PathBuf;

use crate::budget::Exceeded;
use crate::dialog::plain;
use crate::error::{Error, IoError, Kind, MAKE_ROOM};
use crate::shell;

/// `Result` with [`GitError`].
pub(crate) type GitResult<T> = std::result::Result<T, GitError>;

/// A failure of git, before it is turned into the program's one [`Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("git is not on PATH")]
    NoGit,
    #[error("cannot run git: {0}")]
    DoesNotRun(std::io::Error),
    #[error("`git {verb}` failed in {}: {stderr}", dir.display())]
    Failed { verb: String, dir: PathBuf, stderr: String },
    #[error("{what} is {limit}")]
    Budget { what: String, limit: Exceeded },
    #[error("git does not trust {}: it belongs to another user", .0.display())]
    NotTrusted(PathBuf),
    #[error("cannot work with the remote {url}: {why}")]
    Remote { url: String, why: String, kind: Kind },
    #[error(transparent)]
    Io(#[from] IoError),
}

impl From<GitError> for Error {
    fn from(error: GitError) -> Self {
        let text = plain(&error.to_string());
        match error {
            GitError::NoGit => Self::new(Kind::CannotWrite, text)
                .hint("install git 2.28 or newer (on Debian: `apt install git`), then run the command again"),
            GitError::DoesNotRun(_) => {
                Self::new(Kind::CannotWrite, text).hint("check `git --version`; factoryup needs git 2.28 or newer")
            }
            GitError::Failed { stderr, .. } => {
                let failed = Self::new(Kind::CannotWrite, text);
                let full = ["No space left", "Out of diskspace"].iter().any(|sign| stderr.contains(sign));
                if full { failed.hint(MAKE_ROOM) } else { failed }
            }
            GitError::Budget { limit: Exceeded::Time(_), .. } => Self::new(Kind::CutShort, text)
                .hint("run the command again; if it is slow again, find the cause with `GIT_TRACE=1 git status`"),
            GitError::Budget { .. } => Self::data(text)
                .hint("do not use this repo: it is not a control repo, or it was made too large on purpose")
                .hint("or, if it is yours, find what is large in it: git count-objects -vH"),
            GitError::NotTrusted(dir) => Self::new(Kind::NotPermitted, text).hint(format!(
                "run the command as the owner of the directory, or trust it: git config --global --add safe.directory {}",
                shell::word(&dir.display().to_string())
            )),
            GitError::Remote { kind, .. } => {
                let remote = Self::new(kind, text);
                match kind {
                    Kind::NotPermitted => remote.hint("check that the token is valid and has write access to that repository"),
                    Kind::Unreachable => remote.hint("check the URL and the network, then run the command again"),
                    _ => remote,
                }
            }
            GitError::Io(error) => error.into(),
        }
    }
}
