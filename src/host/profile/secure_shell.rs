//! What sshd is to do: keys only, the operator only, and no algorithm that an audit would object to.
//!
//! The lists are those that ssh-audit's policies "Hardened Debian 12" and "Hardened Debian 13" pass, cut down to what the host's own
//! OpenSSH knows, so that an older one takes the file. `curve25519-sha256` always stays, which the second objects to: a list of
//! post-quantum exchanges only would lock out every client that was built without them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD as BASE64_NO_PAD};
use sha2::{Digest, Sha256};

use crate::factory::Host;
use crate::host::accounts::{LOGIN_GROUP, WORKERS};
use crate::host::closing;
use crate::host::observed::Observed;
use crate::host::resources::{HOST_KEYS, HostKey, Resource, Sshd, key_parts};

/// The newest of the post-quantum exchanges: an OpenSSH that knows it knows the others, too.
const POST_QUANTUM: &str = "mlkem768x25519-sha256";
const KEY_EXCHANGES: [&str; 8] = [
    POST_QUANTUM,
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group-exchange-sha256",
];
const CIPHERS: [&str; 6] = [
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-gcm@openssh.com",
    "aes128-ctr",
];
const MACS: [&str; 3] = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "umac-128-etm@openssh.com"];
/// In the order of "Hardened Debian 13".
const NEWER_MACS: [&str; 3] = [MACS[1], MACS[0], MACS[2]];

/// Smallest RSA key of a user that is accepted, in bits.
const RSA_BITS: usize = 3072;
/// Smallest RSA key that the host shows, in bits: it is used for years. Debian makes one of 3072.
const HOST_RSA_BITS: u32 = 4096;
/// The one that takes the place of a smaller one. That stays where it is, for the way back.
const OWN_RSA: &str = "/etc/ssh/ssh_host_factoryup_rsa_key";
/// The first OpenSSH that knows `RequiredRSASize`: its release notes.
const FIRST_WITH_RSA_SIZE: (u32, u32) = (9, 1);
/// Debian 12's, for the time before the host's own version is known.
const USUAL_VERSION: (u32, u32) = (9, 2);

const PLAIN: [(&str, &str); 20] = [
    ("PermitRootLogin", "no"),
    ("PasswordAuthentication", "no"),
    ("KbdInteractiveAuthentication", "no"),
    ("AuthenticationMethods", "publickey"),
    ("AllowGroups", LOGIN_GROUP),
    // A client whose agent holds three keys must get to the right one, so no fewer.
    ("MaxAuthTries", "3"),
    ("MaxSessions", "4"),
    ("LoginGraceTime", "30"),
    ("ClientAliveInterval", "60"),
    ("ClientAliveCountMax", "2"),
    ("TCPKeepAlive", "no"),
    ("X11Forwarding", "no"),
    ("AllowAgentForwarding", "no"),
    ("AllowTcpForwarding", "local"),
    ("PermitTunnel", "no"),
    ("GatewayPorts", "no"),
    ("PermitUserEnvironment", "no"),
    ("Compression", "no"),
    ("UseDNS", "no"),
    ("DebianBanner", "no"),
];

/// What is signed with a host key, for each of [`HOST_KEYS`].
const SIGNATURES: [&[&str]; 3] = [&["ssh-ed25519"], &["rsa-sha2-512", "rsa-sha2-256"], &["ecdsa-sha2-nistp256"]];

/// `closed` lets nobody in, unchecked: for a drill.
pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, host: &Host, seen: &Observed, closed: bool) {
    if needs_own_rsa(host, seen) {
        resources.push(Box::new(HostKey { path: OWN_RSA, bits: HOST_RSA_BITS }));
    }
    let mut sshd = sshd(host, seen);
    if closed {
        sshd.settings.retain(|(keyword, _)| *keyword != "AllowGroups");
        sshd.settings.push(("AllowGroups", "factoryup-drill".into()));
        (sshd.checked, sshd.ends) = (false, Vec::new());
    }
    resources.push(Box::new(sshd));
}

fn sshd(host: &Host, seen: &Observed) -> Sshd {
    let mut settings: Vec<(&'static str, String)> =
        PLAIN.iter().map(|&(keyword, value)| (keyword, value.to_owned())).collect();
    settings.push(("DenyUsers", WORKERS.join(" ")));
    settings.push(("LogLevel", "VERBOSE".into()));
    let is_post_quantum = seen.algorithms.get("kex").is_some_and(|known| known.iter().any(|name| name == POST_QUANTUM));
    let mut algorithms = |keyword, kind: &str, wanted: &[&str]| {
        let known = seen.algorithms.get(kind);
        // Before the host has been asked, what Debian 12 knows.
        let usual = |name: &str| !name.starts_with("mlkem") && name != "sntrup761x25519-sha512";
        let is_known = |name: &&&str| known.map_or(usual(name), |known| known.iter().any(|k| k == *name));
        let mut list: Vec<&str> = wanted.iter().filter(is_known).copied().collect();
        if is_post_quantum {
            // A client without elliptic curves is too old for the rest of the lists.
            list.retain(|name| !name.starts_with("diffie-hellman"));
        }
        if !list.is_empty() {
            settings.push((keyword, list.join(",")));
        }
    };
    algorithms("KexAlgorithms", "kex", &KEY_EXCHANGES);
    algorithms("Ciphers", "cipher", &CIPHERS);
    algorithms("MACs", "mac", if is_post_quantum { &NEWER_MACS } else { &MACS });
    let mut keys: Vec<(&str, &[&str])> = (0..HOST_KEYS.len())
        .filter(|&key| is_kept(key, host, seen))
        .map(|key| (HOST_KEYS[key], SIGNATURES[key]))
        .collect();
    if needs_own_rsa(host, seen) {
        keys.insert(keys.len().min(1), (OWN_RSA, SIGNATURES[1]));
    }
    let names: Vec<&str> = keys.iter().flat_map(|(_, names)| *names).copied().collect();
    algorithms("HostKeyAlgorithms", "HostKeyAlgorithms", &names);
    if seen.version("openssh-server").unwrap_or(USUAL_VERSION) >= FIRST_WITH_RSA_SIZE {
        settings.push(("RequiredRSASize", RSA_BITS.to_string()));
    }
    settings.extend(keys.into_iter().map(|(path, _)| ("HostKey", path.to_owned())));
    Sshd { settings, operator: host.operator.clone(), ends: closing::by_sshd(host, seen), checked: true }
}

/// Ed25519 always; RSA when it is long enough; another only when the owner knows the host by it. Without Ed25519, which every
/// OpenSSH makes at its first start, nothing is taken away.
fn is_kept(key: usize, host: &Host, seen: &Observed) -> bool {
    let [ed25519, rsa, _] = HOST_KEYS;
    let path = HOST_KEYS[key];
    if seen.os.is_empty() {
        return path == ed25519;
    }
    let Some(blob) = public(path, seen) else { return false };
    let fingerprint = format!("SHA256:{}", BASE64_NO_PAD.encode(Sha256::digest(&blob)));
    path == ed25519
        || fingerprint == host.host_key
        || public(ed25519, seen).is_none()
        || path == rsa && rsa_bits(&blob).is_some_and(|bits| bits >= HOST_RSA_BITS as usize)
}

/// Whether the host has an RSA key and does not show it. A host that has none is left without.
fn needs_own_rsa(host: &Host, seen: &Observed) -> bool {
    seen.os.is_empty() || public(HOST_KEYS[1], seen).is_some() && !is_kept(1, host, seen)
}

/// The public half of the key that the host shows before and after.
pub(crate) fn lasting_host_key(seen: &Observed) -> Option<Vec<u8>> {
    public(HOST_KEYS[0], seen)
}

/// A host key's public half.
fn public(path: &str, seen: &Observed) -> Option<Vec<u8>> {
    let text = seen.text(&format!("{path}.pub"))?;
    BASE64.decode(key_parts(&text)?.1).ok()
}

/// Bits of the modulus in an `ssh-rsa` blob, which is three length-prefixed fields: name, exponent, modulus (RFC 4253, 6.6).
fn rsa_bits(blob: &[u8]) -> Option<usize> {
    let mut rest = blob;
    let mut field = &[][..];
    for _ in 0..3 {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        (field, rest) = tail.split_at_checked(length)?;
    }
    let digits = &field[field.iter().position(|byte| *byte != 0)?..];
    Some(digits.len() * 8 - digits[0].leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl root@x\n";

    fn value(sshd: &Sshd, keyword: &str) -> Vec<String> {
        sshd.settings.iter().filter(|(k, _)| *k == keyword).map(|(_, v)| v.clone()).collect()
    }

    const DH: &str = "diffie-hellman-group16-sha512";

    /// An `ssh-rsa` line with a modulus of so many bits.
    fn rsa(bits: usize) -> String {
        let mut blob = Vec::new();
        let mut modulus = vec![0x80_u8 | 1];
        modulus.resize(bits / 8, 1);
        modulus.insert(0, 0);
        for field in [&b"ssh-rsa"[..], &[1, 0, 1], &modulus] {
            blob.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(field);
        }
        format!("ssh-rsa {} root@x\n", BASE64.encode(blob))
    }

    fn seen(rsa_size: usize, version: &str) -> Observed {
        let mut seen = Observed::default();
        seen.os.insert("ID".into(), "debian".into());
        seen.packages.insert("openssh-server".into(), version.into());
        seen.texts.insert("/etc/ssh/ssh_host_ed25519_key.pub".into(), ED25519.into());
        seen.texts.insert("/etc/ssh/ssh_host_rsa_key.pub".into(), rsa(rsa_size).into());
        seen.algorithms.insert("kex".into(), vec!["curve25519-sha256".into(), "unheard-of".into()]);
        seen
    }

    #[test]
    fn only_what_the_host_knows_is_written() {
        let sshd = sshd(&Host::default(), &seen(3072, "1:8.9p1-3ubuntu0.10"));
        assert_eq!(value(&sshd, "KexAlgorithms"), ["curve25519-sha256"]);
        assert_eq!(value(&sshd, "RequiredRSASize"), [""; 0]);
        let sshd = super::sshd(&Host::default(), &seen(3072, "1:9.2p1-2+deb12u3"));
        assert_eq!(value(&sshd, "RequiredRSASize"), ["3072"]);
        let mut newer = seen(3072, "1:10.0p1-7");
        for (list, named) in [
            (vec!["curve25519-sha256", DH], vec!["curve25519-sha256", DH]),
            (vec![POST_QUANTUM, DH], vec![POST_QUANTUM]),
        ] {
            newer.algorithms.insert("kex".into(), list.into_iter().map(str::to_owned).collect());
            assert_eq!(value(&super::sshd(&Host::default(), &newer), "KexAlgorithms"), [named.join(",")]);
        }
    }

    #[test]
    fn weak_host_keys_go_unless_the_owner_pinned_one() {
        let paths = |host: &Host, seen: &Observed| value(&sshd(host, seen), "HostKey").join(" ");
        let (ed, rsa_path) = ("/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key");
        assert_eq!(paths(&Host::default(), &seen(4096, "1:9.2")), format!("{ed} {rsa_path}"));
        for small in [2048, 3072] {
            assert_eq!(paths(&Host::default(), &seen(small, "1:9.2")), format!("{ed} {OWN_RSA}"));
        }
        let mut none = seen(3072, "1:9.2");
        none.texts.remove("/etc/ssh/ssh_host_rsa_key.pub");
        assert_eq!(paths(&Host::default(), &none), ed);
        let blob = BASE64.decode(rsa(2048).split(' ').nth(1).unwrap()).unwrap();
        let host_key = format!("SHA256:{}", BASE64_NO_PAD.encode(Sha256::digest(blob)));
        let pinned = Host { host_key, ..Host::default() };
        assert_eq!(paths(&pinned, &seen(2048, "1:9.2")), format!("{ed} {rsa_path}"));
    }

    #[test]
    fn on_an_unknown_host_it_is_what_debian_12_takes() {
        let sshd = sshd(&Host::default(), &Observed::default());
        assert!(!value(&sshd, "KexAlgorithms")[0].contains("mlkem"));
        assert_eq!(value(&sshd, "HostKeyAlgorithms"), ["ssh-ed25519,rsa-sha2-512,rsa-sha2-256"]);
    }
}
