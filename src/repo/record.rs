//! The folder `.factory/`: manifest, answers last applied, pristine texts, and two files that keep tools off the latter.

use std::collections::BTreeSet;

use super::catalogue::Class;
use super::error::{RepoError, RepoResult};
use super::manifest::{self, Manifest};
use super::tree::{Mode, Tree};
use crate::digest::{sha256, sha256_of_json};
use crate::factory::Factory;

/// The answers last applied, in the form of `factory.toml`: the base, when `factory.toml` is the new.
pub(crate) const ANSWERS: &str = ".factory/answers.lock";
/// Where the pristine texts are, each named by its SHA-256.
pub(crate) const BASE: &str = ".factory/base/";
/// Where the proposals are that wait for the user, each named by its file's id.
pub(crate) const CONFLICTS: &str = ".factory/conflicts/";

const ANSWERS_HEADER: &str = "# Written by factoryup: the answers that were last applied. Edit factory.toml instead, then run `factoryup apply repo`.\n";
/// Pristine texts are compared by their bytes: no line-ending conversion, no diff in merge requests, no language statistics.
const ATTRIBUTES: (&str, &str) =
    (".factory/.gitattributes", "base/** -text -diff linguist-generated\nconflicts/** -text linguist-generated\n");
/// ripgrep and the tools built on it, agents among them, must not find each text twice.
const IGNORE: (&str, &str) = (".factory/.ignore", "base/\nconflicts/\n");

/// The digest that the path of a pristine text has for a name. What else lies in that folder is somebody's own.
pub(crate) fn base_digest(path: &str) -> Option<&str> {
    path.strip_prefix(BASE).filter(|name| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A file as git will hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) path: String,
    pub(crate) mode: Mode,
    pub(crate) bytes: Vec<u8>,
}

impl Blob {
    pub(crate) fn file(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: Mode::File, bytes: bytes.into() }
    }
}

/// Names the answers: SHA-256 of their canonical JSON.
pub(crate) fn answers_sha256(factory: &Factory) -> String {
    sha256_of_json(factory)
}

/// The files of `.factory/` other than the pristine texts.
pub(crate) fn state_files(manifest: &Manifest, factory: &Factory) -> RepoResult<Vec<Blob>> {
    let answers = toml::to_string(factory).map_err(|e| RepoError::Unreadable { file: ANSWERS, why: e.to_string() })?;
    Ok(vec![
        Blob::file(ATTRIBUTES.0, ATTRIBUTES.1),
        Blob::file(IGNORE.0, IGNORE.1),
        Blob::file(ANSWERS, format!("{ANSWERS_HEADER}\n{answers}")),
        Blob::file(manifest::PATH, manifest.to_text()?),
    ])
}

/// The pristine texts of those files of `tree` whose record in `manifest` names them, each once.
pub(crate) fn base_blobs(manifest: &Manifest, tree: &Tree) -> Vec<Blob> {
    let named: BTreeSet<&str> = manifest.files.iter().filter(|r| r.keeps_base()).map(|r| r.base.as_str()).collect();
    let mut blobs: Vec<Blob> = tree
        .files
        .iter()
        .filter(|file| matches!(file.class, Class::Merge | Class::Block))
        .map(|file| (sha256(file.owned()), file))
        .filter(|(digest, _)| named.contains(digest.as_str()))
        .map(|(digest, file)| Blob::file(format!("{BASE}{digest}"), file.owned()))
        .collect();
    blobs.sort_by(|a, b| a.path.cmp(&b.path));
    blobs.dedup();
    blobs
}
