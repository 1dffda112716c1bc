//! GitLab Runner, from GitLab's signed packages: `factory-runner install` downloads it and checks who signed it.

use super::runner_service::PROGRAM;
use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::dialog::plain;
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step};
use crate::plan::{Action, Change, Undo};

/// Named by the package.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "runner_program",
    shell: include_str!("runner_program.sh"),
    title: |name| format!("the package {name} and the repository that it is from"),
    way_back: WayBack::Write(|_, _, back| back.step.call("undo_runner_program", &[])),
};

/// Where the operator names a mirror, as `factory-runner` reads it: its address, and the fingerprint of a key of its own.
const MIRROR: &str = "/etc/factory/runner-mirror";

/// The program that takes the jobs, if a runner is to run here.
#[derive(Clone, Debug)]
pub(crate) struct RunnerProgram {
    /// Whether one is.
    pub(crate) is_wanted: bool,
    /// Base address of the packages.
    pub(crate) packages: String,
    /// Fingerprint of the key that must have signed them.
    pub(crate) fingerprint: String,
}

impl Resource for RunnerProgram {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, "gitlab-runner".into())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.paths.insert(HostPath::new(PROGRAM));
        questions.text(&HostPath::new(MIRROR));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        if !self.is_wanted || seen.paths.contains_key(PROGRAM) {
            return Ok(Verdict::right());
        }
        let mirror = seen.text(MIRROR).unwrap_or_default();
        let mut words = mirror.split_whitespace();
        let packages =
            words.next().map_or_else(|| self.packages.clone(), |base| format!("{base}/runner/gitlab-runner"));
        let fingerprint = words.next().unwrap_or(&self.fingerprint);
        let summary = plain(&format!("download gitlab-runner from {packages}, signed by the key {fingerprint}"));
        Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Remove)
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.or_leave();
        step.call("/usr/local/sbin/factory-runner install", &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::PathState;

    #[test]
    fn it_is_downloaded_where_a_runner_is_wanted_and_none_is_there() {
        let program = |is_wanted| RunnerProgram {
            is_wanted,
            packages: "https://packages.example/runner".into(),
            fingerprint: "F640".into(),
        };
        let mut seen = Observed::default();
        let change = program(true).compare(&seen).unwrap().change.unwrap();
        assert_eq!(
            change.summary,
            "download gitlab-runner from https://packages.example/runner, signed by the key F640"
        );
        seen.texts.insert(MIRROR.into(), "https://mirror.example A1B2\n".into());
        let change = program(true).compare(&seen).unwrap().change.unwrap();
        assert_eq!(
            change.summary,
            "download gitlab-runner from https://mirror.example/runner/gitlab-runner, signed by the key A1B2"
        );
        assert!(program(false).compare(&seen).unwrap().change.is_none());
        seen.paths.insert(PROGRAM.into(), PathState::of('f', "755", "root"));
        assert!(program(true).compare(&seen).unwrap().change.is_none());
    }
}
