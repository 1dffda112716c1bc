//! A file that must not be there: one that an earlier choice in `factory.toml` brought.

use super::{Resource, Verdict};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{HostPath, Questions, Step, Undoing};
use crate::plan::{Action, Change};

/// No file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Where.
    pub(crate) path: HostPath,
}

impl Resource for Absent {
    fn id(&self) -> String {
        format!("file:{}", self.path)
    }

    fn ask(&self, questions: &mut Questions) {
        questions.text(&self.path);
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let Some(path) = self.path.on(seen).filter(|path| seen.paths.contains_key(path)) else {
            return Ok(Verdict::right());
        };
        let change = Change::new(self.id(), Action::Delete, format!("remove {}", self.path));
        Ok(Verdict::differs(change.with_diff(seen.text(&path), None)))
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.undoing(&Undoing::Kept);
        let path = step.path(&self.path);
        step.call("take_away", &[path]);
    }
}
