//! A folder with its mode and owner. What is in it is not looked at.

use super::{Resource, ResourceKind, Verdict, WayBack, in_the_way};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step};
use crate::plan::{Action, Change, Undo};

/// The state before is its mode and owner.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "directory",
    shell: include_str!("directory.sh"),
    title: |name| format!("folder {name}"),
    way_back: WayBack::Write(|name, before, back| {
        if before.is_none() {
            // Nothing of anybody's goes with it.
            back.change.summary += ", unless something is left in it";
        }
        let words: Vec<&str> = before.into_iter().flat_map(|state| state.split(' ')).collect();
        back.at("undo_folder", &HostPath::shown(name), &words);
    }),
};

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Where.
    pub(crate) path: HostPath,
    /// Permission bits in octal without leading zeros: `755`.
    pub(crate) mode: &'static str,
    /// Owner.
    pub(crate) owner: String,
    /// Group.
    pub(crate) group: String,
}

impl Directory {
    /// A folder of root's that all may read.
    pub(crate) fn system(path: &str) -> Self {
        Self { path: HostPath::new(path), mode: "755", owner: "root".into(), group: "root".into() }
    }

    fn wish(&self) -> String {
        format!("{} {}:{}", self.mode, self.owner, self.group)
    }
}

impl Resource for Directory {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path.to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.paths.insert(self.path.clone());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let wish = self.wish();
        let Some(state) = self.path.on(seen).and_then(|path| seen.paths.get(&path)) else {
            let summary = format!("create folder {} ({wish})", self.path);
            return Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)));
        };
        if state.kind != 'd' {
            return in_the_way(&self.path, "not a folder", "a folder");
        }
        let is = format!("{} {}:{}", state.mode, state.owner, state.group);
        if is == wish {
            return Ok(Verdict::right());
        }
        let change = Change::new(self.id(), Action::Update, format!("set folder {} to {wish}", self.path));
        Ok(Verdict::differs(change.with_diff(Some(is), Some(wish))))
    }

    fn before(&self, seen: &Observed) -> Before {
        Before::Known(match self.path.on(seen).and_then(|path| seen.paths.get(&path)) {
            Some(state) => Undo::Restore { before: format!("{} {}:{}", state.mode, state.owner, state.group) },
            None => Undo::Remove,
        })
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.at("folder", &self.path, &[self.mode, &format!("{}:{}", self.owner, self.group)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::{Account, PathState};

    fn seen(kind: char, mode: &str) -> Observed {
        let mut seen = Observed::default();
        let state = PathState::of(kind, mode, "root");
        seen.paths.insert("/etc/factory".into(), state);
        seen
    }

    #[test]
    fn another_mode_is_a_difference_and_a_file_is_a_conflict() {
        let folder = Directory::system("/etc/factory");
        assert!(folder.compare(&seen('d', "755")).unwrap().change.is_none());
        let change = folder.compare(&seen('d', "700")).unwrap().change.unwrap();
        assert_eq!(change.summary, "set folder /etc/factory to 755 root:root");
        assert!(folder.compare(&seen('f', "755")).is_err());
        let mut of_agent = seen('f', "755");
        let account = Account { uid: 1001, gid: 1001, home: "/etc".into(), shell: "/bin/sh".into() };
        of_agent.accounts.insert("agent".into(), account);
        let folder = Directory { path: HostPath::home("agent", "factory"), ..folder };
        let verdict = folder.compare(&of_agent).unwrap();
        assert!(
            verdict.change.is_none() && verdict.note.unwrap().contains("~agent/factory is there and is not a folder")
        );
        assert_eq!(folder.compare(&Observed::default()).unwrap().change.unwrap().action, Action::Create);
    }
}
