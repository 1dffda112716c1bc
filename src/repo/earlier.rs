//! The answers of an upgrade whose branch is not merged yet, so that the next run does not ask for them again.

use std::path::Path;

use super::manifest;
use super::observe::resolve;
use crate::error::Result;
use crate::factory::FILE_NAME;
use crate::git::Git;
use crate::git::error::GitError;

/// `factory.toml` as an upgrade left it on its branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// The branch.
    pub branch: String,
    /// The text.
    pub text: String,
}

/// The answers on the newest branch of an upgrade that shares its history with the commit that is checked out in `dir`, and is not part
/// of it yet. `None` where there is none. Whether the branch was changed since, or others were made on it, makes no difference: an answer
/// there was somebody's.
///
/// # Errors
/// `CannotWrite` when git cannot be run.
pub fn earlier(dir: &Path) -> Result<Option<Earlier>> {
    let dir = resolve(dir)?;
    if !dir.join(".git").exists() {
        return Ok(None);
    }
    let git = Git::new(&dir)?;
    let run = |args: &[&str]| match git.run(args) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(GitError::Failed { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let list = [
        "for-each-ref",
        "--no-merged=HEAD",
        "--sort=-committerdate",
        "--format=%(refname:lstrip=2)",
        "refs/heads/factory/upgrade-*",
        "refs/heads/factory/answers-*",
    ];
    for branch in run(&list)?.unwrap_or_default().lines() {
        let name = format!("refs/heads/{branch}");
        // Both are there, and the histories meet.
        if run(&["merge-base", "HEAD", &name])?.is_some()
            && run(&["cat-file", "-e", &format!("{name}:{}", manifest::PATH)])?.is_some()
            && let Some(text) = run(&["cat-file", "blob", &format!("{name}:{FILE_NAME}")])?
        {
            return Ok(Some(Earlier { branch: branch.to_owned(), text }));
        }
    }
    Ok(None)
}
