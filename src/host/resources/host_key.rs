//! A key that the host shows to those who log in, in addition to those that its system created.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step, Word};
use crate::plan::{Action, Change, Undo};

/// Named by its file. It is factoryup's own, so there is none before.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "host_key",
    shell: include_str!("host_key.sh"),
    title: |path| format!("host key {path}"),
    way_back: WayBack::Write(|path, _, back| back.step.call("undo_host_key", &[Word::text(path)])),
};

/// An RSA key; an Ed25519 key is there in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostKey {
    /// Where the private key is; the public one has `.pub` at its end.
    pub(crate) path: &'static str,
    /// The size of its modulus.
    pub(crate) bits: u32,
}

impl HostKey {
    fn files(&self) -> [(HostPath, &'static str); 2] {
        [(HostPath::new(self.path), "600"), (HostPath::new(format!("{}.pub", self.path)), "644")]
    }
}

impl Resource for HostKey {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path.to_owned())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.paths.extend(self.files().map(|(path, _)| path));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let is_right = |(path, mode): (HostPath, &str)| {
            let state = path.on(seen).and_then(|path| seen.paths.get(&path));
            state.is_some_and(|s| s.kind == 'f' && s.mode == mode && s.owner == "root" && s.group == "root")
        };
        if self.files().into_iter().all(is_right) {
            return Ok(Verdict::right());
        }
        let summary = format!("create the host key {} (RSA, {} bits)", self.path, self.bits);
        Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Remove)
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.call("host_key", &[Word::text(self.path), Word::text(&self.bits.to_string())]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::PathState;

    #[test]
    fn a_key_that_others_could_have_read_is_made_again() {
        let key = HostKey { path: "/etc/ssh/key", bits: 4096 };
        let mut seen = Observed::default();
        assert!(key.compare(&seen).unwrap().change.is_some());
        seen.paths.insert("/etc/ssh/key".into(), PathState::of('f', "600", "root"));
        assert!(key.compare(&seen).unwrap().change.is_some());
        seen.paths.insert("/etc/ssh/key.pub".into(), PathState::of('f', "644", "root"));
        assert!(key.compare(&seen).unwrap().change.is_none());
        seen.paths.insert("/etc/ssh/key".into(), PathState::of('f', "640", "root"));
        assert!(key.compare(&seen).unwrap().change.is_some());
    }
}
