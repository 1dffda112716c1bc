//! Settings that are switches in one object, and take a license: those of approvals, and the push rule.
//!
//! **A committer may approve.** GitLab takes committers from the email in a commit, which the agent writes: a commit in the owner's
//! name would leave a rule that names only the owner without approvers, and GitLab approves such a rule by itself. The agent cannot
//! approve in any case, since the [rule](super::approval_rule) does not name it.
//!
//! The push rule refuses files that are named like private keys. It does not check committers: the history of an adopted repository
//! has others.
//!
//! **What a group or the instance locks is left.** The plan notes it if factoryup needs another value.
//!
//! Sources: <https://docs.gitlab.com/api/merge_request_approvals/#project-approval-rules>,
//! <https://docs.gitlab.com/api/merge_request_approval_settings/>, <https://docs.gitlab.com/api/project_push_rules/>, `ee/app/models/approval_state.rb`, `filter_committers`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Back, Found, Resource, UNLICENSED, WayBack};
use crate::dialog::plain;
use crate::factory::Tier;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Risk, Undo};

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gitlab) enum Switches {
    Approvals,
    PushRule,
}

type Values = Map<String, Value>;

/// Each approval setting by the name under which GitLab says what locks it.
const LOCKS: [(&str, &str); 5] = [
    ("disable_overriding_approvers_per_merge_request", "allow_overrides_to_approver_list_per_merge_request"),
    ("merge_requests_author_approval", "allow_author_approval"),
    ("merge_requests_disable_committers_approval", "allow_committer_approval"),
    ("reset_approvals_on_push", "retain_approvals_on_push"),
    ("selective_code_owner_removals", "selective_code_owner_removals"),
];

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    locked: Option<bool>,
    #[serde(default)]
    inherited_from: Option<String>,
}

impl Switches {
    const fn path(self) -> &'static str {
        match self {
            Self::Approvals => "/projects/:id/approvals",
            Self::PushRule => "/projects/:id/push_rule",
        }
    }

    const fn wanted(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Approvals => &[
                ("disable_overriding_approvers_per_merge_request", true),
                ("merge_requests_author_approval", false),
                ("merge_requests_disable_committers_approval", false),
                ("reset_approvals_on_push", true),
                // GitLab accepts only one of these two.
                ("selective_code_owner_removals", false),
            ],
            Self::PushRule => &[("prevent_secrets", true)],
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Approvals => "approval settings",
            Self::PushRule => "push rule",
        }
    }

    fn different(self, present: &Values) -> Values {
        let differs = |(name, value): &&(&str, bool)| is_on(present, name) != *value;
        self.wanted().iter().filter(differs).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    }

    /// Everything, or what differs from what there is.
    fn change(self, desired: &Desired, present: Option<(&Values, Values)>) -> Option<Change> {
        let all = || self.wanted().iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        let (present, different) = present.map_or_else(|| (None, all()), |(now, different)| (Some(now), different));
        if different.is_empty() {
            return None;
        }
        let path = desired.path();
        let names: Vec<_> = different.keys().map(String::as_str).collect();
        let summary = format!("set {} in the {} of {path}", names.join(", "), self.words());
        let before = present.map(|present| lines(&names, present));
        let after = Some(lines(&names, &different));
        Some(Change::new(format!("{}:{path}", self.kind()), Action::Update, summary).with_diff(before, after))
    }

    /// What GitLab has; nothing for a push rule that was never set.
    fn read(self, site: &Site<'_>) -> GitlabResult<Option<Values>> {
        site.owner.fetch(&Call::get(self.path(), &[&site.id]))
    }

    /// What the project's own value does not decide, and where it is decided. An older GitLab does not say it.
    fn locked(self, site: &Site<'_>) -> GitlabResult<Vec<(&'static str, String)>> {
        if self == Self::PushRule {
            return Ok(Vec::new());
        }
        let call = Call::get("/projects/:id/merge_request_approval_setting", &[&site.id]);
        let mut found: BTreeMap<String, Lock> = site.owner.find(&call)?.unwrap_or_default();
        let locked = LOCKS.into_iter().filter_map(|(name, called)| {
            let lock = found.remove(called).filter(|lock| lock.locked == Some(true))?;
            Some((name, plain(lock.inherited_from.as_deref().unwrap_or("group or instance"))))
        });
        Ok(locked.collect())
    }

    fn send(self, site: &Site<'_>, body: &Values) -> GitlabResult<Values> {
        let exists = self == Self::PushRule && self.read(site)?.is_some();
        let make = if exists { Call::put } else { Call::post };
        site.owner.write(&make(self.path(), &[&site.id]), body)
    }
}

/// Switches that GitLab does not show, or that are null, are off.
fn is_on(present: &Values, name: &str) -> bool {
    present.get(name) == Some(&Value::Bool(true))
}

fn lines(names: &[&str], values: &Values) -> String {
    names.iter().fold(String::new(), |text, name| text + &format!("{name}: {}\n", is_on(values, name)))
}

impl Resource for Switches {
    fn kind(&self) -> &'static str {
        match self {
            Self::Approvals => "approval-settings",
            Self::PushRule => "push-rule",
        }
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        if desired.tier == Tier::Free { Vec::new() } else { self.change(desired, None).into_iter().collect() }
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        if !site.premium {
            return Ok(Found::default());
        }
        let present = self.read(site)?.unwrap_or_default();
        let mut different = self.different(&present);
        let locked = if different.is_empty() { Vec::new() } else { self.locked(site)? };
        let left = locked.iter().filter_map(|(name, by)| different.remove(*name).map(|wanted| (name, by, wanted)));
        let note = |(name, by, wanted)| {
            format!(
                "the {by} locks {name} in the approval settings; factoryup needs {wanted}, and the policy checks may fail"
            )
        };
        let notes: Vec<_> = left.map(note).collect();
        let found = Found::one(self.change(site.desired, Some((&present, different))));
        Ok(Found { notes, ..found })
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        if !site.premium {
            return Ok(Undo::Never { reason: UNLICENSED.into() });
        }
        let (present, locked) = (self.read(site)?.unwrap_or_default(), self.locked(site)?);
        let mut different = self.different(&present);
        different.retain(|name, _| locked.iter().all(|(locked, _)| locked != name));
        let before: Values = different.keys().map(|name| (name.clone(), is_on(&present, name).into())).collect();
        if !different.is_empty() {
            self.send(site, &different)?;
        }
        Ok(Undo::restore(&before))
    }

    fn way_back(&self) -> WayBack {
        match self {
            Self::Approvals => WayBack::By(|site, _, undo| back(Self::Approvals, site, undo)),
            Self::PushRule => WayBack::By(|site, _, undo| back(Self::PushRule, site, undo)),
        }
    }
}

/// Sends back those of the earlier values that are still factoryup's.
fn back(switches: Switches, site: &Site<'_>, undo: &Undo) -> GitlabResult<Back> {
    if !site.premium {
        return Ok(Back::Stays(format!("the {}: {UNLICENSED}", switches.words())));
    }
    let before: Values = undo.before()?.unwrap_or_default();
    let present = switches.read(site)?.unwrap_or_default();
    let ours = switches.wanted();
    let is_ours = |name: &str| ours.iter().any(|(own, value)| *own == name && is_on(&present, name) == *value);
    let body: Values =
        before.into_iter().filter(|(name, value)| is_ours(name) && is_on(&present, name) != (*value == true)).collect();
    if body.is_empty() {
        return Ok(Back::Done);
    }
    let names: Vec<_> = body.keys().map(String::as_str).collect();
    let path = site.desired.path();
    let summary = format!("restore {} in the {} of {path}", names.join(", "), switches.words());
    let change = Change::new(format!("{}:{path}", switches.kind()), Action::Update, summary)
        .with_diff(Some(lines(&names, &present)), Some(lines(&names, &body)))
        .with_risk(Risk::Disruptive);
    Ok(Back::Change(change, Box::new(move |site| switches.send(site, &body).map(drop))))
}
