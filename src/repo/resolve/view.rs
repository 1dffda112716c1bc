//! Shows both versions of a file in one text with conflict markers. The markers never get into the repo.

use std::fs;

use super::{Pending, Resolver};
use crate::budget;
use crate::error::{Error, Result};
use crate::git::output;
use crate::repo::error::RepoError;
use crate::repo::manifest;
use crate::repo::merge::has_markers;

impl Resolver {
    /// What the user has, what was rendered before and what is proposed, as `git merge-file --diff3` shows it.
    ///
    /// # Errors
    /// `Usage` for what is not text; `CannotWrite` when there is no room for temporary files.
    pub fn with_markers(&self, pending: &Pending) -> Result<String> {
        let folder = crate::private::directory("factoryup-")
            .map_err(RepoError::io("create a directory in", &std::env::temp_dir()))?;
        let sides = [
            ("mine", pending.mine.as_deref().unwrap_or_default()),
            ("before", pending.base.as_deref().unwrap_or_default()),
            ("proposal", &pending.proposal),
        ];
        let mut arguments = vec!["merge-file", "--stdout", "--diff3"];
        arguments.extend(["-L", "yours", "-L", "before", "-L", "proposal"]);
        let mut paths = Vec::new();
        for (name, bytes) in sides {
            if std::str::from_utf8(bytes).is_err() || bytes.contains(&0) {
                return Err(Error::usage(format!("{} is not text", pending.path))
                    .hint(format!("choose one: factoryup resolve {} --mine, or --proposal", pending.path)));
            }
            let path = folder.path().join(name);
            fs::write(&path, bytes).map_err(RepoError::io("write", &path))?;
            paths.push(path.display().to_string());
        }
        arguments.extend(paths.iter().map(String::as_str));
        let run = |arguments: &[&str]| -> Result<(bool, String)> {
            let output = output(self.repo.git.command().args(arguments), budget::Budget::GIT)?;
            // git-merge-file(1): the number of conflicts, or 255 for an error.
            match output.status.code() {
                Some(code) if code < 128 => Ok((code > 0, String::from_utf8_lossy(&output.stdout).into_owned())),
                _ => Err(Error::usage(format!("git cannot merge the three versions of {}", pending.path))),
            }
        };
        let (marked, text) = run(&arguments)?;
        if marked || pending.mine.is_none() {
            return Ok(text);
        }
        // git sees no conflict where one waits, as when a change could belong in more than one place. Its guess, saved unread, would
        // be a choice that nobody made; so the two are shown as if nothing was known of before, with all that differs between markers.
        let before = folder.path().join("before");
        fs::write(&before, "").map_err(RepoError::io("write", &before))?;
        arguments.retain(|argument| *argument != "--diff3");
        Ok(run(&arguments)?.1)
    }

    /// Lets the user put both versions together in their editor, as git would choose it.
    ///
    /// # Errors
    /// `Usage` when the editor fails or markers are left in the text.
    pub fn edited(&self, pending: &Pending) -> Result<Vec<u8>> {
        // Before and not after the work.
        self.refuse_uncommitted(&[&pending.path, manifest::PATH])?;
        let folder = crate::private::directory("factoryup-")
            .map_err(RepoError::io("create a directory in", &std::env::temp_dir()))?;
        // The name tells the editor how to color it.
        let path = folder.path().join(pending.path.rsplit('/').next().unwrap_or("text"));
        let shown = self.with_markers(pending)?;
        fs::write(&path, &shown).map_err(RepoError::io("write", &path))?;
        let editor = self.repo.git.line(&["var", "GIT_EDITOR"]).map_err(|_| {
            Error::usage("no editor is configured").hint("choose one: EDITOR=nano factoryup resolve --edit")
        })?;
        let run = format!("{editor} \"$@\"");
        let status = crate::process::command("sh").arg("-c").arg(run).arg(&editor).arg(&path).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(Error::usage(format!("the editor `{editor}` failed; {} is unchanged", pending.path))
                .hint("choose another: EDITOR=nano factoryup resolve --edit"));
        }
        let text = budget::read(&path).map_err(RepoError::io("read", &path))?;
        if has_markers(&text) {
            let left =
                Error::usage(format!("the edited text still has conflict markers; {} is unchanged", pending.path));
            return Err(if text == shown.as_bytes() { left } else { self.keep(&pending.id, &text, left) });
        }
        Ok(text)
    }
}
