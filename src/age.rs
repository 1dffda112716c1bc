//! age keys: creates a pair, and reads who a key file belongs to. It encrypts nothing; SOPS and age do.
//!
//! Only X25519 pairs, as `age-keygen` makes them: 32 random bytes whose text is Bech32 (BIP 173) without its limit of 90 characters,
//! as <https://c2sp.org/age> says. The private half is a [`Secret`], and leaves only into a file that the owner names.
//!
//! ```
//! let pair = factoryup::age::KeyPair::generate()?;
//! assert!(pair.recipient().starts_with("age1"));
//! assert_eq!(factoryup::age::pairs(&pair.file())[0].recipient(), pair.recipient());
//! # Ok::<(), factoryup::Error>(())
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bech32::primitives::checksum::Checksum;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use jiff::Timestamp;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::secret::Secret;

/// What the text of a private key begins with.
const PRIVATE: &str = "AGE-SECRET-KEY-1";

/// A private key and its recipient.
#[derive(Debug)]
pub struct KeyPair {
    private: Secret,
    recipient: String,
}

impl KeyPair {
    /// Creates a pair from the system's randomness.
    ///
    /// # Errors
    /// `Internal` if the system gives no randomness.
    pub fn generate() -> Result<Self> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|e| Error::internal(format!("no randomness: {e}")))?;
        let mut private = Zeroizing::new(text("age-secret-key-", bytes.as_slice()).unwrap_or_default());
        private.make_ascii_uppercase();
        Self::read(&private).ok_or_else(|| Error::internal("a new age key does not read back"))
    }

    fn read(line: &str) -> Option<Self> {
        let (prefix, bytes) = decode(line)?;
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        if prefix != "age-secret-key-" {
            return None;
        }
        let public = PublicKey::from(&StaticSecret::from(*bytes));
        Some(Self { private: Secret::new(line), recipient: text("age", public.as_bytes())? })
    }

    /// The public half, `age1…`: with it, anyone can encrypt for the owner of the pair.
    #[must_use]
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// The private half, as SOPS reads it from a variable.
    pub(crate) fn private(&self) -> &Secret {
        &self.private
    }

    /// The content of a key file, as `age-keygen` writes it and SOPS reads it.
    #[must_use]
    pub fn file(&self) -> Zeroizing<String> {
        let created = Timestamp::now().strftime("%FT%TZ");
        let private = self.private.expose();
        Zeroizing::new(format!("# created: {created}\n# public key: {}\n{private}\n", self.recipient))
    }

    /// A page to print and put away: the key in groups that a person can type again, and what to do with it.
    #[must_use]
    pub fn sheet(&self, owner: &str, file: &Path) -> Zeroizing<String> {
        let created = Timestamp::now().strftime("%F");
        let groups: Vec<&str> = chunks(&self.private.expose()[PRIVATE.len()..], 4).collect();
        let lines: Vec<String> = groups.chunks(5).map(|line| format!("    {}", line.join(" "))).collect();
        let lines = Zeroizing::new(lines.join("\n"));
        Zeroizing::new(format!(
            "RECOVERY SHEET OF AN AGE KEY\n\n\
             {owner}created {created}\n\n\
             Anyone who has this page can read the secrets of the factory. Print it, delete the file, and keep the page where\n\
             neither a fire nor a burglar gets both it and your computer.\n\n\
             Public key:\n\n    {}\n\n\
             Private key ({PRIVATE}, then the groups without the spaces, all on one line):\n\n    {PRIVATE}\n{}\n\n\
             To restore: write that one line into {}, then run `chmod 600` on the file. To check it, run\n\
             `age-keygen -y` on the file: it prints the public key above. Then `scripts/secret list` works in the control repo.\n",
            self.recipient,
            *lines,
            file.display(),
        ))
    }
}

/// The pairs of the private keys in a key file, in order. Other lines, such as those of plugins, are left out.
#[must_use]
pub fn pairs(file: &str) -> Vec<KeyPair> {
    file.lines().map(str::trim).filter(|line| line.starts_with(PRIVATE)).filter_map(KeyPair::read).collect()
}

/// Where SOPS looks for private keys: `SOPS_AGE_KEY_FILE`, or `sops/age/keys.txt` in the user's configuration directory
/// (`$XDG_CONFIG_HOME`, `~/.config`, on macOS `~/Library/Application Support`). See SOPS's documentation, "Encrypting using age".
#[must_use]
pub fn place(home: &Path, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let set = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let configuration = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    set("SOPS_AGE_KEY_FILE")
        .unwrap_or_else(|| set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(configuration)).join("sops/age/keys.txt"))
}

/// The prefix, in lower case, and the bytes of a text in Bech32 of any length; none if the checksum is wrong.
pub(crate) fn decode(text: &str) -> Option<(String, Zeroizing<Vec<u8>>)> {
    let checked = CheckedHrpstring::new::<AnyLength>(text).ok()?;
    checked.validate_segwit_padding().ok()?;
    Some((checked.hrp().to_lowercase(), Zeroizing::new(checked.byte_iter().collect())))
}

fn text(prefix: &str, bytes: &[u8]) -> Option<String> {
    bech32::encode::<Bech32>(Hrp::parse(prefix).ok()?, bytes).ok()
}

fn chunks(text: &str, size: usize) -> impl Iterator<Item = &str> {
    (0..text.len()).step_by(size).map(move |at| &text[at..text.len().min(at + size)])
}

/// Bech32 as age uses it: a recipient of a plugin or a post-quantum one is longer than BIP 173 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnyLength {}

impl Checksum for AnyLength {
    type MidstateRepr = u32;
    const CODE_LENGTH: usize = 65_536;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}
