//! A line in a user's git configuration that includes a file of the factory's. All else that the user has there stays.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step};
use crate::plan::{Action, Change};

/// What is included: the factory's part of a user's configuration, below the home folder.
pub(crate) const INCLUDED: &str = ".config/factory/gitconfig";

/// The state before is a copy, of which the way back needs no more than whether there is one: whatever else the file holds by then
/// stays.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "git_include",
    shell: include_str!("git_include.sh"),
    title: |user| format!("the factory's include in {}", path(user)),
    way_back: WayBack::Write(|user, before, back| {
        back.change.action = Action::Update;
        back.change.summary = format!("take the factory's include out of {}", path(user));
        let included = included();
        let words = [included.as_str(), "new"];
        back.at("undo_include", &path(user), if before.is_some() { &words[..1] } else { &words });
    }),
};

fn path(user: &str) -> HostPath {
    HostPath::home(user, ".gitconfig")
}

/// As it stands in the user's configuration.
fn included() -> String {
    format!("~/{INCLUDED}")
}

/// An `include.path` in `~/.gitconfig`: `git-config(1)`, "Includes".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GitInclude {
    /// Whose configuration.
    pub(crate) user: String,
}

/// Whether a configuration has the line. It is looked for in any section, since no other one has a `path` like that.
fn has_include(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("path") && value.trim().trim_matches('"') == included())
}

impl Resource for GitInclude {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.user.clone())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.text(&path(&self.user));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let (file, included) = (path(&self.user), included());
        let on_host = file.on(seen);
        let state = on_host.as_ref().and_then(|path| seen.paths.get(path));
        let text = on_host.as_ref().and_then(|path| seen.text(path));
        if state.is_some() && text.is_none() {
            let note = format!(
                "{file} is no text that its user can read, or longer than 256 KiB, and stays as it is: it should include {included}"
            );
            return Ok(Verdict { change: None, note: Some(note) });
        }
        if has_include(&text.unwrap_or_default()) {
            return Ok(Verdict::right());
        }
        let action = if state.is_some() { Action::Update } else { Action::Create };
        let summary = format!("have {file} include {included}");
        Ok(Verdict::differs(Change::new(self.id(), action, summary)))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Path(path(&self.user))
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.at("include_config", &path(&self.user), &[&included()]);
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
            let state = PathState::of('f', "644", "a");
            seen.paths.insert("/home/a/.gitconfig".into(), state);
            if readable {
                seen.texts.insert("/home/a/.gitconfig".into(), text.into());
            }
        }
        GitInclude { user: "a".into() }.compare(&seen).unwrap()
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
