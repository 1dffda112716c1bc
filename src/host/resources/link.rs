//! A symbolic link.

use super::{Resource, Then, Verdict};
use crate::error::{Error, Result};
use crate::host::observed::Observed;
use crate::host::program::{HostPath, Questions, Step, Undoing, Word};
use crate::plan::{Action, Change};

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where.
    pub(crate) path: HostPath,
    /// What it points to, as it stands in the link.
    pub(crate) target: String,
    /// What follows a change.
    pub(crate) then: Option<Then>,
}

impl Resource for Link {
    fn id(&self) -> String {
        format!("link:{}", self.path)
    }

    fn ask(&self, questions: &mut Questions) {
        questions.paths.insert(self.path.clone());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let target = &self.target;
        let Some(state) = self.path.on(seen).and_then(|path| seen.paths.get(&path)) else {
            let summary = format!("create link {} to {target}", self.path);
            return Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)));
        };
        match state.kind {
            'l' if state.link == *target => Ok(Verdict::right()),
            'd' => Err(Error::data(format!("{} is there and is a folder", self.path))
                .hint("look at it, move it away, then run this again; the factory needs a link there")),
            kind => {
                let change = Change::new(self.id(), Action::Update, format!("point {} to {target}", self.path));
                let before = if kind == 'l' { state.link.clone() } else { "a file".to_owned() };
                Ok(Verdict::differs(change.with_diff(Some(before), Some(target.clone()))))
            }
        }
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.undoing(&Undoing::Kept);
        let path = step.path(&self.path);
        let actor = Word::text(self.path.inside_home_of().unwrap_or("root"));
        step.call("point", &[actor, path, Word::text(&self.target)]);
        if let Some(then) = self.then {
            then.write(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::PathState;

    #[test]
    fn a_link_to_elsewhere_is_a_difference() {
        let link = Link { path: HostPath::new("/usr/local/bin/x"), target: "/opt/x".into(), then: None };
        let mut seen = Observed::default();
        assert_eq!(link.compare(&seen).unwrap().change.unwrap().action, Action::Create);
        let mut state = PathState {
            kind: 'l',
            mode: "777".into(),
            owner: "root".into(),
            group: "root".into(),
            link: "/opt/y".into(),
        };
        seen.paths.insert("/usr/local/bin/x".into(), state.clone());
        assert_eq!(link.compare(&seen).unwrap().change.unwrap().summary, "point /usr/local/bin/x to /opt/x");
        state.link = "/opt/x".into();
        seen.paths.insert("/usr/local/bin/x".into(), state);
        assert!(link.compare(&seen).unwrap().change.is_none());
    }
}
