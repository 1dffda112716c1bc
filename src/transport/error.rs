//! The errors on the way to a host, with the remedy for each.

use std::io;
use std::path::PathBuf;

use super::fingerprint::Fingerprint;
use crate::budget::Exceeded;
use crate::dialog::plain;
use crate::error::{Error, Kind};

/// Why a host was not reached, or not left in good order. Texts that came from elsewhere have no control characters.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The host's name cannot be one.
    #[error("{0:?} is not a host name, an address or an alias from ~/.ssh/config")]
    Destination(String),
    /// A fingerprint is not of the form that OpenSSH shows.
    #[error("{0:?} is not a host key's fingerprint")]
    Fingerprint(String),
    /// `ssh -G` refused the configuration.
    #[error("ssh cannot use its configuration for {host}: {reason}")]
    Config {
        /// The host as it was given.
        host: String,
        /// What ssh says.
        reason: String,
    },
    /// The name has no address.
    #[error("cannot resolve {host}: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system says.
        reason: String,
        /// Whether the port is closed, the one case in which something answered.
        refused: bool,
    },
    /// Connected, but the other side does not behave like an SSH server.
    #[error("{address} accepts connections, but does not complete an SSH handshake: {reason}")]
    Handshake {
        /// Host and port.
        address: String,
        /// What libssh2 or ssh says.
        reason: String,
    },
    /// No common algorithm for the key exchange, the host key or the cipher.
    #[error("{address} and factoryup support no common key exchange: {reason}")]
    KeyExchange {
        /// Host and port.
        address: String,
        /// What libssh2 or ssh says.
        reason: String,
    },
    /// Nothing says whether this host key is the right one, and nobody can be asked.
    #[error("unknown host key of {host}: {kind} {fingerprint}")]
    UnknownKey {
        /// The name that known hosts would have it by.
        host: String,
        /// The key's type, such as `ssh-ed25519`.
        kind: String,
        /// The key's fingerprint.
        fingerprint: Fingerprint,
    },
    /// The person said that this host key is not the right one.
    #[error("not connected: the host key of {host} was not accepted ({kind} {fingerprint})")]
    KeyDeclined {
        /// The name that known hosts would have it by.
        host: String,
        /// The key's type.
        kind: String,
        /// The key's fingerprint.
        fingerprint: Fingerprint,
    },
    /// The host has none of the keys that `--host-key` names.
    #[error("{host} does not have the host key {expected}; it has {found}")]
    KeyNotPinned {
        /// The name that known hosts would have it by.
        host: String,
        /// What was asked for.
        expected: Fingerprint,
        /// Types and fingerprints that it does have.
        found: String,
    },
    /// The host has another key than the one on record.
    #[error("the host key of {host} has changed: {} has another {kind} key on line {line}; the host now shows {fingerprint}", file.display())]
    KeyChanged {
        /// The name in known hosts.
        host: String,
        /// The key's type.
        kind: String,
        /// The fingerprint of the key that the host shows.
        fingerprint: Fingerprint,
        /// The file with the record.
        file: PathBuf,
        /// The record's line, from 1.
        line: usize,
    },
    /// The key is on record as stolen or retired.
    #[error("the host key of {host} is revoked in {} on line {line}", file.display())]
    KeyRevoked {
        /// The name in known hosts.
        host: String,
        /// The file with the record.
        file: PathBuf,
        /// The record's line, from 1.
        line: usize,
    },
    /// The server refused all that was tried.
    #[error("{address} refused the login as {}; it accepts {offered}{}{}", users.join(" and as "), tried_text(tried), said_text(said))]
    Login {
        /// Host and port.
        address: String,
        /// The users that were tried, in order.
        users: Box<[String]>,
        /// The methods the server offers, comma-separated.
        offered: String,
        /// Every key that was tried, and what became of it.
        tried: Box<[String]>,
        /// What the host said on the way, in lines.
        said: Box<[String]>,
        /// What would help.
        hints: Vec<String>,
    },
    /// The connection was lost while a command was running or about to.
    #[error("the connection to {address} was lost {doing}: {reason}")]
    Cut {
        /// Host and port.
        address: String,
        /// What was going on, as in `while a command was running`.
        doing: &'static str,
        /// What is known about it.
        reason: String,
    },
    /// The host's answer cannot be used.
    #[error("cannot use the output of {address}: {reason}")]
    Output {
        /// Host and port.
        address: String,
        /// Why not.
        reason: String,
    },
    /// A command on the host said too much, or took too long.
    #[error("the output of a command on {address} is {limit}")]
    Budget {
        /// Host and port.
        address: String,
        /// Which limit.
        limit: Exceeded,
    },
    /// The system's ssh client failed in a way that has no class of its own.
    #[error("ssh could not log in to {address}: {reason}")]
    Client {
        /// The host as it was given.
        address: String,
        /// What ssh says.
        reason: String,
    },
    /// The system's ssh client is needed and not there.
    #[error("{host} needs the ssh program, which is not installed: {reason}")]
    NoClient {
        /// The host as it was given.
        host: String,
        /// What libssh2 cannot do.
        reason: String,
    },
    /// A shell on this machine cannot be run.
    #[error("cannot run a shell on this machine: {reason}")]
    Shell {
        /// Why not.
        reason: String,
    },
}

fn tried_text(tried: &[String]) -> String {
    if tried.is_empty() { "; no key was found".into() } else { format!("; tried {}", tried.join("; ")) }
}

fn said_text(said: &[String]) -> String {
    if said.is_empty() { String::new() } else { format!("; the host says: {}", said.join(" / ")) }
}

/// What the system says about a failed connection, without Rust's `(os error 111)`.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        let message = plain(&error.to_string());
        let of = |kind| Error::new(kind, message.clone());
        match error {
            TransportError::Destination(_) => of(Kind::Usage).hint("write it like `203.0.113.7`, `admin@host.example` or `my-alias`"),
            TransportError::Fingerprint(_) => {
                of(Kind::Usage).hint("use the output of `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host: SHA256:…")
            }
            TransportError::Config { host, .. } => of(Kind::Data).hint(format!("check the output of `ssh -G {host}`")),
            TransportError::Resolve { .. } => of(Kind::Unreachable).hint("check the name for typing errors, or use the address"),
            TransportError::Connect { refused: true, .. } => of(Kind::Unreachable)
                .hint("check the port (`port` under [host] in factory.toml, or Port in ~/.ssh/config), or start sshd from the provider's console: no SSH server listens there"),
            TransportError::Connect { .. } => of(Kind::Unreachable)
                .hint("check the address, whether the machine is on, and whether the provider's firewall allows this port"),
            TransportError::Handshake { .. } => {
                of(Kind::Unreachable).hint("check the port, and the host's load and log: `journalctl -u ssh`")
            }
            TransportError::KeyExchange { .. } => of(Kind::Unreachable)
                .hint("install OpenSSH's client, or allow curve25519-sha256 in the host's sshd_config"),
            TransportError::UnknownKey { kind, fingerprint, .. } => of(Kind::NotPermitted)
                .hint(format!("compare it with the provider's console, then run the command again with --host-key {fingerprint}"))
                .hint(format!(
                    "or show it on the host: ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub",
                    kind.trim_start_matches("ssh-").split('-').next().unwrap_or("ed25519")
                )),
            TransportError::KeyDeclined { fingerprint, .. } => of(Kind::Interrupted)
                .hint("compare it with the provider's console; on the host: for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done")
                .hint(format!("if it is the right one, run the command again and confirm, or pass --host-key {fingerprint}"))
                .hint("or, if it is not, do not connect: check the address, or ask the provider"),
            TransportError::KeyNotPinned { .. } => of(Kind::NotPermitted)
                .hint("stop unless you reinstalled the host: someone may be intercepting the connection; the provider's console shows the fingerprint"),
            TransportError::KeyChanged { host, file, .. } => of(Kind::NotPermitted)
                .hint("stop unless you reinstalled the host: someone may be intercepting the connection")
                .hint(format!("if you reinstalled it, remove the old key: ssh-keygen -R '{host}' -f '{}'", file.display())),
            TransportError::KeyRevoked { .. } => of(Kind::NotPermitted).hint("do not connect; create a new host key from the provider's console"),
            TransportError::Login { hints, .. } => hints.into_iter().fold(of(Kind::NotPermitted), Error::hint),
            TransportError::Cut { .. } => of(Kind::CutShort).hint("run the command again; it resumes after the interruption"),
            TransportError::Budget { limit: Exceeded::Time(_), .. } => of(Kind::CutShort)
                .hint("check whether it still runs on the host: ps -ef --forest")
                .hint("then run the command again; it resumes after the interruption"),
            TransportError::Budget { .. } => of(Kind::Data)
                .hint("check the shell's startup files on the host: factoryup's scripts do not print so much")
                .hint("or see what factoryup runs: `factoryup plan host --script`"),
            TransportError::Output { .. } => of(Kind::Data),
            TransportError::Client { address, .. } => of(Kind::Unreachable).hint(format!("check the output of `ssh -v {address}`")),
            TransportError::NoClient { .. } => of(Kind::Unreachable).hint("install it: apt-get install openssh-client"),
            TransportError::Shell { .. } => of(Kind::CannotWrite),
        }
    }
}
