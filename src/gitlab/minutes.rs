//! Compute minutes: whether the instance's runners take jobs of the namespace that the project is in.
//!
//! GitLab shows how many a top-level namespace used this month, since 19.4 and to its Owners, and how many it may use, unless that is the
//! instance's default. What is not shown is not guessed: the first jobs then fail, and `workspace/pipeline.rs` says why.
//!
//! Sources: <https://docs.gitlab.com/api/namespaces/>, `ee/lib/ee/api/entities/group_detail.rb`, `ee/app/models/ci/minutes/usage.rb`.

use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::desired::Desired;
use super::error::GitlabResult;
use super::http::Call;
use super::resources::{project, seed};
use crate::error::{Error, Kind};
use crate::plan::Plan;

#[derive(Deserialize)]
struct Namespace {
    kind: String,
    #[serde(default)]
    ci_minutes_usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    total_minutes_used: u64,
}

#[derive(Deserialize)]
struct Limits {
    /// None for the instance's default, and 0 for no limit.
    #[serde(default)]
    shared_runners_minutes_limit: Option<u64>,
    #[serde(default)]
    extra_shared_runners_minutes_limit: Option<u64>,
}

/// Refuses a plan whose first pipeline would have no runner, since the namespace used its compute minutes up.
pub(super) fn require(owner: &Client, desired: &Desired, plan: &Plan) -> GitlabResult<()> {
    let begins = plan.changes.iter().any(|change| matches!(change.kind(), project::KIND | seed::KIND));
    if !begins || desired.setting("shared_runners_enabled") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let top = desired.top();
    let Some(namespace) = owner.find::<Namespace>(&Call::get("/namespaces/:id", &[&top]))? else { return Ok(()) };
    let Some(Usage { total_minutes_used: used }) = namespace.ci_minutes_usage else { return Ok(()) };
    let is_group = namespace.kind == "group";
    let limits: Limits =
        owner.fetch(&if is_group { Call::get("/groups/:id", &[&top]) } else { Call::get("/user", &[]) })?;
    let extra = limits.extra_shared_runners_minutes_limit.unwrap_or_default();
    match limits.shared_runners_minutes_limit {
        Some(monthly @ 1..) if used >= monthly.saturating_add(extra) => {
            Err(used_up(desired, is_group, used, monthly.saturating_add(extra)).into())
        }
        _ => Ok(()),
    }
}

fn used_up(desired: &Desired, is_group: bool, used: u64, limit: u64) -> Error {
    let (url, top) = (desired.base.as_str(), desired.top());
    let page = if is_group { format!("groups/{top}/-") } else { "-/profile".to_owned() };
    let text = format!(
        "{top} has used {used} of its {limit} compute minutes of this month, and runner.kind = \"shared\" needs them for every job"
    );
    Error::new(Kind::NotPermitted, text)
        .hint("set runner.kind in factory.toml to your own runners, which need no compute minutes")
        .hint(format!(
            "or buy compute minutes, or wait until next month: {url}/{page}/usage_quotas#pipelines-quota-tab"
        ))
}
