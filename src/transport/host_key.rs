//! Verifies a host key: by `known_hosts`, a pinned fingerprint, or a question.

use std::path::Path;
use std::str::FromStr;

use super::error::TransportError;
use super::fingerprint::Fingerprint;
use super::known_hosts::{KeyStatus, KnownHost};
use super::ssh_config::Strict;
use crate::dialog::Dialog;
use crate::error::Result;

impl FromStr for Fingerprint {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        Self::read(text).ok_or_else(|| TransportError::Fingerprint(text.to_owned()))
    }
}

/// The key that a host has shown, and proved to have.
#[derive(Clone, Debug)]
pub(super) struct HostKey {
    pub(super) kind: String,
    pub(super) blob: Vec<u8>,
}

impl HostKey {
    /// Reads the key's type from its blob, where it is the first string.
    pub(super) fn new(blob: &[u8]) -> Self {
        let kind = super::key_file::first_string(blob).unwrap_or(b"unknown");
        Self { kind: String::from_utf8_lossy(kind).into_owned(), blob: blob.to_owned() }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }
}

/// What decides about a key.
pub(super) struct Judge<'a> {
    pub(super) known: &'a KnownHost,
    pub(super) pinned: Option<Fingerprint>,
    pub(super) strict: Strict,
    /// Where a key that is accepted goes on record.
    pub(super) file: &'a Path,
    pub(super) dialog: &'a dyn Dialog,
}

impl Judge<'_> {
    /// Accepts the key, or says why not. A key that was not on record is put there.
    pub(super) fn decide(&self, key: &HostKey) -> Result<()> {
        let host = self.known.name.clone();
        let (kind, fingerprint) = (key.kind.clone(), key.fingerprint());
        match self.known.judge(&key.kind, &key.blob) {
            KeyStatus::Revoked(entry) => {
                return Err(TransportError::KeyRevoked { host, file: entry.file, line: entry.line }.into());
            }
            KeyStatus::Changed(entry) => {
                let (file, line) = (entry.file, entry.line);
                return Err(TransportError::KeyChanged { host, kind, fingerprint, file, line }.into());
            }
            KeyStatus::Known | KeyStatus::Unknown if self.pinned.is_some_and(|pinned| pinned != fingerprint) => {
                let expected = self.pinned.unwrap_or(fingerprint);
                return Err(
                    TransportError::KeyNotPinned { host, expected, found: format!("{kind} {fingerprint}") }.into()
                );
            }
            KeyStatus::Known => return Ok(()),
            KeyStatus::Unknown => {}
        }
        if self.pinned.is_none() {
            match self.strict {
                Strict::AcceptNew => self.dialog.note(&format!("{host} is new: its host key is {kind} {fingerprint}")),
                Strict::Ask if self.dialog.is_interactive() => {
                    if !self.dialog.confirm(&self.question(key), false)? {
                        return Err(TransportError::KeyDeclined { host, kind, fingerprint }.into());
                    }
                }
                Strict::Ask | Strict::Yes => return Err(TransportError::UnknownKey { host, kind, fingerprint }.into()),
            }
        }
        self.known.remember(self.file, &key.kind, &key.blob)
    }

    /// Whether what is on record speaks against this key; over that no pin helps.
    pub(super) fn contradicted(&self, key: &HostKey) -> bool {
        matches!(self.known.judge(&key.kind, &key.blob), KeyStatus::Changed(_) | KeyStatus::Revoked(_))
    }

    fn question(&self, key: &HostKey) -> String {
        let other = match self.known.kinds() {
            kinds if kinds.is_empty() => String::new(),
            kinds => format!(" Its known key has another type ({}).", kinds.join(", ")),
        };
        let (host, kind, fingerprint) = (&self.known.name, &key.kind, key.fingerprint());
        format!("{host} is unknown.{other} Its host key is\n  {kind} {fingerprint}\nIs this the right host?")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Fingerprint, HostKey};
    use base64::Engine as _;

    #[test]
    fn a_fingerprint_reads_as_ssh_keygen_writes_it() {
        // Made with `ssh-keygen -t ed25519`, shown with `ssh-keygen -lf`.
        let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
        let key = HostKey::new(&base64::engine::general_purpose::STANDARD.decode(blob).unwrap());
        let text = "SHA256:T7SvZ2cslqpPj6nKzitCBHHlpVF3r3MvLwmFL0fk0IE";
        assert_eq!((key.kind.as_str(), key.fingerprint().to_string().as_str()), ("ssh-ed25519", text));
        assert_eq!(text.parse::<Fingerprint>().unwrap(), key.fingerprint());
        for bad in ["", "SHA256:", "SHA256:abc", "MD5:00:11", &text[7..]] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
