//! The template pack: the files under `templates/` and the list that says what becomes of each.
//!
//! `catalogue.toml` is an ordered list that reads like the tree it makes. The pack is part of the binary; loading it checks that
//! list and files fit each other, so that a pack that loads renders a tree that git and every file system can hold.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rust_embed::Embed;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{TemplateError, TemplateResult};
use super::path;
use crate::digest::{sha256, sha256_of_parts};
use crate::error::IoError;

/// In a path or id: the name of the environment that the file is rendered for.
pub(crate) const ENVIRONMENT: &str = "ENVIRONMENT";
/// Below `templates/`: the pack of application repos, which has a catalogue of its own and no part in the control repo.
const APP: &str = "_app/";
/// What application repos have as the control repo has it.
const SHARED: &str = "scripts/checks/secrets";

#[derive(Embed)]
#[folder = "templates/"]
struct Templates;

/// Whose a file is after it was generated, which decides what an upgrade may do to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// factoryup's: replaced by an upgrade, and an edit of it is reported.
    Managed,
    /// Shared: an upgrade merges three ways, with the pristine text kept under `.factory/base/`.
    Merge,
    /// The user's from the first commit on: written once, never touched again.
    Seeded,
    /// The user's, but for one block between two marker lines, which is merged like a shared file: from the line that holds
    /// `factoryup:begin` to the one that holds `factoryup:end`.
    Block,
}

/// One row of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueRow {
    /// Names the file across renames.
    pub id: String,
    /// Where it lands, relative to the repo's root; `ENVIRONMENT` is replaced when `each` is given.
    pub path: String,
    /// The template's path below `templates/`, when it is not `path`.
    #[serde(default)]
    pub template: Option<String>,
    /// Whose it is.
    pub class: Class,
    /// Dotted booleans of the context, each with an optional leading `!`, joined by ` and `: the file is made when all hold.
    #[serde(default)]
    pub when: Option<String>,
    /// Made once for each of these.
    #[serde(default)]
    pub each: Option<Each>,
    /// Permission bits, `644` (the default) or `755`: git keeps no others.
    #[serde(default)]
    pub mode: Option<String>,
    /// A symbolic link with this destination, instead of a file from a template.
    #[serde(default)]
    pub link: Option<String>,
    /// Copied byte for byte, not rendered.
    #[serde(default)]
    pub raw: bool,
}

/// What a file can be made once for each of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    /// The names in `environments.names`.
    Environments,
}

impl CatalogueRow {
    /// The template's path below `templates/`.
    #[must_use]
    pub fn template(&self) -> &str {
        self.template.as_deref().unwrap_or(&self.path)
    }
}

/// A checked pack: its version, its rows, its files.
#[derive(Debug)]
pub struct Pack {
    /// The pack's version, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// SHA-256 over the catalogue and every template, in hexadecimal.
    pub sha256: String,
    /// The rows, in the catalogue's order.
    pub entries: Vec<CatalogueRow>,
    pub(crate) files: BTreeMap<String, Cow<'static, [u8]>>,
    /// Whether it is that of application repos, where `.factory/` has files from templates.
    app: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: String,
    #[serde(rename = "file")]
    files: Vec<CatalogueRow>,
}

impl Pack {
    /// The pack that is part of this binary.
    pub(crate) fn embedded() -> TemplateResult<Self> {
        Self::new(include_str!("catalogue.toml"), files(|name| (!name.starts_with(APP)).then_some(name)))
    }

    /// The pack of application repos that is part of this binary; see [`crate::app`].
    pub(crate) fn embedded_app(catalogue: &str) -> TemplateResult<Self> {
        let files = files(|name| name.strip_prefix(APP).or((name == SHARED).then_some(name)));
        Self::checked(catalogue, files, true)
    }

    /// The pack in a folder: its `catalogue.toml`, and its files below `templates/`.
    pub(crate) fn read(folder: &Path) -> TemplateResult<Self> {
        let path = folder.join("catalogue.toml");
        let catalogue = fs::read_to_string(&path).map_err(IoError::at("read", &path))?;
        let templates = folder.join("templates");
        let (mut files, mut folders) = (BTreeMap::new(), vec![templates.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(IoError::at("read", &folder))? {
                let path = entry.map_err(IoError::at("read", &folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = fs::read(&path).map_err(IoError::at("read", &path))?;
                let name = path.strip_prefix(&templates).unwrap_or(&path).to_string_lossy().into_owned();
                files.insert(name, Cow::Owned(bytes));
            }
        }
        Self::new(&catalogue, files)
    }

    /// A pack from a catalogue's text and the files below `templates/`.
    pub(crate) fn new(catalogue: &str, files: BTreeMap<String, Cow<'static, [u8]>>) -> TemplateResult<Self> {
        Self::checked(catalogue, files, false)
    }

    fn checked(catalogue: &str, files: BTreeMap<String, Cow<'static, [u8]>>, app: bool) -> TemplateResult<Self> {
        let document: Document = toml::from_str(catalogue).map_err(|e| wrong(e.to_string()))?;
        let mut parts = vec![("catalogue.toml".to_owned(), sha256(catalogue.as_bytes()))];
        parts.extend(files.iter().map(|(name, bytes)| (format!("templates/{name}"), sha256(bytes))));
        let sha256 = sha256_of_parts(&parts);
        let pack = Self { version: document.version, sha256, entries: document.files, files, app };
        pack.check()?;
        Ok(pack)
    }

    /// Why a file of this pack cannot land on `path`, or `None` when it can.
    pub(crate) fn path_problem(&self, path: &str) -> Option<&'static str> {
        if self.app { path::malformed(path) } else { path::problem(path) }
    }

    fn check(&self) -> TemplateResult<()> {
        let mut ids = BTreeSet::new();
        let mut used = BTreeSet::new();
        for entry in &self.entries {
            let fault = |why: String| wrong(format!("the file `{}` {why}", entry.id));
            if !ids.insert(&entry.id) {
                return Err(fault("is listed twice".into()));
            }
            let sample = entry.path.replace(ENVIRONMENT, "environment");
            if let Some(why) = self.path_problem(&sample) {
                return Err(fault(format!("has the path `{}`: {why}", entry.path)));
            }
            if entry.each.is_some() != entry.path.contains(ENVIRONMENT) {
                return Err(fault(format!("must have both `each` and {ENVIRONMENT} in its path, or neither")));
            }
            if !matches!(entry.mode.as_deref(), None | Some("644" | "755")) {
                return Err(fault("has a mode other than 644 and 755".into()));
            }
            if let Some(when) = &entry.when {
                Condition::parse(when).map_err(|why| fault(format!("has the condition `{when}`: {why}")))?;
            }
            if let Some(destination) = &entry.link {
                if entry.raw || entry.template.is_some() || entry.mode.is_some() {
                    return Err(fault("is a link, so it has neither template, raw nor mode".into()));
                }
                if let Some(why) = path::link_problem(&sample, destination) {
                    return Err(fault(format!("links to `{destination}`: {why}")));
                }
                continue;
            }
            if !self.files.contains_key(entry.template()) {
                return Err(fault(format!("needs templates/{}, which is not there", entry.template())));
            }
            used.insert(entry.template());
        }
        match self.files.keys().find(|name| !used.contains(name.as_str())) {
            Some(orphan) => Err(wrong(format!("templates/{orphan} is in no row"))),
            None => Ok(()),
        }
    }
}

/// The embedded files whose names `pick` keeps, under what it makes of them.
fn files(pick: impl Fn(&str) -> Option<&str>) -> BTreeMap<String, Cow<'static, [u8]>> {
    Templates::iter().filter_map(|name| Some((pick(&name)?.to_owned(), Templates::get(&name)?.data))).collect()
}

fn wrong(why: impl Into<String>) -> TemplateError {
    TemplateError::Catalogue(why.into())
}

/// A parsed `when`: each dotted name with what it must be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Condition<'a>(Vec<(&'a str, bool)>);

impl<'a> Condition<'a> {
    /// Parses `cloudflare.enabled and !host.local`.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        text.split(" and ")
            .map(|term| {
                let term = term.trim();
                let (name, wanted) = term.strip_prefix('!').map_or((term, true), |rest| (rest, false));
                let dotted = name.split('.').all(|part| {
                    !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                });
                if dotted && name.contains('.') {
                    Ok((name, wanted))
                } else {
                    Err(format!("`{term}` is no dotted name"))
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether every term holds in `context`.
    pub(crate) fn holds(&self, context: &Value) -> Result<bool, String> {
        for (name, wanted) in &self.0 {
            let value = name.split('.').try_fold(context, |value, part| value.get(part));
            match value.and_then(Value::as_bool) {
                Some(value) if value == *wanted => {}
                Some(_) => return Ok(false),
                None => return Err(format!("`{name}` is not a yes or no of the context")),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(catalogue: &str, files: &[&str]) -> Result<Pack, String> {
        let files = files.iter().map(|f| ((*f).to_owned(), Cow::Borrowed(b"x".as_slice()))).collect();
        Pack::new(&format!("version = \"1.0.0\"\n{catalogue}"), files).map_err(|e| e.to_string())
    }

    const A: &str = "[[file]]\nid = \"a\"\npath = \"a\"\nclass = \"merge\"\n";

    #[test]
    fn the_embedded_pack_is_right() {
        Pack::embedded().unwrap();
    }

    #[test]
    fn the_digest_changes_with_any_file_name_or_row() {
        let digest = |catalogue: &str, files: &[&str]| load(catalogue, files).unwrap().sha256;
        let one = digest(A, &["a"]);
        assert_eq!(one, digest(A, &["a"]));
        let other = A.replace("path = \"a\"", "path = \"a\"\ntemplate = \"b\"");
        assert_ne!(digest(&other, &["b"]), one);
        assert_ne!(one, digest(&format!("{A}mode = \"755\"\n"), &["a"]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let row = |more: &str| format!("[[file]]\nid = \"b\"\nclass = \"merge\"\n{more}\n");
        for (catalogue, files, message) in [
            (A.to_owned(), &[][..], "needs templates/a"),
            (A.to_owned(), &["a", "b"], "templates/b is in no row"),
            (format!("{A}{A}"), &["a"], "listed twice"),
            (row("path = \"../b\""), &["../b"], "`..`"),
            (row("path = \".git/config\""), &[".git/config"], "git's own directory"),
            (row("path = \"b\"\nmode = \"777\""), &["b"], "mode other than"),
            (row("path = \"b\"\neach = \"environments\""), &["b"], "or neither"),
            (row("path = \"ENVIRONMENT\""), &["ENVIRONMENT"], "or neither"),
            (row("path = \"b\"\nwhen = \"enabled\""), &["b"], "no dotted name"),
            (row("path = \"b\"\nlink = \"/etc/passwd\""), &[], "not relative"),
            (row("path = \"b\"\nlink = \"c\"\nraw = true"), &[], "neither template"),
            (row("path = \"b\"\nmod = \"755\""), &["b"], "unknown field"),
        ] {
            let error = load(&catalogue, files).unwrap_err();
            assert!(error.contains(message), "{error:?} does not say {message:?}");
        }
    }

    #[test]
    fn conditions_read_the_context() {
        let context = serde_json::json!({ "a": { "yes": true, "no": false, "text": "x" } });
        let holds = |text| Condition::parse(text).unwrap().holds(&context);
        assert_eq!(holds("a.yes"), Ok(true));
        assert_eq!(holds("a.yes and !a.no"), Ok(true));
        assert_eq!(holds("a.yes and a.no"), Ok(false));
        assert!(holds("a.text").is_err() && holds("a.unknown").is_err());
    }
}
