//! A systemd unit that must be enabled and running. Its files are [`File`](super::File)s.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::{Observed, UnitState};
use crate::host::program::{Before, Questions, Step, Word};
use crate::plan::{Action, Change, Undo};

/// The state before is the state of its file, and whether it ran.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "unit",
    shell: include_str!("unit.sh"),
    title: |name| format!("unit {name}"),
    way_back: WayBack::Write(|name, before, back| {
        let (file, active) = before.and_then(|state| state.split_once(' ')).unwrap_or(("disabled", "inactive"));
        back.step.call("undo_unit", &[name, file, active].map(Word::text));
    }),
};

/// States of a unit file in which it starts with the system, or has no choice: `systemctl(1)`, is-enabled.
const ENABLED: [&str; 7] = ["enabled", "static", "alias", "indirect", "generated", "linked", "enabled-runtime"];

/// A unit that is enabled and active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its full name, such as `chrony.service`.
    pub(crate) name: String,
}

impl Unit {
    fn state(&self, seen: &Observed) -> UnitState {
        seen.units.get(&self.name).cloned().unwrap_or_default()
    }
}

fn show(state: &UnitState) -> String {
    let load = if state.load == "loaded" { String::new() } else { format!("{}, ", state.load) };
    format!("{load}{}, {}", if state.file.is_empty() { "not enabled" } else { &state.file }, state.active)
}

impl Resource for Unit {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.name.clone())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.units.insert(self.name.clone());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let state = self.state(seen);
        if state.load == "loaded" && ENABLED.contains(&state.file.as_str()) && state.active == "active" && !state.stale
        {
            return Ok(Verdict::right());
        }
        let action = if state.load == "loaded" { Action::Update } else { Action::Create };
        let summary = match state.load.as_str() {
            "masked" => format!("unmask, enable and start {}", self.name),
            _ if state.stale && state.active == "active" => format!("reload and restart {}", self.name),
            _ => format!("enable and start {}", self.name),
        };
        let change = Change::new(self.id(), action, summary);
        Ok(Verdict::differs(change.with_diff(Some(show(&state)), Some("enabled, active".into()))))
    }

    fn before(&self, seen: &Observed) -> Before {
        let state = self.state(seen);
        let before = format!("{} {}", if state.file.is_empty() { "none" } else { &state.file }, state.active);
        Before::Known(Undo::Restore { before })
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        let state = self.state(seen);
        let name = Word::text(&self.name);
        step.call("systemctl daemon-reload", &[]);
        if state.load == "masked" {
            step.call("systemctl unmask", std::slice::from_ref(&name));
        }
        step.call("systemctl enable", std::slice::from_ref(&name));
        step.call("systemctl restart", &[name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_must_be_enabled_active_and_current() {
        let unit = Unit { name: "x.service".into() };
        let state = |load: &str, file: &str, active: &str, stale| {
            let mut seen = Observed::default();
            let state = UnitState { load: load.into(), file: file.into(), active: active.into(), stale };
            seen.units.insert("x.service".into(), state);
            unit.compare(&seen).unwrap().change.map(|c| c.summary)
        };
        assert_eq!(state("loaded", "enabled", "active", false), None);
        assert_eq!(state("loaded", "static", "active", false), None);
        assert_eq!(state("loaded", "disabled", "active", false).as_deref(), Some("enable and start x.service"));
        assert_eq!(state("loaded", "enabled", "failed", false).as_deref(), Some("enable and start x.service"));
        assert_eq!(state("loaded", "enabled", "active", true).as_deref(), Some("reload and restart x.service"));
        assert_eq!(state("masked", "masked", "inactive", false).as_deref(), Some("unmask, enable and start x.service"));
        assert_eq!(state("not-found", "", "inactive", false).as_deref(), Some("enable and start x.service"));
    }
}
