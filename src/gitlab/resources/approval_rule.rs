//! The rule that a merge request needs the owner's approval, which takes a license.
//!
//! **It names people, and a single owner can work with it.** GitLab approves by itself a rule that names fewer people than it needs,
//! and the author of a merge request does not count: the owner's own merge request waits for no approval, the agent's for the
//! owner's. A rule of the type `any_approver` is never approved in this way, and with one person it would stop each merge request of
//! the owner. The policy checks try both.
//!
//! Sources: <https://docs.gitlab.com/user/project/merge_requests/approvals/rules/>, `ee/app/models/approval_wrapped_rule.rb`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Back, Found, Resource, UNLICENSED, WayBack, ci_account};
use crate::dialog::plain;
use crate::factory::Tier;
use crate::gitlab::ci::Purpose;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::preflight::TokenFacts;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

pub(super) const KIND: &str = "approval-rule";
const NAME: &str = "owner";
/// What it is called in GitLab.
const RULE: &str = "factoryup: owner";
const ALL: &str = "/projects/:id/approval_rules";
const ONE: &str = "/projects/:id/approval_rules/:approval_rule_id";

/// See the [module](self).
pub(in crate::gitlab) struct ApprovalRules;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Rule {
    id: u64,
    name: String,
    #[serde(default, rename = "rule_type")]
    kind: String,
    approvals_required: u64,
    #[serde(default)]
    users: Vec<Named>,
    #[serde(default)]
    groups: Vec<Named>,
    #[serde(default)]
    protected_branches: Vec<Named>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Named {
    id: u64,
    #[serde(default)]
    username: String,
}

impl Rule {
    /// Whether it needs a person, on every branch, and none of `machines`. The owner may name more people, and need more of them: if there
    /// are too few, GitLab approves the rule.
    fn is_right(&self, machines: &[u64]) -> bool {
        let named = u64::try_from(self.users.len()).unwrap_or(u64::MAX);
        (1..=named).contains(&self.approvals_required)
            && self.groups.is_empty()
            && self.protected_branches.is_empty()
            && !self.users.iter().any(|user| machines.contains(&user.id))
    }

    fn text(&self) -> String {
        let users: Vec<_> = self.users.iter().map(|user| plain(&user.username)).collect();
        let groups = if self.groups.is_empty() { "" } else { ", groups" };
        let branches = if self.protected_branches.is_empty() { "all" } else { "some" };
        let required = self.approvals_required;
        format!("approvals: {required}\napprovers: {}{groups}\nbranches: {branches}\n", users.join(", "))
    }

    fn body(&self) -> Value {
        let ids = |all: &[Named]| all.iter().map(|one| one.id).collect::<Vec<_>>();
        json!({
            "name": self.name,
            "approvals_required": self.approvals_required,
            "user_ids": ids(&self.users),
            "group_ids": ids(&self.groups),
            "protected_branch_ids": ids(&self.protected_branches),
        })
    }
}

fn compare(present: Option<&Rule>, machines: &[u64]) -> Option<Change> {
    let action = match present {
        Some(rule) if rule.is_right(machines) => return None,
        Some(_) => Action::Update,
        None => Action::Create,
    };
    let summary = "require your approval of each merge request that is not yours";
    let after = "approvals: 1\napprovers: you\nbranches: all\n".to_owned();
    Some(Change::new(format!("{KIND}:{NAME}"), action, summary).with_diff(present.map(Rule::text), Some(after)))
}

/// The accounts whose approval says nothing.
pub(in crate::gitlab) fn machines(site: &Site<'_>) -> GitlabResult<Vec<u64>> {
    let mut all: Vec<_> = site.account()?.map(|account| account.id).into_iter().collect();
    for purpose in Purpose::ALL {
        all.extend(ci_account::existing(site, purpose)?.map(|(_, account)| account.id));
    }
    Ok(all)
}

fn read(site: &Site<'_>) -> GitlabResult<Vec<Rule>> {
    site.owner.list(&Call::get(ALL, &[&site.id]))
}

fn ours(rules: &[Rule]) -> Option<&Rule> {
    rules.iter().find(|rule| rule.name == RULE)
}

impl Resource for ApprovalRules {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        if desired.tier == Tier::Free { Vec::new() } else { compare(None, &[]).into_iter().collect() }
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        if !site.premium {
            return Ok(Found::default());
        }
        let rules = read(site)?;
        let mut found = Found::one(compare(ours(&rules), &machines(site)?));
        let any = rules.iter().filter(|rule| rule.kind == "any_approver" && rule.approvals_required > 0);
        found.notes.extend(any.map(|rule| {
            format!(
                "the approval rule \"{}\" applies to your merge requests too: if you work alone, no one can approve them",
                plain(&rule.name)
            )
        }));
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        if !site.premium {
            return Ok(Undo::Never { reason: UNLICENSED.into() });
        }
        let rules = read(site)?;
        let me: TokenFacts = site.owner.fetch(&Call::get("/personal_access_tokens/self", &[]))?;
        let users = vec![Named { id: me.user_id, ..Named::default() }];
        let wanted = Rule { name: RULE.into(), approvals_required: 1, users, ..Rule::default() };
        match ours(&rules) {
            None => {
                site.owner.write::<Rule>(&Call::post(ALL, &[&site.id]), &wanted.body())?;
                Ok(Undo::Remove)
            }
            Some(rule) => {
                site.owner.write::<Rule>(&Call::put(ONE, &[&site.id, &rule.id]), &wanted.body())?;
                Ok(Undo::restore(rule))
            }
        }
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn back(site: &Site<'_>, _name: &str, undo: &Undo) -> GitlabResult<Back> {
    if !site.premium {
        return Ok(Back::Stays(format!("the approval rule: {UNLICENSED}")));
    }
    let rules = read(site)?;
    let Some(present) = ours(&rules).cloned() else { return Ok(Back::Done) };
    let (id, before) = (format!("{KIND}:{NAME}"), undo.before::<Rule>()?);
    if before.as_ref().is_some_and(|before| before.body() == present.body()) {
        return Ok(Back::Done);
    }
    if !present.is_right(&machines(site)?) || present.users.len() > 1 {
        return Ok(Back::Stays("the approval rule changed after apply; not reverted".into()));
    }
    let call: &[&dyn std::fmt::Display] = &[&site.id, &present.id];
    let (put, delete) = (Call::put(ONE, call), Call::delete(ONE, call));
    Ok(match before {
        None => {
            Back::remove(id, format!("remove the approval rule \"{RULE}\""), move |site| site.owner.delete(&delete))
        }
        Some(before) => Back::restore(id, format!("restore the approval rule \"{RULE}\""), move |site| {
            site.owner.write::<Rule>(&put, &before.body()).map(drop)
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_must_need_a_person_on_every_branch() {
        let named = |id| Named { id, username: format!("u{id}") };
        let right = Rule { approvals_required: 1, users: vec![named(1)], ..Rule::default() };
        assert!(right.is_right(&[7]));
        let two = Rule { users: vec![named(1), named(2)], ..right.clone() };
        assert!(two.is_right(&[7]) && Rule { approvals_required: 2, ..two }.is_right(&[7]));
        for wrong in [
            Rule { approvals_required: 0, ..right.clone() },
            Rule { approvals_required: 2, ..right.clone() },
            Rule { users: vec![], ..right.clone() },
            Rule { users: vec![named(1), named(7)], ..right.clone() },
            Rule { groups: vec![named(3)], ..right.clone() },
            Rule { protected_branches: vec![named(3)], ..right.clone() },
        ] {
            assert!(!wrong.is_right(&[7]), "{wrong:?}");
            assert_eq!(compare(Some(&wrong), &[7]).unwrap().action, Action::Update);
        }
        assert_eq!(compare(None, &[]).unwrap().action, Action::Create);
    }
}
