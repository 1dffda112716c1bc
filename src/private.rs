//! Temporary directories that no other user can read or enter.
//!
//! The default mode of a temporary directory depends on the user's umask. These have mode 0700 whatever the umask is, for a socket, a
//! secret, a repo or a program in them.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::{Builder, TempDir};

/// A temporary directory, which is removed when it is dropped.
pub(crate) fn directory(prefix: &str) -> io::Result<TempDir> {
    builder(prefix).tempdir()
}

/// The same for what needs a place or a name that differs.
pub(crate) fn builder(prefix: &str) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder.prefix(prefix).permissions(Permissions::from_mode(0o700));
    builder
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// The umask is one for all threads, so the directory is made in a process of its own.
    #[test]
    fn a_directory_is_private_without_a_umask() {
        let this = std::env::current_exe().unwrap();
        let run = "umask 0; exec \"$0\" --ignored --exact private::tests::inside";
        let output = Command::new("sh").args(["-c", run]).arg(this).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    }

    #[test]
    #[ignore = "is run by another test"]
    fn inside() {
        let folder = super::directory("factoryup-").unwrap();
        assert_eq!(folder.path().metadata().unwrap().mode() & 0o7777, 0o700);
    }

    /// Every temporary directory of the program is one of these.
    #[test]
    fn no_directory_is_made_in_another_way() {
        let mut found = Vec::new();
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert_eq!(found, Vec::<PathBuf>::new());
    }

    fn look(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("src/private.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let program = text.split("#[cfg(test)]").next().unwrap_or_default();
                let makes = |line: &str| {
                    (line.contains("tempfile::tempdir(") || line.contains("TempDir::new"))
                        && !line.contains(".unwrap()")
                };
                // A builder that makes files is none of these.
                let builds = program.contains("tempfile::Builder") && program.contains(".tempdir");
                if program.lines().any(makes) || builds {
                    found.push(path);
                }
            }
        }
    }
}
