//! Publishes an application to GitLab and the host: what `factoryup app publish` does, again and again until all of it is there.
//!
//! No step is recorded. Each run reads the current state (`look`), plans the steps that can be made now (`step`), and ends with what only the
//! owner can do: review and merge. On a terminal it waits for that, and offers the jobs that the owner has to start (`start`). So what a
//! person did by hand counts, and a run that was cut is continued by the next one.

mod look;
mod start;
mod step;

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use super::Workspace;
use super::card::{Card, State};
use crate::app::check_name;
use crate::error::{Error, Kind, Result};
use crate::gitlab::{AgentThere, Application};
use crate::interrupt;
use crate::plan::{Deed, Event, Evidence, Options, Plan, TargetName, confirm};
use crate::shell;

/// The root of the infrastructure that creates projects of applications.
const ROOT: &str = "control-plane";

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
    job: Option<start::Start>,
    /// What is waited for on a terminal, for this run to go on from there.
    passes: Option<String>,
    /// Whether the planned steps bring the contract to the default branch.
    contract: bool,
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
        let (mut former, mut wait) = (None, None);
        let asks = self.watch.is_interactive() && !publish.yes;
        loop {
            interrupt::check()?;
            if wait.is_none() {
                self.watch.busy(&format!("reading {} from {}", publish.name, self.factory.gitlab.url));
            }
            let application = gitlab.application(&publish.name)?;
            let view = self.look(&application, publish)?;
            let waits = view.passes.as_ref().filter(|_| asks && view.steps.is_empty());
            if waits.is_some_and(|what| start::Wait::goes_on(&mut wait, what, &view.again, self)) {
                continue;
            }
            wait = None;
            self.watch.busy("");
            if view.steps.is_empty() {
                if let Some(job) = view.job.as_ref().filter(|_| asks)
                    && self.offer(&application, job)?
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

    /// Adds a line and a step for the agent.
    fn agent_line(&self, application: &Application<'_>, project: u64, view: &mut View) -> Result<()> {
        let username = &self.factory.agent.username;
        match application.agent(project)? {
            AgentThere::In => view.card.line("agent", State::Ok, format!("{username} is a Developer")),
            AgentThere::Pending(change) => view.steps.push(step::Step::Agent { project, change }),
            AgentThere::None => {
                view.card.line("agent", State::Attention, "the control repo has no agent yet");
                view.card.step("create the agent's account", "factoryup apply");
            }
            AgentThere::Apart => {
                let text = format!(
                    "{username} is a service account of the control repo, which GitLab lets into no other project"
                );
                view.card.line("agent", State::Attention, text);
                view.card.step("replace its account", "docs/app-contract.md, \"The agent in applications\"");
            }
        }
        Ok(())
    }

    /// The page of a job of the control repo.
    fn job_page(&self, id: u64) -> String {
        format!("{}/-/jobs/{id}", self.factory.gitlab.project_url())
    }
}
