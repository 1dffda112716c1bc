//! A rendered tree, in memory: plain data, sorted by path.

use super::block;
use super::catalogue::Class;
use crate::digest::sha256;
pub use crate::git::Mode;

/// How a file's content is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentKind {
    /// UTF-8 with LF line endings.
    Text,
    /// Anything else.
    Binary,
    /// A symbolic link's destination.
    Link,
}

/// One file of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFile {
    /// Names it across renames: the catalogue's id, with `/ENVIRONMENT` where it is made once for each.
    pub id: String,
    /// Where it lands.
    pub path: String,
    /// Whose it is.
    pub class: Class,
    /// Type and permission bits.
    pub mode: Mode,
    /// How the content is to be read.
    pub kind: ContentKind,
    /// The content: for a link its destination.
    pub bytes: Vec<u8>,
}

impl RenderedFile {
    /// What factoryup is answerable for in this file: the block's body where it is one, else all of it.
    #[must_use]
    pub fn owned(&self) -> &[u8] {
        owned(self.class, &self.bytes).unwrap_or(&self.bytes)
    }

    /// SHA-256 of [`owned`](Self::owned).
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(self.owned())
    }
}

/// The part of `bytes` that factoryup is answerable for in a file of that class; `None` when the block is not to be found.
pub(crate) fn owned(class: Class, bytes: &[u8]) -> Option<&[u8]> {
    match class {
        Class::Block => std::str::from_utf8(bytes).ok().and_then(block::body).map(str::as_bytes),
        Class::Managed | Class::Merge | Class::Seeded => Some(bytes),
    }
}

/// A whole rendered tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The version of the pack that it was rendered from.
    pub version: String,
    /// The digest of that pack.
    pub pack_sha256: String,
    /// The files, sorted by path.
    pub files: Vec<RenderedFile>,
}
