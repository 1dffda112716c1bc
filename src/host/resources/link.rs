//! A symbolic link.

use super::{Resource, ResourceKind, Then, Verdict, WayBack, in_the_way};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step};
use crate::plan::{Action, Change, Undo};

/// The state before is a copy.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "link",
    shell: include_str!("link.sh"),
    title: str::to_owned,
    way_back: WayBack::Write(|name, before, back| back.path(HostPath::shown(name), before)),
};

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where.
    pub(crate) path: HostPath,
    /// What it points to, as it stands in the link.
    pub(crate) target: String,
    /// What follows a change.
    pub(crate) then: Option<Then>,
    /// Why it is not undone, where it is not.
    pub(crate) stays: Option<&'static str>,
}

impl Resource for Link {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path.to_string())
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
            'd' => in_the_way(&self.path, "a folder", "a link"),
            kind => {
                let change = Change::new(self.id(), Action::Update, format!("point {} to {target}", self.path));
                let before = if kind == 'l' { state.link.clone() } else { "a file".to_owned() };
                Ok(Verdict::differs(change.with_diff(Some(before), Some(target.clone()))))
            }
        }
    }

    fn before(&self, _seen: &Observed) -> Before {
        let path = || Before::Path(self.path.clone());
        self.stays.map_or_else(path, |reason| Before::Known(Undo::Never { reason: reason.into() }))
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.at("point", &self.path, &[&self.target]);
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
        let path = HostPath::new("/usr/local/bin/x");
        let link = Link { path, target: "/opt/x".into(), then: None, stays: None };
        let mut seen = Observed::default();
        assert_eq!(link.compare(&seen).unwrap().change.unwrap().action, Action::Create);
        let mut state = PathState { link: "/opt/y".into(), ..PathState::of('l', "777", "root") };
        seen.paths.insert("/usr/local/bin/x".into(), state.clone());
        assert_eq!(link.compare(&seen).unwrap().change.unwrap().summary, "point /usr/local/bin/x to /opt/x");
        state.link = "/opt/x".into();
        seen.paths.insert("/usr/local/bin/x".into(), state);
        assert!(link.compare(&seen).unwrap().change.is_none());
        seen.paths.insert("/usr/local/bin/x".into(), PathState::of('d', "755", "root"));
        assert!(link.compare(&seen).is_err());
    }
}
