//! The agent in an application's project: the same account as in the control repo, Developer there too, and no longer than there.

use serde::de::IgnoredAny;

use super::Application;
use crate::error::Result;
use crate::gitlab::http::Call;
use crate::gitlab::identity::Account;
use crate::gitlab::resources::membership;
use crate::gitlab::second_user;
use crate::plan::{Action, Change, Undo};

/// The agent, as GitLab has it in an application's project.
#[derive(Clone, Debug)]
pub enum AgentThere {
    /// It is a Developer.
    In,
    /// It is to become one, or to stay one for longer.
    Pending(Change),
    /// The control repo has no agent yet.
    None,
    /// It is a service account of the control repo's project, which GitLab lets into no other.
    Apart,
}

impl Application<'_> {
    /// How the agent is in the application's project.
    ///
    /// # Errors
    /// Of the calls.
    pub fn agent(&self, project: u64) -> Result<AgentThere> {
        let Some(account) = self.agent_account()? else { return Ok(AgentThere::None) };
        let (owner, agent) = (&self.gitlab.owner, &self.gitlab.desired.agent);
        let Some(change) = membership::in_application(owner, agent, (&self.name, project), &account)? else {
            return Ok(AgentThere::In);
        };
        let call = Call::get("/projects/:id/service_accounts", &[&self.control]);
        let is_apart = match owner.list::<Account>(&call) {
            // This GitLab has no service accounts of projects.
            Err(error) if error.status().is_some() => false,
            all => all?.iter().any(|one| one.id == account.id),
        };
        Ok(if is_apart { AgentThere::Apart } else { AgentThere::Pending(change) })
    }

    /// Makes it a Developer of the application's project. `revert gitlab` undoes that.
    ///
    /// # Errors
    /// Of the calls; `CannotWrite` if the receipt cannot be written, before anything is changed.
    pub fn admit_agent(&self, project: u64, change: &Change) -> Result<()> {
        let Some(account) = self.agent_account()? else { return Ok(()) };
        let record = |undo: &Undo| {
            let mut receipt = self.gitlab.receipt()?;
            receipt.record(&change.id, Action::Create, undo.clone());
            Ok(receipt.write(&self.gitlab.keep.path("receipt-gitlab.json"))?)
        };
        membership::admit(&self.gitlab.owner, &self.gitlab.desired.agent, project, &account, record)?;
        Ok(())
    }

    /// The agent's account. Another one of its name is no member of the control repo.
    fn agent_account(&self) -> Result<Option<Account>> {
        let owner = &self.gitlab.owner;
        let Some(account) = second_user::named(owner, &self.gitlab.desired.agent.username)? else { return Ok(None) };
        let call = Call::get("/projects/:id/members/all/:user_id", &[&self.control, &account.id]);
        Ok(owner.find::<IgnoredAny>(&call)?.map(|_| account))
    }
}
