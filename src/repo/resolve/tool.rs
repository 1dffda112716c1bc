//! Opens the three versions of a file in git's merge tool.
//!
//! git knows how to start dozens of tools, and what its user configured; so it does that here too, in a throw-away repo that holds
//! nothing but the one file in conflict. The control repo is not touched.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use super::{Pending, Resolver};
use crate::budget;
use crate::error::{Error, Result};
use crate::git::error::GitError;
use crate::git::{Git, ObjectFormat, note};
use crate::repo::error::{RepoError, RepoResult};
use crate::repo::manifest;
use crate::repo::merge::has_markers;

impl Resolver {
    /// The merge tool that git is configured for: `merge.tool`.
    #[must_use]
    pub fn tool(&self) -> Option<String> {
        self.repo.git.line(&["config", "--get", "merge.tool"]).ok().filter(|name| !name.is_empty())
    }

    /// Lets the user put the versions together in a merge tool, as git-mergetool(1) runs it: the one named, or the configured one.
    ///
    /// # Errors
    /// `Usage` when there is no tool, when it does not end well, or when markers are left; `CannotWrite` when there is no room for
    /// temporary files.
    pub fn merged_by_tool(&self, pending: &Pending, name: Option<&str>) -> Result<Vec<u8>> {
        let Some(tool) = name.map(str::to_owned).or_else(|| self.tool()) else {
            return Err(Error::usage("git has no merge tool configured")
                .hint("choose one: factoryup resolve --tool=vimdiff, or: git config --global merge.tool vimdiff")
                .hint("list the tools that git supports: git mergetool --tool-help"));
        };
        // Before and not after the work.
        self.refuse_uncommitted(&[&pending.path, manifest::PATH])?;
        let folder = crate::private::directory("factoryup-")
            .map_err(RepoError::io("create a directory in", &std::env::temp_dir()))?;
        // The name tells the tool how to color it.
        let file = pending.path.rsplit('/').next().unwrap_or("text");
        let path = folder.path().join(file);
        let shown = self.with_markers(pending)?;
        fs::write(&path, &shown).map_err(RepoError::io("write", &path))?;
        let git = Git::new(folder.path())?;
        set_up(&git, pending, file)?;
        let mut command = git.command();
        for setting in self.settings()? {
            command.arg("-c").arg(setting);
        }
        command.args(["-c", "mergetool.keepBackup=false", "mergetool", "--no-prompt"]);
        command.arg(format!("--tool={tool}")).args(["--", file]);
        let begun = Instant::now();
        let status = command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit()).status();
        note(&command, begun, status.as_ref().ok().map(|status| (*status, &b""[..])));
        if !status.is_ok_and(|status| status.success()) {
            return Err(Error::usage(format!("the merge tool `{tool}` failed; {} is unchanged", pending.path))
                .hint("list the tools that git supports: git mergetool --tool-help")
                .hint(format!("or use your editor: factoryup resolve {} --edit", pending.path)));
        }
        let text = budget::read(&path).map_err(RepoError::io("read", &path))?;
        if has_markers(&text) {
            let left =
                Error::usage(format!("the merged text still has conflict markers; {} is unchanged", pending.path));
            return Err(if text == shown.as_bytes() { left } else { self.keep(&pending.id, &text, left) });
        }
        Ok(text)
    }

    /// What the control repo's own configuration says of merge tools, which the throw-away repo does not have.
    fn settings(&self) -> RepoResult<Vec<String>> {
        let args = ["config", "--local", "--includes", "--null", "--get-regexp", r"^(merge\.tool$|mergetool\.)"];
        let text = match self.repo.git.run(&args) {
            Ok(text) => text,
            // git-config(1): it fails where it finds none.
            Err(GitError::Failed { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8_lossy(&text);
        Ok(text.split_terminator('\0').map(|entry| entry.replacen('\n', "=", 1)).collect())
    }
}

/// Makes the repo with the one file in conflict: git-update-index(1) calls the versions stages 1, 2 and 3.
fn set_up(git: &Git, pending: &Pending, file: &str) -> RepoResult<()> {
    git.init("main", ObjectFormat::Sha1)?;
    let mine = pending.mine.clone().unwrap_or_default();
    let mut index = String::new();
    for (stage, bytes) in [(1, pending.base.as_ref()), (2, Some(&mine)), (3, Some(&pending.proposal))] {
        let Some(bytes) = bytes else { continue };
        let oid = git.feed(&["hash-object", "-w", "--stdin"], bytes)?;
        index.push_str(&format!("100644 {} {stage}\t{file}\0", String::from_utf8_lossy(&oid).trim()));
    }
    git.feed(&["update-index", "-z", "--index-info"], index.as_bytes())?;
    Ok(())
}
