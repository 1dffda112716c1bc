//! Making a commit in a bare repository from a list of changes, through one `git fast-import`.

use std::path::Path;

use crate::git::{Git, GitError, Identity};

/// One change to a tree.
pub(crate) enum Change {
    /// A file's new content.
    Write {
        /// Relative to the root, with slashes.
        path: String,
        bytes: Vec<u8>,
        executable: bool,
    },
    /// A file that goes.
    Delete { path: String },
}

/// Commits changes on top of `parent` and points the branch there; returns the new commit.
pub(crate) fn commit(
    git: &Git,
    repository: &Path,
    branch: &str,
    parent: Option<&str>,
    message: &str,
    who: &Identity<'_>,
    changes: &[Change],
) -> Result<String, GitError> {
    let mut stream = Vec::new();
    let name = clean(who.name);
    let email = clean(who.email);
    stream.extend_from_slice(format!("commit refs/heads/{branch}\ncommitter {name} <{email}> now\n").as_bytes());
    data(&mut stream, message.as_bytes());
    if let Some(parent) = parent {
        stream.extend_from_slice(format!("from {parent}\n").as_bytes());
    }
    for change in changes {
        match change {
            Change::Write { path, bytes, executable } => {
                let mode = if *executable { "100755" } else { "100644" };
                stream.extend_from_slice(format!("M {mode} inline {}\n", quoted(path)).as_bytes());
                data(&mut stream, bytes);
            }
            Change::Delete { path } => stream.extend_from_slice(format!("D {}\n", quoted(path)).as_bytes()),
        }
    }
    git.fast_import(repository, &stream, true)?;
    git.branch(repository, branch).ok_or_else(|| GitError::Failed {
        command: "fast-import".to_owned(),
        stderr: format!("the branch {branch} is not there afterwards"),
    })
}

fn data(stream: &mut Vec<u8>, bytes: &[u8]) {
    stream.extend_from_slice(format!("data {}\n", bytes.len()).as_bytes());
    stream.extend_from_slice(bytes);
    stream.push(b'\n');
}

/// What git allows within a name or address of a commit.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '<' | '>') && !c.is_control()).collect()
}

/// A path as fast-import takes it: quoted in C's manner. Source: git-fast-import(1), "path".
fn quoted(path: &str) -> String {
    let escaped: String = path
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            other => other.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Whether a path may be written: relative, no empty, `.`, `..` or `.git` part, no control characters.
pub(crate) fn valid_path(path: &str) -> bool {
    !path.is_empty()
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git"))
}
