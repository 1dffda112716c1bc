//! What several commands need: the factory of a folder.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::factory::fields::by_key;
use crate::factory::{FILE_NAME, Factory};
use crate::plan::StateDir;

/// Reads `factory.toml` of the control repo in `dir`.
pub(super) fn read(dir: &Path) -> Result<Factory> {
    crate::factory::read(&path(dir)?)
}

/// Its text, before anything in it is judged.
pub(super) fn read_text(dir: &Path) -> Result<String> {
    crate::factory::read_text(&path(dir)?)
}

/// The name that the control repo in `dir` was last made with; none where it was not, or where that is no name.
fn former_name(dir: &Path) -> Result<Option<String>> {
    let lock = crate::repo::answers_lock(dir)?.and_then(|text| text.parse::<toml::Table>().ok());
    let name = lock.as_ref().and_then(|lock| lock.get("factory")?.get("name")?.as_str()).map(str::to_owned);
    // The folder may be from anybody, and the name becomes a path.
    let is_one = |name: &String| by_key("factory.name").is_some_and(|field| field.check_text(name).is_ok());
    Ok(name.filter(is_one))
}

/// Refuses a control repo whose factory `name` is not the one it was made with; see [`StateDir::refuse_new_name`].
pub(super) fn refuse_new_name(dir: &Path, name: &str) -> Result<()> {
    former_name(dir)?.map_or(Ok(()), |former| StateDir::refuse_new_name(&former, name))
}

fn path(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(FILE_NAME);
    if !path.exists() {
        if let Some(error) = crate::repo::bare(dir) {
            return Err(error);
        }
        return Err(Error::usage(format!("no {FILE_NAME} in {}", dir.display()))
            .hint("run this in a control repo, or name it with --dir DIR")
            .hint("to begin one: factoryup init DIR"));
    }
    Ok(path)
}
