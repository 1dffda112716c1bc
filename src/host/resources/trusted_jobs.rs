//! Whose jobs the control repo's trusted runner starts. `factory-runner start` sets it up; an earlier one had them run as `deploy`,
//! beside the applications, which could read what they held.

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
    title: |_| "the user of the trusted runner's jobs".into(),
    way_back: WayBack::None(STAYS),
};

const STAYS: &str = "jobs with the control plane's tokens do not go back among applications; sudo factory-runner stop trusted ends them";

/// The service of the control repo's trusted runner.
const UNIT_FILE: &str = "/etc/systemd/system/factory-runner-trusted.service";

/// The control repo's trusted jobs run as their own user, if their runner is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrustedJobs;

/// The user that the service starts jobs as.
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
        let Some(user) = user_of_jobs(&unit).filter(|user| *user != CI) else { return Ok(Verdict::right()) };
        let summary = format!(
            "run the trusted runner's jobs as {CI} instead of {user}, and delete their work folders ~{user}/ci/builds and ~{user}/ci/cache"
        );
        let change = Change::new(self.id(), Action::Update, summary);
        Ok(Verdict::differs(change.with_diff(Some(user.to_owned()), Some(CI.to_owned()))))
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
        let unit = |user: &str| {
            format!("[Service]\nExecStart=/usr/bin/gitlab-runner run --working-directory /x --user {user}\n")
        };
        assert!(
            summary(&unit("deploy"))
                .unwrap()
                .starts_with("run the trusted runner's jobs as factory-ci instead of deploy")
        );
        assert_eq!(summary(&unit(CI)), None);
        assert_eq!(summary(""), None);
    }
}
