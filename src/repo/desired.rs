//! The desired state of the control repo: settings in, files out.

use super::error::RepoResult;
use super::manifest::Manifest;
use super::record;
use crate::error::Result;
use crate::factory::{FILE_NAME, Factory};
use crate::git::Blob;
use crate::git::write::Edit;
use crate::templating::render::render;
use crate::templating::tree::{Mode, RenderedFile, Tree};

/// The desired control repo.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    /// The answers.
    pub(crate) factory: Factory,
    /// The text of `factory.toml` that goes into the commit, with the user's own comments and order.
    pub(crate) factory_toml: String,
    /// What the templates make of the answers.
    pub(crate) tree: Tree,
    /// Names the answers.
    pub(crate) answers_sha256: String,
}

impl Desired {
    /// Renders `factory`, whose file reads `factory_toml`.
    pub(crate) fn new(factory: &Factory, factory_toml: &str) -> Result<Self> {
        Ok(Self::of(factory, factory_toml, render(factory)?))
    }

    /// The same with a tree that was rendered from another pack.
    pub(crate) fn of(factory: &Factory, factory_toml: &str, tree: Tree) -> Self {
        Self {
            factory: factory.clone(),
            factory_toml: factory_toml.to_owned(),
            tree,
            answers_sha256: record::answers_sha256(factory),
        }
    }

    /// `factory.toml` as git will hold it.
    pub(crate) fn factory_blob(&self) -> Blob {
        Blob::file(FILE_NAME, self.factory_toml.as_str())
    }

    /// Author and committer.
    pub(crate) fn owner(&self) -> (&str, &str) {
        (&self.factory.factory.owner_name, &self.factory.factory.owner_email)
    }

    /// Every file of the first commit.
    pub(crate) fn first_commit(&self) -> RepoResult<Vec<Edit>> {
        let manifest = Manifest::new(&self.tree, self.answers_sha256.clone());
        let mut blobs = vec![self.factory_blob()];
        blobs.extend(record::state_files(&manifest, &self.factory)?);
        blobs.extend(record::base_blobs(&manifest, &self.tree));
        blobs.extend(self.tree.files.iter().map(blob));
        Ok(blobs.into_iter().map(Edit::Put).collect())
    }
}

/// A rendered file as git will hold it.
pub(crate) fn blob(file: &RenderedFile) -> Blob {
    Blob { path: file.path.clone(), mode: file.mode, bytes: file.bytes.clone() }
}

/// A text as a plan shows it: what is not text is only named by its size.
pub(crate) fn shown(mode: Mode, bytes: &[u8]) -> String {
    match (mode, std::str::from_utf8(bytes)) {
        (Mode::Link, Ok(destination)) => format!("link to {destination}\n"),
        (_, Ok(text)) if !text.contains('\0') => text.to_owned(),
        _ => format!("binary, {} bytes\n", bytes.len()),
    }
}
