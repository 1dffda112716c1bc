//! Reads the public part of a private key file without decrypting it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A file that an `IdentityFile` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    /// The public key's blob, from the file itself or from `PATH.pub`.
    pub(super) public: Option<Vec<u8>>,
    /// Whether the private key needs a passphrase; none when there is no private key in the file.
    pub(super) encrypted: Option<bool>,
}

impl KeyFile {
    /// Reads the file. OpenSSH's own format (`PROTOCOL.key` in its source) and PEM are told apart; a public key alone is fine, and
    /// stands for one that the agent holds.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let text = Zeroizing::new(fs::read_to_string(path)?);
        let path = path.to_owned();
        if let Some((public, encrypted)) = openssh(&text) {
            return Ok(Self { path, public: Some(public), encrypted: Some(encrypted) });
        }
        if let Some(public) = public_line(&text) {
            return Ok(Self { path, public: Some(public), encrypted: None });
        }
        if !text.contains("PRIVATE KEY-----") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it contains no key"));
        }
        let mut beside = path.clone().into_os_string();
        beside.push(".pub");
        let public = fs::read_to_string(beside).ok().and_then(|text| public_line(&text));
        Ok(Self { path, public, encrypted: Some(text.contains("ENCRYPTED")) })
    }
}

/// A public key's type: its blob's first string.
pub(super) fn kind_of(public: &[u8]) -> Option<String> {
    first_string(public).map(|kind| String::from_utf8_lossy(kind).into_owned())
}

/// Whether libssh2 cannot log in with keys of this type: FIDO keys, whose signatures it cuts short, and certificates.
pub(super) fn needs_client(kind: &str) -> bool {
    kind.starts_with("sk-") || kind.contains("-cert-v01@")
}

/// A string as RFC 4251, section 5, encodes it: four bytes of length, then the bytes.
pub(super) fn first_string(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The public blob of `ssh-ed25519 AAAA… comment`.
pub(super) fn public_line(text: &str) -> Option<Vec<u8>> {
    let mut words = text.lines().next()?.split_whitespace();
    let (kind, blob) = (words.next()?, STANDARD.decode(words.next()?).ok()?);
    (first_string(&blob)? == kind.as_bytes()).then_some(blob)
}

/// The public blob, and whether the private part is encrypted.
fn openssh(text: &str) -> Option<(Vec<u8>, bool)> {
    let body = text.trim_start().strip_prefix("-----BEGIN OPENSSH PRIVATE KEY-----")?.split("-----").next()?;
    let body = Zeroizing::new(body.split_whitespace().collect::<String>());
    let bytes = Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?);
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0".as_slice())?;
    let mut next = || {
        let string = first_string(rest)?;
        rest = &rest[4 + string.len()..];
        Some(string)
    };
    let (cipher, _function, _options) = (next()?, next()?, next()?);
    // One key per file is all that has ever been written.
    let public = first_string(rest.strip_prefix(&1_u32.to_be_bytes())?)?;
    Some((public.to_owned(), cipher != b"none"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{KeyFile, kind_of, needs_client};
    use std::path::Path;
    use std::process::{Command, Stdio};

    fn make(path: &Path, args: &[&str]) {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-f"]).arg(path).args(args).stdin(Stdio::null());
        assert!(command.status().unwrap().success());
    }

    #[test]
    fn formats_and_encryption_are_told_apart() {
        if !crate::skip::need("ssh-keygen") {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for (name, encrypted, args) in [
            ("a", false, vec!["-t", "ed25519", "-N", ""]),
            ("b", true, vec!["-t", "ed25519", "-N", "secret"]),
            ("c", false, vec!["-t", "ecdsa", "-N", "", "-m", "PEM"]),
            ("d", true, vec!["-t", "rsa", "-N", "secret", "-m", "PEM"]),
        ] {
            let path = dir.path().join(name);
            make(&path, &args);
            let key = KeyFile::read(&path).unwrap();
            let public = KeyFile::read(&dir.path().join(format!("{name}.pub"))).unwrap();
            assert_eq!((key.encrypted, public.encrypted), (Some(encrypted), None), "{name}");
            assert!(key.public.is_some() && key.public == public.public, "{name}");
            assert!(kind_of(key.public.as_deref().unwrap()).unwrap().contains(args[1]), "{name}");
        }
        let other = dir.path().join("other");
        std::fs::write(&other, "hello").unwrap();
        assert!(KeyFile::read(&other).is_err() && KeyFile::read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn keys_that_libssh2_cannot_use_are_left_to_the_client() {
        // The public half of a FIDO key: its type is the blob's first string.
        let kind = "sk-ssh-ed25519@openssh.com";
        let blob = [&26_u32.to_be_bytes()[..], kind.as_bytes(), &[0; 40]].concat();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_ed25519_sk.pub");
        let line = format!("{kind} {} me", base64::Engine::encode(&super::STANDARD, &blob));
        std::fs::write(&path, line).unwrap();
        assert_eq!(kind_of(&KeyFile::read(&path).unwrap().public.unwrap()).as_deref(), Some(kind));
        assert!(needs_client(kind) && needs_client("ssh-ed25519-cert-v01@openssh.com"));
        assert!(!needs_client("ssh-ed25519") && !needs_client("ecdsa-sha2-nistp256"));
    }
}
