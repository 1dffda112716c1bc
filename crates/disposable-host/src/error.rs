//! What can go wrong with a disposable host.

use std::io;
use std::path::PathBuf;

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with an image or a disposable host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as in `cannot write`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {tool}: {source}")]
    Spawn {
        /// The program's name.
        tool: String,
        /// Why not.
        source: io::Error,
    },
    /// A program said no.
    #[error("{command} failed ({status}): {stderr}")]
    Tool {
        /// The command with its arguments.
        command: String,
        /// Its exit code or signal.
        status: String,
        /// The end of what it wrote to standard error, control characters removed.
        stderr: String,
    },
    /// Every address of the range is in use.
    #[error("no address is free for another disposable host: all {0} are taken")]
    NoFreeAddress(u8),
    /// Another process has been building the same image for too long.
    #[error("waited {waited_s} s for another process that is building an image in {}", images.display())]
    ImageLocked {
        /// How long, in seconds.
        waited_s: u64,
        /// The folder of images.
        images: PathBuf,
    },
    /// The host was started, but did not come up.
    #[error("the disposable host did not come up within {waited_s} s: {state}\n{console}")]
    Boot {
        /// How long, in seconds.
        waited_s: u64,
        /// What was missing.
        state: String,
        /// The last lines of its console, control characters removed.
        console: String,
    },
    /// Something of a disposable host could not be taken away.
    #[error("could not take everything of the disposable host {id} away: {left}")]
    Leftover {
        /// The host's id, which is part of all its names.
        id: String,
        /// What is still there.
        left: String,
    },
    /// The recipe is not one that can be built.
    #[error("not a Debian suite and mirrors: {0:?}")]
    Recipe(crate::Recipe),
    /// No directory for images is known.
    #[error("no place for images: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    /// A port could not be opened.
    #[error("cannot open {what}: {source}")]
    Port {
        /// Which port, and where.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The system's random source did not answer.
    #[error("no random number: {0}")]
    Random(getrandom::Error),
    /// The host has a key that cannot be read.
    #[error("not a public key: {0}")]
    HostKey(String),
}

impl Error {
    /// What to do about it, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Spawn { tool, .. } => format!("install the package that provides {tool}"),
            Self::Tool { .. } => "a disposable host needs root and a kernel with overlay, veth and nftables".into(),
            Self::NoFreeAddress(_) => "stop other disposable hosts on this machine, then try again".into(),
            Self::ImageLocked { .. } => "wait until the other build ends, then try again".into(),
            Self::Leftover { .. } => "start another disposable host: it begins by removing leftovers".into(),
            Self::Recipe(_) => "use a code name such as bookworm, and http URLs without spaces".into(),
            Self::NoCache => "set HOME".into(),
            Self::Io { .. } | Self::Boot { .. } | Self::Port { .. } | Self::Random(_) | Self::HostKey(_) => {
                return None;
            }
        })
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) fn spawn(tool: &str) -> impl FnOnce(io::Error) -> Self {
        let tool = tool.to_owned();
        move |source| Self::Spawn { tool, source }
    }
}
