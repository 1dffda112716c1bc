//! The issue from which the agent starts on its first day: a small change that goes the whole way once.
//!
//! It is created in a project that never had an issue, so it comes once, and no owner's list of issues gets it.
//!
//! Source: <https://docs.gitlab.com/api/issues/>.

use serde::de::IgnoredAny;
use serde_json::json;

use super::{Found, Resource, WayBack};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

pub(super) const KIND: &str = "first-issue";
const ALL: &str = "/projects/:id/issues";

/// Its title.
const TITLE: &str = "First day: take a small change the whole way";

/// Its text, in Markdown.
const TEXT: &str = "\
Goal: branch, checks, merge request, pipeline, review and merge, once, with a change that is easy to judge.

1. Read `AGENTS.md`, then run `scripts/check`.
2. Write `docs/first-day.md`, 20 lines at most: the date, what `scripts/check` printed last, which tools or rights were missing, and which
   sentences in the documents were unclear.
3. Propose it as the skill `issue-to-mr` says, and follow its pipeline.

Verify: `scripts/check` passes on the branch, and the pipeline of the merge request passes.

For the owner: review the merge request, and merge it. Then close this issue. The file is yours; delete it when you no longer need it.
";

/// See the [module](self).
pub(in crate::gitlab) struct FirstIssue;

fn create(desired: &Desired) -> Change {
    let summary = format!("create the agent's first issue in {}: {TITLE}", desired.path());
    Change::new(format!("{KIND}:{}", desired.path()), Action::Create, summary).with_diff(None, Some(TEXT.into()))
}

/// Whether the project has issues, and never had one.
fn is_wanted(site: &Site<'_>) -> GitlabResult<bool> {
    // GitLab does not count where issues are switched off.
    if site.attributes()?.get("open_issues_count").and_then(serde_json::Value::as_u64) != Some(0) {
        return Ok(false);
    }
    let one: Vec<IgnoredAny> = site.owner.fetch(&Call::get(ALL, &[&site.id]).query("per_page", "1"))?;
    Ok(one.is_empty())
}

impl Resource for FirstIssue {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        vec![create(desired)]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        Ok(Found::one(is_wanted(site)?.then(|| create(site.desired))))
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        site.forget();
        if is_wanted(site)? {
            site.owner.send(&Call::post(ALL, &[&site.id]), &json!({ "title": TITLE, "description": TEXT }))?;
        }
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::Stays("an issue may have comments; close it if you do not need it")
    }
}
