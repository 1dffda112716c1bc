//! A tool of the agent's: its own program, and what the control repo's checks call.
//!
//! The clone's `toolchain.lock` says which version and checksum, and its `scripts/tools` installs it, so both have one source and the
//! agent runs as its own user what the repo holds. A tool that is there stays: later versions come by merge request, and
//! `scripts/tools` takes them.

use super::{GitClone, Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step};
use crate::plan::{Action, Change, Undo};

/// Named by its path. Whether it is there, a way back does not know: it could not be downloaded, or its owner removed it.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "tool",
    shell: include_str!("tool.sh"),
    title: |_| "each tool that was installed for the agent".to_owned(),
    way_back: WayBack::None(STAYS),
};

const STAYS: &str = "it is the agent's own program, in its home";

/// A tool in `~/.local/bin` of the owner of a clone.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// Its name in `toolchain.lock`.
    pub(crate) name: &'static str,
    /// Where `toolchain.lock` is.
    pub(crate) clone: GitClone,
}

impl Tool {
    /// What says which version it is.
    fn lock(&self) -> HostPath {
        HostPath::home(&self.clone.user, &format!("{}/toolchain.lock", self.clone.below))
    }

    fn path(&self) -> HostPath {
        HostPath::home(&self.clone.user, &format!(".local/bin/{}", self.name))
    }

    /// Where else it can be, for all users.
    fn elsewhere(&self) -> [HostPath; 2] {
        ["/usr/local/bin", "/usr/bin"].map(|dir| HostPath::new(format!("{dir}/{}", self.name)))
    }
}

impl Tool {
    /// The clone is older than the answer that asks for the tool, or than the factory itself.
    fn without_line(&self) -> String {
        let GitClone { user, below, .. } = &self.clone;
        format!(
            "{} is not installed for {user}: toolchain.lock in {} has no line for it; merge the branch that adds it, run \
             `sudo -iu {user} git -C {below} pull` on the host, then `factoryup apply`",
            self.name,
            self.clone.path()
        )
    }
}

impl Resource for Tool {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path().to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        self.clone.ask(questions);
        questions.paths.insert(self.path());
        questions.paths.extend(self.elsewhere());
        questions.text(&self.lock());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let is_there = self.path().is_program_on(seen) || self.elsewhere().iter().any(|path| path.is_program_on(seen));
        // No program of another repo is run. The clone itself says what is in its place.
        if is_there || !self.clone.can_be(seen) || self.clone.is_kept_out(seen) {
            return Ok(Verdict::right());
        }
        let clone = self.clone.path();
        if clone.is_on(seen) {
            let lock = self.lock().on(seen).and_then(|path| seen.text(&path)).unwrap_or_default();
            if !lock.lines().any(|line| line.split(' ').next() == Some(self.name)) {
                return Ok(Verdict { change: None, note: Some(self.without_line()) });
            }
        }
        let summary = format!("install {} for {}, as toolchain.lock in {clone} says", self.name, self.clone.user);
        Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)))
    }

    fn is_last(&self) -> bool {
        true
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Never { reason: STAYS.into() })
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.at("install_tool", &self.path(), &[&self.clone.below, self.name]);
    }
}
