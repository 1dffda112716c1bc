//! What the user made of a conflict and what could not be used: it is kept, since it may be an hour's work.

use std::io::Write;
use std::path::PathBuf;

use super::Resolver;
use crate::error::Error;
use crate::repo::error::{RepoError, RepoResult};

impl Resolver {
    /// Keeps the text of the conflict `id` in git's own folder, where it is in nobody's way and stays, and adds to the refusal where it is.
    pub(super) fn keep(&self, id: &str, text: &[u8], refusal: Error) -> Error {
        match self.put_aside(id, text) {
            Ok(path) => refusal.hint(format!("what you made of it is kept in {}", path.display())),
            Err(error) => refusal.hint(format!("what you made of it could not be kept: {error}")),
        }
    }

    /// Under a name that is new each time: what was kept before is the user's as well.
    fn put_aside(&self, id: &str, text: &[u8]) -> RepoResult<PathBuf> {
        let folder = PathBuf::from(self.repo.git.line(&["rev-parse", "--absolute-git-dir"])?);
        // The id stands in a file that somebody else may have written.
        let id: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let failed = |error| RepoError::io("write in", &folder)(error);
        let mut file =
            tempfile::Builder::new().prefix(&format!("factoryup-{id}-")).tempfile_in(&folder).map_err(failed)?;
        file.write_all(text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        Ok(file.keep().map_err(|error| failed(error.error))?.1)
    }
}
