//! The project's attributes that make up the policy. `PUT` is partial: only what differs is sent.
//!
//! Source: <https://docs.gitlab.com/api/projects/#edit-a-project>.

use serde_json::{Map, Value};

use super::{Found, Resource};
use crate::dialog::plain;
use crate::gitlab::desired::{Desired, is_as_wanted};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::{Project, Site};
use crate::plan::{Action, Change, Undo};

const KIND: &str = "project-settings";

/// See the [module](self).
pub(in crate::gitlab) struct Settings;

/// What of the wanted differs from the present, by name.
fn different(desired: &Desired, present: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let differs = |name: &str, value: &Value| !is_as_wanted(name, value, present.get(name));
    desired.settings.iter().filter(|(name, value)| differs(name, value)).cloned().collect()
}

fn compare(desired: &Desired, present: &Map<String, Value>) -> Option<Change> {
    let different = different(desired, present);
    if different.is_empty() {
        return None;
    }
    let names: Vec<_> = different.iter().map(|(name, _)| *name).collect();
    let path = desired.path();
    let before = lines(names.iter().map(|name| (*name, present.get(*name))));
    let after = lines(different.iter().map(|(name, value)| (*name, Some(value))));
    Some(
        Change::new(format!("{KIND}:{path}"), Action::Update, format!("set {} of {path}", names.join(", ")))
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
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        let after = lines(desired.settings.iter().map(|(name, value)| (*name, Some(value))));
        let path = desired.path();
        let summary = format!("set {} attributes of {path} to the policy", desired.settings.len());
        vec![Change::new(format!("{KIND}:{path}"), Action::Update, summary).with_diff(None, Some(after))]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        Ok(Found::one(compare(site.desired, &site.attributes()?)))
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        let present = site.attributes()?;
        let different = different(site.desired, &present);
        let before: Map<String, Value> =
            different.iter().filter_map(|(name, _)| Some(((*name).to_owned(), present.get(*name)?.clone()))).collect();
        if !different.is_empty() {
            let body: Map<String, Value> =
                different.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            site.owner.write::<Project>(&Call::put("/projects/:id", &[&site.id]), &body)?;
        }
        Ok(Undo::restore(&before))
    }
}
