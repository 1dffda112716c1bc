//! What a new version changes besides the texts of files: declared in `list.toml`, in order, and nothing else.
//!
//! Most of an upgrade needs no migration: a file that the templates rename keeps its id and is followed, one that they drop is
//! removed or becomes the user's, a new field of `factory.toml` is a new question. A migration says what cannot be seen from the
//! two versions alone. There are six kinds, all of them data; none runs a program:
//!
//! | kind | does |
//! |---|---|
//! | `rename-answer { from, to }` | a key of `factory.toml` has another name, in this section or another one |
//! | `set-answer { key, from, to }` | a value has another word; without `from`, whatever the value is |
//! | `retire-answer { key }` | a key means nothing any more; its value is kept under `[retired]` |
//! | `rename-file { from, to }` | the id of a file in the catalogue changed; with it those of its environments, `ID/ENVIRONMENT` |
//! | `move-path { from, to }` | a file or folder of the control repo moves with all that the user put there; an edit is kept |
//! | `remove-path { path, sha256 }` | a file that is in no manifest goes, when it holds one of these contents; else it stays |
//!
//! Each migration has an `id`, the `version` of the templates that brings it, and says in `about` why it is there. One that changes
//! answers also has the `schema` number of `factory.toml` that begins with it: a file of an older schema is read as if it had been
//! changed already (`factory::former`), so that every command understands it, and an upgrade writes it so. Those that change files are
//! run by an upgrade over the manifest and the tree in memory (`repo::migrate`) and become part of its commit. The manifest
//! records each that was run, so that none runs twice. A record that is not in the list was made by a newer factoryup, and is refused.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::error::{Error, Result};

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Migration {
    /// Names it for ever: `a-z`, `0-9` and `-`.
    pub id: String,
    /// The version of the templates that brings it, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// The `schema` number of `factory.toml` that begins with it, for those that change answers; from 2 on.
    #[serde(default)]
    pub schema: Option<u32>,
    /// Why, in one clause; shown in the plan.
    pub about: String,
    /// What it does.
    pub change: Change,
}

/// What a migration does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Change {
    /// A key of `factory.toml` has another name.
    RenameAnswer {
        /// `section.key` before.
        from: String,
        /// And after.
        to: String,
    },
    /// A value is another one.
    SetAnswer {
        /// `section.key`.
        key: String,
        /// The value that is replaced; whatever it is, when this is not given.
        #[serde(default)]
        from: Option<toml::Value>,
        /// What it becomes.
        to: toml::Value,
    },
    /// A key means nothing any more.
    RetireAnswer {
        /// `section.key`.
        key: String,
    },
    /// The id of a file changed.
    RenameFile {
        /// The id before.
        from: String,
        /// And after.
        to: String,
    },
    /// A file or folder moves with all that is in it.
    MovePath {
        /// Where it was, relative to the root.
        from: String,
        /// Where it will be.
        to: String,
    },
    /// A file that is in no manifest goes.
    RemovePath {
        /// Where it is.
        path: String,
        /// SHA-256 of the contents with which it goes.
        sha256: Vec<String>,
    },
}

impl Migration {
    /// Whether it changes answers; else it changes files.
    #[must_use]
    pub(crate) fn changes_answers(&self) -> bool {
        matches!(self.change, Change::RenameAnswer { .. } | Change::SetAnswer { .. } | Change::RetireAnswer { .. })
    }
}

/// The list in this binary, in order.
///
/// # Errors
/// `Internal` when it is wrong, which a test keeps from happening.
pub(crate) fn all() -> Result<&'static [Migration]> {
    static LIST: OnceLock<Result<Vec<Migration>, String>> = OnceLock::new();
    match LIST.get_or_init(|| parse(include_str!("list.toml"))) {
        Ok(list) => Ok(list),
        Err(why) => Err(Error::internal(format!("the list of migrations is wrong: {why}"))
            .hint("it is part of this factoryup; report it, with the output of `factoryup --version`")),
    }
}

/// Reads a list, and checks what can be checked without the templates.
pub(crate) fn parse(text: &str) -> Result<Vec<Migration>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        #[serde(default)]
        migration: Vec<Migration>,
    }
    let list = toml::from_str::<Document>(text).map_err(|e| e.to_string())?.migration;
    let (mut ids, mut version, mut schema) = (BTreeSet::new(), [0; 3], 1);
    for entry in &list {
        let wrong = |why: &str| Err(format!("`{}` {why}", entry.id));
        let plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
        if entry.id.is_empty() || !entry.id.chars().all(plain) {
            return wrong("has an id with other characters than a-z, 0-9 and -");
        }
        if !ids.insert(&entry.id) {
            return wrong("is listed twice");
        }
        let number = numbers(&entry.version);
        if number.contains(&u64::MAX) || number < version {
            return wrong("is out of order: versions are three numbers and never go back");
        }
        version = number;
        match entry.schema {
            Some(number) if entry.changes_answers() && number > 1 && number >= schema => schema = number,
            None if !entry.changes_answers() => {}
            _ => {
                return wrong(
                    "must have a `schema` from 2 on that never goes back if it changes answers, and none if not",
                );
            }
        }
    }
    Ok(list)
}

/// The three numbers of a version; what cannot be read counts as newer than anything.
pub(crate) fn numbers(version: &str) -> [u64; 3] {
    let mut numbers = version.splitn(3, '.').map(|part| part.parse().unwrap_or(u64::MAX));
    std::array::from_fn(|_| numbers.next().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[migration]]\nid = \"a\"\nversion = \"1.1.0\"\nabout = \"x\"\nchange = { rename-file = { from = \"b\", to = \"c\" } }\n";

    #[test]
    fn the_list_in_this_binary_is_right() {
        let list = all().unwrap();
        assert!(!list.is_empty());
        let newest = list.iter().filter_map(|entry| entry.schema).max();
        assert_eq!(newest, Some(crate::factory::SCHEMA), "the schema number and the list go together");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse(GOOD).unwrap().len(), 1);
        for (from, to, said) in [
            ("rename-file", "run-program", "unknown variant `run-program`"),
            ("to = \"c\"", "to = \"c\", force = true", "unexpected keys in table: force"),
            ("id = \"a\"", "id = \"a b\"", "an id with other characters"),
            ("version = \"1.1.0\"", "version = \"next\"", "is out of order"),
            ("about", "schema = 2\nabout", "must have a `schema`"),
            ("rename-file = {", "rename-answer = {", "must have a `schema`"),
        ] {
            let error = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(said), "{error:?} does not say {said:?}");
        }
        let later = GOOD.replace("\"a\"", "\"b\"").replace("1.1.0", "1.0.9");
        assert!(parse(&format!("{GOOD}{later}")).unwrap_err().contains("`b` is out of order"));
        assert!(parse(&format!("{GOOD}{GOOD}")).unwrap_err().contains("listed twice"));
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("0.10.0") > numbers("0.9.9"));
        assert!(numbers("weird") > numbers("99.0.0"));
    }
}
