//! The owner's age key: in a file of the owner's, and its public half in `factory.toml`.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Keys, Purpose, Workspace};
use crate::age::{KeyPair, pairs};
use crate::error::{Error, Kind, Result};
use crate::factory::fields::{Value, by_key};
use crate::factory::{FILE_NAME, SecretProvider, edit};
use crate::plan::{Watch, create_atomically, write_atomically};

/// What [`init_key`] did.
#[derive(Clone, Debug)]
pub struct OwnerKey {
    /// The key file.
    pub file: PathBuf,
    /// The public half.
    pub recipient: String,
    /// Whether this call created the key.
    pub is_new: bool,
    /// What became of `factory.toml`.
    pub written: Written,
}

/// What became of the recipient in `factory.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There is no `factory.toml`.
    NoFactory,
    /// It was there.
    Already,
    /// It is there now, not committed.
    Now,
}

/// Creates the owner's age key in `file`, or takes the one that is there, and enters its recipient into the `factory.toml` of `dir`, if
/// there is one. With `sheet`, writes a page to print as well. All that could be refused is looked at before the first write.
///
/// # Errors
/// `Usage` if a private key would be in a git repo, the factory keeps its secrets elsewhere or names another key, or `file` has no key or
/// several; `CannotWrite` if a file
/// cannot be written or `sheet` exists.
pub fn init_key(dir: &Path, file: &Path, sheet: Option<&Path>, watch: &dyn Watch) -> Result<OwnerKey> {
    let workspace = if dir.join(FILE_NAME).exists() {
        Some(Workspace::open(dir, Keys::default(), Purpose::Hold("keys init"), watch)?)
    } else {
        None
    };
    let named = workspace.as_ref().map_or("", |workspace| &workspace.factory.secrets.owner_recipient);
    if workspace.as_ref().is_some_and(|workspace| workspace.factory.secrets.provider != SecretProvider::SopsAge) {
        return Err(Error::usage(
            "this factory keeps its secrets with another provider than sops-age and needs no age key",
        )
        .hint(format!("see secrets.provider in {FILE_NAME}")));
    }
    for private in sheet.into_iter().chain([file]) {
        if let Some(repo) = private.ancestors().skip(1).find(|folder| folder.join(".git").exists()) {
            return Err(Error::usage(format!("{} is in the git repo {}", private.display(), repo.display())).hint(
                "a private key must never be committed: name a file outside of git repos, with --out or --sheet",
            ));
        }
    }
    if let Some(sheet) = sheet.filter(|sheet| sheet.exists()) {
        return Err(Error::new(Kind::CannotWrite, format!("{} exists", sheet.display()))
            .hint("name a new file for the recovery sheet"));
    }
    let (pair, is_new) = match there(file, named)? {
        Some(pair) => (pair, false),
        None => (KeyPair::generate()?, true),
    };
    if is_new {
        create(file, &pair.file())?;
        watch.note(&format!("created an age key in {}", file.display()));
    }
    if let Some(sheet) = sheet {
        let owner = workspace.as_ref().map(|workspace| format!("{}, ", workspace.factory.factory.owner_name));
        create(sheet, &pair.sheet(owner.as_deref().unwrap_or_default(), file))?;
    }
    let written = match &workspace {
        None => Written::NoFactory,
        Some(_) if !named.is_empty() => Written::Already,
        Some(workspace) => workspace.enter(pair.recipient())?,
    };
    Ok(OwnerKey { file: file.to_owned(), recipient: pair.recipient().to_owned(), is_new, written })
}

/// The owner's pair in a key file that exists.
fn there(file: &Path, named: &str) -> Result<Option<KeyPair>> {
    let text = match crate::budget::read_text(file) {
        Ok(text) => Zeroizing::new(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_empty() => return Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::usage(format!("{FILE_NAME} names {named}, and its key is not in {}", file.display()))
                .hint("restore the key from its recovery sheet, or name its file: --out FILE")
                .hint("or replace it, if it is lost: docs/secrets.md in the control repo"));
        }
        Err(e) => return Err(Error::usage(format!("cannot read {}: {e}", file.display()))),
    };
    let mut found = pairs(&text);
    let (place, count) = (file.display(), found.len());
    if !named.is_empty() {
        found.retain(|pair| pair.recipient() == named);
    }
    match (found.len(), count) {
        (1, _) => Ok(found.pop()),
        (_, 0) => Err(Error::usage(format!("{place} exists and has no age key that factoryup can read"))
            .hint("it may be encrypted or belong to a plugin: enter its age1… line as secrets.owner_recipient into factory.toml")
            .hint("or create another key: factoryup keys init --out FILE")),
        (0, _) => Err(Error::usage(format!("{FILE_NAME} names {named}, and its key is not in {place}"))
            .hint("name the file that has it: --out FILE")),
        _ => {
            let all: Vec<&str> = found.iter().map(KeyPair::recipient).collect();
            Err(Error::usage(format!("{place} has {count} age keys: {}", all.join(", ")))
                .hint(format!("enter yours as secrets.owner_recipient into {FILE_NAME}, or name another file: --out FILE")))
        }
    }
}

/// Writes a new file for the owner alone, whole or not at all, and over no other.
fn create(path: &Path, content: &str) -> Result<()> {
    let cannot = |e: std::io::Error| Error::new(Kind::CannotWrite, format!("cannot write {}: {e}", path.display()));
    let folder = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    create_atomically(path, content.as_bytes(), 0o600)
}

impl Workspace<'_> {
    fn enter(&self, recipient: &str) -> Result<Written> {
        // If it is a link, the file behind it is the one to change.
        let path = self.dir.join(FILE_NAME);
        let path = path.canonicalize().unwrap_or(path);
        let field = by_key("secrets.owner_recipient").ok_or_else(|| Error::internal("no field for the recipient"))?;
        let text = edit(&self.text, &path.display().to_string(), &[(field, Value::Text(recipient.into()))])?;
        let mode = path.metadata().map_or(0o644, |known| known.permissions().mode() & 0o777);
        write_atomically(&path, text.as_bytes(), mode)?;
        Ok(Written::Now)
    }
}
