//! The project's two runners: an untrusted one for merge requests, and a trusted one for protected refs only.
//!
//! A runner's token (`glrt-…`) is shown once, when the runner is made; it is kept in the state folder, from where the host target
//! brings it to the host. When it is lost before the runner was ever in contact, a new one is made; after that the
//! runner has it, and it is left alone. Source: <https://docs.gitlab.com/api/users/#create-a-runner>.

mod seen;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Back, Found, Resource, WayBack, name};
use crate::error::{Error, Kind};
use crate::gitlab::client::Client;
use crate::gitlab::desired::{self, Desired};
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::glance::{Glance, Runner};
use crate::gitlab::http::Call;
use crate::gitlab::keep::{Keep, Memory};
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};
use crate::secret::Secret;

pub(in crate::gitlab) use seen::{Seen, all_seen, ours, seen};

pub(in crate::gitlab) const KIND: &str = "runner";
pub(in crate::gitlab) const ONE: &str = "/runners/:id";
/// What a change says of a token that must be made anew.
const LOST: &str = "lost before it was used";

/// See the [module](self).
pub(in crate::gitlab) struct Runners;

/// A runner in the project's list.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::gitlab) struct Listed {
    pub(in crate::gitlab) id: u64,
    pub(in crate::gitlab) description: Option<String>,
    #[serde(default)]
    paused: bool,
}

/// The answer that shows a token.
#[derive(Deserialize)]
struct CreatedRunner {
    id: Option<u64>,
    token: String,
}

impl desired::Runner {
    fn settings(&self) -> Value {
        json!({
            "tag_list": self.tags,
            "run_untagged": self.untagged,
            "locked": true,
            "access_level": if self.protected { "ref_protected" } else { "not_protected" },
        })
    }
}

impl Runner {
    fn settings(&self) -> Value {
        let mut tags = self.tag_list.clone();
        tags.sort();
        json!({
            "tag_list": tags,
            "run_untagged": self.run_untagged,
            "locked": self.locked == Some(true),
            "access_level": self.access_level.to_ascii_lowercase(),
        })
    }
}

fn text(settings: &Value, token: bool) -> String {
    let word = |key: &str| match &settings[key] {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::String(text) => crate::dialog::plain(text),
        other => other.to_string(),
    };
    let keys = ["tag_list", "run_untagged", "locked", "access_level"];
    let token = if token { "kept here or in use" } else { LOST };
    keys.iter()
        .map(|key| format!("{key}: {}", word(key)))
        .chain([format!("token: {token}\n")])
        .collect::<Vec<_>>()
        .join("\n")
}

/// The runner for which this change makes a token.
pub(in crate::gitlab) fn makes_token(change: &Change) -> Option<&str> {
    let before = change.diff.as_ref().and_then(|diff| diff.before.as_deref()).unwrap_or_default();
    let makes = change.kind() == KIND && (change.action == Action::Create || before.contains(LOST));
    makes.then(|| name(change))
}

fn create(wanted: &desired::Runner) -> Change {
    let serves = if wanted.protected { "for protected refs only" } else { "for merge requests" };
    Change::new(
        format!("{KIND}:{}", wanted.name),
        Action::Create,
        format!("create the {} runner, {serves}", wanted.name),
    )
    .with_diff(None, Some(text(&wanted.settings(), true)))
}

fn compare(wanted: &desired::Runner, present: &Runner, token: bool) -> Option<Change> {
    let (before, after) = (present.settings(), wanted.settings());
    if before == after && token {
        return None;
    }
    let what = match (before == after, token) {
        (true, _) => "create a new token for the",
        (false, true) => "configure the",
        (false, false) => "configure, and create a new token for, the",
    };
    Some(
        Change::new(format!("{KIND}:{}", wanted.name), Action::Update, format!("{what} {} runner", wanted.name))
            .with_diff(Some(text(&before, token)), Some(text(&after, true))),
    )
}

/// The runners of a project alone.
pub(in crate::gitlab) fn list(owner: &Client, project: u64) -> GitlabResult<Vec<Listed>> {
    owner.list(&Call::get("/projects/:id/runners", &[&project]).query("type", "project_type"))
}

/// Creates a runner of a project. The token is shown this once.
pub(in crate::gitlab) fn make(
    owner: &Client,
    project: u64,
    wanted: &desired::Runner,
) -> GitlabResult<(Option<u64>, String)> {
    let mut body = wanted.settings();
    body["runner_type"] = "project_type".into();
    body["project_id"] = project.into();
    body["description"] = wanted.description.as_str().into();
    let made: CreatedRunner = owner.write(&Call::post("/user/runners", &[]), &body).map_err(kept_from_maintainers)?;
    Ok((made.id, made.token))
}

/// Stops at a runner of somebody's that would take this project's jobs, with the tokens that they get: GitLab matches tags by name
/// alone. The group's and, unless they are asked for, the instance's are switched off by the settings.
fn refuse_foreign(site: &Site<'_>, seen: &Glance, memory: &Memory) -> GitlabResult<()> {
    let all = &seen.runners;
    let mut ours: Vec<_> = memory.runners.values().copied().collect();
    for wanted in &site.desired.runners {
        ours.extend(find(all, wanted, memory).map(|runner| runner.id));
        // With shared runners the untrusted one is wanted no more, and is no stranger all the same.
        let untrusted = wanted.description.replace(": trusted", ": untrusted");
        let left = all.iter().filter(|runner| runner.description.as_deref() == Some(&untrusted));
        ours.extend(left.filter(|_| site.desired.runners.len() == 1).map(|runner| runner.id));
    }
    for runner in all.iter().filter(|runner| !runner.paused && !ours.contains(&runner.id)) {
        let reserved = site.desired.reserved_tags.iter();
        let taken: Vec<_> = reserved.filter(|tag| runner.tag_list.contains(tag)).map(String::as_str).collect();
        if !taken.is_empty() || runner.run_untagged {
            let untagged = runner.run_untagged.then_some("jobs without tags");
            let tags = (!taken.is_empty()).then(|| format!("jobs with the tag {}", taken.join(" or ")));
            let what = [tags.as_deref(), untagged].into_iter().flatten().collect::<Vec<_>>().join(", and ");
            let what = (runner.id, runner.description.as_deref(), format!("it runs {what}"));
            return Err(foreign(site, "project", what).into());
        }
    }
    if site.desired.setting("shared_runners_enabled") == Some(&Value::Bool(true))
        && let Some((tag, runner)) = seen.of_instance.first()
    {
        let what = (runner.id, runner.description.as_deref(), format!("it runs jobs with the tag {tag}"));
        return Err(foreign(site, "instance", what).into());
    }
    Ok(())
}

fn foreign(site: &Site<'_>, place: &str, (id, description, why): (u64, Option<&str>, String)) -> Error {
    let description = crate::dialog::plain(description.unwrap_or_default());
    let text = format!("the {place} has a runner of another owner, {id} ({description}): {why}");
    let page = format!("{}/-/settings/ci_cd#js-runners-settings", site.desired.url());
    let error = Error::new(Kind::Data, text);
    if place == "instance" {
        return error
            .hint("ask an administrator to change its tags, or set runner.kind in factory.toml to your own runners");
    }
    error.hint(format!("remove it from the project, or pause it: {page}")).hint(format!(
        "or keep it without untagged jobs and without the tags {}",
        site.desired.reserved_tags.join(", ")
    ))
}

/// Where an instance keeps new runners of all projects, or of this one, for administrators. No call shows that to anyone else, so that it is not
/// known before. Sources: `app/policies/project_policy.rb`, `project_runner_registration_allowed`; `app/models/project_setting.rb`.
fn kept_from_maintainers(error: GitlabError) -> GitlabError {
    if error.status() != Some(403) {
        return error;
    }
    Error::new(Kind::NotPermitted, format!("{error}; this GitLab does not let Maintainers create runners"))
        .hint("ask an administrator to select \"Members of the project can create runners\": Admin area, Settings, CI/CD, Runners")
        .hint("or, if it is selected, \"New project runners can be registered\" of the project: Admin area, Overview, Projects, Edit")
        .hint("or pass an administrator's token, which may create runners in any case; then run the command again")
        .into()
}

/// The runner that is meant: the remembered one, else one of that description.
fn find<'a>(all: &'a [Runner], wanted: &desired::Runner, memory: &Memory) -> Option<&'a Runner> {
    let remembered = memory.runners.get(wanted.name).and_then(|id| all.iter().find(|runner| runner.id == *id));
    remembered.or_else(|| all.iter().find(|runner| runner.description.as_deref() == Some(&wanted.description)))
}

/// Whether the token is where it is needed: here, or on the runner.
fn has_token(site: &Site<'_>, wanted: &desired::Runner, present: &Runner) -> GitlabResult<bool> {
    Ok(present.contacted_at.is_some() || site.keep.secret(&Keep::runner_token(wanted.name))?.is_some())
}

fn keep(site: &Site<'_>, wanted: &desired::Runner, id: u64, token: String) -> GitlabResult<()> {
    site.keep.put_secret(&Keep::runner_token(wanted.name), &Secret::new(token))?;
    site.keep.remember(|memory| {
        memory.runners.insert(wanted.name.to_owned(), id);
    })
}

impl Resource for Runners {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        desired.runners.iter().map(create).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let (seen, memory) = (site.glance()?, site.keep.memory()?);
        refuse_foreign(site, &seen, &memory)?;
        let mut found = Found::default();
        for wanted in &site.desired.runners {
            found.add(match find(&seen.runners, wanted, &memory) {
                None => Some(create(wanted)),
                Some(present) => compare(wanted, present, has_token(site, wanted, present)?),
            });
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let Some(wanted) = site.desired.runners.iter().find(|runner| runner.name == name(change)) else {
            return Ok(Undo::Never { reason: "it is no longer needed".into() });
        };
        let seen = site.glance()?;
        let Some(present) = find(&seen.runners, wanted, &site.keep.memory()?) else {
            let (id, token) = make(site.owner, site.id, wanted)?;
            keep(site, wanted, id.unwrap_or_default(), token)?;
            return Ok(Undo::Remove);
        };
        if present.settings() != wanted.settings() {
            site.owner.send(&Call::put(ONE, &[&present.id]), &wanted.settings())?;
        }
        if !has_token(site, wanted, present)? {
            let call = Call::post("/runners/:id/reset_authentication_token", &[&present.id]);
            let made: CreatedRunner = site.owner.fetch(&call)?;
            keep(site, wanted, present.id, made.token)?;
        }
        Ok(Undo::restore(&present.settings()))
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn back(site: &Site<'_>, name: &str, undo: &Undo) -> GitlabResult<Back> {
    let (seen, memory) = (site.glance()?, site.keep.memory()?);
    let all = &seen.runners;
    let wanted = site.desired.runners.iter().find(|wanted| wanted.name == name);
    let remembered = memory.runners.get(name).copied();
    let found =
        wanted.map_or_else(|| all.iter().find(|l| Some(l.id) == remembered), |wanted| find(all, wanted, &memory));
    let Some(runner) = found else { return Ok(Back::Done) };
    if remembered != Some(runner.id) {
        return Ok(Back::Stays(format!(
            "the runner {} has the name of the {name} runner, but was not created here",
            runner.id
        )));
    }
    let (id, number, called) = (format!("{KIND}:{name}"), runner.id, name.to_owned());
    let Some(before) = undo.before::<Value>()? else {
        return Ok(Back::remove(id, format!("delete the {name} runner, with its token"), move |site| {
            site.owner.delete(&Call::delete(ONE, &[&number]))?;
            site.keep.forget(&Keep::runner_token(&called))?;
            site.keep.remember(|memory| {
                memory.runners.remove(&called);
            })
        }));
    };
    let present = runner.settings();
    if present == before {
        return Ok(Back::Done);
    }
    if wanted.is_none_or(|wanted| wanted.settings() != present) {
        return Ok(Back::Stays(format!("the {name} runner changed after apply; not reverted")));
    }
    Ok(Back::restore(id, format!("restore the settings of the {name} runner"), move |site| {
        site.owner.send(&Call::put(ONE, &[&number]), &before)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(id: u64, description: &str) -> Runner {
        Runner {
            id,
            description: Some(description.into()),
            paused: false,
            tag_list: Vec::new(),
            run_untagged: false,
            locked: Some(true),
            access_level: "REF_PROTECTED".into(),
            contacted_at: None,
        }
    }

    #[test]
    fn a_change_says_whether_a_token_comes_of_it() {
        let tags = desired::runner_tags("a", "trusted");
        let wanted =
            desired::Runner { name: "trusted", tags, description: "d".into(), protected: true, untagged: false };
        // In GitLab's order.
        let tag_list = vec!["trusted".into(), "a-trusted".into()];
        let mut present = Runner { tag_list, ..runner(1, "d") };
        assert_eq!(makes_token(&create(&wanted)), Some("trusted"));
        assert_eq!(makes_token(&compare(&wanted, &present, false).unwrap()), Some("trusted"));
        present.run_untagged = true;
        assert_eq!(makes_token(&compare(&wanted, &present, true).unwrap()), None);
        assert_eq!(makes_token(&Change::new("variable:X", Action::Create, "")), None);
    }

    #[test]
    fn the_remembered_runner_is_preferred_to_a_namesake() {
        let wanted = desired::Runner {
            name: "trusted",
            tags: Vec::new(),
            description: "factoryup a: trusted".into(),
            protected: true,
            untagged: false,
        };
        let all = [runner(1, "factoryup a: trusted"), runner(2, "renamed"), runner(3, "other")];
        let mut memory = Memory {
            schema: 1,
            project: "x".into(),
            runners: [("trusted".to_owned(), 2)].into(),
            agent: None,
            refused_accounts: std::collections::BTreeSet::new(),
            jobs_passed: false,
        };
        assert_eq!(find(&all, &wanted, &memory).map(|r| r.id), Some(2));
        memory.runners.insert("trusted".into(), 9);
        assert_eq!(find(&all, &wanted, &memory).map(|r| r.id), Some(1));
        assert!(find(&all[1..], &wanted, &memory).is_none());
    }
}
