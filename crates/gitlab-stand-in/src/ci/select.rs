//! Which jobs a pipeline gets: `workflow:rules`, then each job's `rules`.
//!
//! **Evaluated**: `if`, `changes`, `exists`, `when`, `allow_failure`. A job without rules joins branch and tag pipelines, not those
//! of merge requests. **Not evaluated**: `only` and `except` (such a job always joins), `needs` of a rule, variables a rule sets.

use serde_json::{Map, Value};

use super::expression::holds;
use super::glob;
use super::jobs::{PlannedJob, is_manual, needed};
use crate::model::{After, Variables};

/// What a pipeline is made for.
pub(crate) struct Occasion {
    pub(crate) variables: Variables,
    /// The files that changed; `None` when that cannot be said, and then every `changes` holds.
    pub(crate) changed: Option<Vec<String>>,
    /// Every file of the commit.
    pub(crate) files: Vec<String>,
}

/// What a list of rules makes of a job.
enum RuleResult {
    Out,
    In { when: Option<String>, allow_failure: Option<bool> },
}

/// The jobs of the pipeline; empty when `workflow` or the rules leave none.
pub(super) fn select(
    merged: &Map<String, Value>,
    jobs: &[PlannedJob],
    occasion: &Occasion,
) -> Result<Vec<PlannedJob>, Vec<String>> {
    if let Some(rules) = merged.get("workflow").and_then(|workflow| workflow.get("rules")) {
        let verdict = judge(rules, occasion).map_err(|error| vec![format!("workflow:rules: {error}")])?;
        if matches!(verdict, RuleResult::Out) {
            return Ok(Vec::new());
        }
    }
    let for_merge_request = occasion.variables.get("CI_PIPELINE_SOURCE").is_some_and(|s| s == "merge_request_event");
    let (mut selected, mut errors) = (Vec::new(), Vec::new());
    for job in jobs {
        let verdict = match job.definition.get("rules") {
            Some(rules) => judge(rules, occasion),
            None if for_merge_request && !job.definition.contains_key("only") => Ok(RuleResult::Out),
            None => Ok(RuleResult::In { when: None, allow_failure: None }),
        };
        match verdict {
            Ok(RuleResult::Out) => {}
            Ok(RuleResult::In { when, allow_failure }) => {
                let by_rule = when.is_some();
                let when = when.or_else(|| job.definition.get("when")?.as_str().map(str::to_owned));
                if when.as_deref() == Some("never") {
                    continue;
                }
                let manual = when.as_deref() == Some("manual");
                let after = match when.as_deref() {
                    Some("always") => After::Any,
                    Some("on_failure") => After::Failure,
                    _ => After::Success,
                };
                // One that may fail with some exit codes may not until it did.
                let own = job.definition.get("allow_failure").map(|value| value == true);
                let allow_failure = allow_failure.or(own).unwrap_or(manual && !by_rule);
                selected.push(PlannedJob { manual, after, allow_failure, ..job.clone() });
            }
            Err(error) => errors.push(format!("jobs:{}:rules: {error}", job.name)),
        }
    }
    for job in &selected {
        for needed in needed(&job.definition) {
            if !selected.iter().any(|other| other.name == needed) {
                errors.push(format!(
                    "'{0}' job needs '{needed}' job, but '{needed}' does not exist in the pipeline. This might be because of the \
                     only, except, or rules keywords. To need a job that sometimes does not exist in the pipeline, use needs:optional.",
                    job.name
                ));
            }
        }
    }
    if errors.is_empty() { Ok(selected) } else { Err(errors) }
}

/// The first rule that matches decides; when none does, it is out.
fn judge(rules: &Value, occasion: &Occasion) -> Result<RuleResult, String> {
    for rule in rules.as_array().into_iter().flatten().flat_map(flattened) {
        let condition = match rule.get("if") {
            Some(Value::String(expression)) => holds(expression, &occasion.variables)?,
            Some(_) => return Err("`if` should be a string".to_owned()),
            None => true,
        };
        let changes = match (rule.get("changes"), &occasion.changed) {
            (Some(patterns), Some(changed)) => any_matches(patterns, changed)?,
            _ => true,
        };
        let exists = rule.get("exists").map_or(Ok(true), |patterns| any_matches(patterns, &occasion.files))?;
        if condition && changes && exists {
            let when = rule.get("when").and_then(Value::as_str).map(str::to_owned);
            if when.as_deref() == Some("never") {
                return Ok(RuleResult::Out);
            }
            let allow_failure = rule.get("allow_failure").map(|value| value == true);
            return Ok(RuleResult::In { when, allow_failure });
        }
    }
    Ok(RuleResult::Out)
}

/// A rule, or the rules of a nested list.
fn flattened(rule: &Value) -> Vec<&Value> {
    rule.as_array().map_or_else(|| vec![rule], |rules| rules.iter().collect())
}

/// Whether one of the files matches one of the patterns, given as a list or as `{paths: […]}`.
fn any_matches(patterns: &Value, files: &[String]) -> Result<bool, String> {
    let list = patterns.get("paths").unwrap_or(patterns).as_array().cloned().unwrap_or_default();
    for pattern in list.iter().filter_map(Value::as_str) {
        let pattern = glob::parse(pattern.trim_start_matches('/'))?;
        if files.iter().any(|file| pattern.is_match(file)) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl PlannedJob {
    /// The job as it is listed without an occasion: manual when some rule makes it so.
    pub(super) fn could_be_manual(&self) -> bool {
        let rules = self.definition.get("rules").and_then(Value::as_array);
        self.definition.get("when").is_some_and(is_manual)
            || rules.into_iter().flatten().any(|rule| rule.get("when").is_some_and(is_manual))
    }
}
