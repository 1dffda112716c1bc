//! Where the control repo's trusted runner starts its jobs. `factory-runner start` sets it up; an earlier one had them run in a shell
//! that kept what they left, first as `deploy`, where applications could read what they held.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::accounts::CI;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step, Word};
use crate::plan::{Action, Change, Undo};

/// Named by the service.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "trusted_jobs",
    shell: "",
    title: |_| "the sandbox of the trusted runner's jobs".into(),
    way_back: WayBack::None(STAYS),
};

const STAYS: &str =
    "jobs with the control plane's tokens do not go back to a shell; sudo factory-runner stop trusted ends them";

/// The service of the control repo's trusted runner.
const UNIT_FILE: &str = "/etc/systemd/system/factory-runner-trusted.service";

/// The control repo's trusted jobs run in a sandbox, as their own user, if their runner is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustedJobs;

/// The user that the service starts jobs as, in a shell.
fn user_of_jobs(unit: &str) -> Option<&str> {
    let words = unit.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    words.split_whitespace().skip_while(|word| *word != "--user").nth(1)
}

impl Resource for TrustedJobs {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, "factory-runner-trusted".into())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.text(&HostPath::new(UNIT_FILE));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let unit = seen.text(UNIT_FILE).unwrap_or_default();
        let Some(user) = user_of_jobs(&unit) else { return Ok(Verdict::right()) };
        let summary = format!(
            "run each job of the trusted runner as {CI} in a sandbox, and delete the work folders ~{user}/ci/builds and ~{user}/ci/cache"
        );
        let change = Change::new(self.id(), Action::Update, summary);
        Ok(Verdict::differs(change.with_diff(Some(format!("{user}, in a shell")), Some(format!("{CI}, in a sandbox")))))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Never { reason: STAYS.into() })
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.call("/usr/local/sbin/factory-runner renew", &[Word::text("trusted")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_runner_of_before_is_a_difference() {
        let summary = |unit: &str| {
            let mut seen = Observed::default();
            seen.texts.insert(UNIT_FILE.into(), unit.into());
            TrustedJobs.compare(&seen).unwrap().change.map(|change| change.summary)
        };
        for user in ["deploy", CI] {
            let unit =
                format!("[Service]\nExecStart=/usr/bin/gitlab-runner run --working-directory /x --user {user}\n");
            assert!(summary(&unit).unwrap().ends_with(&format!("~{user}/ci/builds and ~{user}/ci/cache")));
        }
        let sandboxes = "[Service]\nExecStart=/usr/bin/gitlab-runner run --working-directory /x\n";
        assert_eq!(summary(sandboxes), None);
        assert_eq!(summary(""), None);
    }
}
