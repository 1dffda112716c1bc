//! SSH to one host: which backend, which user, which host key.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::auth::{LoginKeys, Refusal};
use super::error::TransportError;
use super::host_key::{Fingerprint, HostKey, Judge};
use super::known_hosts::{KINDS, KnownHost};
use super::libssh2::Connection;
use super::openssh::Client;
use super::ssh_config::SshConfig;
use super::{Attempt, Session, Transport};
use crate::budget::Budget;
use crate::dialog::Dialog;
use crate::error::Result;
use crate::secret::Secret;

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
    /// The one key to log in with; none for the agent's and those of the configuration.
    pub identity: Option<PathBuf>,
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
            identity: None,
            host_key: None,
            known_hosts: known_hosts.into(),
            config: ConfigFile::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// SSH to one host. It remembers what has worked: the backend, the user, passphrases.
pub struct Ssh<'d> {
    options: SshOptions,
    config: SshConfig,
    users: Vec<String>,
    /// Why the system's ssh client is used instead of libssh2.
    client_because: Option<String>,
    passphrases: HashMap<PathBuf, Secret>,
    /// The last login, if the host refused it.
    refused: Option<Attempt>,
    dialog: &'d dyn Dialog,
}

impl<'d> Ssh<'d> {
    /// Reads the configuration for the host; connects to nothing. `user@host` puts that user first.
    ///
    /// # Errors
    /// `Usage` when the host's name cannot be one, `Data` when ssh cannot read its configuration.
    pub fn new(mut options: SshOptions, dialog: &'d dyn Dialog) -> Result<Self> {
        if let Some((user, host)) = options.host.clone().rsplit_once('@') {
            host.clone_into(&mut options.host);
            options.users.insert(0, user.to_owned());
        }
        let unbracketed = options.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
        options.host = unbracketed.unwrap_or(options.host);
        for name in options.users.iter().chain([&options.host]) {
            if name.is_empty() || name.starts_with('-') || name.contains(|c: char| c.is_whitespace() || c.is_control())
            {
                return Err(TransportError::Destination(name.clone()).into());
            }
        }
        let config = SshConfig::resolve(&options)?;
        let users = if options.users.is_empty() { vec![config.user.clone()] } else { options.users.clone() };
        let mut ssh =
            Self { options, config, users, client_because: None, passphrases: HashMap::new(), refused: None, dialog };
        ssh.client_because = ssh.config.needs_client.clone();
        if let Some(entry) = ssh.known()?.authority() {
            ssh.client_because.get_or_insert(format!(
                "@cert-authority on line {} of {}",
                entry.line,
                entry.file.display()
            ));
        }
        Ok(ssh)
    }

    /// Why the system's ssh client is used; none while libssh2 is.
    #[must_use]
    pub fn uses_client_because(&self) -> Option<&str> {
        self.client_because.as_deref()
    }

    fn known(&self) -> Result<KnownHost> {
        let files: Vec<_> = [&self.options.known_hosts].into_iter().chain(&self.config.known_hosts).cloned().collect();
        let (host, port) = &self.config.known_as;
        KnownHost::look_up(&files, host, *port)
    }

    fn connect_client(&mut self, because: &str) -> Result<Box<dyn Session>> {
        if which::which("ssh").is_err() {
            return Err(TransportError::NoClient { host: self.options.host.clone(), reason: because.to_owned() }.into());
        }
        let known = self.known()?;
        let client = Client::new(&self.options, &self.config);
        let user = self.users[0].clone();
        if !known.is_known() && known.authority().is_none() || self.options.host_key.is_some() {
            let key = client.host_key(&user, None)?;
            self.accept(&known, ((), key), |algorithms| Some(((), client.host_key(&user, Some(algorithms)).ok()?)))?;
        }
        let (index, session) = client.log_in(&self.users).map_err(|error| self.note_refusal(error))?;
        self.prefer(index);
        Ok(session)
    }

    /// Connects through libssh2 and tries each user on a connection of its own: a server counts failures per connection.
    fn connect_libssh2(&mut self) -> Result<Box<dyn Session>, ConnectFailure> {
        let mut refused = Refusal::default();
        let mut address = String::new();
        for index in 0..self.users.len() {
            let connection = self.open()?;
            connection.address().clone_into(&mut address);
            let user = self.users[index].clone();
            let mut keys = LoginKeys {
                config: &self.config,
                named: self.options.identity.is_some(),
                passphrases: &mut self.passphrases,
                dialog: self.dialog,
            };
            match keys.log_in(&connection.session, &user).map_err(ConnectFailure::Final)? {
                None => {
                    self.prefer(index);
                    return Ok(connection.logged_in(&user));
                }
                Some(refusal) => refused.add(refusal),
            }
        }
        let Refusal { offered, tried, mut hints, needs_client } = refused;
        if hints.is_empty() {
            hints.push("choose the private key with --identity FILE".into());
            hints.push(format!(
                "or add your public key to ~/.ssh/authorized_keys of {} on the host (`ssh-copy-id`, or the provider's console)",
                self.users.join(" or ")
            ));
        }
        let error = TransportError::Login { address, users: self.users.clone(), offered, tried, hints };
        let error = self.note_refusal(error).into();
        Err(match needs_client {
            Some(because) => ConnectFailure::ClientMay { because, error },
            None => ConnectFailure::Final(error),
        })
    }

    /// A connection to the host, whose key was accepted.
    fn open(&self) -> Result<Connection, ConnectFailure> {
        let known = self.known().map_err(ConnectFailure::Final)?;
        let connect = |algorithms: &str| {
            let connection = Connection::open(&self.config, self.options.timeouts, algorithms)?;
            let key = connection.host_key()?;
            Ok::<_, TransportError>((connection, key))
        };
        let first = connect(&known.preferred())?;
        self.accept(&known, first, |algorithms| connect(algorithms).ok()).map_err(ConnectFailure::Final)
    }

    /// Decides about the host's key. A host has several, and a pin may be that of another one than it shows first; so with a pin
    /// the others are looked at, too, through `connect`, which takes a list of host key algorithms.
    fn accept<T>(
        &self,
        known: &KnownHost,
        (connection, key): (T, HostKey),
        mut connect: impl FnMut(&str) -> Option<(T, HostKey)>,
    ) -> Result<T> {
        let judge = Judge {
            known,
            pinned: self.options.host_key,
            strict: self.config.strict,
            file: &self.options.known_hosts,
            dialog: self.dialog,
        };
        let refusal = match judge.decide(&key) {
            Ok(()) => return Ok(connection),
            Err(refusal) => refusal,
        };
        if judge.pinned.is_some_and(|pinned| pinned != key.fingerprint()) && !judge.contradicted(&key) {
            for (_, algorithms) in KINDS.iter().filter(|(kind, _)| *kind != key.kind) {
                match connect(algorithms) {
                    Some((connection, other)) if judge.pinned == Some(other.fingerprint()) => {
                        return judge.decide(&other).map(|()| connection);
                    }
                    _ => {}
                }
            }
        }
        Err(refusal)
    }

    /// Remembers a refused login, of which an error is only text.
    fn note_refusal(&mut self, error: TransportError) -> TransportError {
        if let TransportError::Login { offered, tried, .. } = &error {
            self.refused = Some(Attempt::Refused { offered: offered.clone(), tried: tried.clone() });
        }
        error
    }

    /// Tries this user first from now on.
    fn prefer(&mut self, index: usize) {
        self.users[..=index].rotate_right(1);
    }
}

/// Why libssh2 did not get in.
enum ConnectFailure {
    /// The system's client may be able to.
    ClientMay {
        because: String,
        error: crate::Error,
    },
    Final(crate::Error),
}

impl From<TransportError> for ConnectFailure {
    fn from(error: TransportError) -> Self {
        match &error {
            TransportError::KeyExchange { reason, .. } => {
                Self::ClientMay { because: format!("key exchange: {reason}"), error: error.into() }
            }
            _ => Self::Final(error.into()),
        }
    }
}

impl Transport for Ssh<'_> {
    fn connect(&mut self) -> Result<Box<dyn Session>> {
        if let Some(because) = self.client_because.clone() {
            return self.connect_client(&because);
        }
        match self.connect_libssh2() {
            Ok(session) => Ok(session),
            Err(ConnectFailure::Final(error)) => Err(error),
            Err(ConnectFailure::ClientMay { because, error }) => {
                if which::which("ssh").is_err() {
                    return Err(error.hint("install openssh-client, which supports it"));
                }
                let session = self.connect_client(&because)?;
                self.dialog.note(&format!("Using the system's ssh for this host ({because})."));
                self.client_because = Some(because);
                Ok(session)
            }
        }
    }

    fn attempt(&mut self) -> Result<Attempt> {
        self.refused = None;
        match self.connect() {
            Ok(_) => Ok(Attempt::LoggedIn),
            Err(error) => self.refused.take().ok_or(error),
        }
    }
}
