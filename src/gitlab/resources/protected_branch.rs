//! The protected branches: to the default one no one pushes, Maintainers merge, no one force-pushes; with a license, code owners approve what
//! they own. To those that factoryup [proposes](super::wanted_branch::PROPOSING) from, Maintainers push.
//!
//! A merge request's first pipeline runs with the rights of who opens it. If the agent could push to a branch in the moment before the owner opens
//! its merge request, the agent's pipeline would have the owner's rights; later, the owner would be asked to merge what the agent wrote.
//!
//! Of several rules that cover a branch the most permissive wins, and a branch that any rule covers is *protected*: its pipelines
//! get protected variables and runners. So two more kinds of rules must not be there: one that opens the default branch, and one
//! that protects a branch which the agent can push to.
//!
//! Without a license who may push and merge cannot be changed: `PATCH` answers 200 and ignores it. It takes `DELETE` and `POST`, and so that
//! the branch is never open in between, a second, strict rule covers it for that moment. On Premium `PATCH` keeps what else hangs
//! on the rule. Source: <https://docs.gitlab.com/api/protected_branches/>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::grant::{Grant, admit_agent, admit_anyone, are_exactly, covers, grant_again, grants_again, together, words};
use super::wanted_branch::{Wanted, text};
use super::{Back, Found, Resource, WayBack, name};
use crate::dialog::plain;
use crate::factory::Tier;
use crate::gitlab::client::Client;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::roles::{MAINTAINER, NO_ONE};
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Risk, Undo};

pub(super) const KIND: &str = "protected-branch";
const RULES: &str = "/projects/:id/protected_branches";
const RULE: &str = "/projects/:id/protected_branches/:name";

/// See the [module](self).
pub(in crate::gitlab) struct ProtectedBranches;

/// A rule.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Rule {
    name: String,
    #[serde(default)]
    push_access_levels: Vec<Grant>,
    #[serde(default)]
    merge_access_levels: Vec<Grant>,
    #[serde(default)]
    allow_force_push: bool,
    /// Premium has these two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unprotect_access_levels: Vec<Grant>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    code_owner_approval_required: bool,
}

/// Whether the rules that cover this branch say together what the control repo's default branch has: no one pushes, Maintainers merge.
pub(in crate::gitlab) fn is_locked(owner: &Client, project: u64, branch: &str) -> GitlabResult<bool> {
    Ok(locks(&owner.list::<Rule>(&Call::get(RULES, &[&project]))?, branch))
}

fn locks(rules: &[Rule], branch: &str) -> bool {
    let over = || rules.iter().filter(|rule| covers(&rule.name, branch));
    are_exactly(&together(over().map(|rule| rule.push_access_levels.as_slice())), NO_ONE)
        && are_exactly(&together(over().map(|rule| rule.merge_access_levels.as_slice())), MAINTAINER)
        && !over().any(|rule| rule.allow_force_push)
}

impl Rule {
    fn is_right(&self, wanted: &Wanted<'_>) -> bool {
        are_exactly(&self.push_access_levels, wanted.push)
            && are_exactly(&self.merge_access_levels, MAINTAINER)
            && self.allow_force_push == wanted.force
            && (!wanted.owners || self.code_owner_approval_required)
    }

    fn text(&self) -> String {
        let owners = self.code_owner_approval_required;
        text(&words(&self.push_access_levels), &words(&self.merge_access_levels), self.allow_force_push, owners)
    }

    /// Why a rule beside the wanted one must go, if it must.
    fn objection(&self, branch: &str, agent: Option<u64>) -> Option<&'static str> {
        let admits_agent =
            admit_agent(&self.push_access_levels, agent) || admit_agent(&self.merge_access_levels, agent);
        if self.name == guard(branch) {
            Some("which an interrupted run left")
        } else if covers(&self.name, branch) && (admit_anyone(&self.push_access_levels) || self.allow_force_push) {
            Some("which opens the default branch to pushes")
        } else if admits_agent {
            Some("which protects branches that the agent may change")
        } else {
            None
        }
    }
}

/// A name that covers the branch and is nobody's rule.
fn guard(branch: &str) -> String {
    format!("{branch}*")
}

fn compare(branch: &str, rules: &[Rule], agent: Option<u64>, licensed: bool) -> Found {
    let mut found = Found::default();
    let all = Wanted::all(branch, licensed);
    for wanted in &all {
        found.add(match rules.iter().find(|rule| rule.name == wanted.name) {
            Some(rule) if rule.is_right(wanted) => None,
            Some(rule) => Some(
                Change::new(format!("{KIND}:{}", wanted.name), Action::Update, wanted.summary())
                    .with_diff(Some(rule.text()), Some(wanted.text())),
            ),
            None => Some(wanted.create()),
        });
    }
    for rule in rules.iter().filter(|rule| all.iter().all(|wanted| wanted.name != rule.name)) {
        if let Some(why) = rule.objection(branch, agent) {
            let name = plain(&rule.name);
            found.changes.push(
                Change::new(format!("{KIND}:{name}"), Action::Delete, format!("remove the branch rule {name}, {why}"))
                    .with_diff(Some(rule.text()), None)
                    .with_risk(Risk::Disruptive),
            );
        }
    }
    found
}

impl Resource for ProtectedBranches {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        Wanted::all(&desired.branch, desired.tier != Tier::Free).iter().map(Wanted::create).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let agent = site.account()?.map(|account| account.id);
        Ok(compare(&site.desired.branch, &read(site)?, agent, site.premium))
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let rules = read(site)?;
        let Some(wanted) = Wanted::of(site, name(change)) else {
            let Some(rule) = rules.iter().find(|rule| plain(&rule.name) == name(change)) else {
                return Ok(Undo::Never { reason: "it no longer existed".into() });
            };
            site.owner.delete(&Call::delete(RULE, &[&site.id, &rule.name]))?;
            return Ok(Undo::restore(rule));
        };
        match rules.iter().find(|rule| rule.name == wanted.name) {
            Some(rule) => replace(site, rule, &wanted),
            // GitLab protects the first branch by itself a moment after the first push; then the rule is there now.
            None => match protect(site, &wanted) {
                Err(error) if error.status() == Some(409) => {
                    let rules = read(site)?;
                    let rule = rules.iter().find(|rule| rule.name == wanted.name);
                    rule.map_or(Err(error), |rule| replace(site, rule, &wanted))
                }
                other => other.map(|()| Undo::Remove),
            },
        }
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn back(site: &Site<'_>, name: &str, undo: &Undo) -> GitlabResult<Back> {
    let wanted = Wanted::of(site, name);
    let present = read(site)?.into_iter().find(|rule| plain(&rule.name) == name);
    let id = format!("{KIND}:{name}");
    Ok(match (undo.before::<Rule>()?, present) {
        (None, None) => Back::Done,
        (Some(before), Some(rule)) if before.text() == rule.text() => Back::Done,
        (_, Some(rule)) if !wanted.is_some_and(|wanted| rule.is_right(&wanted)) => {
            Back::Stays(format!("the branch rule {name} changed after apply; not reverted"))
        }
        (None, Some(rule)) => Back::remove(id, format!("remove the branch rule {name}"), move |site| {
            site.owner.delete(&Call::delete(RULE, &[&site.id, &rule.name]))
        }),
        (Some(before), present) => {
            let change = Change::new(id, Action::Update, format!("protect {name} as before"))
                .with_diff(present.as_ref().map(Rule::text), Some(before.text()))
                .with_risk(Risk::Disruptive);
            Back::Change(change, Box::new(move |site| restore(site, &before, present.as_ref())))
        }
    })
}

/// Makes a rule as it was, and sees that it is: GitLab leaves out what the license does not cover.
fn restore(site: &Site<'_>, before: &Rule, present: Option<&Rule>) -> GitlabResult<()> {
    let made = match present.filter(|_| site.premium) {
        Some(present) => give_back(site, before, present)?,
        None => make_again(site, before, present)?,
    };
    if made.text() == before.text() {
        return Ok(());
    }
    Err(GitlabError::Untouched {
        call: format!("protect {} as before", before.name),
        what: format!("{KIND}:{}", before.name),
        left: made.text().trim().replace('\n', ", "),
    })
}

/// Gives a rule its earlier grants, and leaves what else hangs on it.
fn give_back(site: &Site<'_>, before: &Rule, present: &Rule) -> GitlabResult<Rule> {
    // A grant that is there already would be refused a second time.
    let change = |now: &[Grant], before: &[Grant]| -> Vec<Value> {
        let (present, wanted) = (grants_again(now), grants_again(before));
        let goes =
            now.iter().zip(&present).filter(|(_, value)| !wanted.contains(value)).filter_map(|(grant, _)| grant.id);
        let goes = goes.map(|id| json!({ "id": id, "_destroy": true }));
        goes.chain(wanted.iter().filter(|value| !present.contains(value)).cloned()).collect()
    };
    let body = json!({
        "allow_force_push": before.allow_force_push,
        "code_owner_approval_required": before.code_owner_approval_required,
        "allowed_to_push": change(&present.push_access_levels, &before.push_access_levels),
        "allowed_to_merge": change(&present.merge_access_levels, &before.merge_access_levels),
    });
    site.owner.write(&Call::patch(RULE, &[&site.id, &before.name]), &body)
}

fn make_again(site: &Site<'_>, before: &Rule, present: Option<&Rule>) -> GitlabResult<Rule> {
    let mut body = json!({ "name": before.name, "allow_force_push": before.allow_force_push });
    grant_again(&mut body, "push", &before.push_access_levels);
    grant_again(&mut body, "merge", &before.merge_access_levels);
    if site.premium {
        body["code_owner_approval_required"] = before.code_owner_approval_required.into();
        if !before.unprotect_access_levels.is_empty() {
            grant_again(&mut body, "unprotect", &before.unprotect_access_levels);
        }
    }
    if before.name == site.desired.branch {
        return swap(site, &body);
    }
    if let Some(present) = present {
        site.owner.delete(&Call::delete(RULE, &[&site.id, &present.name]))?;
    }
    site.owner.write(&Call::post(RULES, &[&site.id]), &body)
}

fn read(site: &Site<'_>) -> GitlabResult<Vec<Rule>> {
    site.owner.list(&Call::get(RULES, &[&site.id]))
}

fn protect(site: &Site<'_>, wanted: &Wanted<'_>) -> GitlabResult<()> {
    site.owner.write::<Rule>(&Call::post(RULES, &[&site.id]), &wanted.body()).map(drop)
}

fn replace(site: &Site<'_>, rule: &Rule, wanted: &Wanted<'_>) -> GitlabResult<Undo> {
    let is_done = rule.is_right(wanted) || (site.premium && patch(site, rule, wanted)?);
    if is_done {
    } else if wanted.name == site.desired.branch {
        swap(site, &wanted.body())?;
    } else {
        site.owner.delete(&Call::delete(RULE, &[&site.id, &rule.name]))?;
        protect(site, wanted)?;
    }
    Ok(Undo::restore(rule))
}

/// Puts another rule in the place of the default branch's, which a strict one covers meanwhile. If GitLab refuses it, the strict one
/// stays in its place.
fn swap(site: &Site<'_>, body: &Value) -> GitlabResult<Rule> {
    let branch = &site.desired.branch;
    let guard = guard(branch);
    let [strict, _] = Wanted::all(branch, site.premium);
    if !read(site)?.iter().any(|rule| rule.name == guard) {
        protect(site, &Wanted { name: &guard, ..strict })?;
    }
    site.owner.delete(&Call::delete(RULE, &[&site.id, branch]))?;
    let made = site.owner.write::<Rule>(&Call::post(RULES, &[&site.id]), body);
    if made.is_err() {
        protect(site, &strict)?;
    }
    site.owner.delete(&Call::delete(RULE, &[&site.id, &guard]))?;
    made
}

/// Changes the rule where that is possible; says whether it did.
fn patch(site: &Site<'_>, rule: &Rule, wanted: &Wanted<'_>) -> GitlabResult<bool> {
    let grants = |grants: &[Grant]| -> Vec<Value> {
        grants.iter().filter_map(|grant| grant.id).map(|id| json!({ "id": id, "_destroy": true })).collect()
    };
    let mut body = json!({ "allow_force_push": wanted.force, "code_owner_approval_required": wanted.owners });
    for (key, now, level) in [
        ("allowed_to_push", &rule.push_access_levels, wanted.push),
        ("allowed_to_merge", &rule.merge_access_levels, MAINTAINER),
    ] {
        if are_exactly(now, level) {
            continue;
        }
        // A grant of the wanted level that is there already would be refused a second time.
        let (stay, go): (Vec<_>, Vec<_>) =
            now.iter().cloned().partition(|grant| are_exactly(std::slice::from_ref(grant), level));
        let mut list = grants(&go);
        list.extend(stay.is_empty().then(|| json!({ "access_level": level })));
        body[key] = list.into();
    }
    let answered: Rule = site.owner.write(&Call::patch(RULE, &[&site.id, &rule.name]), &body)?;
    Ok(answered.is_right(wanted))
}

#[cfg(test)]
mod tests {
    use super::super::wanted_branch::PROPOSALS;
    use super::*;

    fn rule(name: &str, push: u8, merge: u8, force: bool) -> Rule {
        let grant = |level: u8| json!([{ "id": 1, "access_level": level, "access_level_description": "x" }]);
        let value = json!({
            "name": name,
            "push_access_levels": grant(push),
            "merge_access_levels": grant(merge),
            "allow_force_push": force,
        });
        serde_json::from_value(value).unwrap()
    }

    fn proposals() -> Rule {
        rule(PROPOSALS, 40, 40, true)
    }

    #[test]
    fn only_the_exact_rule_is_right() {
        for (push, merge, force, changes) in
            [(0, 40, false, 0), (40, 40, false, 1), (0, 30, false, 1), (0, 40, true, 1), (0, 60, false, 1)]
        {
            let found = compare("main", &[rule("main", push, merge, force), proposals()], None, false);
            assert_eq!(found.changes.len(), changes, "{push} {merge} {force}");
        }
        let owned = Rule { code_owner_approval_required: true, ..rule("main", 0, 40, false) };
        assert!(compare("main", &[owned, proposals()], None, true).changes.is_empty());
        assert_eq!(compare("main", &[rule("main", 0, 40, false), proposals()], None, true).changes.len(), 1);
        let open = rule(PROPOSALS, 30, 40, true);
        assert_eq!(compare("main", &[rule("main", 0, 40, false), open], None, false).changes[0].action, Action::Update);
        assert_eq!(compare("main", &[], None, false).changes[0].action, Action::Create);
    }

    #[test]
    fn of_all_rules_that_cover_a_branch_the_most_permissive_counts() {
        let main = || rule("main", 0, 40, false);
        for (others, locked) in [
            (vec![main()], true),
            (vec![], false),
            (vec![rule("ma*", 0, 40, false)], true),
            (vec![rule("release/*", 40, 40, false)], false),
            (vec![main(), rule("release/*", 30, 30, true)], true),
            (vec![main(), rule("*", 0, 0, false)], true),
            (vec![rule("*", 0, 0, false)], false),
            (vec![main(), rule("*", 40, 40, false)], false),
            (vec![main(), rule("m*n", 0, 30, false)], false),
            (vec![main(), rule("main*", 0, 40, true)], false),
        ] {
            let names: Vec<_> = others.iter().map(|rule| (rule.name.clone(), rule.text())).collect();
            assert_eq!(locks(&others, "main"), locked, "{names:?}");
        }
    }

    #[test]
    fn a_rule_beside_it_must_neither_open_the_branch_nor_protect_what_the_agent_writes() {
        for (name, push, merge, force, goes) in [
            ("*", 40, 40, false, true),
            ("ma*", 0, 40, true, true),
            ("*", 0, 40, false, false),
            ("release/*", 40, 40, false, false),
            ("release/*", 30, 40, false, true),
            ("feature/*", 0, 30, false, true),
            ("main*", 0, 40, false, true),
        ] {
            let rules = [rule("main", 0, 40, false), proposals(), rule(name, push, merge, force)];
            let found = compare("main", &rules, None, false);
            assert_eq!(!found.changes.is_empty(), goes, "{name} {push} {merge} {force}");
            assert!(found.changes.iter().all(|c| c.action == Action::Delete));
        }
    }
}
