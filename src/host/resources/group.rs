//! A group that must exist. Who is in it is the business of each [`User`](super::User).

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, Questions, Step, Word};
use crate::plan::{Action, Change, Undo};

/// Nothing but new ones are in a receipt.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "group",
    shell: include_str!("group.sh"),
    title: |name| format!("group {name}"),
    way_back: WayBack::Write(|name, _, back| back.step.call("undo_group", &[Word::text(name)])),
};

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: String,
}

impl Resource for Group {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.name.clone())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.groups.insert(self.name.clone());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        if seen.groups.contains_key(&self.name) {
            return Ok(Verdict::right());
        }
        Ok(Verdict::differs(Change::new(self.id(), Action::Create, format!("create group {}", self.name))))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Remove)
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.call("ensure_group", &[Word::text(&self.name)]);
    }
}
