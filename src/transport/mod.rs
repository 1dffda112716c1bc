//! Runs programs on a host.
//!
//! What lives here: logging in, checking that the host is the right one, running one command with its standard input, and
//! handing back what it says line by line. What doesn't: what the program is and what its lines mean; that is the business of
//! [`crate::host`].
//!
//! | type | reaches the host by |
//! |---|---|
//! | [`Ssh`] | libssh2, or the system's `ssh` client: for jump hosts, FIDO keys, certificates, and each keyword of ssh's configuration that is not followed here |
//! | [`Local`] | a shell on this very machine |
//!
//! Every [`connect`](Transport::connect) is a really new connection with a login of its own; so the proof that a host still lets
//! its owner in, after sshd or the firewall changed, is to call it a second time while the first session stays open.
//!
//! ```no_run
//! use factoryup::dialog::Silent;
//! use factoryup::transport::{Ssh, SshOptions, Transport};
//! let mut options = SshOptions::new("203.0.113.7", "/home/me/.local/state/factoryup/acme/known_hosts");
//! options.users = vec!["operator".into(), "root".into()];
//! let mut ssh = Ssh::new(options, &Silent)?;
//! let mut session = ssh.connect()?;
//! let exit = session.exec("sh -s", b"echo hello", None, &mut |line| assert_eq!(line, "hello"))?;
//! assert!(exit.success());
//! let proof = ssh.connect()?;
//! # Ok::<(), factoryup::Error>(())
//! ```
//!
//! A command is run by the login user's shell on the host and shows in its process list, so it must hold no secret; what is
//! secret goes through standard input.

use crate::error::Result;
use crate::interrupt::Work;

#[cfg(test)]
#[path = "../../tests/fuzz/transport.rs"]
pub(crate) mod fuzz;

mod auth;
mod candidates;
mod error;
mod fingerprint;
mod host_key;
mod key_file;
mod keywords;
mod known_hosts;
mod last_login;
mod libssh2;
mod local;
mod master;
mod messages;
mod openssh;
mod options;
mod output;
mod process;
mod ssh;
mod ssh_config;

pub use auth::Passphrases;
pub use error::TransportError;
pub use fingerprint::Fingerprint;
pub use local::Local;
pub use options::{ConfigFile, SshOptions, Timeouts, Who};
pub use ssh::Ssh;

/// A way to a host.
pub trait Transport {
    /// Makes a new connection and logs in.
    ///
    /// # Errors
    /// `Unreachable` when nothing answers, or nothing that speaks SSH; `NotPermitted` when the host is not the known one or
    /// refuses the login; `Usage` when a question would have to be asked and nobody is there.
    fn connect(&mut self) -> Result<Box<dyn Session>>;

    /// Tries a login that the host must refuse, with every key at hand.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), but not for a refused login.
    fn attempt(&mut self) -> Result<Attempt>;

    /// Puts a public key of the host on record that its root was asked for in a session before, where the host is known by keys of other
    /// types alone: one of those may be about to go. With a pin, and where the host shows another key of that type, it does nothing.
    ///
    /// # Errors
    /// `CannotWrite` when it cannot be put on record, `Data` when the record cannot be read.
    fn vouch(&mut self, key: &[u8]) -> Result<()>;
}

/// What a host answered to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The login worked.
    LoggedIn,
    /// The host refused it.
    Refused {
        /// The methods that the host offers, comma-separated.
        offered: String,
        /// Each key that was tried, and the result.
        tried: Vec<String>,
    },
}

/// One connection, logged in.
pub trait Session: Send {
    /// Runs `command` with `stdin` as its standard input, to its end.
    ///
    /// When the process is [interrupted](crate::interrupt), the command goes on. It runs a second time in parallel, with `stop`
    /// as its standard input, until that ends with exit code 0: this is how the first is asked to stop.
    ///
    /// `on_line` gets every line of its standard output as it comes, without the line ending; what is not UTF-8 is replaced by
    /// U+FFFD, and control characters are kept: whoever shows a line to a person strips them
    /// ([`plain`](crate::dialog::plain)). A command that fails is no error of this call.
    ///
    /// The command has a [budget](crate::budget::Budget::HOST): what never ends, or drips, is given up. With `stop` it has more time.
    ///
    /// # Errors
    /// `CutShort` if the connection is lost before the command's end is known, or the command takes too long; it may still be running.
    /// `Data` if it says too much.
    fn exec(
        &mut self,
        command: &str,
        stdin: &[u8],
        stop: Option<Stop<'_>>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Exit>;

    /// The user that is logged in.
    fn user(&self) -> &str;
}

/// How a command is asked to stop when the process is interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Stop<'a> {
    /// The standard input of the second run.
    pub stdin: &'a [u8],
    /// Told once the command knows.
    pub work: &'a Work,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code or signal.
    pub status: Status,
    /// The end of its standard error, 64 KiB at most, control characters removed.
    pub stderr: String,
}

impl Exit {
    /// Whether it ended with exit code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == Status::Code(0)
    }
}

/// An exit code or a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Exit code, 0 to 255.
    Code(i32),
    /// Name of the signal that ended it, without `SIG`, such as `KILL`.
    Signal(String),
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(name) => write!(f, "signal {name}"),
        }
    }
}
