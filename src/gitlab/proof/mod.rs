//! The policy checks: forbidden actions, tried with the agent's own token, must be refused. The same with the token of its desk.
//!
//! A rule that stands in GitLab's settings proves little: another rule may undo it. So each forbidden action is made for real, and
//! GitLab's answer is judged.
//!
//! - **Only a refusal of the person counts, in GitLab's own words.** 401 and 403 do with the message that GitLab has for them, and
//!   git's words about protected refs. An answer that complains about anything else (409, 422, a job that is not ready) came
//!   after the check of the person, so the promise is broken. No answer, or a failing GitLab, is an error and proves nothing.
//! - **What cannot be told is no proof.** A refusal without GitLab's words, such as an empty 403 or a login page, is a proxy's for all
//!   that is known. And each refusal has a twin: the owner makes the same call, changed so that it does nothing. Where that
//!   is refused like the agent's own, it was not the policy that refused.
//! - **Nothing is refused because it is not there.** Before each attempt the owner reads what the attempt is about.
//! - **The role is tried, not only the scopes.** The agent's token is narrow, and GitLab looks at the scopes first. What is
//!   refused for a scope is tried again with a token of the same account that has the scope `api`, made for this, ended right after.
//! - **What succeeds does little harm and is taken back**: empty commits, values that are set already, the production job
//!   cancelled. What could not be taken back is said.
//!
//! - **What is not tried does not hold.** If `gitlab.tier` names a license that GitLab does not have, each promise of the license fails.
//! - **Who must approve is read off merge requests.** With a license, one of the agent's and one of the owner's are opened, and GitLab says
//!   what each waits for.
//!
//! - **What needs a job waits for runners** ([`jobs`]): until they are online, a note says what is not tried.
//!
//! The proof works on branches, a tag, pipelines, a CI/CD variable and a merge request that it creates, [`PREFIX`]…, removed at the end; also those of
//! a run that was cut.

mod attempts;
mod calls;
mod commits;
mod desk;
mod jobs;
mod licensed;
mod pushes;
mod stage;
mod verdict;

use super::GitlabTarget;
use super::error::GitlabResult;
use super::http::Call;
use super::resources::{agent_token, project};
use super::site::Site;
use crate::error::{Error, Result};
use crate::factory::{PROMISES, Tier};
use crate::plan::{Log, Plan, Proof, Target, TargetName, Watch};

use stage::Stage;
use verdict::proof;

/// How the names of the proof's own branches begin.
const PREFIX: &str = "factoryup-proof-";
/// The agent, as claims begin.
const AGENT: &str = "the agent";

#[derive(serde::Deserialize)]
struct Lint {
    valid: bool,
    #[serde(default)]
    errors: Vec<String>,
}

impl GitlabTarget {
    pub(super) fn try_all(&mut self, watch: &dyn Watch) -> GitlabResult<Vec<Proof>> {
        let later = self.jobs_later;
        self.on_stage(watch, |stage, proofs| {
            proofs.push(pipeline_is_valid(stage.site)?);
            everything(stage, proofs)?;
            if later {
                jobs::leave(stage)?;
            } else {
                jobs::try_all(stage, watch, proofs)?;
            }
            // Refusals by a token that had ended meanwhile would prove nothing.
            stage.still_known()
        })
    }

    /// Whether the policy checks that need a job are still to pass since the last change.
    ///
    /// # Errors
    /// `Data` when what is kept is damaged.
    pub fn owes_jobs(&self) -> Result<bool> {
        Ok(!self.keep.memory().map_err(Error::from)?.jobs_passed)
    }

    fn try_jobs(&mut self, watch: &dyn Watch) -> GitlabResult<Vec<Proof>> {
        self.on_stage(watch, |stage, proofs| {
            stage.still_known()?;
            jobs::try_all(stage, watch, proofs)?;
            stage.still_known()
        })
    }

    fn on_stage(
        &mut self,
        watch: &dyn Watch,
        make: impl FnOnce(&mut Stage<'_>, &mut Vec<Proof>) -> GitlabResult<()>,
    ) -> GitlabResult<Vec<Proof>> {
        self.facts()?;
        let found = project::require(&self.owner, &self.desired)?;
        self.identify(Some(&found), false)?;
        let (premium, _) = self.premium(&found)?;
        let site = Site::new(&self.desired, &self.owner, &self.keep, premium, &self.handed, found);
        let agent = agent_token::agent(&site)?.ok_or_else(|| {
            Error::internal("cannot run the policy checks: the agent's token is not in the state directory")
                .hint("create a new one: factoryup apply gitlab")
        })?;
        watch.busy("running the policy checks");
        let mut proofs = Vec::new();
        let mut stage = Stage::set(&site, agent)?;
        let tried = make(&mut stage, &mut proofs);
        let cleaned = stage.clear();
        watch.busy("");
        for note in stage.notes() {
            watch.warn(note);
        }
        tried?;
        if let Err(error) = cleaned {
            proofs.push(proof(
                "the policy checks removed their own branch and merge request",
                false,
                Error::from(error).to_string(),
            ));
        }
        Ok(proofs)
    }
}

/// The policy checks that need a job, which day one ends with: a target without a change.
pub struct JobChecks<'g>(pub &'g mut GitlabTarget);

impl Target for JobChecks<'_> {
    fn name(&self) -> TargetName {
        self.0.name()
    }

    fn subject(&self) -> String {
        self.0.subject()
    }

    fn observe(&mut self, _watch: &dyn Watch) -> Result<Plan> {
        Ok(Plan::new(self.name(), self.subject()))
    }

    fn apply(&mut self, _plan: &Plan, _log: &mut Log<'_>) -> Result<()> {
        Ok(())
    }

    fn prove(&mut self, watch: &dyn Watch) -> Result<Vec<Proof>> {
        self.0.try_jobs(watch).map_err(Error::from)
    }
}

fn everything(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<()> {
    stage.begin()?;
    pushes::try_all(stage, proofs)?;
    calls::try_all(stage, proofs)?;
    if stage.site.premium {
        licensed::try_all(stage, proofs)?;
    } else if stage.site.desired.tier != Tier::Free {
        let untried = PROMISES.iter().filter(|promise| promise.licensed);
        proofs.extend(untried.map(|promise| proof(promise.holds, false, "not tried: GitLab answers as Free")));
    }
    Ok(())
}

/// The pipeline decides what reaches production, so it must be one.
fn pipeline_is_valid(site: &Site<'_>) -> GitlabResult<Proof> {
    let lint: Lint = site.owner.fetch(&Call::get("/projects/:id/ci/lint", &[&site.id]))?;
    let detail = if lint.valid {
        "GitLab's lint finds no error".to_owned()
    } else {
        crate::dialog::plain(&lint.errors.join("; ")).replace('\n', " ")
    };
    Ok(proof(&format!("the pipeline of {} is valid", site.desired.branch), lint.valid, detail))
}
