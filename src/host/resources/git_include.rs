//! A line in a user's git configuration that includes a file of the factory's. All else that the user has there stays.

use super::{Resource, Verdict};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{HostPath, Questions, Step, Undoing, Word};
use crate::plan::{Action, Change};

/// An `include.path` in `~/.gitconfig`: `git-config(1)`, "Includes".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GitInclude {
    /// Whose configuration.
    pub(crate) user: String,
    /// The file that it includes, as it stands there: from `~/` on.
    pub(crate) file: &'static str,
}

impl GitInclude {
    fn path(&self) -> HostPath {
        HostPath::home(&self.user, ".gitconfig")
    }

    /// Whether a configuration has the line. It is looked for in any section, since no other one has a `path` like that.
    fn is_in(&self, text: &str) -> bool {
        text.lines().filter_map(|line| line.split_once('=')).any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("path") && value.trim().trim_matches('"') == self.file
        })
    }
}

impl Resource for GitInclude {
    fn id(&self) -> String {
        format!("git_include:{}", self.user)
    }

    fn ask(&self, questions: &mut Questions) {
        questions.text(&self.path());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let path = self.path().on(seen);
        let state = path.as_ref().and_then(|path| seen.paths.get(path));
        let text = path.as_ref().and_then(|path| seen.text(path));
        if state.is_some() && text.is_none() {
            let note = format!(
                "{} is no text that its user can read, or longer than 256 KiB, and stays as it is: it should include {}",
                self.path(),
                self.file
            );
            return Ok(Verdict { change: None, note: Some(note) });
        }
        if self.is_in(&text.unwrap_or_default()) {
            return Ok(Verdict::right());
        }
        let action = if state.is_some() { Action::Update } else { Action::Create };
        let summary = format!("have {} include {}", self.path(), self.file);
        Ok(Verdict::differs(Change::new(self.id(), action, summary)))
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.undoing(&Undoing::Kept);
        let path = step.path(&self.path());
        step.call("include_config", &[Word::text(&self.user), path, Word::text(self.file)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::{Account, PathState};

    fn action(text: Option<&str>) -> Option<Action> {
        verdict(text, true).change.map(|change| change.action)
    }

    fn verdict(text: Option<&str>, readable: bool) -> Verdict {
        let mut seen = Observed::default();
        let account = Account { uid: 1000, gid: 1000, home: "/home/a".into(), shell: "/bin/bash".into() };
        seen.accounts.insert("a".into(), account);
        if let Some(text) = text {
            let state =
                PathState { kind: 'f', mode: "644".into(), owner: "a".into(), group: "a".into(), link: String::new() };
            seen.paths.insert("/home/a/.gitconfig".into(), state);
            if readable {
                seen.texts.insert("/home/a/.gitconfig".into(), text.into());
            }
        }
        let include = GitInclude { user: "a".into(), file: "~/.config/factory/gitconfig" };
        include.compare(&seen).unwrap()
    }

    #[test]
    fn what_cannot_be_read_is_noted_and_left() {
        let verdict = verdict(Some(""), false);
        assert!(verdict.change.is_none() && verdict.note.unwrap().contains("~a/.gitconfig is no text"));
    }

    #[test]
    fn a_line_as_git_writes_it_or_as_a_person_does_is_found() {
        assert_eq!(action(None), Some(Action::Create));
        assert_eq!(action(Some("[user]\n\tname = A\n")), Some(Action::Update));
        assert_eq!(action(Some("[include]\n\tpath = ~/.config/factory/gitconfig\n")), None);
        assert_eq!(action(Some("[include]\npath=\"~/.config/factory/gitconfig\"\n")), None);
        assert_eq!(action(Some("[include]\n#path = ~/.config/factory/gitconfig\n")), Some(Action::Update));
    }
}
