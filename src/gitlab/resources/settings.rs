//! The project attributes of the policy. `PUT` is partial: only the differences are sent.
//!
//! Source: <https://docs.gitlab.com/api/projects/#edit-a-project>.

use serde_json::{Map, Value};

use super::{Back, Found, Resource, WayBack};
use crate::dialog::plain;
use crate::gitlab::desired::{Desired, is_as_wanted};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::{Project, Site};
use crate::plan::{Action, Change, Risk, Undo};

/// See the [module](self). Two parts, since the first must be right before anything is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gitlab) enum Settings {
    /// Who sees what is pushed, and whose runners take its jobs.
    Exposure,
    /// Everything else; some of it, such as the default branch, cannot be set before there is something.
    Rest,
}

/// The attributes of [`Settings::Exposure`].
const EXPOSURE: [&str; 3] = ["visibility", "shared_runners_enabled", "group_runners_enabled"];

/// What this part wants.
fn wanted(part: Settings, desired: &Desired) -> impl Iterator<Item = &(&'static str, Value)> {
    desired.settings.iter().filter(move |(name, _)| EXPOSURE.contains(name) == (part == Settings::Exposure))
}

/// What of the wanted differs from the present, by name.
fn different(part: Settings, desired: &Desired, present: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let differs = |name: &str, value: &Value| !is_as_wanted(name, value, present.get(name));
    wanted(part, desired).filter(|(name, value)| differs(name, value)).cloned().collect()
}

fn compare(part: Settings, desired: &Desired, present: &Map<String, Value>) -> Option<Change> {
    let different = different(part, desired, present);
    if different.is_empty() {
        return None;
    }
    let names: Vec<_> = different.iter().map(|(name, _)| *name).collect();
    let path = desired.path();
    let before = lines(names.iter().map(|name| (*name, present.get(*name))));
    let after = lines(different.iter().map(|(name, value)| (*name, Some(value))));
    Some(
        Change::new(format!("{}:{path}", part.kind()), Action::Update, format!("set {} of {path}", names.join(", ")))
            .with_diff(Some(before), Some(after)),
    )
}

fn lines<'a>(values: impl Iterator<Item = (&'a str, Option<&'a Value>)>) -> String {
    values
        .map(|(name, value)| match value {
            Some(Value::String(text)) => format!("{name}: {}\n", plain(text)),
            Some(value) => format!("{name}: {}\n", plain(&value.to_string())),
            None => format!("{name}: not known to this GitLab\n"),
        })
        .collect()
}

impl Resource for Settings {
    fn kind(&self) -> &'static str {
        match self {
            Self::Exposure => "project-exposure",
            Self::Rest => "project-settings",
        }
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        if *self == Self::Exposure {
            // The project is made that way.
            return Vec::new();
        }
        let after = lines(wanted(*self, desired).map(|(name, value)| (*name, Some(value))));
        let path = desired.path();
        let summary = format!("set {} attributes of {path} to the policy", wanted(*self, desired).count());
        vec![Change::new(format!("{}:{path}", self.kind()), Action::Update, summary).with_diff(None, Some(after))]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        Ok(Found::one(compare(*self, site.desired, &site.attributes()?)))
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        let present = site.attributes()?;
        let different = different(*self, site.desired, &present);
        let before: Map<String, Value> =
            different.iter().filter_map(|(name, _)| Some(((*name).to_owned(), present.get(*name)?.clone()))).collect();
        if !different.is_empty() {
            let body: Map<String, Value> =
                different.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            site.owner.write::<Project>(&Call::put("/projects/:id", &[&site.id]), &body)?;
        }
        Ok(Undo::restore(&before))
    }

    fn way_back(&self) -> WayBack {
        match self {
            Self::Exposure => WayBack::By(|site, _, undo| back(Self::Exposure, site, undo)),
            Self::Rest => WayBack::By(|site, _, undo| back(Self::Rest, site, undo)),
        }
    }
}

/// Whether GitLab treats it as not set. Some settings are null until they are first changed.
fn is_unset(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value == ""
}

/// The value of this type for a setting that is not set.
fn unset(present: &Value) -> Value {
    match present {
        Value::Bool(_) => false.into(),
        Value::String(_) => "".into(),
        _ => Value::Null,
    }
}

/// Sends back those of the earlier values that are still factoryup's.
fn back(part: Settings, site: &Site<'_>, undo: &Undo) -> GitlabResult<Back> {
    let before: Map<String, Value> = undo.before()?.unwrap_or_default();
    let present = site.attributes()?;
    let ours = |name: &str| {
        let wanted = site.desired.setting(name);
        wanted.is_some_and(|wanted| is_as_wanted(name, wanted, present.get(name)))
    };
    let (mut body, mut edited, mut notes) = (Map::new(), Vec::new(), Vec::new());
    for (name, value) in before {
        // An empty repo has no default branch, and one with a branch always has one.
        let now = present.get(&name).unwrap_or(&Value::Null);
        if *now == value || (is_unset(now) && is_unset(&value)) || (name == "default_branch" && value.is_null()) {
            continue;
        }
        if name == "visibility" {
            // All that was pushed since would be shown to others.
            notes.push(format!("the project stays {now}; it was {value} before"));
        } else if ours(&name) {
            let value = if value.is_null() { unset(now) } else { value };
            body.insert(name, value);
        } else {
            edited.push(name);
        }
    }
    if !edited.is_empty() {
        notes.push(format!("{} changed after apply; not reverted", edited.join(", ")));
    }
    if body.is_empty() {
        return Ok(if notes.is_empty() { Back::Done } else { Back::Stays(notes.join("; ")) });
    }
    let names: Vec<_> = body.keys().map(String::as_str).collect();
    let path = site.desired.path();
    let now = lines(names.iter().map(|name| (*name, present.get(*name))));
    let then = lines(body.iter().map(|(name, value)| (name.as_str(), Some(value))));
    let summary = [vec![format!("restore {} of {path}", names.join(", "))], notes].concat().join("; ");
    let change = Change::new(format!("{}:{path}", part.kind()), Action::Update, summary)
        .with_diff(Some(now), Some(then))
        .with_risk(Risk::Disruptive);
    let act =
        move |site: &Site<'_>| site.owner.write::<Project>(&Call::put("/projects/:id", &[&site.id]), &body).map(drop);
    Ok(Back::Change(change, Box::new(act)))
}
