//! What can go wrong in this room, and the remedy for each.

use std::path::PathBuf;

use crate::dialog::plain;
use crate::error::{Error, Kind};
use crate::git::error::GitError;
use crate::repo::error::RepoError;
use crate::templating::error::TemplateError;

/// A failure to add an application.
#[derive(Debug, thiserror::Error)]
pub(super) enum AppError {
    #[error("an application cannot be called `{name}`: {why}")]
    Name { name: String, why: String },
    #[error("{} holds no control repo: {why}", dir.display())]
    NoControlRepo { dir: PathBuf, why: &'static str },
    #[error("the control repo in {} was made by an older factoryup: {missing} is not in its commit {commit}", dir.display())]
    TooOld { dir: PathBuf, missing: &'static str, commit: String },
    #[error("{file} in the control repo cannot be read: {why}")]
    Entry { file: String, why: String },
    #[error("no port between {from} and {to} is free", from = super::entry::FIRST_PORT, to = u16::MAX)]
    NoPort,
    #[error("cannot make an application repo in {}: {why}", dir.display())]
    Occupied { dir: PathBuf, why: &'static str },
    #[error("cannot adopt {}: {why}", dir.display())]
    NotAdoptable { dir: PathBuf, why: &'static str, hint: &'static str },
    #[error("cannot adopt {}: {why}", dir.display())]
    Refused { dir: PathBuf, why: String, hints: Vec<String> },
    #[error("no kind")]
    NoKind { name: String },
    #[error("cannot adopt {}: {why}; nothing was changed", dir.display())]
    Trial { dir: PathBuf, why: String, hints: Vec<String> },
    #[error("cannot try {} in a temporary folder: {why}", dir.display())]
    NoTrial { dir: PathBuf, why: std::io::Error },
    #[error("interrupted; nothing was changed")]
    Interrupted,
    #[error(transparent)]
    Repo(#[from] RepoError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// What is said when a new application has no kind.
pub(crate) fn no_kind(name: &str) -> Error {
    Error::usage("app add needs --kind, which says what the application is")
        .hint("a program that answers HTTP requests: --kind http; files that a web server shows: --kind static")
        .hint(format!("for example: factoryup app add {name} --kind http"))
}

impl From<AppError> for Error {
    fn from(error: AppError) -> Self {
        let text = plain(&error.to_string());
        match error {
            AppError::Name { .. } => Self::usage(text)
                .hint("choose 2 to 32 of a-z, 0-9 and single -, beginning with a letter, such as `shop`"),
            AppError::NoControlRepo { .. } => Self::data(text)
                .hint("run this in a control repo, or name it with --dir DIR")
                .hint("to begin one: factoryup init DIR"),
            AppError::TooOld { .. } => Self::data(text)
                .hint("bring it up to date with `factoryup upgrade`, merge the branch it makes, then run this again"),
            AppError::Entry { .. } => Self::data(text).hint("repair it as infra/apps/README.md says, by merge request"),
            AppError::NoPort => Self::data(text).hint("take applications that are gone out of infra/apps"),
            AppError::Occupied { dir, .. } => Self::new(Kind::CannotWrite, text)
                .hint("give a folder that is empty or not there yet, with --path DIR")
                .hint(format!("to bring the repo there under the app contract: --adopt {}", dir.display())),
            AppError::NotAdoptable { hint, .. } => Self::new(Kind::CannotWrite, text).hint(hint),
            AppError::Refused { hints, .. } | AppError::Trial { hints, .. } => {
                hints.iter().fold(Self::data(text), |error, hint| error.hint(plain(hint)))
            }
            AppError::NoTrial { .. } => Self::new(Kind::CannotWrite, text)
                .hint("make room in the temporary folder, or name another one with TMPDIR")
                .hint("or leave the trial out with --no-trial"),
            AppError::Interrupted => crate::interrupt::interrupted(),
            AppError::NoKind { name } => no_kind(&name),
            AppError::Repo(error) => error.into(),
            AppError::Git(error) => error.into(),
            AppError::Template(error) => error.into(),
        }
    }
}
