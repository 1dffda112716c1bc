//! Watches the newest pipeline of the default branch, with which day one ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::card::Card;
use super::{AnyTarget, Workspace};
use crate::error::{Error, Kind, Result};
use crate::factory::{Gitlab, HostKind, RunnerKind};
use crate::gitlab::{GitlabTarget, Job, JobChecks, Pipeline, Verdict};
use crate::interrupt::{self, Waiting};
use crate::plan::{Options, Target, TargetName, carry_out};

/// How long a runner may take to ask for a job: it asks every few seconds.
const NO_RUNNER: Duration = Duration::from_mins(1);
/// How long GitLab may take to create the pipeline of a push, which it does in the background.
const NO_PIPELINE: Duration = Duration::from_secs(30);
/// The pause between two looks, at first and later.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// GitLab's word for a job that the instance's runners do not take, since the namespace has no compute minutes left.
/// Source: `ee/app/services/ci/pipeline_creation/drop_not_runnable_builds_service.rb`.
const NO_MINUTES: &str = "ci_quota_exceeded";
/// GitLab's words for an account that is not verified, or has no credit card, where the instance's runners are on.
/// Source: `ee/lib/ee/gitlab/ci/pipeline/chain/validate/after_config.rb`, `Users::IdentityVerification::AuthorizeCi`.
const UNVERIFIED: &str = "in order to run CI jobs";
/// How long the first pause holds.
const SHORT: Duration = Duration::from_secs(15);

impl Workspace<'_> {
    /// Returns once the newest pipeline of GitLab's default branch passed, for which it waits up to `limit`. `is_new` says that the commit
    /// may have been pushed just now.
    ///
    /// # Errors
    /// `Pending` with the end of the log if a job failed; `CutShort` if it does not end in time, no runner takes a job, there is no
    /// pipeline, or the user interrupts; of the calls.
    pub fn see_pipeline(&self, limit: Duration, is_new: bool) -> Result<()> {
        let AnyTarget::Gitlab(gitlab) = self.make(TargetName::Gitlab)? else {
            return Err(Error::internal("the target gitlab is another one"));
        };
        self.watch_pipeline(&gitlab, limit, is_new).map_err(|error| match error.kind() {
            Kind::Unreachable => error.hint("everything is applied; check the pipeline: factoryup status"),
            _ => error,
        })
    }

    /// Runs the policy checks that need a job, unless they passed since GitLab's last change.
    ///
    /// # Errors
    /// `Pending` if one fails; as [`see_pipeline`](Self::see_pipeline) otherwise.
    pub fn see_job_checks(&self) -> Result<()> {
        let AnyTarget::Gitlab(mut gitlab) = self.make(TargetName::Gitlab)? else {
            return Err(Error::internal("the target gitlab is another one"));
        };
        if !gitlab.owes_jobs()? {
            return Ok(());
        }
        let mut checks = JobChecks(&mut gitlab);
        let plan = checks.observe(self.watch)?;
        let options = Options { yes: true, prove_again: true };
        let result = carry_out(&mut checks, &plan, self.watch, &self.state, options).map(drop);
        self.anchored(&[TargetName::Gitlab], result)
    }

    fn watch_pipeline(&self, gitlab: &GitlabTarget, limit: Duration, is_new: bool) -> Result<()> {
        let project = self.factory.gitlab.project_url();
        let mut waiting = Waiting::begin(
            "stopped waiting for the pipeline; it continues in GitLab",
            &["check the pipeline: factoryup status".into()],
        );
        let since = Instant::now();
        let mut pending: BTreeMap<u64, Instant> = BTreeMap::new();
        let mut open: Option<Vec<u64>> = None;
        loop {
            interrupt::check()?;
            let Some(pipeline) = gitlab.pipeline()? else {
                if is_new && since.elapsed() < NO_PIPELINE {
                    self.watch.busy("waiting for GitLab to create the pipeline");
                    std::thread::sleep(PAUSES[0]);
                    continue;
                }
                let why = gitlab.why_no_pipeline()?;
                let branch = &self.factory.gitlab.default_branch;
                return Err(Error::new(Kind::CutShort, format!("the commit of {branch} has no pipeline: {why}"))
                    .hint(format!("start one: {project}/-/pipelines/new"))
                    .hint("then check the pipeline: factoryup status"));
            };
            // Only what ended while this looked is news.
            let ended = |job: &&Job| job.is_over() && open.as_ref().is_some_and(|open| open.contains(&job.id));
            for job in pipeline.jobs.iter().filter(ended) {
                let took = job.duration.map_or_else(String::new, |seconds| format!(", {seconds:.0} s"));
                self.watch.note(&format!("job {}: {}{took}", job.name, job.status));
            }
            open = Some(pipeline.jobs.iter().filter(|job| !job.is_over()).map(|job| job.id).collect());
            match pipeline.verdict() {
                Verdict::Passed | Verdict::Waits => return Ok(()),
                Verdict::Failed => return Err(self.failed(gitlab, &pipeline)),
                Verdict::Underway => {}
            }
            self.refuse_stuck(gitlab, &pipeline, &mut pending)?;
            if since.elapsed() >= limit {
                return Err(late(&pipeline, limit));
            }
            self.watch.busy(&format!("pipeline {}: {}", pipeline.id, pipeline.progress()));
            waiting.says(
                &format!("stopped waiting for pipeline {}; it continues in GitLab", pipeline.id),
                &[format!("watch it: {}", pipeline.url), "check the pipeline: factoryup status".into()],
            );
            std::thread::sleep(PAUSES[usize::from(since.elapsed() > SHORT)]);
        }
    }

    /// Stops at jobs that wait for a runner which is not there. `pending` remembers since when each waits.
    fn refuse_stuck(
        &self,
        gitlab: &GitlabTarget,
        pipeline: &Pipeline,
        pending: &mut BTreeMap<u64, Instant>,
    ) -> Result<()> {
        let now = Instant::now();
        let jobs: Vec<&Job> = pipeline.jobs.iter().filter(|job| job.status == "pending").collect();
        pending.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        for job in &jobs {
            pending.entry(job.id).or_insert(now);
        }
        // Without a host, no runner was started that could be about to ask.
        let has_host = self.factory.host.kind != HostKind::None;
        let patience = if has_host { NO_RUNNER } else { Duration::ZERO };
        let old: Vec<&Job> = jobs.into_iter().filter(|job| now.duration_since(pending[&job.id]) >= patience).collect();
        if old.is_empty() {
            return Ok(());
        }
        let stuck = gitlab.without_runner(&old)?;
        let Some(first) = stuck.first() else { return Ok(()) };
        // One kind of runner at a time.
        let alike = stuck.iter().filter(|job| job.tags == first.tags);
        let names: Vec<_> = alike.map(|job| job.name.as_str()).collect();
        let tags = if first.tags.is_empty() {
            "without tags".into()
        } else {
            format!("with the tag {}", first.tags.join(" and "))
        };
        let text = format!(
            "pipeline {} waits for a runner: GitLab shows none online that takes the job {} ({tags})",
            pipeline.id,
            names.join(", ")
        );
        let of_factory = format!("{}-", self.factory.factory.name);
        let kind = |tag: &String| tag.strip_prefix(&of_factory).unwrap_or(tag).to_owned();
        let is_on_host = has_host && first.tags.iter().any(|tag| self.runners_on_host().contains(&kind(tag).as_str()));
        let error = Error::new(Kind::CutShort, text);
        let error = if is_on_host {
            error.hint("check the runner on the host: `sudo factory-runner status`")
        } else if first.tags.is_empty() && self.factory.runner.kind == RunnerKind::Shared {
            let project = self.factory.gitlab.project_url();
            error.hint(format!("see which runners your GitLab offers: {project}/-/settings/ci_cd#js-runners-settings"))
        } else {
            error.hint("connect a runner: docs/procedures/start-runners.md in the control repo")
        };
        Err(error
            .hint("then run `factoryup apply` again; it waits for the pipeline")
            .hint(format!("the pipeline: {}", pipeline.url)))
    }

    fn failed(&self, gitlab: &GitlabTarget, pipeline: &Pipeline) -> Error {
        let error = Error::new(Kind::Pending, pipeline.words());
        let Some(job) = pipeline.jobs.iter().find(|job| job.has_failed()) else {
            let open = format!("open the pipeline: {}", pipeline.url);
            if !pipeline.jobs.is_empty() || pipeline.faults.is_some() {
                return error.hint(open);
            }
            // Of an account that may run no jobs, the pipeline does not say so.
            let why = gitlab.why_no_pipeline().unwrap_or_else(|error| format!("cannot ask GitLab why: {error}"));
            let (id, status) = (pipeline.id, &pipeline.status);
            let text = format!("pipeline {id} ended with status {status}, without a job: {why}");
            let error = Error::new(Kind::Pending, text).hint(open);
            return if why.contains(UNVERIFIED) {
                let page = format!("{}/-/identity_verification", self.factory.gitlab.url);
                error
                    .hint(format!("verify your account, then start the pipeline again: {page}"))
                    .hint("or set runner.kind in factory.toml to your own runners, which need no verification")
            } else {
                error
            };
        };
        self.watch.busy("reading the log of the failed job");
        let log = match gitlab.log_of(job) {
            Ok(log) if log.is_empty() => "its log is empty".to_owned(),
            Ok(log) => format!("the end of its log:\n{log}"),
            Err(error) => format!("cannot read its log: {error}"),
        };
        let (reason, remedies) = explained(job, &self.factory.gitlab, &pipeline.url);
        remedies.into_iter().fold(error.caused_by(format!("{reason}{log}")), Error::hint)
    }

    /// A card of the pipeline alone.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn pipeline_card(&self) -> Result<Card> {
        let mut card = Card::default();
        let asked = self.make(TargetName::Gitlab).and_then(|made| match made {
            AnyTarget::Gitlab(gitlab) => gitlab.pipeline(),
            _ => Ok(None),
        });
        match asked {
            Ok(pipeline) => self.pipeline_line(&mut card, pipeline.as_ref(), None),
            Err(error) => card.unknown("pipeline", error)?,
        }
        Ok(card)
    }
}

/// Why a job failed, as far as GitLab says, and what to do.
fn explained(job: &Job, gitlab: &Gitlab, url: &str) -> (String, [String; 2]) {
    match job.failure_reason.as_deref() {
        Some(NO_MINUTES) => {
            let top = gitlab.group.split('/').next().unwrap_or_default();
            let why = format!("reason: {NO_MINUTES}: {top} has no compute minutes left for the instance's runners; ");
            let own = "set runner.kind in factory.toml to your own runners, which need no compute minutes".to_owned();
            (why, [own, format!("or buy compute minutes, or wait until next month; then retry the jobs: {url}")])
        }
        reason => (
            reason.map_or_else(String::new, |reason| format!("reason: {reason}; ")),
            [
                format!("read the whole log, and retry the job: {url}"),
                "or fix the cause by merge request; then run `factoryup apply` again".to_owned(),
            ],
        ),
    }
}

fn late(pipeline: &Pipeline, limit: Duration) -> Error {
    let minutes = limit.as_secs() / 60;
    let text = format!("pipeline {} has not finished after {minutes} min: {}", pipeline.id, pipeline.progress());
    let error = Error::new(Kind::CutShort, text).hint(format!("watch it: {}", pipeline.url));
    let error = error.hint("check the pipeline: factoryup status");
    if pipeline.named("pending").is_empty() {
        return error.hint("or wait longer: factoryup apply --wait 60");
    }
    error
        .hint("if a job stays pending, check its runner: GitLab shows a runner online for up to 2 h after it stopped")
        .hint("or the branch was not protected when the pipeline was created, so that protected runners do not take its jobs: start a new pipeline")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_compute_minutes_says_what_is_missing() {
        let job = |reason: Option<&str>| -> Job {
            let text =
                serde_json::json!({ "id": 1, "name": "a", "stage": "b", "status": "failed", "failure_reason": reason });
            serde_json::from_value(text).unwrap()
        };
        let gitlab = Gitlab { group: "acme/lab".into(), ..Gitlab::default() };
        let said = |reason| explained(&job(reason), &gitlab, "https://x");
        let (why, remedies) = said(Some("ci_quota_exceeded"));
        assert_eq!(why, "reason: ci_quota_exceeded: acme has no compute minutes left for the instance's runners; ");
        assert!(remedies[0].starts_with("set runner.kind in factory.toml"), "{remedies:?}");
        assert_eq!(said(Some("script_failure")).0, "reason: script_failure; ");
        assert_eq!(said(None).0, "");
    }
}
