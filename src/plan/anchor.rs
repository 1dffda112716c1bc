//! Anchors: heads of an evidence log, stored out of reach of the log's directory.
//!
//! Each line of the log has the hash of the line before, so one line's hash fixes all lines up to it. A log that was shortened, or
//! computed again with statements missing, does not have the line that an anchor names.

use serde::{Deserialize, Serialize};

/// The head of an evidence log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Always [`Head::SCHEMA`].
    pub schema: u32,
    /// SHA-256 of the log's first line, which tells logs apart: each state folder has its own.
    pub log: String,
    /// How many statements there are.
    pub statements: usize,
    /// SHA-256 of the last of them.
    pub sha256: String,
    /// When the head was read, RFC 3339 UTC.
    pub at: String,
}

impl Head {
    /// The version of this format.
    pub const SCHEMA: u32 = 1;

    /// The head of a log whose lines have these hashes; none for a log without lines.
    #[must_use]
    pub fn of(hashes: &[String]) -> Option<Self> {
        let (log, sha256) = (hashes.first()?.clone(), hashes.last()?.clone());
        let at = jiff::Timestamp::now().to_string();
        Some(Self { schema: Self::SCHEMA, log, statements: hashes.len(), sha256, at })
    }

    fn is_in(&self, hashes: &[String]) -> bool {
        self.statements.checked_sub(1).and_then(|index| hashes.get(index)) == Some(&self.sha256)
    }
}

/// A head that is stored elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// What it is called there.
    pub name: String,
    /// When it was written there, by the keeper's clock.
    pub at: String,
    /// Whether only those who may create anchors can move it.
    pub is_protected: bool,
    /// The head that it stores.
    pub head: Head,
}

/// What the anchors say about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// There are none.
    Unanchored,
    /// All of them are about other logs; this is the last.
    Unknown(&'a Anchor),
    /// The log does not have the line that the first of these names. It does have the line of the other, if there is one.
    Missing(&'a Anchor, Option<&'a Anchor>),
    /// The log has every line that its anchors name; this is the last. One that is not protected could have been moved.
    Holds(&'a Anchor),
}

/// Compares a log, as the hashes of its lines, with all anchors there are.
#[must_use]
pub fn standing<'a>(hashes: &[String], anchors: &'a [Anchor]) -> Standing<'a> {
    let of_this = |anchor: &&Anchor| hashes.first() == Some(&anchor.head.log);
    let mut own: Vec<&Anchor> = anchors.iter().filter(of_this).collect();
    own.sort_by_key(|anchor| anchor.head.statements);
    let Some(last) = own.last() else {
        return anchors.iter().max_by_key(|anchor| &anchor.at).map_or(Standing::Unanchored, Standing::Unknown);
    };
    match own.iter().position(|anchor| !anchor.head.is_in(hashes)) {
        Some(first) => Standing::Missing(own[first], first.checked_sub(1).map(|index| own[index])),
        // One that could have been moved proves less than the others.
        None => Standing::Holds(own.iter().find(|anchor| !anchor.is_protected).unwrap_or(last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(text: &str) -> Vec<String> {
        text.chars().map(String::from).collect()
    }

    fn anchor(text: &str, is_protected: bool) -> Anchor {
        let head = Head::of(&hashes(text)).unwrap();
        Anchor { name: text.into(), at: format!("{}", text.len()), is_protected, head }
    }

    #[test]
    fn a_line_that_an_anchor_names_must_be_there() {
        let anchors = ["abcde", "ab", "abc", "xy"].map(|text| anchor(text, true));
        for (log, expected) in [
            ("abcde", Standing::Holds(&anchors[0])),
            ("abcdefg", Standing::Holds(&anchors[0])),
            ("abcd", Standing::Missing(&anchors[0], Some(&anchors[2]))),
            ("abde", Standing::Missing(&anchors[2], Some(&anchors[1]))),
            ("acbde", Standing::Missing(&anchors[1], None)),
            ("a", Standing::Missing(&anchors[1], None)),
            ("bcde", Standing::Unknown(&anchors[0])),
            ("xyz", Standing::Holds(&anchors[3])),
        ] {
            assert_eq!(standing(&hashes(log), &anchors), expected, "{log}");
        }
        assert_eq!(standing(&hashes("abc"), &[]), Standing::Unanchored);
    }

    #[test]
    fn an_anchor_that_anyone_could_have_moved_is_named_first() {
        let anchors = [anchor("ab", false), anchor("abc", true)];
        assert_eq!(standing(&hashes("abcd"), &anchors), Standing::Holds(&anchors[0]));
    }

    #[test]
    fn an_anchor_of_no_statements_is_never_found() {
        let mut none = anchor("a", true);
        none.head.statements = 0;
        assert!(matches!(standing(&hashes("a"), &[none]), Standing::Missing(..)));
    }
}
