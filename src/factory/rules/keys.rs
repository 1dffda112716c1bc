//! Rules for public keys, fingerprints and ids.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::{Fault, ensure};

/// The fewest bits of an RSA key that are taken: 128-bit security, as NIST SP 800-57 and ssh-audit ask for.
const RSA_BITS: usize = 3072;
const KEY_REMEDY: &str = "paste the line of a .pub file, such as `ssh-ed25519 AAAA… ada@laptop`";

/// One line of `authorized_keys` (`man 8 sshd`) without options: key type, base64, comment.
///
/// Options are refused: one like `command=` or `restrict` would lock the owner out, and what the host allows is the profile's matter.
pub(crate) fn authorized_key(text: &str) -> Result<(), Fault> {
    ensure(!text.is_empty(), "is empty", KEY_REMEDY)?;
    let mut words = text.split_whitespace();
    let (Some(kind), blob) = (words.next(), words.next()) else { return Err(Fault::new("is empty", KEY_REMEDY)) };
    ensure(
        kind != "ssh-dss",
        "is a DSA key, which OpenSSH no longer accepts",
        "create one with `ssh-keygen -t ed25519`",
    )?;
    let certificate = kind.contains("-cert-v01@");
    ensure(!certificate, "is a certificate, not a key", "paste the public key that it certifies")?;
    if !KEY_TYPES.contains(&kind) {
        let options = text.split_whitespace().any(|word| KEY_TYPES.contains(&word));
        ensure(
            !options,
            "begins with options, which are not supported",
            "paste only the key, beginning with its type",
        )?;
        return Err(Fault::new("does not begin with a key type that OpenSSH supports", KEY_REMEDY));
    }
    let blob = blob.ok_or_else(|| Fault::new("has a key type but no key", KEY_REMEDY))?;
    let bytes = STANDARD.decode(blob).map_err(|_| {
        Fault::new("has a key that is not valid base64", "copy the whole line again, without line breaks")
    })?;
    key_blob(kind, &bytes)
}

/// The key types taken, as they stand at the beginning of the line.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

/// The key itself in the wire format of RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4 and OpenSSH's PROTOCOL.u2f: length-prefixed fields,
/// the first of which repeats the type.
fn key_blob(kind: &str, bytes: &[u8]) -> Result<(), Fault> {
    let cut = || Fault::new("has a truncated or damaged key", "copy the whole line again");
    let fields = wire_fields(bytes).ok_or_else(cut)?;
    let inner = fields.first().copied().unwrap_or_default();
    ensure(inner == kind.as_bytes(), "has a key that does not match its type", "copy the whole line again")?;
    let lengths: Vec<usize> = fields[1..].iter().map(|field| field.len()).collect();
    let whole = match kind {
        "ssh-ed25519" => lengths == [32],
        "sk-ssh-ed25519@openssh.com" => lengths.len() == 2 && lengths[0] == 32,
        "ecdsa-sha2-nistp256" => lengths == [8, 65] && is_point(&fields[1..], "nistp256"),
        "ecdsa-sha2-nistp384" => lengths == [8, 97] && is_point(&fields[1..], "nistp384"),
        "ecdsa-sha2-nistp521" => lengths == [8, 133] && is_point(&fields[1..], "nistp521"),
        "sk-ecdsa-sha2-nistp256@openssh.com" => {
            lengths.len() == 3 && lengths[..2] == [8, 65] && is_point(&fields[1..], "nistp256")
        }
        // An exponent that is even or 1 makes no key.
        _ => lengths.len() == 2 && bit_length(fields[1]) > 1 && fields[1].last().is_some_and(|last| last % 2 == 1),
    };
    if !whole {
        return Err(cut());
    }
    if kind == "ssh-rsa" {
        let bits = bit_length(fields[2]);
        let remedy = "create a stronger one with `ssh-keygen -t ed25519`";
        ensure(bits >= RSA_BITS, format!("is an RSA key of {bits} bits; at least {RSA_BITS} are required"), remedy)?;
    }
    Ok(())
}

/// Whether the fields are the name of a curve and an uncompressed point, the only form that OpenSSH takes (SEC 1 §2.3.3).
fn is_point(fields: &[&[u8]], curve: &str) -> bool {
    fields[0] == curve.as_bytes() && fields[1].first() == Some(&4)
}

fn wire_fields(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (field, rest) = rest.split_at_checked(length)?;
        fields.push(field);
        bytes = rest;
    }
    Some(fields)
}

fn bit_length(number: &[u8]) -> usize {
    let digits = number.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &number[first..]);
    digits.first().map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
}

/// What a person gives for keys, made into their lines: a path to a public key file becomes the keys in it.
pub(crate) fn authorized_keys_of(text: &str) -> Result<String, Fault> {
    let text = text.trim();
    let is_path =
        text.starts_with(['/', '~', '.']) || std::path::Path::new(text).extension().is_some_and(|e| e == "pub");
    if !is_path {
        return Ok(text.to_owned());
    }
    let path = match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => text.into(),
    };
    let remedy = "enter the path of a .pub file, or paste its line";
    let found = crate::budget::read_text(&path).map_err(|error| {
        Fault::new(format!("is the file {}, which cannot be read: {error}", path.display()), remedy)
    })?;
    let public = super::find_secrets(&found).is_empty();
    ensure(public, "is a file with a private key", "use the file with the same name that ends in .pub")?;
    let keys: Vec<&str> =
        found.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    ensure(!keys.is_empty(), "is a file without a key", remedy)?;
    Ok(keys.join("\n"))
}

/// A host key's fingerprint as `ssh-keygen -lf` prints it: `SHA256:` and 43 characters of base64.
pub(crate) fn fingerprint(text: &str) -> Result<(), Fault> {
    let remedy = "paste the output of `ssh-keygen -lf` for the host key: `SHA256:` and 43 characters";
    ensure(!text.is_empty(), "is empty", remedy)?;
    ensure(!text.starts_with("MD5:"), "is an MD5 fingerprint, which is not secure", remedy)?;
    let hash = text.strip_prefix("SHA256:").ok_or_else(|| Fault::new("does not begin with `SHA256:`", remedy))?;
    ensure(hash.len() == 43, format!("has {} characters after `SHA256:`", hash.chars().count()), remedy)?;
    ensure(STANDARD_NO_PAD.decode(hash).is_ok_and(|hash| hash.len() == 32), "is not valid base64", remedy)
}

/// A Cloudflare account or zone id: 32 hexadecimal digits in lower case.
pub(crate) fn hex_id(text: &str) -> Result<(), Fault> {
    let remedy = "copy the 32 hexadecimal digits from the zone's overview page in the Cloudflare dashboard";
    ensure(!text.is_empty(), "is empty", remedy)?;
    ensure(text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "is not lower-case hexadecimal", remedy)?;
    ensure(text.len() == 32, format!("has {} digits", text.len()), remedy)
}

/// An age recipient: Bech32 (BIP 173, without its limit of length) whose prefix is `age`, for an X25519 key of 32 bytes, or begins
/// with `age1`, for a plugin's (<https://github.com/C2SP/C2SP/blob/main/age.md>).
pub(crate) fn age_recipient(text: &str) -> Result<(), Fault> {
    let remedy = "paste the line that begins with `age1` from `age-keygen -y KEYFILE`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    ensure(!text.starts_with("ssh-"), "is an SSH key", remedy)?;
    ensure(text.starts_with("age1"), "does not begin with `age1`", remedy)?;
    let damaged = || Fault::new("has a wrong checksum: a character is missing or mistyped", remedy);
    let (prefix, data) = crate::age::decode(text).ok_or_else(damaged)?;
    ensure(prefix != "age" || data.len() == 32, "is not a key of 32 bytes", remedy)?;
    ensure(prefix == "age" || prefix.starts_with("age1"), "is not an age recipient", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX8 ada@laptop";
    const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    fn reason(result: Result<(), Fault>) -> String {
        result.err().map(|fault| fault.reason).unwrap_or_default()
    }

    #[test]
    fn a_key_passes_with_and_without_a_comment() {
        assert_eq!(authorized_key(ED25519), Ok(()));
        assert_eq!(authorized_key(ED25519.trim_end_matches(" ada@laptop")), Ok(()));
    }

    #[test]
    fn a_key_that_is_cut_or_altered_does_not() {
        for cut in ["ssh-ed25519", "ssh-ed25519 AAAA", &ED25519[..60], &ED25519.replacen("ssh-ed25519", "ssh-rsa", 1)] {
            assert!(authorized_key(cut).is_err(), "{cut}");
        }
        assert!(reason(authorized_key(&format!("restrict {ED25519}"))).contains("options"));
        assert!(reason(authorized_key("ssh-dss AAAA")).contains("DSA"));
    }

    #[test]
    fn a_key_of_another_curve_or_without_an_exponent_does_not() {
        let blob = |fields: &[&[u8]]| {
            let field = |content: &&[u8]| [&u32::try_from(content.len()).unwrap().to_be_bytes(), *content].concat();
            STANDARD.encode(fields.iter().map(field).collect::<Vec<_>>().concat())
        };
        let point = |first: u8| [vec![first], vec![7; 64]].concat();
        let ecdsa = |curve: &str, first: u8| {
            let kind = "ecdsa-sha2-nistp256";
            format!("{kind} {}", blob(&[kind.as_bytes(), curve.as_bytes(), &point(first)]))
        };
        assert_eq!(authorized_key(&ecdsa("nistp256", 4)), Ok(()));
        assert!(authorized_key(&ecdsa("nistp384", 4)).is_err() && authorized_key(&ecdsa("nistp256", 9)).is_err());
        let number = [vec![0], vec![0x80; 384]].concat();
        for exponent in [&[][..], &[1], &[1, 0, 0]] {
            assert!(authorized_key(&format!("ssh-rsa {}", blob(&[b"ssh-rsa", exponent, &number]))).is_err());
        }
    }

    #[test]
    fn an_rsa_key_needs_3072_bits() {
        let key = |bytes: usize| {
            let field = |content: &[u8]| [&u32::try_from(content.len()).unwrap().to_be_bytes(), content].concat();
            let number = [vec![0], vec![0x80; bytes]].concat();
            format!("ssh-rsa {}", STANDARD.encode([field(b"ssh-rsa"), field(&[1, 0, 1]), field(&number)].concat()))
        };
        assert_eq!(authorized_key(&key(384)), Ok(()));
        assert!(reason(authorized_key(&key(256))).contains("2048 bits"));
    }

    #[test]
    fn every_single_mistyped_character_of_a_recipient_is_found() {
        assert_eq!(age_recipient(RECIPIENT), Ok(()));
        for at in 4..RECIPIENT.len() {
            let wrong = if &RECIPIENT[at..=at] == "q" { "p" } else { "q" };
            let mistyped = format!("{}{wrong}{}", &RECIPIENT[..at], &RECIPIENT[at + 1..]);
            assert!(age_recipient(&mistyped).is_err(), "{mistyped}");
        }
        assert!(age_recipient(&RECIPIENT[..61]).is_err());
    }

    #[test]
    fn fingerprints_and_ids() {
        assert_eq!(fingerprint("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"), Ok(()));
        for bad in [
            "",
            "SHA256:",
            "MD5:aa:bb",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF!",
        ] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
        assert_eq!(hex_id("0123456789abcdef0123456789abcdef"), Ok(()));
        for bad in ["", "0123456789ABCDEF0123456789ABCDEF", "0123", "0123456789abcdef0123456789abcdeg"] {
            assert!(hex_id(bad).is_err(), "{bad}");
        }
    }
}
