//! Publishes an application to GitLab and the host: what `factoryup app publish` does, again and again until all of it is there.
//!
//! No step is recorded. Each run reads the current state (`look`), plans the steps that can be made now (`step`), and ends with what only the
//! owner can do: review, merge, start an apply. So what a person did by hand counts, and a run that was cut is continued by the next one.

mod look;
mod step;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Workspace;
use super::card::Card;
use crate::app::check_name;
use crate::error::{Error, Kind, Result};
use crate::gitlab::{Application, GitlabTarget, RootJobs};
use crate::interrupt::{self, Waiting};
use crate::plan::{Deed, Event, Evidence, Options, Plan, TargetName, confirm};
use crate::shell;

/// The root of the infrastructure that creates projects of applications.
const ROOT: &str = "control-plane";
/// How long a job may take that the owner started here.
const LIMIT: Duration = Duration::from_mins(20);
/// The pause between two looks at it.
const PAUSE: Duration = Duration::from_secs(2);

/// Which application to publish.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Its name.
    pub name: String,
    /// Its repo; next to the control repo when not given.
    pub folder: Option<PathBuf>,
    /// Make all steps without asking.
    pub yes: bool,
}

impl Publish {
    /// The command as it was typed.
    fn command(&self) -> String {
        let path = self.folder.as_deref().map(|dir| format!(" --path {}", shell::word(&dir.display().to_string())));
        format!("factoryup app publish {}{}", self.name, path.unwrap_or_default())
    }
}

/// How far an application is.
#[derive(Debug)]
pub struct Published {
    /// The current state, and what is left for the owner.
    pub card: Card,
    /// What it waits for; nothing once all is there.
    pub waits: Option<Error>,
}

/// An application as it is now.
struct View {
    card: Card,
    /// What can be done now, in order.
    steps: Vec<step::Step>,
    /// What only the owner can do after that, or time.
    waits: Option<Error>,
    /// The job among it.
    job: Option<RootJobs>,
    /// The command that goes on from here.
    again: String,
}

impl Workspace<'_> {
    /// Makes every step that can be made now, after one question, and says what is left.
    ///
    /// # Errors
    /// `Usage` if there is no such application; `CannotWrite` if its repo would lose something; `Data` if the project has another history
    /// or a runner that takes too much; `Interrupted` if the plan is declined; of the steps.
    pub fn publish(&self, publish: &Publish) -> Result<Published> {
        check_name(&publish.name, &self.factory)?;
        let gitlab = self.gitlab()?;
        let mut former = None;
        loop {
            interrupt::check()?;
            self.watch.busy(&format!("reading {} from {}", publish.name, self.factory.gitlab.url));
            let application = gitlab.application(&publish.name)?;
            let view = self.look(&application, publish)?;
            self.watch.busy("");
            if view.steps.is_empty() {
                if let Some(job) = view.job.as_ref().filter(|_| !publish.yes)
                    && self.start_apply(&gitlab, &application, job)?
                {
                    continue;
                }
                return Ok(Published { card: view.card, waits: view.waits });
            }
            let mut plan = Plan::new(TargetName::Gitlab, application.url());
            plan.changes = view.steps.iter().map(|step| step.change(&publish.name)).collect();
            if former.as_ref() == Some(&plan) {
                let text = format!("{} still has the same pending changes after they were made", plan.subject);
                return Err(Error::new(Kind::CutShort, text).hint("another program may be changing them back"));
            }
            self.watch.event(&Event::Target { name: plan.target, subject: &plan.subject });
            self.watch.event(&Event::Planned(&plan));
            confirm(&[&plan], Deed::Publish, self.watch, Options { yes: publish.yes, ..Options::default() })?;
            self.make_steps(&application, publish, &view.steps, &plan)?;
            former = Some(plan);
        }
    }

    /// Makes the steps of a plan that was confirmed, and records it.
    fn make_steps(
        &self,
        application: &Application<'_>,
        publish: &Publish,
        steps: &[step::Step],
        plan: &Plan,
    ) -> Result<()> {
        let mut result = Ok(());
        let mut made = Vec::new();
        for (index, (step, change)) in steps.iter().zip(&plan.changes).enumerate() {
            let since = Instant::now();
            self.watch.event(&Event::Started { change, index: index + 1, total: steps.len() });
            result = interrupt::check().and_then(|()| self.make_step(application, publish, step));
            let failure = result.as_ref().err().map(ToString::to_string);
            self.watch.event(&Event::Ended { change, failure: failure.as_deref(), took: since.elapsed() });
            if result.is_err() {
                break;
            }
            made.push(change.id.as_str());
            crate::repo::failpoint::reached("publish-step");
        }
        let value = json!({
            "actor": { "kind": "owner", "tool": concat!("factoryup ", env!("CARGO_PKG_VERSION")) },
            "target": plan.target, "application": publish.name, "changes": made,
            "outcome": if result.is_ok() { "applied" } else { "failed" },
            "why": result.as_ref().err().map(ToString::to_string),
        });
        let evidence = Evidence::at(self.state.file("evidence/log.jsonl"));
        let recorded = evidence.append(&plan.subject, &plan.digest(), Deed::Publish.as_str(), value);
        result.and(recorded)
    }

    /// Offers to start the job that applies the infrastructure, which only the owner may decide: shows its plan, asks, and watches it.
    /// Returns whether it passed.
    fn start_apply(&self, gitlab: &GitlabTarget, application: &Application<'_>, jobs: &RootJobs) -> Result<bool> {
        if !self.watch.is_interactive() {
            return Ok(false);
        }
        let Some(plan) = &jobs.plan else { return Ok(false) };
        self.watch.note(&format!("the plan of {ROOT}, the end of the log of job {}:", plan.name));
        gitlab.log_of(plan)?.lines().for_each(|line| self.watch.note(line));
        let name = &jobs.apply.name;
        self.watch.note(&format!("starting {name} applies this plan to everything in {ROOT}"));
        if !self.watch.confirm(&format!("Start the job {name} of pipeline {}?", jobs.pipeline), false)? {
            return Ok(false);
        }
        application.play(jobs.apply.id)?;
        let url = self.job_page(jobs.apply.id);
        let _waiting = Waiting::begin(
            &format!("stopped waiting for the job {name}; it continues in GitLab"),
            &[format!("watch it: {url}"), "then run the command again".into()],
        );
        let since = Instant::now();
        loop {
            interrupt::check()?;
            let job = application.job(jobs.apply.id)?;
            if job.is_over() {
                let passed = job.status == "success";
                return if passed { Ok(true) } else { Err(look::failed(gitlab, &job, &url)) };
            }
            if since.elapsed() >= LIMIT {
                let minutes = LIMIT.as_secs() / 60;
                return Err(Error::new(
                    Kind::CutShort,
                    format!("the job {name} is {} after {minutes} min", job.status),
                )
                .hint(format!("watch it: {url}"))
                .hint("then run the command again"));
            }
            self.watch.busy(&format!("job {name}: {}", job.status));
            std::thread::sleep(PAUSE);
        }
    }

    /// The page of a job of the control repo.
    fn job_page(&self, id: u64) -> String {
        format!("{}/-/jobs/{id}", self.factory.gitlab.project_url())
    }
}
