//! Which hosts have which keys, as OpenSSH keeps it: the format of `SSH_KNOWN_HOSTS FILE FORMAT` in sshd(8).

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh2::{CheckResult, KnownHostFileKind};

use crate::budget;
use crate::error::{Error, Kind, Result};
use crate::plan::write_atomically;

/// Key types in the order in which they are preferred for a host that is not known, with the names that sign with them.
/// SHA-1 signatures (`ssh-rsa`) are not among them.
pub(super) const KINDS: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
];

/// A line that applies to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownKey {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) kind: String,
    marker: Marker,
    key: Vec<u8>,
    /// Whether it names the host with this port, and not only the host.
    exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    None,
    Authority,
    Revoked,
}

/// What is on record about one host and port.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownHost {
    /// The name it has in the files: `host`, or `[host]:port` for another port than 22.
    pub(super) name: String,
    entries: Vec<KnownKey>,
}

/// What the record says about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyStatus {
    Known,
    Unknown,
    Changed(KnownKey),
    Revoked(KnownKey),
}

impl KnownHost {
    /// Looks a host up. Files that are not there are empty; lines that cannot be read are skipped, as OpenSSH does.
    pub(super) fn look_up(files: &[PathBuf], host: &str, port: u16) -> Result<Self> {
        let host = host.to_lowercase();
        let name = if port == 22 { host.clone() } else { format!("[{host}]:{port}") };
        let mut entries = Vec::new();
        for file in files {
            let text = match budget::read(file) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
                Err(e) => {
                    return Err(
                        Error::data(format!("cannot read {}: {e}", file.display())).hint("make it readable for you")
                    );
                }
            };
            let lines = text.lines().enumerate();
            entries.extend(lines.filter_map(|(index, line)| parse(line, file, index + 1, &name, &host)));
        }
        Ok(Self { name, entries })
    }

    /// Whether any key of the host itself is on record.
    pub(super) fn is_known(&self) -> bool {
        self.entries.iter().any(|entry| entry.marker == Marker::None)
    }

    /// The line with an authority that signs for this host, which only the system's ssh client can check.
    pub(super) fn authority(&self) -> Option<&KnownKey> {
        self.entries.iter().find(|entry| entry.marker == Marker::Authority)
    }

    /// Types of the keys on record.
    pub(super) fn kinds(&self) -> Vec<&str> {
        self.entries.iter().filter(|entry| entry.marker == Marker::None).map(|entry| entry.kind.as_str()).collect()
    }

    /// libssh2's list of host key algorithms: those of known keys first, so that the host shows a key that can be compared.
    pub(super) fn preferred(&self) -> String {
        let kinds = self.kinds();
        let (mut first, last): (Vec<_>, Vec<_>) = KINDS.iter().partition(|(kind, _)| kinds.contains(kind));
        first.extend(last);
        first.iter().map(|(_, algorithms)| *algorithms).collect::<Vec<_>>().join(",")
    }

    pub(super) fn judge(&self, kind: &str, key: &[u8]) -> KeyStatus {
        if let Some(entry) = self.entries.iter().find(|entry| entry.marker == Marker::Revoked && entry.key == key) {
            return KeyStatus::Revoked(entry.clone());
        }
        let mut plain = self.entries.iter().filter(|entry| entry.marker == Marker::None);
        if plain.clone().any(|entry| entry.key == key) {
            return KeyStatus::Known;
        }
        // A host that is known at another port may well have another key here.
        plain
            .find(|entry| entry.exact && entry.kind == kind)
            .map_or(KeyStatus::Unknown, |entry| KeyStatus::Changed(entry.clone()))
    }

    /// Puts a key on record in `file`, which is made if need be.
    pub(super) fn remember(&self, file: &Path, kind: &str, key: &[u8]) -> Result<()> {
        let cannot = |e: std::io::Error| Error::new(Kind::CannotWrite, format!("cannot write {}: {e}", file.display()));
        if let Some(folder) = file.parent() {
            // The folder may be the factory's own, which is private.
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
        }
        let mut text = match budget::read(file) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(cannot(e)),
        };
        if text.last().is_some_and(|byte| *byte != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("{} {kind} {}\n", self.name, STANDARD.encode(key)).as_bytes());
        write_atomically(file, &text, 0o600)
    }
}

/// The line's entry if it applies to the host: `name` with the port if that is not 22, `host` without.
fn parse(line: &str, file: &Path, number: usize, name: &str, host: &str) -> Option<KnownKey> {
    let mut words = line.split_whitespace();
    let mut hosts = words.next().filter(|word| !word.starts_with('#'))?;
    let marker = match hosts {
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::Authority,
        _ => Marker::None,
    };
    if marker != Marker::None {
        hosts = words.next()?;
    }
    let exact = applies(hosts, name);
    if !exact && !applies(hosts, host) {
        return None;
    }
    let kind = words.next()?.to_owned();
    let key = STANDARD.decode(words.next()?).ok()?;
    Some(KnownKey { file: file.to_owned(), line: number, kind, marker, key, exact })
}

/// Whether a list of patterns, or a hash, stands for this name.
fn applies(hosts: &str, name: &str) -> bool {
    if hosts.starts_with('|') {
        return hashed(hosts, name);
    }
    let mut found = false;
    for pattern in hosts.to_lowercase().split(',') {
        match pattern.strip_prefix('!') {
            Some(refused) if matches(refused.as_bytes(), name.as_bytes()) => return false,
            None if matches(pattern.as_bytes(), name.as_bytes()) => found = true,
            _ => {}
        }
    }
    found
}

/// `*` for any characters, `?` for one. Only the last `*` is ever tried again, so that many of them take no longer than few.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut begun) = (0, 0);
    // The last `*`, and where in the name what follows it was last tried.
    let mut star: Option<(usize, usize)> = None;
    while begun < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, begun));
                at += 1;
            }
            Some(c) if *c == b'?' || *c == name[begun] => {
                at += 1;
                begun += 1;
            }
            _ => {
                let Some((of, tried)) = star else { return false };
                star = Some((of, tried + 1));
                (at, begun) = (of + 1, tried + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == b'*')
}

/// Whether `|1|SALT|HASH` is this name's HMAC-SHA1. libssh2 computes it: it is asked about a made-up key under that name.
fn hashed(hash: &str, name: &str) -> bool {
    let key = b"\0\0\0\x0bssh-ed25519\0\0\0\x20 factoryup asks for the name   ";
    let line = format!("{hash} ssh-ed25519 {}", STANDARD.encode(key));
    let known = ssh2::Session::new().and_then(|session| session.known_hosts());
    known.is_ok_and(|mut known| {
        known.read_str(&line, KnownHostFileKind::OpenSSH).is_ok()
            && matches!(known.check(name, key), CheckResult::Match)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{KeyStatus, KnownHost};
    use std::fs;

    const ONE: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZK";

    fn key(text: &str) -> Vec<u8> {
        base64::Engine::decode(&super::STANDARD, text).unwrap()
    }

    fn judge(text: &str, host: &str, port: u16) -> KeyStatus {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        fs::write(&file, text).unwrap();
        KnownHost::look_up(&[dir.path().join("absent"), file], host, port).unwrap().judge("ssh-ed25519", &key(ONE))
    }

    fn is_changed(verdict: &KeyStatus, at: usize) -> bool {
        matches!(verdict, KeyStatus::Changed(entry) if entry.line == at)
    }

    #[test]
    fn names_ports_and_patterns() {
        let known = |line: &str, host, port| judge(line, host, port) == KeyStatus::Known;
        assert!(known(&format!("# comment\n\nhost.example,10.0.0.1 ssh-ed25519 {ONE} me"), "Host.Example", 22));
        assert!(known(&format!("[host.example]:2222 ssh-ed25519 {ONE}"), "host.example", 2222));
        assert!(known(&format!("host.example ssh-ed25519 {ONE}"), "host.example", 2222));
        assert!(known(&format!("*.example,!b.example ssh-ed25519 {ONE}"), "a.example", 22));
        assert!(!known(&format!("*.example,!b.example ssh-ed25519 {ONE}"), "b.example", 22));
        assert!(known(&format!("10.0.?.* ssh-ed25519 {ONE}"), "10.0.7.12", 22));
        assert!(!known(&format!("[host.example]:2222 ssh-ed25519 {ONE}"), "host.example", 22));
        assert!(!known("host.example ssh-ed25519 !!!", "host.example", 22));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let name = "a".repeat(250);
        let begun = std::time::Instant::now();
        for pattern in ["*a".repeat(120) + "b", "*".repeat(1 << 20) + "b", "a*".repeat(125) + "?b"] {
            assert!(!super::matches(pattern.as_bytes(), name.as_bytes()));
            assert!(super::matches(&pattern.as_bytes()[..pattern.len() - 1], name.as_bytes()) || pattern.contains('?'));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
        for (pattern, name, fits) in
            [("", "", true), ("*", "", true), ("?", "", false), ("a*b*c", "aXbXbc", true), ("a*b", "abX", false)]
        {
            assert_eq!(super::matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn hashed_names_as_ssh_keygen_makes_them() {
        // Made with `ssh-keygen -H` from `host.example` and `[host.example]:2222`.
        let plain = "|1|bBVFB22n/++XL78r+dt7TfEMUfs=|D6U8XYioRK+9GfKTPnX8aCE7AOE=";
        let port = "|1|/37K1YW1ANzL2XeEvRhCtfW2ulM=|ER+/2Tc5dqUooP7vV61c+GiLtMc=";
        for (hash, number) in [(plain, 22), (port, 2222)] {
            let line = format!("{hash} ssh-ed25519 {ONE}");
            assert_eq!(judge(&line, "host.example", number), KeyStatus::Known, "{line}");
            assert_eq!(judge(&line, "other.example", number), KeyStatus::Unknown);
        }
    }

    #[test]
    fn a_changed_key_is_told_from_an_unknown_one() {
        let other = format!("\nhost.example ssh-ed25519 {TWO}\n");
        assert!(is_changed(&judge(&other, "host.example", 22), 2));
        // Known at port 22 says nothing about another port, nor does a key of another type.
        assert_eq!(judge(&other, "host.example", 2222), KeyStatus::Unknown);
        assert_eq!(judge(&other.replace("ed25519 ", "rsa "), "host.example", 22), KeyStatus::Unknown);
        // One right key among several is enough.
        assert_eq!(judge(&format!("{other}host.example ssh-ed25519 {ONE}\n"), "host.example", 22), KeyStatus::Known);
    }

    #[test]
    fn a_revoked_key_stays_revoked() {
        let line = format!("host.example ssh-ed25519 {ONE}\n@revoked * ssh-ed25519 {ONE}\n");
        assert!(matches!(judge(&line, "host.example", 22), KeyStatus::Revoked(entry) if entry.line == 2));
        assert_eq!(judge(&format!("@revoked * ssh-ed25519 {TWO}\n"), "host.example", 22), KeyStatus::Unknown);
    }

    #[test]
    fn a_remembered_key_is_known_and_its_type_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/known_hosts");
        let look_up = || KnownHost::look_up(std::slice::from_ref(&file), "::1", 2222).unwrap();
        assert!(!look_up().is_known() && look_up().preferred().starts_with("ssh-ed25519,"));
        look_up().remember(&file, "ssh-rsa", &key(TWO)).unwrap();
        look_up().remember(&file, "ssh-ed25519", &key(ONE)).unwrap();
        assert_eq!(look_up().judge("ssh-ed25519", &key(ONE)), KeyStatus::Known);
        assert_eq!(look_up().preferred().split(',').next(), Some("ssh-ed25519"));
        fs::write(&file, format!("[::1]:2222 ssh-rsa {TWO}")).unwrap();
        assert!(look_up().preferred().starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519"));
        look_up().remember(&file, "ssh-ed25519", &key(ONE)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
    }
}
