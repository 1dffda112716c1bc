//! What several commands need: the factory of a folder.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::factory::{FILE_NAME, Factory};

/// Reads `factory.toml` of the control repo in `dir`.
pub(super) fn read(dir: &Path) -> Result<Factory> {
    crate::factory::read(&path(dir)?)
}

/// Its text, before anything in it is judged.
pub(super) fn read_text(dir: &Path) -> Result<String> {
    crate::factory::read_text(&path(dir)?)
}

fn path(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(FILE_NAME);
    if !path.exists() {
        if let Some(error) = crate::repo::bare(dir) {
            return Err(error);
        }
        return Err(Error::usage(format!(
            "no {FILE_NAME} in {}",
            if dir == Path::new(".") { "this folder".into() } else { dir.display().to_string() }
        ))
        .hint("run this in a control repo, or name it with --dir DIR")
        .hint("to begin one: factoryup init DIR"));
    }
    Ok(path)
}
