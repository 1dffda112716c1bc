//! SSH to one host: which backend, which user, which host key.

use std::collections::HashMap;

use super::auth::{Login, LoginKeys, Passphrases, Refusal};
use super::candidates::{Wanted, certificate};
use super::error::TransportError;
use super::fingerprint::Fingerprint;
use super::host_key::{HostKey, Judge};
use super::key_file::public_line;
use super::known_hosts::{KINDS, KeyStatus, KnownHost};
use super::last_login::LastLogin;
use super::libssh2::Connection;
use super::openssh::{Client, LoggedIn};
use super::options::SshOptions;
use super::ssh_config::SshConfig;
use super::{Attempt, Session, Transport};
use crate::dialog::Dialog;
use crate::error::Result;

/// SSH to one host. It remembers what has worked: the backend, the user, the key, passphrases.
pub struct Ssh<'d> {
    options: SshOptions,
    /// For the user that was to be tried first.
    config: SshConfig,
    first: String,
    users: Vec<String>,
    /// For others, once they are tried: `Match user` can say something else of each.
    others: HashMap<String, SshConfig>,
    /// The user that `ssh HOST` would log in as.
    configured: String,
    /// Blobs of the keys that are tried first.
    keys: Vec<Vec<u8>>,
    last: LastLogin,
    /// Why the system's ssh client is used instead of libssh2.
    client_because: Option<String>,
    passphrases: Passphrases,
    /// The last login, if the host refused it, and what the host said.
    refused: Option<(Attempt, Vec<String>)>,
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
        let of_host = format!("{}:{}", options.host, options.port.unwrap_or_default());
        let last = LastLogin::read(options.last_login.clone(), &of_host);
        let (users, mut config) = choose(&options, &last)?;
        let configured = if options.configured_user { &config.user } else { &users[users.len() - 1] }.clone();
        if config.user != users[0] {
            config = SshConfig::resolve(&options, Some(&users[0]))?;
        }
        let keys = options.authorized_keys.iter().filter_map(|line| public_line(line)).collect();
        let mut ssh = Self {
            first: users[0].clone(),
            options,
            config,
            users,
            configured,
            keys,
            last,
            client_because: None,
            passphrases: Passphrases::default(),
            others: HashMap::new(),
            refused: None,
            dialog,
        };
        let before = ssh.last.get().and_then(|login| login.client.clone()).filter(|_| which::which("ssh").is_ok());
        ssh.client_because = ssh.needs_client()?.or(before);
        Ok(ssh)
    }

    /// The same with passphrases that another login has asked for.
    #[must_use]
    pub fn knowing(self, passphrases: &Passphrases) -> Self {
        Self { passphrases: passphrases.clone(), ..self }
    }

    /// Why libssh2 need not be tried, as far as configuration and files say.
    fn needs_client(&self) -> Result<Option<String>> {
        if let Some(because) = &self.config.needs_client {
            return Ok(Some(because.clone()));
        }
        if let Some(entry) = self.known()?.authority() {
            return Ok(Some(format!("@cert-authority on line {} of {}", entry.line, entry.file.display())));
        }
        let keys = self.options.identity.iter().chain(&self.config.identity_files);
        Ok(certificate(keys).filter(|_| which::which("ssh").is_ok()))
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

    fn connect_client(&mut self, because: &str, users: &[String]) -> Result<Box<dyn Session>> {
        if which::which("ssh").is_err() {
            return Err(TransportError::NoClient { host: self.options.host.clone(), reason: because.to_owned() }.into());
        }
        let (known, client) = (self.known()?, self.client());
        let unknown = !known.is_known() && known.authority().is_none() && !self.config.asks_for_host_keys;
        if unknown || self.options.host_key.is_some() {
            let key = client.host_key(&users[0], None)?;
            self.accept(&known, ((), key), |algorithms| {
                Some(((), client.host_key(&users[0], Some(algorithms)).ok()?))
            })?;
        }
        let LoggedIn { index, key, session } = client.log_in(users).map_err(|error| self.note_refusal(error))?;
        // What the configuration says is looked up again in the next run.
        let found_out = self.needs_client()?.is_none().then_some(because);
        self.learn(&users[index], key, found_out);
        Ok(session)
    }

    fn client(&self) -> Client {
        let last = self.last.get().and_then(|login| login.key.clone());
        let wanted = Wanted { identity: self.options.identity.as_deref(), last: last.as_deref(), keys: &self.keys };
        Client::new(&self.options, &self.config, wanted)
    }

    /// Connects through libssh2 and tries each user on a connection of its own: a server counts failures per connection.
    fn connect_libssh2(&mut self) -> Result<Box<dyn Session>, ConnectFailure> {
        let mut refused = Refusal::default();
        let mut address = format!("{}:{}", self.config.host, self.config.port);
        let last = self.last.get().and_then(|login| login.key.clone());
        for user in self.users.clone() {
            let config = self.config_of(&user).map_err(ConnectFailure::Final)?;
            if let Some(because) = config.needs_client {
                refused.needs_client.get_or_insert(because);
                continue;
            }
            let connection = self.open()?;
            connection.address().clone_into(&mut address);
            let wanted = Wanted { identity: self.options.identity.as_deref(), last: last.as_deref(), keys: &self.keys };
            let mut keys = LoginKeys { config: &config, wanted, passphrases: &self.passphrases, dialog: self.dialog };
            match keys.log_in(&connection.session, &user).map_err(ConnectFailure::Final)? {
                Login::In(key) => {
                    self.learn(&user, key, None);
                    return Ok(connection.logged_in(&user));
                }
                Login::Refused(refusal) => refused.add(refusal),
            }
        }
        Err(ConnectFailure::Refused(address, Box::new(refused)))
    }

    fn config_of(&mut self, user: &str) -> Result<SshConfig> {
        if user == self.first {
            return Ok(self.config.clone());
        }
        if let Some(config) = self.others.get(user) {
            return Ok(config.clone());
        }
        let config = SshConfig::resolve(&self.options, Some(user))?;
        self.others.insert(user.to_owned(), config.clone());
        Ok(config)
    }

    /// What has worked comes first from now on.
    fn learn(&mut self, user: &str, key: Option<Fingerprint>, client: Option<&str>) {
        if let Some(index) = self.users.iter().position(|known| known == user) {
            self.users[..=index].rotate_right(1);
        }
        self.last.keep(user, key, client);
    }

    /// What libssh2 found out, as an error.
    fn refusal(&mut self, address: String, refused: Refusal, said: Vec<String>) -> TransportError {
        let Refusal { offered, tried, mut hints, said: mut words, needs_client: _ } = refused;
        // The client hears more of it, and writes control characters as text.
        if !said.is_empty() {
            words = said;
        }
        if !words.is_empty() {
            hints.insert(0, format!("do what the host says, or check the output of `ssh {}`", self.options.host));
        } else if hints.is_empty() {
            hints.push("choose the private key with --identity FILE".into());
            hints.push(format!(
                "or add your public key to ~/.ssh/authorized_keys of {} on the host (`ssh-copy-id`, or the provider's console)",
                self.users.join(" or ")
            ));
        }
        let (users, tried, said) = (self.users.clone().into(), tried.into(), words.into());
        self.note_refusal(TransportError::Login { address, users, offered, tried, said, hints })
    }

    /// Logs in through libssh2, and through the client where that may do better.
    fn log_in(&mut self, thorough: bool) -> Result<Box<dyn Session>> {
        if let Some(because) = self.client_because.clone() {
            return self.connect_client(&because, &self.users.clone());
        }
        let (because, users, refused, error) = match self.connect_libssh2() {
            Ok(session) => return Ok(session),
            Err(ConnectFailure::Final(error)) => return Err(error),
            Err(ConnectFailure::ClientMay { because, error }) => (because, self.users.clone(), None, Some(error)),
            Err(ConnectFailure::Refused(address, refused)) => {
                let special = refused.needs_client.clone();
                if which::which("ssh").is_err() || special.is_none() && !thorough {
                    let error = crate::Error::from(self.refusal(address, *refused, Vec::new()));
                    return Err(if special.is_some() { error.hint(INSTALL) } else { error });
                }
                // A guard on the host counts attempts in vain: only the user of `ssh HOST` is worth another one.
                let users = if special.is_some() { self.users.clone() } else { vec![self.configured.clone()] };
                let because = special.unwrap_or_else(|| "libssh2 could not log in".into());
                (because, users, Some((address, *refused)), None)
            }
        };
        if let Some(error) = error.filter(|_| which::which("ssh").is_err()) {
            return Err(error.hint(INSTALL));
        }
        self.refused = None;
        match self.connect_client(&because, &users) {
            Ok(session) => {
                self.dialog.note(&format!("Using the system's ssh for this host ({because})."));
                self.client_because = Some(because);
                Ok(session)
            }
            Err(error) => match refused {
                // libssh2 says more about each key, and the client more about the host.
                Some((address, refused)) => {
                    let said = self.refused.take().map(|(_, said)| said).unwrap_or_default();
                    Err(self.refusal(address, refused, said).into())
                }
                None => Err(error),
            },
        }
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
        if let TransportError::Login { offered, tried, said, .. } = &error {
            let attempt = Attempt::Refused { offered: offered.clone(), tried: tried.to_vec() };
            self.refused = Some((attempt, said.to_vec()));
        }
        error
    }
}

/// The remedy where only the client can log in.
const INSTALL: &str = "install openssh-client, which supports it";

/// The users to try, in order, and the configuration for one of them.
fn choose(options: &SshOptions, last: &LastLogin) -> Result<(Vec<String>, SshConfig)> {
    let mut users = options.users.clone();
    let asked = if options.configured_user { None } else { users.first().map(String::as_str) };
    let config = SshConfig::resolve(options, asked)?;
    if users.is_empty() || options.configured_user && !users.contains(&config.user) {
        // One that the configuration does not name is that of this machine, which few hosts know.
        let place = if config.named_user.is_some() { users.len().min(1) } else { users.len() };
        users.insert(place, config.user.clone());
    }
    let known = last.get().filter(|_| options.last_user_first);
    if let Some(index) = known.and_then(|login| users.iter().position(|user| *user == login.user)) {
        users[..=index].rotate_right(1);
    }
    Ok((users, config))
}

/// Why libssh2 did not log in.
enum ConnectFailure {
    /// The system's client may be able to.
    ClientMay {
        because: String,
        error: crate::Error,
    },
    /// The host at this address refused the login.
    Refused(String, Box<Refusal>),
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
        self.log_in(true)
    }

    fn attempt(&mut self) -> Result<Attempt> {
        self.refused = None;
        // A login that should have been refused is none to remember.
        let last = std::mem::take(&mut self.last);
        let result = self.log_in(false);
        self.last = last;
        match result {
            Ok(_) => Ok(Attempt::LoggedIn),
            Err(error) => self.refused.take().map(|(attempt, _)| attempt).ok_or(error),
        }
    }

    fn vouch(&mut self, key: &[u8]) -> Result<()> {
        let (known, key) = (self.known()?, HostKey::new(key));
        let unknown = known.is_known() && known.judge(&key.kind, &key.blob) == KeyStatus::Unknown;
        // The type is a word of the host's until it is found here.
        let listed = KINDS.iter().find(|(kind, _)| *kind == key.kind);
        let Some((_, algorithms)) = listed.filter(|_| unknown && self.options.host_key.is_none()) else {
            return Ok(());
        };
        // A public key on the host's disk can be out of date, and one on record keeps all others out.
        let shown = match &self.client_because {
            Some(_) => self.client().host_key(&self.users[0], Some(algorithms)).ok(),
            None => Connection::open(&self.config, self.options.timeouts, algorithms).and_then(|c| c.host_key()).ok(),
        };
        if shown.is_some_and(|shown| shown.blob != key.blob) {
            return Ok(());
        }
        known.remember(&self.options.known_hosts, &key.kind, &key.blob)
    }
}
