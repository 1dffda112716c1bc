//! A control repo as it was read.

use std::collections::BTreeMap;

use super::manifest::Manifest;
use super::record::ANSWERS;
use crate::git::{Blob, Git};
use crate::templating::tree::Mode;

/// Git's mode of a submodule.
pub(crate) const SUBMODULE: &str = "160000";

/// A control repo at the commit that is checked out.
#[derive(Debug)]
pub(crate) struct ControlRepo {
    /// git, at work in it.
    pub(crate) git: Git,
    /// The commit's id.
    pub(crate) head: String,
    /// The branch that is checked out.
    pub(crate) branch: Option<String>,
    /// The manifest in that commit.
    pub(crate) manifest: Manifest,
    /// Every file of the commit: git's mode, and the content of those that matter here.
    pub(crate) files: BTreeMap<String, Current>,
    /// What else is in it, under names that are not UTF-8: see [`Git::whole_tree`].
    pub(crate) unnamed: Vec<String>,
}

impl ControlRepo {
    /// All that a new file could meet.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().chain(&self.unnamed).map(String::as_str)
    }

    /// The text of the answers last applied.
    pub(crate) fn answers(&self) -> Option<&str> {
        std::str::from_utf8(self.files.get(ANSWERS)?.bytes.as_deref()?).ok()
    }
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    /// Git's mode.
    pub(crate) mode: String,
    /// Its content, when it was asked for.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Current {
    /// As a blob that can be committed again; `None` for a submodule.
    pub(crate) fn blob(&self) -> Option<Blob> {
        Some(Blob { path: String::new(), mode: Mode::parse(&self.mode)?, bytes: self.bytes.clone()? })
    }
}
