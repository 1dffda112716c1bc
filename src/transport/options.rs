//! Where to log in, as whom, with what, and how long that may take.

use std::path::PathBuf;
use std::time::Duration;

use super::fingerprint::Fingerprint;
use crate::budget::Budget;

/// Which ssh configuration applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigFile {
    /// The user's and the system's, as for `ssh`.
    #[default]
    Default,
    /// None.
    Ignore,
    /// This one alone, as for `ssh -F`.
    Path(PathBuf),
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TCP connection, per address: 10 s.
    pub connect: Duration,
    /// For the key exchange, and for each step of the login: 30 s.
    pub handshake: Duration,
    /// After this much silence the host is asked whether it is still there; at least 2 s: 15 s.
    pub keepalive: Duration,
    /// After this much silence a connection counts as lost: 60 s.
    pub silence: Duration,
    /// For a program that only looks, from its start to its end: [`Budget::QUESTION`].
    pub question: Duration,
    /// For a program that makes changes and can be asked to stop: [`Budget::HOST`].
    pub work: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let s = Duration::from_secs;
        let (question, work) = (Budget::QUESTION.time, Budget::HOST.time);
        Self { connect: s(10), handshake: s(30), keepalive: s(15), silence: s(60), question, work }
    }
}

impl Timeouts {
    /// What a command may cost that can be asked to stop, or cannot.
    pub(super) const fn budget(&self, can_stop: bool) -> Budget {
        Budget { time: if can_stop { self.work } else { self.question }, ..Budget::HOST }
    }
}

/// Where to log in, and with what.
#[derive(Clone, Debug)]
pub struct SshOptions {
    /// Host name, address, or an alias from the ssh configuration.
    pub host: String,
    /// Port; none for what the configuration says, which is 22 without one.
    pub port: Option<u16>,
    /// Users to try in order; none for what the configuration says.
    pub users: Vec<String>,
    /// Whether the user of `ssh HOST` is tried, too: after the first of `users`, or last if the configuration does not name one.
    pub configured_user: bool,
    /// Whether the user of the last login is tried first.
    pub last_user_first: bool,
    /// A key to log in with before the agent's and those of the configuration.
    pub identity: Option<PathBuf>,
    /// Public keys, as lines of `authorized_keys`, that are tried before others.
    pub authorized_keys: Vec<String>,
    /// Where the last login that worked is kept; none for nowhere.
    pub last_login: Option<PathBuf>,
    /// The host key's fingerprint, when it is known beforehand.
    pub host_key: Option<Fingerprint>,
    /// factoryup's own known hosts: read before the user's, and the only file that is written.
    pub known_hosts: PathBuf,
    /// Which ssh configuration applies.
    pub config: ConfigFile,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl SshOptions {
    /// Options with defaults for all but the host and factoryup's own known hosts.
    #[must_use]
    pub fn new(host: impl Into<String>, known_hosts: impl Into<PathBuf>) -> Self {
        Self {
            host: host.into(),
            port: None,
            users: Vec::new(),
            configured_user: false,
            last_user_first: false,
            identity: None,
            authorized_keys: Vec::new(),
            last_login: None,
            host_key: None,
            known_hosts: known_hosts.into(),
            config: ConfigFile::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Whom to log in as.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// The first of these that the host lets in. The user of the last login comes first, and that of `ssh HOST` is among
    /// them.
    Any(&'a [String]),
    /// The same, and the user of the last login has no precedence.
    InOrder(&'a [String]),
    /// This user and no other.
    Only(&'a str),
}

impl SshOptions {
    /// The same for this login.
    #[must_use]
    pub fn logging_in(self, who: &Who<'_>) -> Self {
        let (users, last_user_first, configured_user) = match who {
            Who::Any(users) => (users.to_vec(), true, true),
            Who::InOrder(users) => (users.to_vec(), false, true),
            Who::Only(user) => (vec![(*user).to_owned()], false, false),
        };
        Self { users, configured_user, last_user_first, ..self }
    }
}
