//! Other merges to hold ours against.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What `git merge-file` makes of three texts: the merged text, or `None` at a conflict.
pub(crate) fn git(folder: &Path, base: &[u8], current: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let paths = ["current", "base", "new"].map(|name| folder.join(name));
    for (path, bytes) in paths.iter().zip([current, base, new]) {
        fs::write(path, bytes).unwrap();
    }
    let output = Command::new("git")
        .args(["merge-file", "--stdout", "--quiet"])
        .args(&paths)
        .current_dir(folder)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    output.status.success().then_some(output.stdout)
}
