//! A group that must exist, without strangers. That its members are in it is the business of each [`User`](super::User).

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, Questions, Step, Word};
use crate::plan::{Action, Change, Risk, Undo};

/// The state before is who was in it that must not be.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "group",
    shell: include_str!("group.sh"),
    title: |name| format!("group {name}"),
    way_back: WayBack::Write(|name, before, back| match before {
        None => back.step.call("undo_group", &[Word::text(name)]),
        Some(members) => members
            .split_whitespace()
            .for_each(|member| back.step.call("gpasswd --add", &[Word::text(member), Word::text(name)])),
    }),
};

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: String,
    /// Who may be in it.
    pub(crate) members: Vec<String>,
}

impl Group {
    fn strangers(&self, seen: &Observed) -> Vec<String> {
        let members = seen.groups.get(&self.name).map(|group| group.members.clone()).unwrap_or_default();
        members.into_iter().filter(|member| !self.members.contains(member)).collect()
    }
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
            let strangers = self.strangers(seen).join(" ");
            if strangers.is_empty() {
                return Ok(Verdict::right());
            }
            let summary = format!("remove {strangers} from group {}", self.name);
            return Ok(Verdict::differs(Change::new(self.id(), Action::Update, summary).with_risk(Risk::Disruptive)));
        }
        Ok(Verdict::differs(Change::new(self.id(), Action::Create, format!("create group {}", self.name))))
    }

    fn before(&self, seen: &Observed) -> Before {
        Before::Known(if seen.groups.contains_key(&self.name) {
            Undo::Restore { before: self.strangers(seen).join(" ") }
        } else {
            Undo::Remove
        })
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        step.call("ensure_group", &[Word::text(&self.name)]);
        for stranger in self.strangers(seen) {
            step.call("gpasswd --delete", &[Word::text(&stranger), Word::text(&self.name)]);
        }
    }
}
