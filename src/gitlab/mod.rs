//! Target *gitlab*: sets up the control repo in GitLab, and checks that its policy is enforced.
//!
//! `desired` turns the answers into values, `preflight` sees whether GitLab and the token will do, `minutes` whether the instance's runners would take its jobs, `identity` which of three kinds of
//! account the agent can have (`second_user` is for the last of them), `observe` reads what is there,
//! and `apply` makes what differs so, one kind of resource (`resources`) after the other in an order that never leaves a gap:
//! branches and tags are locked before the agent, whom they lock out, exists. `revert` goes the same way back. `proof` then tries with the agent's own
//! token what the policy forbids. `ci` says what pipelines sign in and encrypt with. Below them, `client` speaks GitLab's REST API, over `http`; `glance` asks the GraphQL API what takes many calls of it. What is shown only once is in
//! `keep`, and `lifetime` says how long a token lives. `anchor` keeps heads of the evidence log in protected tags, and `signing_key` makes the keys
//! that CI signs evidence with. `now` reads what `factoryup status` shows, and `pipeline` what
//! became of the newest pipeline. `application` is the GitLab side of `factoryup app publish`.
//!
//! Pushing is done by git, in [`crate::git::remote`]. No token is looked for here: the caller brings the owner's.
//!
//! ```no_run
//! use factoryup::dialog::Silent;
//! use factoryup::gitlab::GitlabTarget;
//! use factoryup::plan::{Options, StateDir, converge};
//! use factoryup::secret::Secret;
//!
//! let factory = factoryup::factory::read("factory.toml".as_ref())?;
//! let state = StateDir::open(&factory.factory.name)?;
//! let mut gitlab = GitlabTarget::new(&factory, Secret::new("glpat-…"), ".", &state)?;
//! converge(&mut gitlab, &Silent, &state, Options { yes: true, ..Options::default() })?;
//! # Ok::<(), factoryup::Error>(())
//! ```

#[cfg(test)]
#[path = "../../tests/fuzz/gitlab.rs"]
pub(crate) mod fuzz;

mod anchor;
mod answer;
mod application;
mod apply;
mod choose;
mod ci;
mod client;
mod desired;
mod error;
mod glance;
mod handed;
mod http;
mod identity;
mod keep;
mod lifetime;
mod log;
mod minutes;
mod now;
mod observe;
mod pipeline;
mod preflight;
mod proof;
mod resources;
mod revert;
mod roles;
mod second_user;
mod signing_key;
mod site;
mod variables;

use std::path::Path;

pub use application::{
    AgentThere, AppRunner, AppRunnerKind, Application, MergeRequest, Proposal, RootJobs, RunnerState,
};
pub use ci::{Place, roots};
pub use handed::{TokenLife, hand_over, stored_passphrases, token_life};
pub use now::{Missing, Now, Renewer, RunnerNow, TokenNow};
pub use pipeline::{Job, Pipeline, Verdict};
pub use proof::JobChecks;
pub use resources::seed::Apart;
pub use revert::RevertGitlab;
pub use second_user::{AgentTokens, PROOF_TOKEN as AGENT_PROOF_TOKEN, TOKEN as AGENT_TOKEN};

use client::Client;
use desired::Desired;
use keep::Keep;
use preflight::Facts;
use resources::project;
use revert::created_project;
use second_user::Handed;

use crate::error::{Error, Result};
use crate::factory::Factory;
use crate::plan::{Log, Plan, Proof, StateDir, Target, TargetName, Watch};
use crate::secret::Secret;

/// One project on one GitLab instance.
#[derive(Debug)]
pub struct GitlabTarget {
    desired: Desired,
    owner: Client,
    keep: Keep,
    facts: Option<Facts>,
    licensed: Option<bool>,
    identified: bool,
    handed: Handed,
    /// Whether the policy checks leave out what needs a job.
    jobs_later: bool,
}

impl GitlabTarget {
    /// The project of `factory`, worked on with the owner's personal access token (scope `api`), for the control repo in `repo`.
    /// What GitLab shows only once is kept in `state`.
    ///
    /// # Errors
    /// `Usage` when `gitlab.url` is no address that a token may be sent to, or `SSL_CERT_FILE` holds no certificates.
    pub fn new(factory: &Factory, owner: Secret, repo: impl AsRef<Path>, state: &StateDir) -> Result<Self> {
        let desired = Desired::new(factory, repo.as_ref().to_owned()).map_err(Error::from)?;
        let owner = Client::new(desired.base.clone(), owner, "the owner").map_err(Error::from)?;
        let keep = Keep::new(state.path(), desired.url());
        Ok(Self {
            desired,
            owner,
            keep,
            facts: None,
            licensed: None,
            identified: false,
            handed: Handed::default(),
            jobs_later: false,
        })
    }

    /// Has the policy checks leave what needs a job to [`JobChecks`], after the pipeline.
    pub fn leave_jobs(&mut self) {
        self.jobs_later = true;
    }

    /// With tokens of an agent whom a person made, for a GitLab without service accounts.
    #[must_use]
    pub fn with_agent(self, tokens: AgentTokens) -> Self {
        Self { handed: Handed { tokens, ..self.handed }, ..self }
    }

    /// With new tokens for the agent and its desk, even if those that are kept work. The agent's old one works until the user revokes it, so
    /// that the agent can take the new one first. The desk's old one is revoked.
    #[must_use]
    pub fn replacing_agent_token(self, replace: bool) -> Self {
        self.handed.replace.set(replace);
        self.handed.replace_desk.set(replace);
        self
    }
}

impl Target for GitlabTarget {
    fn name(&self) -> TargetName {
        TargetName::Gitlab
    }

    fn subject(&self) -> String {
        self.desired.url()
    }

    fn observe(&mut self, watch: &dyn Watch) -> Result<Plan> {
        let mut plan = self.look(watch)?;
        let is_ours = created_project(&self.receipt()?) || plan.changes.iter().any(|c| c.kind() == project::KIND);
        for change in &mut plan.changes {
            change.stays = resources::stays(change.kind(), is_ours).map(str::to_owned);
        }
        Ok(plan)
    }

    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        self.make(plan, log)
    }

    fn prove(&mut self, watch: &dyn Watch) -> Result<Vec<Proof>> {
        self.try_all(watch).map_err(Error::from)
    }
}
