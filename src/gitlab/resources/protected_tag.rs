//! Protected tags for releases and for the evidence log's anchors: only Maintainers create them.
//!
//! A tag that any rule covers is protected, so its pipelines get protected variables and runners; a rule that lets the agent
//! make such tags must go. There is no call to change a rule, so it takes `DELETE` and `POST`, and for that moment a second
//! rule with another spelling of the same pattern covers the tags. Source: <https://docs.gitlab.com/api/protected_tags/>.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::grant::{Grant, admit_agent, are_exactly, covers, grant_again, together, words};
use super::{Back, Found, Resource, WayBack, name};
use crate::dialog::plain;
use crate::gitlab::client::Client;
use crate::gitlab::desired::{Desired, EVIDENCE_TAGS, RELEASE_TAGS};
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::roles::MAINTAINER;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Risk, Undo};

const KIND: &str = "protected-tag";
const RULES: &str = "/projects/:id/protected_tags";
const RULE: &str = "/projects/:id/protected_tags/:name";
/// The rules that there must be.
const WANTED: [&str; 2] = [RELEASE_TAGS, EVIDENCE_TAGS];

/// Covers the same tags as a rule of [`WANTED`].
fn guard(wanted: &str) -> String {
    format!("{wanted}*")
}

/// See the [module](self).
pub(in crate::gitlab) struct ProtectedTags;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Rule {
    name: String,
    #[serde(default)]
    create_access_levels: Vec<Grant>,
}

impl Rule {
    fn is_right(&self) -> bool {
        are_exactly(&self.create_access_levels, MAINTAINER)
    }

    fn text(&self) -> String {
        format!("create: {}\n", words(&self.create_access_levels))
    }

    fn objection(&self, agent: Option<u64>) -> Option<&'static str> {
        if WANTED.iter().any(|wanted| self.name == guard(wanted)) {
            Some("which an interrupted run left")
        } else if admit_agent(&self.create_access_levels, agent) {
            Some("which lets the agent create protected tags")
        } else {
            None
        }
    }
}

fn right_text() -> String {
    "create: Maintainer\n".into()
}

fn compare(rules: &[Rule], agent: Option<u64>) -> Found {
    let mut found = Found::default();
    for wanted in WANTED {
        found.add(match rules.iter().find(|rule| rule.name == wanted) {
            Some(rule) if rule.is_right() => None,
            Some(rule) => Some(
                Change::new(format!("{KIND}:{wanted}"), Action::Update, summary(wanted))
                    .with_diff(Some(rule.text()), Some(right_text())),
            ),
            None => Some(create(wanted)),
        });
    }
    for rule in rules.iter().filter(|rule| !WANTED.contains(&rule.name.as_str())) {
        if let Some(why) = rule.objection(agent) {
            let name = plain(&rule.name);
            found.changes.push(
                Change::new(format!("{KIND}:{name}"), Action::Delete, format!("remove the tag rule {name}, {why}"))
                    .with_diff(Some(rule.text()), None)
                    .with_risk(Risk::Disruptive),
            );
        }
    }
    found
}

fn summary(wanted: &str) -> String {
    format!("protect tags {wanted}: Maintainers create them")
}

fn create(wanted: &str) -> Change {
    Change::new(format!("{KIND}:{wanted}"), Action::Create, summary(wanted)).with_diff(None, Some(right_text()))
}

fn body(name: &str) -> Value {
    json!({ "name": name, "create_access_level": MAINTAINER })
}

impl Resource for ProtectedTags {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, _desired: &Desired) -> Vec<Change> {
        WANTED.map(create).to_vec()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let agent = site.account()?.map(|account| account.id);
        Ok(compare(&read(site)?, agent))
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let rules = read(site)?;
        let known = rules.iter().find(|rule| plain(&rule.name) == name(change));
        let remove = |name: &str| site.owner.delete(&Call::delete(RULE, &[&site.id, &name]));
        let Some(wanted) = WANTED.into_iter().find(|wanted| *wanted == name(change)) else {
            let Some(rule) = known else { return Ok(Undo::Never { reason: "it no longer existed".into() }) };
            remove(&rule.name)?;
            return Ok(Undo::restore(rule));
        };
        let Some(rule) = known else {
            return protect(site, wanted).map(|()| Undo::Remove);
        };
        if !rule.is_right() {
            swap(site, &body(wanted))?;
        }
        Ok(Undo::restore(rule))
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

/// Puts another rule in the place of a wanted one, whose tags a strict one covers meanwhile. If GitLab refuses it, the strict one stays.
fn swap(site: &Site<'_>, body: &Value) -> GitlabResult<Rule> {
    let name = body["name"].as_str().unwrap_or_default();
    let remove = |name: &str| site.owner.delete(&Call::delete(RULE, &[&site.id, &name]));
    let guard = guard(name);
    if !read(site)?.iter().any(|rule| rule.name == guard) {
        protect(site, &guard)?;
    }
    remove(name)?;
    let made = site.owner.write::<Rule>(&Call::post(RULES, &[&site.id]), body);
    if made.is_err() {
        protect(site, name)?;
    }
    remove(&guard)?;
    made
}

fn back(site: &Site<'_>, name: &str, undo: &Undo) -> GitlabResult<Back> {
    let is_wanted = WANTED.contains(&name);
    let present = read(site)?.into_iter().find(|rule| plain(&rule.name) == name);
    let id = format!("{KIND}:{name}");
    Ok(match (undo.before::<Rule>()?, present) {
        (None, None) => Back::Done,
        (Some(before), Some(rule)) if before.text() == rule.text() => Back::Done,
        (_, Some(rule)) if !is_wanted || !rule.is_right() => {
            Back::Stays(format!("the tag rule {name} changed after apply; not reverted"))
        }
        (None, Some(rule)) => Back::remove(id, format!("remove the tag rule {name}"), move |site| {
            site.owner.delete(&Call::delete(RULE, &[&site.id, &rule.name]))
        }),
        (Some(before), present) => {
            let change = Change::new(id, Action::Update, format!("protect tags {name} as before"))
                .with_diff(present.as_ref().map(Rule::text), Some(before.text()))
                .with_risk(Risk::Disruptive);
            let act = move |site: &Site<'_>| {
                let mut body = json!({ "name": before.name });
                grant_again(&mut body, "create", &before.create_access_levels);
                let made: Rule = if is_wanted {
                    swap(site, &body)?
                } else {
                    site.owner.write(&Call::post(RULES, &[&site.id]), &body)?
                };
                if made.text() == before.text() {
                    return Ok(());
                }
                let what = format!("{KIND}:{}", before.name);
                Err(GitlabError::Untouched {
                    call: "protect tags as before".into(),
                    what,
                    left: made.text().trim().into(),
                })
            };
            Back::Change(change, Box::new(act))
        }
    })
}

/// Whether the rules keep the agent from this anchor of the evidence log: Maintainers alone create it. Each rule that covers it counts.
pub(in crate::gitlab) fn protects(owner: &Client, project: u64, tag: &str) -> GitlabResult<bool> {
    Ok(keeps(&owner.list::<Rule>(&Call::get(RULES, &[&project]))?, tag))
}

fn keeps(rules: &[Rule], tag: &str) -> bool {
    let over = rules.iter().filter(|rule| covers(&rule.name, tag));
    are_exactly(&together(over.map(|rule| rule.create_access_levels.as_slice())), MAINTAINER)
}

fn read(site: &Site<'_>) -> GitlabResult<Vec<Rule>> {
    site.owner.list(&Call::get(RULES, &[&site.id]))
}

fn protect(site: &Site<'_>, name: &str) -> GitlabResult<()> {
    site.owner.write::<Rule>(&Call::post(RULES, &[&site.id]), &body(name)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, level: u8) -> Rule {
        let grants = json!([{ "access_level": level, "access_level_description": "x" }]);
        serde_json::from_value(json!({ "name": name, "create_access_levels": grants })).unwrap()
    }

    #[test]
    fn only_maintainers_make_wanted_tags_and_the_agent_no_protected_ones() {
        let evidence = || rule(EVIDENCE_TAGS, 40);
        let actions = |rules: &[Rule]| compare(rules, None).changes.iter().map(|c| c.action).collect::<Vec<_>>();
        assert_eq!(actions(&[rule("v*", 40), evidence()]), []);
        assert_eq!(actions(&[]), [Action::Create, Action::Create]);
        assert_eq!(actions(&[rule("v*", 30), evidence()]), [Action::Update]);
        assert_eq!(actions(&[rule("v*", 40), rule(EVIDENCE_TAGS, 30)]), [Action::Update]);
        assert_eq!(actions(&[rule("v*", 40), evidence(), rule("*", 40)]), []);
        assert_eq!(actions(&[rule("v*", 40), evidence(), rule("nightly", 30)]), [Action::Delete]);
        for wanted in WANTED {
            assert_eq!(actions(&[rule("v*", 40), evidence(), rule(&guard(wanted), 40)]), [Action::Delete]);
        }
    }

    #[test]
    fn each_rule_that_covers_an_anchor_counts() {
        for (rules, kept) in [
            (vec![rule(EVIDENCE_TAGS, 40)], true),
            (vec![], false),
            (vec![rule("v*", 40)], false),
            (vec![rule("*", 40)], true),
            (vec![rule(EVIDENCE_TAGS, 40), rule("*", 0), rule("v*", 30)], true),
            (vec![rule(EVIDENCE_TAGS, 40), rule("e*1", 30)], false),
            (vec![rule("*", 0)], false),
        ] {
            let names: Vec<_> = rules.iter().map(|rule| (rule.name.clone(), rule.text())).collect();
            assert_eq!(keeps(&rules, "evidence/1"), kept, "{names:?}");
        }
    }
}
