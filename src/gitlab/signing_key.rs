//! Keys that CI signs its statements with: ed25519, in OpenSSH's form, as `ssh-keygen -Y sign` reads them.
//!
//! A key is made in memory and written nowhere. Sources: RFC 8032, section 5.1.5; `PROTOCOL.key` of OpenSSH.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::EdwardsPoint;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::secret::Secret;

const KIND: &str = "ssh-ed25519";
const COMMENT: &str = "ci";
/// Bytes in a line of the file, before Base64.
const LINE: usize = 48;

/// A private key and its public half.
pub(super) struct SigningKey {
    /// OpenSSH's file in Base64, since a masked CI/CD variable has one line.
    pub(super) private: Secret,
    /// `ssh-ed25519 AAAA… ci`.
    pub(super) public: String,
}

impl SigningKey {
    /// Creates a key from the system's randomness.
    pub(super) fn generate() -> Result<Self> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        let mut check = [0_u8; 4];
        let fill =
            |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|e| Error::internal(format!("no randomness: {e}")));
        fill(seed.as_mut_slice())?;
        fill(&mut check)?;
        Ok(Self::of(&seed, check))
    }

    fn of(seed: &[u8; 32], check: [u8; 4]) -> Self {
        let hash = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(seed)));
        let mut scalar = Zeroizing::new([0_u8; 32]);
        scalar.copy_from_slice(&hash[..32]);
        let public = EdwardsPoint::mul_base_clamped(*scalar).compress().to_bytes();
        let mut blob = Vec::new();
        put(&mut blob, KIND.as_bytes());
        put(&mut blob, &public);

        // Long enough from the start: what grows leaves copies behind.
        let mut secret = Zeroizing::new(Vec::with_capacity(256));
        secret.extend_from_slice(&check);
        secret.extend_from_slice(&check);
        put(&mut secret, KIND.as_bytes());
        put(&mut secret, &public);
        let pair = Zeroizing::new([seed.as_slice(), &public].concat());
        put(&mut secret, &pair);
        put(&mut secret, COMMENT.as_bytes());
        for byte in 1_u8.. {
            if secret.len().is_multiple_of(8) {
                break;
            }
            secret.push(byte);
        }

        let mut file = Zeroizing::new(Vec::with_capacity(512));
        file.extend_from_slice(b"openssh-key-v1\0");
        for text in [&b"none"[..], b"none", b""] {
            put(&mut file, text);
        }
        file.extend_from_slice(&1_u32.to_be_bytes());
        put(&mut file, &blob);
        put(&mut file, &secret);

        let mut pem = Zeroizing::new(String::with_capacity(1024));
        pem.push_str("-----BEGIN OPENSSH PRIVATE KEY-----\n");
        for line in file.chunks(LINE) {
            STANDARD.encode_string(line, &mut pem);
            pem.push('\n');
        }
        pem.push_str("-----END OPENSSH PRIVATE KEY-----\n");
        Self {
            private: Secret::new(STANDARD.encode(pem.as_bytes())),
            public: format!("{KIND} {} {COMMENT}", STANDARD.encode(&blob)),
        }
    }
}

/// Appends a string as SSH writes one: its length, then its bytes.
fn put(into: &mut Vec<u8>, bytes: &[u8]) {
    // None of them is longer than a few hundred bytes.
    into.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
    into.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1.
    #[test]
    fn the_public_half_is_the_one_of_the_standard() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let key = SigningKey::of(&bytes(seed).try_into().unwrap(), *b"abcd");
        let blob = STANDARD.decode(key.public.split(' ').nth(1).unwrap()).unwrap();
        assert_eq!(&blob[blob.len() - 32..], bytes(public));
        assert!(!key.private.expose().contains('\n'));
    }
}
