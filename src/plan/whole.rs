//! Writes whole files: a reader, or a crash at any moment, sees the old content or the new.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;
use tempfile::{NamedTempFile, PersistError};

use crate::error::{Error, Kind, Result};

/// Writes a whole file so that a reader, or a crash at any moment, sees the old content or the new: a temporary sibling, `fsync`,
/// `rename`, `fsync` of the folder. `mode` is the new file's permission bits.
///
/// # Errors
/// `CannotWrite` with the path; the old file is then untouched.
pub fn write_atomically(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    write_whole(path, content, mode, |temp| temp.persist(path))
}

/// Creates a file like [`write_atomically`], and never replaces one that exists.
///
/// # Errors
/// `CannotWrite` with the path, also if it exists.
pub(crate) fn create_atomically(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    write_whole(path, content, mode, |temp| temp.persist_noclobber(path))
}

fn write_whole(
    path: &Path,
    content: &[u8],
    mode: u32,
    persist: impl FnOnce(NamedTempFile) -> std::result::Result<File, PersistError>,
) -> Result<()> {
    let cannot = |e: std::io::Error| Error::new(Kind::CannotWrite, format!("cannot write {}: {e}", path.display()));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temp = tempfile::Builder::new()
        .prefix(".factoryup-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
        .map_err(cannot)?;
    temp.write_all(content).map_err(cannot)?;
    temp.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(cannot)?;
    temp.as_file().sync_all().map_err(cannot)?;
    persist(temp).map_err(|e| cannot(e.error))?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(cannot)
}

/// Writes `value` as JSON that only the user may read, [whole or not at all](write_atomically).
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|e| Error::internal(e.to_string()))?;
    json.push(b'\n');
    write_atomically(path, &json, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_keeps_the_mode_and_leaves_no_sibling() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("x");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }
}
