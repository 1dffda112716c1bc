//! What a run on a terminal waits for, and the jobs that only the owner may start: an apply of the infrastructure, the first release in
//! production. GitLab would take the same from a Maintainer's click; here the owner reads what the job does, and confirms it.

use std::time::{Duration, Instant};

use super::super::Workspace;
use super::View;
use crate::error::{Error, Kind, Result};
use crate::gitlab::{Application, Job, Pipeline, RootJobs, Verdict};
use crate::interrupt::{self, Waiting};

/// How long a job may take that the owner started here.
const LIMIT: Duration = Duration::from_mins(20);
/// How long is waited for a merge, and for the jobs after it.
const PATIENCE: Duration = Duration::from_hours(1);
/// The pause between two looks in the first minute, and then. GitLab can allow as few as 7200 requests an hour.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// A job that waits for the owner.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The project that it is in.
    pub(super) project: u64,
    pub(super) pipeline: u64,
    pub(super) job: Job,
    /// Its page.
    pub(super) page: String,
    /// The job whose log says what it would do.
    pub(super) plan: Option<Job>,
    /// What it does, in a line.
    pub(super) does: String,
}

/// A wait that was begun.
pub(super) struct Wait {
    what: String,
    since: Instant,
    _waiting: Waiting,
}

impl Wait {
    /// Waits a moment longer for what the owner does in GitLab, or GitLab by itself. Returns whether there is time left.
    pub(super) fn goes_on(wait: &mut Option<Self>, what: &str, again: &str, workspace: &Workspace<'_>) -> bool {
        if wait.as_ref().is_none_or(|wait| wait.what != what) {
            workspace.watch.note(what);
            // One wait at a time: the former ends first.
            *wait = None;
            let hints = [format!("continue: {again}")];
            let waiting = Waiting::begin("stopped waiting; GitLab keeps what was made", &hints);
            *wait = Some(Self { what: what.to_owned(), since: Instant::now(), _waiting: waiting });
        }
        if wait.as_ref().is_none_or(|wait| wait.since.elapsed() >= PATIENCE) {
            return false;
        }
        workspace.watch.busy("waiting for GitLab; Ctrl-C stops only the waiting");
        rest(wait.as_ref().map(|wait| wait.since));
        true
    }
}

fn rest(since: Option<Instant>) {
    let [first, then] = PAUSES;
    let is_new = since.is_none_or(|since| since.elapsed() < Duration::from_mins(1));
    std::thread::sleep(if is_new { first } else { then });
}

impl Workspace<'_> {
    /// Once the first pipeline is there: what it waits for until production has a release.
    pub(super) fn first_release(
        &self,
        application: &Application<'_>,
        project: u64,
        pipeline: &Pipeline,
        view: &mut View,
    ) {
        let production = self.factory.environments.names.last().map_or("", String::as_str);
        let name = format!("deploy:{production}");
        let Some(job) = pipeline.jobs.iter().rev().find(|job| job.name == name) else { return };
        let page = format!("{}/-/jobs/{}", application.url(), job.id);
        if pipeline.verdict() == Verdict::Underway {
            view.passes = Some(format!("the first pipeline runs, up to {name}: {}", pipeline.url));
        } else if job.status == "manual" {
            view.card.step(format!("start {name}, which makes the first release"), page.clone());
            let commit: String = pipeline.commit.chars().take(12).collect();
            view.job = Some(Start {
                project,
                pipeline: pipeline.id,
                job: job.clone(),
                page,
                plan: None,
                does: format!("starting {name} makes commit {commit} the first release in {production}"),
            });
        }
    }

    /// The apply of a root, as a job that may be started; none without a plan to read.
    pub(super) fn apply_of(&self, application: &Application<'_>, jobs: &RootJobs) -> Option<Start> {
        Some(Start {
            project: application.control,
            pipeline: jobs.pipeline,
            page: self.job_page(jobs.apply.id),
            plan: Some(jobs.plan.clone()?),
            does: format!("starting {} applies this plan as a whole", jobs.apply.name),
            job: jobs.apply.clone(),
        })
    }

    /// Offers to start a job: shows what it does, asks, and watches it. Returns whether it passed.
    pub(super) fn offer(&self, application: &Application<'_>, start: &Start) -> Result<bool> {
        let name = &start.job.name;
        if let Some(plan) = &start.plan {
            self.watch.note(&format!("the plan, from the log of job {}: {}", plan.name, self.job_page(plan.id)));
            application.plan(start.project, plan)?.lines().for_each(|line| self.watch.note(line));
        }
        self.watch.note(&start.does);
        if !self.watch.confirm(&format!("Start the job {name} of pipeline {}?", start.pipeline), false)? {
            return Ok(false);
        }
        // The question can be open for long.
        let now = application.whole(start.project, start.pipeline)?;
        let newest = |name: &str| now.jobs.iter().rev().find(|job| job.name == name);
        let is_as_shown = newest(name).is_some_and(|job| job.id == start.job.id && job.status == "manual")
            && start.plan.as_ref().is_none_or(|plan| newest(&plan.name).is_some_and(|job| job.id == plan.id));
        if !is_as_shown {
            let text = format!("the job {name} was started, or planned again, meanwhile; nothing was started");
            return Err(Error::new(Kind::CutShort, text).hint("run the command again, to see how it is now"));
        }
        let id = application.play(start.project, start.job.id)?;
        let url = &start.page;
        let _waiting = Waiting::begin(
            &format!("stopped waiting for the job {name}; it continues in GitLab"),
            &[format!("watch it: {url}"), "then run the command again".into()],
        );
        let since = Instant::now();
        loop {
            interrupt::check()?;
            let job = application.job(start.project, id)?;
            if job.is_over() {
                return if job.status == "success" {
                    Ok(true)
                } else {
                    Err(failed(application, start.project, &job, url))
                };
            }
            if since.elapsed() >= LIMIT {
                let text = format!("the job {name} is {} after {} min", job.status, LIMIT.as_secs() / 60);
                let error = Error::new(Kind::CutShort, text).hint(format!("watch it: {url}"));
                return Err(error.hint("then run the command again"));
            }
            self.watch.busy(&format!("job {name}: {}", job.status));
            rest(Some(since));
        }
    }
}

/// Why a job did not pass, with the end of its log.
fn failed(application: &Application<'_>, project: u64, job: &Job, url: &str) -> Error {
    let log = match application.log(project, job) {
        Ok(log) if log.is_empty() => "its log is empty".to_owned(),
        Ok(log) => format!("the end of its log:\n{log}"),
        Err(error) => format!("cannot read its log: {error}"),
    };
    Error::new(Kind::Pending, format!("the job {} ended with status {}", job.name, job.status))
        .caused_by(log)
        .hint(format!("read the whole log, fix the cause, and retry the job: {url}"))
        .hint("then run the command again")
}
