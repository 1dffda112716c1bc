//! The system's ssh client, for what libssh2 cannot do. Every command is a connection of its own: nothing is multiplexed.

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;

use super::error::{TransportError, reason};
use super::host_key::HostKey;
use super::ssh::SshOptions;
use super::ssh_config::{SshConfig, arguments};
use super::{Exit, Session, Status, Stop, process};
use crate::budget::Exceeded;
use crate::error::{Error, Kind, Result};

/// ssh's exit code for a failure of its own. A command that ends with it, or by a signal, looks the same but for the messages.
const CLIENT_FAILED: Status = Status::Code(255);

/// How ssh's own messages begin, as far as they end a connection.
const CLIENT_MESSAGES: [&str; 14] = [
    "ssh: ",
    "Connection to ",
    "Connection closed by",
    "Connection reset by",
    "client_loop: ",
    "Timeout, server ",
    "kex_exchange_identification: ",
    "ssh_dispatch_run_fatal: ",
    "ssh_packet_",
    "packet_write_wait: ",
    "Received disconnect from ",
    "Disconnected from ",
    "Host key verification failed",
    "stdio forwarding failed",
];

/// The client as it is called for one host.
#[derive(Clone, Debug)]
pub(super) struct Client {
    options: SshOptions,
    known_hosts: Vec<PathBuf>,
    address: String,
}

impl Client {
    pub(super) fn new(options: &SshOptions, config: &SshConfig) -> Self {
        let known_hosts = [&options.known_hosts].into_iter().chain(&config.known_hosts).map(|file| {
            // ssh would look for a relative path elsewhere than factoryup does.
            std::path::absolute(file).unwrap_or_else(|_| file.clone())
        });
        Self {
            known_hosts: known_hosts.collect(),
            address: format!("{}:{}", config.host, config.port),
            options: options.clone(),
        }
    }

    /// The client's call up to the command. It asks nothing, forwards nothing, and shares no connection.
    fn call(&self, user: &str, known_hosts: &[PathBuf], settings: &[&str]) -> Command {
        let mut command = arguments(&self.options, Some(user));
        // The first value that ssh sees for a setting is the one that counts.
        let timeouts = self.options.timeouts;
        let files = known_hosts.iter().map(|file| format!("\"{}\"", file.display().to_string().replace('%', "%%")));
        let own = [
            format!("UserKnownHostsFile={}", files.collect::<Vec<_>>().join(" ")),
            format!("ConnectTimeout={}", timeouts.connect.as_secs().max(1)),
            format!("ServerAliveInterval={}", timeouts.keepalive.as_secs().max(1)),
            format!(
                "ServerAliveCountMax={}",
                (timeouts.silence.as_secs() / timeouts.keepalive.as_secs().max(1)).max(1)
            ),
        ];
        for setting in settings.iter().copied().chain(own.iter().map(String::as_str)).chain([
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "HashKnownHosts=no",
            "ControlMaster=no",
            "ControlPath=none",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "RemoteCommand=none",
            "EscapeChar=none",
            "LogLevel=ERROR",
        ]) {
            command.args(["-o", setting]);
        }
        if self.options.identity.is_some() {
            command.args(["-o", "IdentitiesOnly=yes"]);
        }
        command.args(["--", &self.options.host]);
        command
    }

    /// Asks the host for its key without logging in. `algorithms` is a list of host key algorithms to choose from, if not any.
    pub(super) fn host_key(&self, user: &str, algorithms: Option<&str>) -> Result<HostKey> {
        let cannot = |e: std::io::Error| {
            Error::new(Kind::CannotWrite, format!("cannot create a temporary directory: {}", reason(&e)))
        };
        let folder = tempfile::tempdir().map_err(cannot)?;
        let file = folder.path().join("known_hosts");
        let algorithms = algorithms.map(|list| format!("HostKeyAlgorithms={list}"));
        let mut settings =
            vec!["StrictHostKeyChecking=accept-new", "GlobalKnownHostsFile=/dev/null", "PreferredAuthentications=none"];
        settings.extend(algorithms.as_deref());
        let (_, stderr) =
            self.run(self.call(user, std::slice::from_ref(&file), &settings).arg("true"), &[], &mut |_| ())?;
        let text = crate::budget::read_text(&file).unwrap_or_default();
        let blob =
            text.split_whitespace().nth(2).and_then(|blob| base64::engine::general_purpose::STANDARD.decode(blob).ok());
        blob.map(|blob| HostKey::new(&blob)).ok_or_else(|| self.failure(&stderr).into())
    }

    /// Logs in as the first user that the host lets in: the user's place in the list, and the session.
    pub(super) fn log_in(&self, users: &[String]) -> Result<(usize, Box<dyn Session>), TransportError> {
        let mut offered = String::new();
        let mut tried = Vec::new();
        for (index, user) in users.iter().enumerate() {
            let (status, stderr) = self.run(self.call(user, &self.known_hosts, &[]).arg("true"), &[], &mut |_| ())?;
            // Any other code is that of the command, or of the user's shell; so the login worked.
            if status != CLIENT_FAILED {
                return Ok((index, Box::new(ClientSession { client: self.clone(), user: user.clone() })));
            }
            let Some(methods) = refused(&stderr) else { return Err(self.failure(&stderr)) };
            methods.clone_into(&mut offered);
            let last = stderr.lines().last().unwrap_or_default().to_owned();
            if !tried.contains(&last) {
                tried.push(last);
            }
        }
        let hints = vec![
            format!(
                "check the output of `ssh -v {}`; add keys with a passphrase to ssh-agent (`ssh-add`)",
                self.options.host
            ),
            "or add your public key to ~/.ssh/authorized_keys on the host (`ssh-copy-id`, or the provider's console)"
                .into(),
        ];
        Err(TransportError::Login { address: self.address.clone(), users: users.to_owned(), offered, tried, hints })
    }

    fn run(
        &self,
        command: &mut Command,
        stdin: &[u8],
        on_line: &mut dyn FnMut(&str),
    ) -> Result<(Status, String), TransportError> {
        let (status, stderr) =
            process::run(command, stdin, self.options.timeouts.budget(false), on_line).map_err(|e| self.not_run(&e))?;
        Ok((process::status(status), stderr))
    }

    fn not_run(&self, error: &std::io::Error) -> TransportError {
        if let Some(limit) = Exceeded::of(error) {
            return TransportError::Budget { address: self.address.clone(), limit };
        }
        TransportError::Client { address: self.options.host.clone(), reason: reason(error) }
    }

    /// What ssh's messages mean when nobody was logged in.
    pub(super) fn failure(&self, stderr: &str) -> TransportError {
        let (address, reason) = (self.address.clone(), last_message(stderr));
        let says = |text: &str| stderr.contains(text);
        if says("REMOTE HOST IDENTIFICATION HAS CHANGED")
            && let Some(changed) = self.changed(stderr)
        {
            return changed;
        }
        if says("Could not resolve hostname") {
            return TransportError::Resolve { host: self.options.host.clone(), reason };
        }
        if says("no matching ") || says("Unable to negotiate") {
            return TransportError::KeyExchange { address, reason };
        }
        if says("kex_exchange_identification") || says("banner exchange") {
            return TransportError::Handshake { address, reason };
        }
        let refused = says("Connection refused");
        if refused || says("timed out") || says("No route to host") || says("Network is unreachable") {
            return TransportError::Connect { address, reason, refused };
        }
        TransportError::Client { address: self.options.host.clone(), reason }
    }

    /// `Offending ED25519 key in FILE:LINE`, and the new key's fingerprint on a line of its own.
    fn changed(&self, stderr: &str) -> Option<TransportError> {
        let offending = stderr.lines().find_map(|line| line.trim().strip_prefix("Offending "))?;
        let (kind, place) = offending.split_once(" key in ")?;
        let (file, line) = place.rsplit_once(':')?;
        let fingerprint = stderr.lines().find_map(|line| line.trim().trim_end_matches('.').parse().ok())?;
        Some(TransportError::KeyChanged {
            host: self.options.host.clone(),
            kind: kind.to_owned(),
            fingerprint,
            file: file.into(),
            line: line.trim().parse().ok()?,
        })
    }
}

/// The methods in `Permission denied (publickey,password).`, if that is how it ended.
fn refused(stderr: &str) -> Option<&str> {
    if stderr.contains("Too many authentication failures") {
        return Some("fewer keys than were tried");
    }
    stderr.lines().rev().find_map(|line| line.split_once("Permission denied (")?.1.split(')').next())
}

/// The last of ssh's own messages.
fn last_message(stderr: &str) -> String {
    let mut lines = stderr.lines().rev().filter(|line| !line.trim().is_empty());
    lines.next().unwrap_or("it gave no reason").trim_start_matches("ssh: ").to_owned()
}

struct ClientSession {
    client: Client,
    user: String,
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
        let call = || {
            let mut call = client.call(&self.user, &client.known_hosts, &[]);
            call.arg(command);
            call
        };
        let run = process::run_until(&call, stdin, stop, &client.options.timeouts, on_line);
        let (status, stderr) = run.map_err(|e| client.not_run(&e))?;
        let status = process::status(status);
        let message = stderr.lines().last().unwrap_or_default();
        if status == CLIENT_FAILED
            && (CLIENT_MESSAGES.iter().any(|own| message.starts_with(own)) || refused(message).is_some())
        {
            let (address, reason) = (client.address.clone(), last_message(&stderr));
            return Err(TransportError::Cut { address, doing: "while a command was running", reason }.into());
        }
        Ok(Exit { status, stderr })
    }

    fn user(&self) -> &str {
        &self.user
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Client, TransportError, refused};
    use crate::transport::ssh::SshOptions;
    use crate::transport::ssh_config::SshConfig;

    #[test]
    fn ssh_messages_get_a_class() {
        let client = Client::new(&SshOptions::new("alias", "/own"), &SshConfig::default());
        let class = |text: &str| client.failure(text);
        assert!(matches!(
            class("ssh: Could not resolve hostname alias: Name or service not known"),
            TransportError::Resolve { .. }
        ));
        assert!(matches!(
            class("ssh: connect to host alias port 22: Connection refused"),
            TransportError::Connect { refused: true, .. }
        ));
        assert!(matches!(
            class("Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: x"),
            TransportError::KeyExchange { .. }
        ));
        assert!(matches!(class("something new"), TransportError::Client { .. }));
        assert_eq!(refused("me@alias: Permission denied (publickey,password)."), Some("publickey,password"));
        assert_eq!(refused("Connection closed"), None);
    }

    #[test]
    fn a_changed_key_is_found_in_its_message() {
        // As OpenSSH 9.2 prints it.
        let text = "@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@\nIT IS POSSIBLE ...\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE.\n\
            Please contact your system administrator.\nAdd correct host key in /own to get rid of this message.\n\
            Offending ED25519 key in /own:3\n  remove with:\nHost key verification failed.";
        let client = Client::new(&SshOptions::new("alias", "/own"), &SshConfig::default());
        let TransportError::KeyChanged { file, line, .. } = client.failure(text) else { panic!("another class") };
        assert_eq!((file.to_str().unwrap(), line), ("/own", 3));
    }
}
