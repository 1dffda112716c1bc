//! What can go wrong with a disposable host.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::dialog::plain;
use crate::error::{Error, Kind};

/// What went wrong with an image or a disposable host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
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
}

impl HostError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

impl From<HostError> for Error {
    fn from(error: HostError) -> Self {
        let message = error.to_string();
        match error {
            HostError::Io { .. } => Error::new(Kind::CannotWrite, message),
            HostError::Spawn { tool, .. } => Error::new(Kind::CannotWrite, message).hint(format!(
                "install the package that brings {tool}; `factoryup rehearse` names what it needs and can install it"
            )),
            HostError::Tool { .. } => Error::new(Kind::CannotWrite, message)
                .hint("a disposable host needs root and a kernel with overlay, veth and nftables"),
            HostError::NoFreeAddress(_) => {
                Error::new(Kind::CannotWrite, message).hint("stop other rehearsals on this machine, then try again")
            }
            HostError::ImageLocked { .. } => {
                Error::new(Kind::CutShort, message).hint("wait for it to end, then try again")
            }
            HostError::Boot { .. } => Error::new(Kind::Unreachable, message),
            HostError::Leftover { .. } => Error::new(Kind::CannotWrite, message)
                .hint("run the rehearsal again: it begins by sweeping up leftovers"),
        }
    }
}

/// Runs a program to its end and returns its output when it succeeded. `input` becomes its standard input; it is never shown.
pub(super) fn run(command: &mut Command, input: &[u8]) -> Result<Output, HostError> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| HostError::Spawn { tool: tool.clone(), source })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read all of its input says so by its exit status.
        let _ = io::Write::write_all(&mut stdin, input);
    }
    let output = child.wait_with_output().map_err(|source| HostError::Spawn { tool, source })?;
    if output.status.success() { Ok(output) } else { Err(failure(command, &output)) }
}

/// The error for a program that ended without success.
pub(super) fn failure(command: &Command, output: &Output) -> HostError {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    HostError::Tool {
        command: words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
        status: output.status.to_string(),
        stderr: tail(&output.stderr, 12),
    }
}

/// The last lines of a program's output, fit to be shown.
pub(super) fn tail(bytes: &[u8], lines: usize) -> String {
    let text = plain(&String::from_utf8_lossy(bytes));
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
