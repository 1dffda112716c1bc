//! The way back: a target whose desired state is GitLab as it was before factoryup.
//!
//! What to undo is in the receipt in the state directory. It goes backwards, so that the agent and the runners lose their access
//! before the locks go that keep them from anything. A value that was changed after apply stays. The group, the project and what was
//! pushed are only deleted by hand, so in a project that factoryup created the rules and settings stay too.

use std::collections::BTreeMap;

use super::GitlabTarget;
use super::apply::{finish, logged};
use super::ci::Purpose;
use super::error::GitlabResult;
use super::resources::{
    self, Act, Back, Resource, WayBack, agent_token, app_member, ci_account, ci_token, group, project, runner,
};
use super::site::Site;
use crate::error::{Error, Result};
use crate::plan::{Action, Change, Deed, Entry, Log, Plan, Receipt, Target, TargetName, Undo, Watch};

/// A project on its way back.
pub struct RevertGitlab {
    gitlab: GitlabTarget,
    /// What the changes in the plan do, by id.
    acts: BTreeMap<String, Act>,
}

impl RevertGitlab {
    /// The project of that target.
    #[must_use]
    pub fn new(gitlab: GitlabTarget) -> Self {
        Self { gitlab, acts: BTreeMap::new() }
    }

    /// The receipt, with what a killed run made and did not record: tokens that work in GitLab.
    fn receipt(&self) -> GitlabResult<Receipt> {
        let mut receipt = self.gitlab.receipt()?;
        let memory = self.gitlab.keep.memory()?;
        let runners = memory.runners.keys().map(|name| format!("{}:{name}", runner::KIND));
        let token = memory.agent.map(|_| format!("{}:{}", agent_token::KIND, self.gitlab.desired.agent.username));
        let ci = Purpose::ALL.into_iter().filter(|purpose| self.gitlab.desired.ci.homes(*purpose).next().is_some());
        let ci =
            ci.flat_map(|purpose| [ci_account::KIND, ci_token::KIND].map(|kind| format!("{kind}:{}", purpose.word())));
        for id in runners.chain(token).chain(ci) {
            // One that is recorded stays as it is.
            receipt.record(&id, Action::Create, Undo::Remove);
        }
        Ok(receipt)
    }

    fn look(&mut self) -> GitlabResult<Plan> {
        let mut plan = Plan::new(self.name(), self.subject());
        self.acts.clear();
        let receipt = self.receipt()?;
        known(&receipt)?;
        let facts = self.gitlab.facts()?;
        plan.notes.clone_from(&facts.notes);
        let Some(found) = project::read(&self.gitlab.owner, &self.gitlab.desired)? else {
            plan.notes.push(format!("{} does not exist, or you have no access to it", self.gitlab.desired.url()));
            // A token outlives its project.
            if receipt.entries.iter().any(|entry| kind(entry) == ci_token::KIND) {
                let (base, top) = (self.gitlab.desired.base.as_str(), self.gitlab.desired.top());
                plan.notes.push(format!(
                    "CI's service accounts in the group {top} may have tokens that work; delete the accounts factoryup-…: {base}/groups/{top}/-/settings/service_accounts"
                ));
            }
            let username = &self.gitlab.desired.agent.username;
            if receipt.entries.iter().any(|entry| kind(entry) == app_member::KIND) {
                let (base, top) = (self.gitlab.desired.base.as_str(), self.gitlab.desired.top());
                plan.notes.push(format!(
                    "{username} may still be a Developer of applications; delete the account: {base}/groups/{top}/-/settings/service_accounts"
                ));
            }
            if agent_token::kept_works(&self.gitlab.owner, &self.gitlab.keep)? {
                let summary = format!("revoke the token of {username}");
                plan.push(Change::new(format!("{}:{username}", agent_token::KIND), Action::Delete, summary));
            }
            return Ok(plan);
        };
        self.gitlab.identify(Some(&found), false)?;
        // Where CI's accounts are was not known before.
        let receipt = self.receipt()?;
        let site = self.gitlab.site(found)?;
        let is_ours = created_project(&receipt);
        if is_ours {
            let url = site.desired.url();
            plan.notes.push(format!(
                "the project stays as factoryup created it, private and with its rules; to delete it, with all that is in it: {url}/edit"
            ));
        }
        let goes = |resource: &&dyn Resource| !is_ours || resources::stays(resource.kind(), true).is_none();
        for resource in resources::all().into_iter().rev().filter(goes) {
            for entry in receipt.entries.iter().rev().filter(|entry| kind(entry) == resource.kind()) {
                match back(resource, &site, entry)? {
                    Back::Done => plan.unchanged += 1,
                    Back::Stays(why) => plan.notes.push(why),
                    Back::Change(change, act) => {
                        self.acts.insert(change.id.clone(), act);
                        plan.push(change);
                    }
                }
            }
        }
        Ok(plan)
    }

    fn undo(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        let receipt = self.receipt()?;
        let (owner, keep) = (&self.gitlab.owner, &self.gitlab.keep);
        let Some(project) = project::read(owner, &self.gitlab.desired)? else {
            let revoke = || agent_token::revoke_kept(owner, keep);
            return plan
                .changes
                .iter()
                .try_for_each(|change| logged(log, change, revoke, |log, change, ()| log.undone(change)));
        };
        let site = self.gitlab.site(project)?;
        for change in &plan.changes {
            let missing = || Error::internal(format!("the plan contains {}, which was not observed", change.id));
            let act = self.acts.remove(&change.id).ok_or_else(missing)?;
            let entry = receipt.entries.iter().find(|entry| entry.id == change.id).ok_or_else(missing)?;
            let resources = resources::all();
            let resource = resources.iter().find(|resource| resource.kind() == kind(entry)).ok_or_else(missing)?;
            logged(
                log,
                change,
                || {
                    site.forget();
                    act(&site)?;
                    finish(change, || {
                        site.forget();
                        Ok(match back(*resource, &site, entry)? {
                            Back::Change(left, _) => Some(left),
                            Back::Done | Back::Stays(_) => None,
                        })
                    })
                },
                |log, change, ()| log.undone(change),
            )?;
        }
        Ok(())
    }
}

/// Whether factoryup created the project.
pub(super) fn created_project(receipt: &Receipt) -> bool {
    receipt.entries.iter().any(|entry| kind(entry) == project::KIND && entry.undo == Undo::Remove)
}

fn kind(entry: &Entry) -> &str {
    entry.id.split_once(':').map_or("", |(kind, _)| kind)
}

/// Refuses kinds that this version does not know: what they changed would stay without a word.
fn known(receipt: &Receipt) -> Result<()> {
    let all = resources::all();
    let is_known =
        |name: &str| matches!(name, group::KIND | project::KIND) || all.iter().any(|resource| resource.kind() == name);
    match receipt.entries.iter().map(kind).find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(Error::data(format!(
            "the receipt has changes of the kind `{name}`, which this factoryup does not know"
        ))
        .hint("use the factoryup that wrote it, or a newer one; nothing was changed")),
    }
}

fn back(resource: &dyn Resource, site: &Site<'_>, entry: &Entry) -> GitlabResult<Back> {
    let (_, name) = entry.id.split_once(':').unwrap_or_default();
    match (resource.way_back(), &entry.undo) {
        (WayBack::Stays(why), _) => Ok(Back::Stays(why.into())),
        // Earlier versions recorded that a token is never undone.
        (WayBack::By(find), undo) if resource.kind() == agent_token::KIND => find(site, name, undo),
        (_, Undo::Never { reason }) => Ok(Back::Stays(format!("{} stays: {reason}", entry.id))),
        (WayBack::By(find), undo) => find(site, name, undo),
    }
}

impl Target for RevertGitlab {
    fn name(&self) -> TargetName {
        TargetName::Gitlab
    }

    fn subject(&self) -> String {
        self.gitlab.subject()
    }

    fn deed(&self) -> Deed {
        Deed::Revert
    }

    fn observe(&mut self, _watch: &dyn Watch) -> Result<Plan> {
        self.look().map_err(Error::from)
    }

    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        self.undo(plan, log)
    }
}
