//! Reads the current state: preflight, then group and project, then the resources of the project. Writes nothing.

use serde::de::IgnoredAny;

use super::GitlabTarget;
use super::choose;
use super::desired::Desired;
use super::error::GitlabResult;
use super::http::Call;
use super::identity::Identity;
use super::keep::{self, Memory};
use super::minutes;
use super::preflight::{self, Facts, require_maintainer};
use super::resources::{self, account, ci_account, group, project};
use super::second_user;
use super::site::{Project, Site};
use crate::factory::Tier;
use crate::plan::{Plan, Receipt, Target, Watch};

impl GitlabTarget {
    pub(super) fn look(&mut self, watch: &dyn Watch) -> GitlabResult<Plan> {
        self.owner.remember();
        let plan = self.look_once(watch);
        let enough = plan.as_ref().map_or(Ok(()), |plan| minutes::require(&self.owner, &self.desired, plan));
        self.owner.forget();
        enough.and(plan)
    }

    fn look_once(&mut self, watch: &dyn Watch) -> GitlabResult<Plan> {
        let facts = self.facts()?;
        let mut plan = Plan::new(self.name(), self.subject());
        plan.notes.clone_from(&facts.notes);
        let found = project::read(&self.owner, &self.desired)?;
        match &found {
            Some(found) => self.may_change(found)?,
            None => plan.changes = group::observe(&self.owner, &self.desired, facts.owner)?,
        }
        let top = format!("{}:{}", group::KIND, self.desired.top());
        let is_new = plan.changes.iter().any(|change| change.id == top);
        let own = format!("{}:{}", group::KIND, self.desired.group);
        self.desired.ci.is_group_new = plan.changes.iter().any(|change| change.id == own);
        self.identify(found.as_ref(), is_new)?;
        if self.desired.agent.identity == Identity::Given {
            second_user::ready(&self.owner, &self.desired, &self.keep, &mut self.handed, watch)?;
        }
        let Some(found) = found else {
            account::require_free(&self.owner, &self.desired, &self.keep)?;
            plan.push(project::create(&self.desired));
            plan.notes.extend(ci_account::left(&self.desired.ci));
            plan.changes.extend(resources::all().iter().flat_map(|resource| resource.fresh(&self.desired)));
            return Ok(plan);
        };
        plan.unchanged = 2;
        plan.notes.extend(self.premium(&found)?.1);
        let site = self.site(found)?;
        for resource in resources::all() {
            let found = resource.observe(&site)?;
            plan.changes.extend(found.changes);
            plan.unchanged += found.unchanged;
            plan.notes.extend(found.notes);
        }
        plan.notes.extend(site.variables()?.notes());
        Ok(plan)
    }

    /// A project that was just read.
    pub(super) fn site(&mut self, project: Project) -> GitlabResult<Site<'_>> {
        let (premium, _) = self.premium(&project)?;
        Ok(Site::new(&self.desired, &self.owner, &self.keep, premium, &self.handed, project))
    }

    /// What factoryup changed in this project so far.
    pub(super) fn receipt(&self) -> GitlabResult<Receipt> {
        let known = Receipt::read(&self.keep.path("receipt-gitlab.json"))?;
        let subject = self.subject();
        Ok(known.filter(|known| known.is_about(&subject)).unwrap_or_else(|| Receipt::new(self.name(), subject)))
    }

    /// What the preflight found; made once.
    pub(super) fn facts(&mut self) -> GitlabResult<Facts> {
        let facts = match self.facts.take() {
            Some(facts) => facts,
            None => preflight::check(&self.owner, &self.desired)?,
        };
        Ok(self.facts.insert(facts).clone())
    }

    /// Chooses the kind of the agent's account, and of CI's; once. `is_new` says that the top-level group does not exist yet.
    pub(super) fn identify(&mut self, project: Option<&Project>, is_new: bool) -> GitlabResult<()> {
        if !self.identified {
            let facts = self.facts()?;
            let memory = self.keep.memory()?;
            self.desired.agent.identity =
                choose::for_agent(&self.owner, &self.desired, &facts, project, &memory, is_new)?;
            self.desired.ci.refused.clone_from(&memory.refused_accounts);
            (self.desired.ci.project, self.desired.ci.group) =
                choose::for_ci(&self.owner, &self.desired, &facts, project, is_new)?;
            self.desired.ci.reason = self.without_accounts(&facts, &memory);
            self.identified = true;
        }
        Ok(())
    }

    /// Why CI's accounts are not made, where they are not.
    fn without_accounts(&self, facts: &Facts, memory: &Memory) -> String {
        if !facts.enterprise {
            return "GitLab's Community Edition has no service accounts".into();
        }
        if !memory.refused_accounts.is_empty() {
            let file = self.keep.path(keep::MEMORY);
            return format!(
                "GitLab refused to create one; to try again, remove \"refused_accounts\" from {}",
                file.display()
            );
        }
        let top = self.desired.top();
        format!(
            "{top} is no group whose service accounts your account may create, which takes a license before 18.11 and an Owner of the group"
        )
    }

    /// Refuses a caller whose role is known and too low. An administrator has no role and every right.
    fn may_change(&self, project: &Project) -> GitlabResult<()> {
        match project.permissions.as_ref().map(super::site::Permissions::level) {
            Some(level) if level > 0 => require_maintainer(level, &self.desired.path()),
            _ => Ok(()),
        }
    }

    /// Whether Premium's calls work, and a word when `factory.toml` says otherwise. Asked only when it says so.
    pub(super) fn premium(&mut self, project: &Project) -> GitlabResult<(bool, Option<String>)> {
        if self.desired.tier == Tier::Free {
            return Ok((false, None));
        }
        if self.licensed.is_none() {
            // Without a license GitLab hides this call, and answers those for approvals and protected environments in part.
            let rule = self.owner.fetch::<IgnoredAny>(&Call::get("/projects/:id/push_rule", &[&project.id]));
            self.licensed = Some(is_there(rule)?);
        }
        let licensed = self.licensed == Some(true);
        let note = (!licensed).then(|| unlicensed(&self.desired));
        Ok((licensed, note))
    }
}

/// Whether GitLab has what was asked for. A failure of another kind says nothing of it.
fn is_there<T>(answer: GitlabResult<T>) -> GitlabResult<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.status(), Some(403 | 404)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn unlicensed(desired: &Desired) -> String {
    let tier = if desired.tier == Tier::Ultimate { "ultimate" } else { "premium" };
    format!(
        "gitlab.tier is \"{tier}\", but {} answers as GitLab Free; factoryup enforces only what Free supports",
        desired.base.as_str()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitlab::error::GitlabError;

    #[test]
    fn only_a_call_that_gitlab_hides_is_not_there() {
        let refused = |status| GitlabError::Refused {
            call: String::new(),
            who: "the owner",
            status,
            said: String::new(),
            scope: None,
            token_page: String::new(),
        };
        assert!(is_there(Ok(())).unwrap());
        for (status, expected) in [(403, Some(false)), (404, Some(false)), (400, None), (401, None), (429, None)] {
            assert_eq!(is_there::<()>(Err(refused(status))).ok(), expected, "{status}");
        }
    }
}
