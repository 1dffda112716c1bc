//! Three versions of one file become one: what the templates rendered before (*base*), what the user has (*current*), what the
//! templates render now (*new*).
//!
//! Everything here is pure: bytes in, a [`Decision`] out. Type and permission bits, presence and content are decided each by its own
//! rule: what only one side changed is taken from that side, what both changed alike is taken once. Where both changed the content
//! differently, and only there, texts are merged, by lines, under four conditions; if one does not hold it is a conflict, since a
//! conflict costs a minute and a wrong guess costs the edit:
//!
//! 1. The patience diff finds no overlap. Patience anchors on lines that occur once, so an edit stays in its block where Myers'
//!    algorithm, which git uses, moves it to a block that reads the same.
//! 2. Three other merges agree: one by Myers' algorithm from another library, the same one read from the last line to the first,
//!    and one that takes two lines for equal only when they stand below the same headings.
//! 3. Every line that a side added is in the result.
//! 4. YAML, TOML and JSON are parsed: the result holds the changes of each side under the very keys where that side made them.
//!
//! ```
//! use factoryup::repo::merge::text;
//!
//! let merged = text("job.yml", b"a: 1\nb: 2\nc: 3\n", b"a: 1\nb: 2\nc: 4\n", b"a: 0\nb: 2\nc: 3\n");
//! assert_eq!(merged.unwrap(), b"a: 0\nb: 2\nc: 4\n");
//! assert!(text("job.yml", b"a: 1\n", b"a: 2\n", b"a: 3\n").is_err());
//! ```
//!
//! What a diff costs can grow with the square of the text. So a text of more than 128 KiB or 4,000 lines is not merged; the
//! longest file of the templates has half of that.
//!
//! Which files belong together, and what a conflict becomes in the repo, is not decided here: see `compare`.

mod lines;
mod parse;
mod place;
mod regions;
mod structure;

use crate::digest::sha256;
use crate::templating::render::is_conflict_marker;
use crate::templating::tree::Mode;

/// One version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    /// Type and permission bits.
    pub mode: Mode,
    /// The content: for a link its destination.
    pub bytes: &'a [u8],
}

/// What the templates rendered before. The content itself is only needed when both sides changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base<'a> {
    /// Type and permission bits.
    pub mode: Mode,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: &'a str,
    /// The content, when it is kept and was found.
    pub bytes: Option<&'a [u8]>,
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The user's version stays: the templates changed nothing, or made the same change.
    Keep,
    /// The new version is taken: the user changed nothing, or there was nothing.
    Take,
    /// Both changed it, and this holds the changes of both.
    Merge(Merged),
    /// The templates no longer make it and the user never edited it: it goes.
    Delete,
    /// The user deleted it, and it stays deleted.
    StaysDeleted {
        /// Whether the templates changed it since, which the user should hear.
        changed: bool,
    },
    /// The templates no longer make it, but the user edited it: it stays, and is the user's from now on.
    Abandon,
    /// Both changed it and no rule says how it goes together.
    Conflict(Conflict),
}

/// A file that holds the changes of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Type and permission bits.
    pub mode: Mode,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Why two changes do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// Both changed the same lines, or lines beside each other.
    SameLines,
    /// Two ways to merge disagree about where a change belongs.
    Ambiguous,
    /// The lines go together, but a key would get a value that neither side meant, or the text can no longer be read.
    Structure,
    /// A version is too long for a merge within a moment: more than 128 KiB, or than 4,000 lines.
    TooLong,
    /// A version already holds conflict markers.
    Markers,
    /// Both changed content that has no lines.
    Binary,
    /// One side made a link of it, or a file of a link, and the other changed it too.
    Type,
    /// Both made a file where there was none.
    BothAdded,
    /// What the templates rendered before is not known any more.
    MissingBase,
    /// The user changed a file that is factoryup's alone.
    Tampered,
    /// The user's file does not hold exactly one block.
    NoBlock,
    /// Another file or folder is where it should land.
    PathTaken,
}

impl Conflict {
    /// One clause that says it to the user.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameLines => "you and the templates changed the same lines",
            Self::Ambiguous => "your change could belong in more than one place",
            Self::Structure => "the merged text is not valid",
            Self::TooLong => "you and the templates changed it, and it is too long to merge",
            Self::Markers => "it contains conflict markers",
            Self::Binary => "you and the templates changed it, and it is a binary file",
            Self::Type => "it became a link or a file, and its content changed",
            Self::BothAdded => "you have a file at the path of a new one",
            Self::MissingBase => "you and the templates changed it, and its base version is missing",
            Self::Tampered => "you changed it, and factoryup manages it",
            Self::NoBlock => "the markers of factoryup's block are missing or duplicated",
            Self::PathTaken => "you have a file or directory at its path",
        }
    }
}

/// Decides one file that is shared between the templates and the user. `path` tells how its text is to be read.
#[must_use]
pub fn decide(path: &str, base: Option<Base<'_>>, current: Option<Version<'_>>, new: Option<Version<'_>>) -> Decision {
    match (base, current, new) {
        (_, Some(current), Some(new)) if current == new => Decision::Keep,
        (None, None, Some(_)) => Decision::Take,
        (None, Some(_), Some(_)) => Decision::Conflict(Conflict::BothAdded),
        (None, Some(_), None) => Decision::Keep,
        (_, None, None) => Decision::StaysDeleted { changed: false },
        (Some(base), None, Some(new)) => Decision::StaysDeleted { changed: !base.is(new) },
        (Some(base), Some(current), None) if base.is(current) => Decision::Delete,
        (Some(_), Some(_), None) => Decision::Abandon,
        (Some(base), Some(current), Some(_)) if base.is(current) => Decision::Take,
        (Some(base), Some(_), Some(new)) if base.is(new) => Decision::Keep,
        (Some(base), Some(current), Some(new)) => {
            both_changed(path, base, current, new).map_or_else(Decision::Conflict, Decision::Merge)
        }
    }
}

impl Base<'_> {
    fn is(&self, version: Version<'_>) -> bool {
        self.mode == version.mode && sha256(version.bytes) == self.sha256
    }
}

fn both_changed(path: &str, base: Base<'_>, current: Version<'_>, new: Version<'_>) -> Result<Merged, Conflict> {
    // A link's destination and a file's text have nothing to do with each other.
    if [base.mode, current.mode, new.mode].contains(&Mode::Link) {
        return Err(Conflict::Type);
    }
    // Of two modes, one is the base's.
    let mode = if current.mode == base.mode { new.mode } else { current.mode };
    let is_base = |bytes: &[u8]| sha256(bytes) == base.sha256;
    let bytes = if current.bytes == new.bytes || is_base(new.bytes) {
        current.bytes.to_vec()
    } else if is_base(current.bytes) {
        new.bytes.to_vec()
    } else {
        text(path, base.bytes.ok_or(Conflict::MissingBase)?, current.bytes, new.bytes)?
    };
    Ok(Merged { mode, bytes })
}

/// Merges three texts by lines. `path` tells by its ending whether they are also to be parsed.
///
/// A text with CRLF throughout is merged as if it had LF and gets its line endings back. Bytes that are not UTF-8 are kept as
/// they are.
///
/// # Errors
/// Why the two changes do not go together.
pub fn text(path: &str, base: &[u8], current: &[u8], new: &[u8]) -> Result<Vec<u8>, Conflict> {
    if [base, current, new].iter().any(|bytes| bytes.contains(&0)) {
        return Err(Conflict::Binary);
    }
    if [base, current, new].iter().any(|bytes| bytes.len() > LARGEST) {
        return Err(Conflict::TooLong);
    }
    if [base, current, new].iter().any(|bytes| has_markers(bytes)) {
        return Err(Conflict::Markers);
    }
    let (plain_base, plain_current, plain_new) = (Eol::strip(base), Eol::strip(current), Eol::strip(new));
    let eol = if plain_current.1 == plain_base.1 { plain_new.1 } else { plain_current.1 };
    let merged = one_eol(path, &plain_base.0, &plain_current.0, &plain_new.0)?;
    Ok(eol.put(merged))
}

fn one_eol(path: &str, base: &[u8], current: &[u8], new: &[u8]) -> Result<Vec<u8>, Conflict> {
    if current == new || base == new {
        return Ok(current.to_vec());
    }
    if base == current {
        return Ok(new.to_vec());
    }
    let merged = lines::merge(base, current, new)?;
    structure::check(path, [base, current, new], &merged)?;
    Ok(merged)
}

/// Whether a line of a text is one that a merge leaves at a conflict.
#[must_use]
pub fn has_markers(bytes: &[u8]) -> bool {
    let marker =
        |line: &[u8]| std::str::from_utf8(line).is_ok_and(|line| is_conflict_marker(line.trim_end_matches('\r')));
    bytes.split(|byte| *byte == b'\n').any(marker)
}

/// How many bytes a text that is merged may have.
const LARGEST: usize = 128 * 1024;

/// How the lines of a text end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eol {
    /// LF, or no rule.
    AsIs,
    /// CRLF throughout.
    Crlf,
}

impl Eol {
    /// The text with LF, when it has CRLF throughout.
    fn strip(bytes: &[u8]) -> (Vec<u8>, Self) {
        let count = |wanted: &[u8]| bytes.windows(wanted.len()).filter(|found| *found == wanted).count();
        let pairs = count(b"\r\n");
        if pairs == 0 || pairs != count(b"\n") || pairs != count(b"\r") {
            return (bytes.to_vec(), Self::AsIs);
        }
        (bytes.iter().copied().filter(|byte| *byte != b'\r').collect(), Self::Crlf)
    }

    fn put(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::AsIs => bytes,
            Self::Crlf => {
                bytes.into_iter().flat_map(|b| if b == b'\n' { vec![b'\r', b'\n'] } else { vec![b] }).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
