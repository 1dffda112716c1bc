//! The short form of a host's or a user's key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};

/// A key's fingerprint as OpenSSH shows it: `SHA256:` and 43 characters, the digest of the key's blob in base64 without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a key's blob (RFC 4253, section 6.6).
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// None where the text is no fingerprint.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digest = text.trim().strip_prefix("SHA256:")?.trim_end_matches('=');
        STANDARD_NO_PAD.decode(digest).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", STANDARD_NO_PAD.encode(self.0))
    }
}
