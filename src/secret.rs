//! A value that cannot be shown, logged or serialized by accident.
//!
//! [`Secret`] has no `Display`, no `Serialize`, no `PartialEq` and a `Debug` that says only `Secret`. The one way to the text is
//! [`Secret::expose`], so that a search for `expose` lists every place a secret can leave through. Its memory is wiped when it
//! is dropped.
//!
//! Making one also registers its text, so that [`redact`] finds it in all later output of the process:
//!
//! ```
//! let token = factoryup::secret::Secret::new("glpat-abc");
//! assert_eq!(format!("{token:?}"), "Secret");
//! assert_eq!(token.expose(), "glpat-abc");
//! // In plain text, and in base64 as `oauth2:glpat-abc`.
//! let said = factoryup::secret::redact("no glpat-abc; Authorization: Basic b2F1dGgyOmdscGF0LWFiYw==");
//! assert_eq!(said, "no [secret]; Authorization: Basic [secret]");
//! ```

pub(crate) mod plain;
pub(crate) mod redactor;

use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub use plain::{acts_on_a_terminal, plain};
pub(crate) use redactor::base64_lines;
pub use redactor::{SHORTEST, forget_all, redact, redact_json};

/// A token, password or key. See the [module](self) for what it refuses to do.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of a secret text, and registers it for redaction in all later output.
    pub fn new(text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        redactor::register(&text);
        Self(text)
    }

    /// What another party says is a token. It is not registered: its words would be missing from all later output. Once it has shown what
    /// it is, make a [new](Self::new) one of it.
    pub fn claimed(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Reads a secret from the first line of a file, without its line ending.
    ///
    /// # Errors
    /// `Usage` when the file cannot be read, is empty, is larger than 64 KiB, or contains control characters.
    pub fn from_file(path: &Path) -> Result<Self> {
        let unread = |e: std::io::Error| {
            Error::usage(format!("cannot read the secret file {}: {e}", path.display()))
                .hint("name a file that you can read, with the secret on its first line")
        };
        let file = std::fs::File::open(path).map_err(unread)?;
        let mut text = Zeroizing::new(String::new());
        file.take(64 * 1024).read_to_string(&mut text).map_err(unread)?;
        let line = text.lines().next().unwrap_or_default().trim_end_matches('\r');
        if line.is_empty() || line.chars().any(char::is_control) {
            return Err(Error::usage(format!(
                "the secret file {} must hold the secret on its first line, without control characters",
                path.display()
            ))
            .hint("write the secret alone into it, with a line ending at most"));
        }
        Ok(Self::new(line))
    }

    /// The secret itself. Every caller is a place where it can leave the process.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_never_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("hunter2"));
    }
}
