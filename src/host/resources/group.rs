//! A group that must exist. Who is in it is the business of each [`User`](super::User).

use super::{Resource, Verdict};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Questions, Step, Undoing, Word};
use crate::plan::{Action, Change, Undo};

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: String,
}

impl Resource for Group {
    fn id(&self) -> String {
        format!("group:{}", self.name)
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

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.undoing(&Undoing::Known(Undo::Remove));
        step.call("ensure_group", &[Word::text(&self.name)]);
    }
}
