//! What GitLab says of the life of runners.

use serde::Deserialize;

use super::{Listed, ONE, find};
use crate::gitlab::client::Client;
use crate::gitlab::desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;

/// What GitLab knows of the life of a runner.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::gitlab) struct Seen {
    pub(in crate::gitlab) id: u64,
    status: Option<String>,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    pub(in crate::gitlab) contacted_at: Option<String>,
    #[serde(default)]
    pub(in crate::gitlab) tag_list: Vec<String>,
    #[serde(default)]
    pub(in crate::gitlab) run_untagged: bool,
    #[serde(default)]
    access_level: Option<String>,
}

impl Seen {
    /// Whether GitLab has heard from it in the last two hours.
    pub(in crate::gitlab) fn is_online(&self) -> bool {
        self.status.as_deref() == Some("online") && !self.paused
    }

    /// GitLab's word for its state.
    pub(in crate::gitlab) fn state(&self) -> &str {
        if self.paused { "paused" } else { self.status.as_deref().unwrap_or("of unknown state") }
    }

    /// Whether it serves protected refs only.
    pub(in crate::gitlab) fn is_protected(&self) -> bool {
        self.access_level.as_deref() == Some("ref_protected")
    }

    /// Whether GitLab gives it jobs with these tags, on a protected branch or another one.
    pub(in crate::gitlab) fn takes(&self, tags: &[String], protected: bool) -> bool {
        let fits = if tags.is_empty() { self.run_untagged } else { tags.iter().all(|tag| self.tag_list.contains(tag)) };
        fits && (protected || !self.is_protected())
    }
}

/// A runner by its id; none if it was deleted.
pub(in crate::gitlab) fn seen(owner: &Client, id: u64) -> GitlabResult<Option<Seen>> {
    owner.find(&Call::get(ONE, &[&id]))
}

/// Every runner that can take jobs of a project; none if its owner may not see one of them.
pub(in crate::gitlab) fn all_seen(owner: &Client, project: u64) -> GitlabResult<Option<Vec<Seen>>> {
    let listed: Vec<Listed> = owner.list(&Call::get("/projects/:id/runners", &[&project]))?;
    let mut all = Vec::new();
    for listed in listed.iter().filter(|listed| !listed.paused) {
        match seen(owner, listed.id) {
            // One of the instance or of a group: whether it would take a job cannot be told.
            Err(error) if matches!(error.status(), Some(403 | 404)) => return Ok(None),
            found => all.extend(found?),
        }
    }
    Ok(Some(all))
}

/// Each runner of the factory by its name; none in the place of one that is not there.
pub(in crate::gitlab) fn ours(site: &Site<'_>) -> GitlabResult<Vec<(&'static str, Option<Seen>)>> {
    let (here, memory) = (site.glance()?, site.keep.memory()?);
    let look = |wanted: &desired::Runner| {
        let found = find(&here.runners, wanted, &memory).map_or(Ok(None), |runner| seen(site.owner, runner.id))?;
        Ok((wanted.name, found))
    };
    site.desired.runners.iter().map(look).collect()
}
