//! Saves a merged text that could not be used, since it may be an hour's work.

use std::io::Write;
use std::path::PathBuf;

use super::Resolver;
use crate::error::Error;
use crate::repo::error::{RepoError, RepoResult};

impl Resolver {
    /// Saves the text of the conflict `id` in git's own directory, and adds its path to the refusal.
    pub(super) fn keep(&self, id: &str, text: &[u8], refusal: Error) -> Error {
        match self.put_aside(id, text) {
            Ok(path) => refusal.hint(format!("your edited version is saved in {}", path.display())),
            Err(error) => refusal.hint(format!("your edited version could not be saved: {error}")),
        }
    }

    /// Uses a new name each time, so that no earlier text is overwritten.
    fn put_aside(&self, id: &str, text: &[u8]) -> RepoResult<PathBuf> {
        let folder = PathBuf::from(self.repo.git.line(&["rev-parse", "--absolute-git-dir"])?);
        // The id comes from a file that another user may have written.
        let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let failed = |error| RepoError::io("write in", &folder)(error);
        let mut file =
            tempfile::Builder::new().prefix(&format!("factoryup-{id}-")).tempfile_in(&folder).map_err(failed)?;
        file.write_all(text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        Ok(file.keep().map_err(|error| failed(error.error))?.1)
    }
}
