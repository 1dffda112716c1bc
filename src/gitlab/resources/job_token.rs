//! The CI job token allowlist: only this project's own jobs, until the owner adds others.
//!
//! Source: <https://docs.gitlab.com/api/project_job_token_scopes/>.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Back, Found, Resource, WayBack};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

const KIND: &str = "job-token-scope";
const SCOPE: &str = "/projects/:id/job_token_scope";

/// See the [module](self).
pub(in crate::gitlab) struct JobToken;

#[derive(Deserialize, Serialize)]
struct Scope {
    inbound_enabled: bool,
}

fn change(desired: &Desired) -> Change {
    let path = desired.path();
    let summary = format!("restrict CI job token access to {path} to an allowlist");
    Change::new(format!("{KIND}:{path}"), Action::Update, summary)
}

fn read(site: &Site<'_>) -> GitlabResult<Scope> {
    Ok(Scope { inbound_enabled: site.glance()?.is_job_token_limited })
}

impl Resource for JobToken {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        vec![change(desired)]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let limited = read(site)?.inbound_enabled;
        Ok(Found::one((!limited).then(|| change(site.desired))))
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        let before = read(site)?;
        if !before.inbound_enabled {
            site.owner.send(&Call::patch(SCOPE, &[&site.id]), &json!({ "enabled": true }))?;
        }
        Ok(Undo::restore(&before))
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(|site, path, undo| {
            let was_open = undo.before::<Scope>()?.is_some_and(|before| !before.inbound_enabled);
            if !was_open || !read(site)?.inbound_enabled {
                return Ok(Back::Done);
            }
            let summary = format!("allow CI job tokens of all projects to access {path}, as before");
            Ok(Back::restore(format!("{KIND}:{path}"), summary, |site| {
                site.owner.send(&Call::patch(SCOPE, &[&site.id]), &json!({ "enabled": false }))
            }))
        })
    }
}
