//! One error for the whole program: a kind that decides the exit code, a message, its causes, and hints that say what to do.
//!
//! Each room has its own `thiserror` enum for what can go wrong in it, and turns it into an [`Error`] at its border, where the
//! kind and the remedy are known:
//!
//! ```
//! use factoryup::{Error, Kind};
//! let error = Error::new(Kind::Unreachable, "no answer from 203.0.113.7:22 within 10 s")
//!     .hint("check the address and that port 22 is open to you");
//! assert_eq!(error.kind().exit_code(), 69);
//! ```
//!
//! What it says is without the [secrets](crate::secret::redact) of this process from the start, wherever it ends up.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::secret::plain::plain;
use crate::secret::redactor::redact;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it was. Its number is the exit code, after BSD's `sysexits.h` where that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 2: `plan` found pending changes, or a check failed. Not a malfunction.
    Pending = 2,
    /// 64: flags or answers are missing or wrong.
    Usage = 64,
    /// 65: `factory.toml`, a manifest or an answer from elsewhere cannot be used as it is.
    Data = 65,
    /// 69: the host or GitLab cannot be reached.
    Unreachable = 69,
    /// 70: a fault in factoryup itself.
    Internal = 70,
    /// 73: something cannot be written here.
    CannotWrite = 73,
    /// 75: cut short; what was done is done, and the same command resumes.
    CutShort = 75,
    /// 76: a change was reverted because its probe failed; the state is the one from before.
    Reverted = 76,
    /// 77: not permitted: login refused, a token without the scope, no root.
    NotPermitted = 77,
    /// 130: interrupted or declined by the user.
    Interrupted = 130,
}

impl Kind {
    /// The exit code of a run that ends with this kind of error.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        self as u8
    }

    /// The kind's name in `--json` output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Usage => "usage",
            Self::Data => "data",
            Self::Unreachable => "unreachable",
            Self::Internal => "internal",
            Self::CannotWrite => "cannot-write",
            Self::CutShort => "cut-short",
            Self::Reverted => "reverted",
            Self::NotPermitted => "not-permitted",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What to do about a full file system.
pub(crate) const MAKE_ROOM: &str = "free space on that file system, then run the command again";

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}: {source}", path.display())]
pub(crate) struct IoError {
    verb: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl IoError {
    /// Adds the operation and the path to the system's error.
    pub(crate) fn at(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self { verb, path: path.to_owned(), source }
    }
}

impl From<IoError> for Error {
    fn from(error: IoError) -> Self {
        use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let text = plain(&error.to_string());
        let hint = match error.source.kind() {
            PermissionDenied => {
                &format!("choose a directory that you can write to instead of {}", error.path.display())
            }
            ReadOnlyFilesystem => "choose a directory on a writable file system",
            StorageFull => MAKE_ROOM,
            NotFound => "run the command again; the file was removed while factoryup was running",
            _ => return Self::new(Kind::CannotWrite, text),
        };
        Self::new(Kind::CannotWrite, text).hint(hint)
    }
}

/// What went wrong, why, and what to do about it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    is_partial: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a message that says what failed, on what.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = redact(&message.into()).into_owned();
        Self(Box::new(Inner { kind, message, hints: Vec::new(), is_partial: false, source: None }))
    }

    /// Wrong or missing flags and answers.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// An input file or answer that cannot be used.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// A fault of the program itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// Adds a remedy: what to type or change next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(redact(&hint.into()).into_owned());
        self
    }

    /// Says that all was done but a part that nothing depends on which would come after.
    #[must_use]
    pub fn partial(mut self) -> Self {
        self.0.is_partial = true;
        self
    }

    /// Whether all was done but a part that nothing depends on which would come after.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.0.is_partial
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind, and with it the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The remedies, most useful first.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// The messages of the causes, nearest first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            causes.push(redact(&cause.to_string()).into_owned());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| &**s as _)
    }
}
