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

/// Named by its path.
pub(super) const KIND: ResourceKind =
    ResourceKind { name: "tool", shell: include_str!("tool.sh"), title: str::to_owned, way_back: WayBack::None(STAYS) };

const STAYS: &str = "it is the agent's, and harms nobody in its home";

/// A tool in `~/.local/bin` of the owner of a clone.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// Its name in `toolchain.lock`.
    pub(crate) name: &'static str,
    /// Where `toolchain.lock` is.
    pub(crate) clone: GitClone,
}

impl Tool {
    fn path(&self) -> HostPath {
        HostPath::home(&self.clone.user, &format!(".local/bin/{}", self.name))
    }

    /// Where else it can be, for all users.
    fn elsewhere(&self) -> [HostPath; 2] {
        ["/usr/local/bin", "/usr/bin"].map(|dir| HostPath::new(format!("{dir}/{}", self.name)))
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
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let is_there = self.path().is_on(seen) || self.elsewhere().iter().any(|path| path.is_on(seen));
        if is_there || !self.clone.can_be(seen) {
            return Ok(Verdict::right());
        }
        let clone = self.clone.path();
        let summary = format!("install {} for {}, as toolchain.lock in {clone} says", self.name, self.clone.user);
        Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Never { reason: STAYS.into() })
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.at("install_tool", &self.path(), &[&self.clone.below, self.name]);
    }
}
