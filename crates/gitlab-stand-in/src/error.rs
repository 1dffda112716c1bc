//! What can go wrong with a stand-in.

use std::io;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a stand-in. What a client does wrong is answered over HTTP instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no git.
    #[error("the GitLab stand-in needs git: {0}")]
    NoGit(which::Error),
    /// It could not be started.
    #[error("cannot start the GitLab stand-in: {what}: {source}")]
    Start {
        /// What could not be used.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A user or group of this name exists; GitLab has one namespace for both.
    #[error("the GitLab stand-in already has a user or group {0}")]
    NameTaken(String),
    /// No user has this name.
    #[error("the GitLab stand-in has no user {0}")]
    NoUser(String),
    /// No project has this path.
    #[error("the GitLab stand-in has no project {0}")]
    NoProject(String),
    /// It failed for a reason that no client caused.
    #[error("the GitLab stand-in failed: {0}")]
    Failed(String),
}

impl Error {
    /// What to do about it, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NoGit(_) => Some("install the package `git`"),
            Self::NameTaken(_) => Some("choose another name"),
            _ => None,
        }
    }
}
