//! The system's ssh client, for what libssh2 cannot do.
//!
//! Each login is a connection of its own, which the commands of its session share; see [`Master`].

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::candidates::{Rank, Source, Wanted};
use super::error::{TransportError, reason};
use super::fingerprint::Fingerprint;
use super::host_key::HostKey;
use super::key_file::kind_of;
use super::master::{HOLD, Master, Started, socket_in};
use super::messages::{
    CLIENT_FAILED, SHARING, accepted, failure, is_closed, is_of_client, last_message, of_host, refused,
};
use super::options::SshOptions;
use super::ssh_config::{Agent, SshConfig, arguments};
use super::{Exit, Session, Status, Stop, process};
use crate::budget::{Budget, Exceeded};
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::private;

/// The client as it is called for one host.
#[derive(Clone, Debug)]
pub(super) struct Client {
    options: SshOptions,
    known_hosts: Vec<PathBuf>,
    address: String,
    /// Whether a program is asked for host keys.
    asks_for_host_keys: bool,
    /// Key files in the order in which they are tried, as ssh's configuration writes them; none for the configuration's own.
    identities: Vec<String>,
    /// The same for the key of the last login, if the agent's other keys would be tried before it.
    last: Option<String>,
    /// Private: public keys that name the agent's, and the socket of the connection.
    folder: Option<Arc<TempDir>>,
}

impl Client {
    pub(super) fn new(options: &SshOptions, config: &SshConfig, wanted: Wanted<'_>) -> Self {
        let known_hosts = [&options.known_hosts].into_iter().chain(&config.known_hosts).map(|file| {
            // ssh would look for a relative path elsewhere than factoryup does.
            std::path::absolute(file).unwrap_or_else(|_| file.clone())
        });
        // Without a directory for itself it connects for each command, and takes the keys as they come.
        let folder = private::directory("fu").ok().map(Arc::new);
        let (last, identities) = identities(config, wanted, folder.as_deref());
        Self {
            known_hosts: known_hosts.collect(),
            address: format!("{}:{}", config.host, config.port),
            asks_for_host_keys: config.asks_for_host_keys,
            identities,
            last,
            options: options.clone(),
            folder,
        }
    }

    /// The host as it was given.
    pub(super) fn host(&self) -> &str {
        &self.options.host
    }

    /// The client's call up to the command. It asks nothing and forwards nothing.
    fn call<S: AsRef<OsStr>>(&self, user: &str, known_hosts: &[PathBuf], settings: &[S]) -> Command {
        self.complete(arguments(&self.options, Some(user)), known_hosts, settings, &self.identities)
    }

    fn complete<S: AsRef<OsStr>>(
        &self,
        mut command: Command,
        known_hosts: &[PathBuf],
        settings: &[S],
        identities: &[String],
    ) -> Command {
        for setting in settings {
            command.arg("-o").arg(setting);
        }
        // The first value that ssh sees for a setting is the one that counts.
        let timeouts = self.options.timeouts;
        let files = known_hosts.iter().map(|file| quoted(&file.display().to_string().replace('%', "%%")));
        let own = [
            format!("UserKnownHostsFile={}", files.collect::<Vec<_>>().join(" ")),
            format!("ConnectTimeout={}", timeouts.connect.as_secs().max(1)),
            format!("ServerAliveInterval={}", timeouts.keepalive.as_secs().max(1)),
            format!(
                "ServerAliveCountMax={}",
                (timeouts.silence.as_secs() / timeouts.keepalive.as_secs().max(1)).max(1)
            ),
        ];
        let identities: Vec<_> = identities.iter().map(|file| format!("IdentityFile={}", quoted(file))).collect();
        let own = own.iter().chain(&identities).map(String::as_str);
        for setting in own.chain([
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "HashKnownHosts=no",
            "VisualHostKey=no",
            "AddKeysToAgent=no",
            "ControlMaster=no",
            "ControlPath=none",
            "ControlPersist=no",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "Tunnel=no",
            "EscapeChar=none",
            "LogLevel=ERROR",
        ]) {
            command.args(["-o", setting]);
        }
        command.args(["--", &self.options.host]);
        command
    }

    /// Asks the host for its key without logging in. `algorithms` is a list of host key algorithms to choose from, if not any.
    pub(super) fn host_key(&self, user: &str, algorithms: Option<&str>) -> Result<HostKey> {
        let cannot = |e: std::io::Error| {
            Error::new(Kind::CannotWrite, format!("cannot create a temporary directory: {}", reason(&e)))
        };
        let folder = private::directory("factoryup-").map_err(cannot)?;
        let file = folder.path().join("known_hosts");
        let algorithms = algorithms.map(|list| format!("HostKeyAlgorithms={list}"));
        let mut settings =
            vec!["StrictHostKeyChecking=accept-new", "GlobalKnownHostsFile=/dev/null", "PreferredAuthentications=none"];
        if self.asks_for_host_keys {
            settings.push("KnownHostsCommand=none");
        }
        settings.extend(algorithms.as_deref());
        let mut command = self.call(user, std::slice::from_ref(&file), &settings);
        let budget = crate::budget::Budget { time: self.login_limit(), ..self.options.timeouts.budget(false) };
        let (_, stderr) = process::run(command.arg("true"), &[], budget, &mut |_| ()).map_err(|e| self.not_run(&e))?;
        let text = crate::budget::read_text(&file).unwrap_or_default();
        let blob = text.split_whitespace().nth(2).and_then(|blob| STANDARD.decode(blob).ok());
        blob.map(|blob| HostKey::new(&blob)).ok_or_else(|| failure(self.host(), &self.address, &stderr).into())
    }

    /// Logs in as the first user that the host lets in.
    pub(super) fn log_in(&self, users: &[String]) -> Result<LoggedIn, TransportError> {
        let (mut offered, mut tried, mut said) = (String::new(), Vec::new(), Vec::new());
        for (index, user) in users.iter().enumerate() {
            // ssh tries an agent's other keys before a key in a file, and the host counts them.
            let known = self.last.as_ref().map(|file| self.begin(user, Some(file))).transpose()?;
            let begun = known.filter(Begun::is_in).map_or_else(|| self.begin(user, None), Ok)?;
            let is_in = begun.is_in();
            let Begun { messages, said: words, key, master, .. } = begun;
            if is_in {
                let session = Box::new(ClientSession { client: self.clone(), user: user.clone(), master });
                return Ok(LoggedIn { index, key, session });
            }
            // A host can take the key, say something, and close the connection all the same.
            let closed = is_closed(&messages) && !words.is_empty();
            match refused(&messages) {
                Some(methods) => methods.clone_into(&mut offered),
                None if closed => "nothing".clone_into(&mut offered),
                None => return Err(failure(self.host(), &self.address, &messages)),
            }
            said.extend(words);
            let last = last_message(&messages);
            if !tried.contains(&last) {
                tried.push(last);
            }
        }
        said.dedup();
        let hints = vec![
            format!(
                "check the output of `ssh -v {}`; add keys with a passphrase to ssh-agent (`ssh-add`)",
                self.options.host
            ),
            "or add your public key to ~/.ssh/authorized_keys on the host (`ssh-copy-id`, or the provider's console)"
                .into(),
        ];
        let (address, users) = (self.address.clone(), users.into());
        Err(TransportError::Login { address, users, offered, tried: tried.into(), said: said.into(), hints })
    }

    /// Begins a session: with a connection that it can share, or with how the client ended.
    fn begin(&self, user: &str, only: Option<&String>) -> Result<Begun, TransportError> {
        let Some(folder) = &self.folder else {
            // What the host says before a login is of this level.
            let mut command = self.call(user, &self.known_hosts, &["LogLevel=INFO"]);
            let (status, messages) = self.brief(command.arg("true"))?;
            return Ok(Begun { status, said: of_host(&messages), messages, ..Begun::default() });
        };
        // The key that the host accepts is of this one.
        let mut settings = vec!["LogLevel=DEBUG1".to_owned()];
        let identities = only.map_or(&*self.identities, std::slice::from_ref);
        if only.is_some() {
            settings.push("IdentitiesOnly=yes".to_owned());
        }
        let socket = socket_in(folder);
        if let Some(socket) = &socket {
            settings.extend(["ControlMaster=yes".to_owned(), control_path(socket)]);
        }
        // With its own messages in a file, what is left is the host's.
        let log = folder.path().join("log");
        let _ = fs::remove_file(&log);
        let mut command = arguments(&self.options, Some(user));
        command.arg("-E").arg(&log);
        let mut command = self.complete(command, &self.known_hosts, &settings, identities);
        command.arg(if socket.is_some() { HOLD } else { "true" });
        let limit = self.login_limit();
        let (status, said) = match Master::start(command, socket, folder, limit).map_err(|e| self.not_run(&e))? {
            Started::Connected(master) => {
                let key = accepted(&crate::budget::read_text(&log).unwrap_or_default());
                return Ok(Begun { key, master: Some(master), ..Begun::default() });
            }
            Started::Ended(status, stderr) => (process::status(status), stderr),
            Started::TooLong(stderr) => {
                let last = stderr.lines().last().map(|line| format!(" ({line})")).unwrap_or_default();
                let reason = format!("no login within {} s{last}", limit.as_secs_f32());
                return Err(TransportError::Connect { address: self.address.clone(), reason, refused: false });
            }
        };
        let own = plain(&crate::budget::read_text(&log).unwrap_or_default());
        let lines = said.lines().chain(own.lines().filter(|line| !line.starts_with("debug")));
        let messages = lines.collect::<Vec<_>>().join("\n");
        Ok(Begun { status, messages, said: of_host(&said), key: accepted(&own), master: None })
    }

    /// Runs the client for no longer than a login takes.
    fn brief(&self, command: &mut Command) -> Result<(Status, String), TransportError> {
        let budget = Budget { time: self.login_limit(), ..self.options.timeouts.budget(false) };
        let run = process::run(command, &[], budget, &mut |_| ()).map_err(|e| self.not_run(&e))?;
        Ok((process::status(run.0), run.1))
    }

    /// How long a login may take: a connection, the key exchange, and the login itself, which may wait for a touch.
    fn login_limit(&self) -> Duration {
        self.options.timeouts.connect + self.options.timeouts.handshake * 2
    }

    fn not_run(&self, error: &std::io::Error) -> TransportError {
        if let Some(limit) = Exceeded::of(error) {
            return TransportError::Budget { address: self.address.clone(), limit };
        }
        TransportError::Client { address: self.options.host.clone(), reason: reason(error) }
    }
}

/// A login that worked.
pub(super) struct LoggedIn {
    /// The user's place in the list.
    pub(super) index: usize,
    /// The key, if it is known.
    pub(super) key: Option<Fingerprint>,
    pub(super) session: Box<dyn Session>,
}

/// How a session began.
struct Begun {
    status: Status,
    /// The client's messages.
    messages: String,
    /// The host's words.
    said: Vec<String>,
    /// The last key that the host accepted.
    key: Option<Fingerprint>,
    master: Option<Master>,
}

impl Begun {
    /// Whether the login worked: any other code is that of the command, or of the user's shell.
    fn is_in(&self) -> bool {
        self.master.is_some() || self.status != CLIENT_FAILED
    }
}

impl Default for Begun {
    fn default() -> Self {
        Self { status: Status::Code(0), messages: String::new(), said: Vec::new(), key: None, master: None }
    }
}

/// The key of the last login if it needs a login of its own, and the key files for the client if they are not those of the configuration
/// alone. A public key names one that the agent holds.
fn identities(config: &SshConfig, wanted: Wanted<'_>, folder: Option<&TempDir>) -> (Option<String>, Vec<String>) {
    let mut first: Vec<String> = wanted.identity.map(absolute).into_iter().collect();
    let session = ssh2::Session::new().ok().filter(|_| config.agent != Agent::None && !config.identities_only);
    let mut agent = session.and_then(|session| session.agent().ok());
    if let (Some(agent), Agent::At(socket)) = (&mut agent, &config.agent) {
        let _ = agent.set_identity_path(socket);
    }
    let mut last = None;
    let candidates = wanted.candidates(config, agent.as_mut()).list;
    let is_crowded = candidates.iter().any(|one| one.rank != Rank::Last && matches!(one.source, Source::Agent(_)));
    for (index, one) in candidates.iter().filter(|one| one.rank <= Rank::Wanted).enumerate() {
        let file = match (&one.source, folder) {
            (Source::File(file), _) => absolute(&file.path),
            (Source::Agent(identity), Some(folder)) => {
                let (path, blob) = (folder.path().join(format!("{index}.pub")), identity.blob());
                let line = format!("{} {}\n", kind_of(blob).unwrap_or_default(), STANDARD.encode(blob));
                if fs::write(&path, line).is_err() {
                    continue;
                }
                absolute(&path)
            }
            (Source::Agent(_), None) => continue,
        };
        if one.rank == Rank::Last && last.is_none() {
            last = Some(file.clone());
            first.retain(|other| *other != file);
            first.insert(0, file);
        } else if !first.contains(&file) {
            first.push(file);
        }
    }
    // A list here replaces the usual files.
    if !first.is_empty() {
        let all = config.identity_texts.iter().zip(&config.identity_files);
        // ssh complains of a file that it was told of and that is not there.
        let there = all.filter(|(text, path)| text.contains(['%', '$']) || path.exists());
        first.extend(there.map(|(text, _)| text.clone()));
    }
    (last.filter(|_| is_crowded), first)
}

/// A path of this machine where ssh expands what begins with `%`.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string().replace('%', "%%")
}

/// The setting that names a connection's socket.
fn control_path(socket: &Path) -> String {
    format!("ControlPath={}", quoted(&absolute(socket)))
}

/// A word of ssh's configuration.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

struct ClientSession {
    client: Client,
    user: String,
    /// The connection, where the host keeps one open.
    master: Option<Master>,
}

impl Session for ClientSession {
    fn exec(
        &mut self,
        command: &str,
        stdin: &[u8],
        stop: Option<Stop<'_>>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Exit> {
        let client = &self.client;
        let path = self.master.as_ref().map_or_else(|| "ControlPath=none".to_owned(), |one| control_path(one.socket()));
        let call = || {
            let mut call = client.call(&self.user, &client.known_hosts, &[&path]);
            call.arg(command);
            call
        };
        let run = process::run_until(&call, stdin, stop, &client.options.timeouts, on_line);
        let (status, stderr) = run.map_err(|e| client.not_run(&e))?;
        let status = process::status(status);
        // A client whose connection is gone ends like this without a word.
        let lost = status == CLIENT_FAILED && self.master.as_ref().is_some_and(Master::is_gone);
        if lost || is_of_client(&status, &stderr) {
            let (address, reason) = (client.address.clone(), last_message(&stderr));
            return Err(TransportError::Cut { address, doing: "while a command was running", reason }.into());
        }
        // A host that allows one session per connection gets a second connection, which is no failure.
        let of_command = stderr.lines().filter(|line| !line.starts_with(SHARING));
        Ok(Exit { status, stderr: of_command.collect::<Vec<_>>().join("\n") })
    }

    fn user(&self) -> &str {
        &self.user
    }
}
