//! The jobs of a configuration, and what can be wrong with them.

use serde_json::{Map, Value};

use super::merge;
use crate::model::After;

/// Top-level keys that are not jobs. Source: <https://docs.gitlab.com/ci/yaml/#keywords>.
const GLOBAL: &[&str] = &[
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "image",
    "services",
    "before_script",
    "after_script",
    "cache",
    "spec",
];

/// What a job may say. Source: <https://docs.gitlab.com/ci/yaml/#job-keywords>.
const KEYWORDS: &[&str] = &[
    "after_script",
    "allow_failure",
    "artifacts",
    "before_script",
    "cache",
    "coverage",
    "dast_configuration",
    "dependencies",
    "environment",
    "except",
    "extends",
    "hooks",
    "identity",
    "id_tokens",
    "image",
    "inherit",
    "inputs",
    "interruptible",
    "manual_confirmation",
    "needs",
    "only",
    "pages",
    "parallel",
    "publish",
    "release",
    "resource_group",
    "retry",
    "rules",
    "run",
    "script",
    "secrets",
    "services",
    "stage",
    "start_in",
    "tags",
    "timeout",
    "trigger",
    "variables",
    "when",
];
const WHEN: &[&str] = &["on_success", "on_failure", "always", "manual", "delayed", "never"];
const TIERS: &[&str] = &["production", "staging", "testing", "development", "other"];

/// A job as a pipeline would list it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedJob {
    pub(crate) name: String,
    pub(crate) stage: String,
    /// Whether it waits for a person.
    pub(crate) manual: bool,
    /// After which ends of the jobs before it begins; set when it is selected.
    pub(crate) after: After,
    pub(crate) allow_failure: bool,
    pub(crate) environment: Option<String>,
    /// The environment's `deployment_tier`, when it names one.
    pub(crate) tier: Option<String>,
    /// Everything it says, with what it extends.
    pub(crate) definition: Map<String, Value>,
}

/// The stages in order, with the two that are always there.
fn stages(config: &Map<String, Value>) -> Vec<String> {
    let named = match config.get("stages") {
        Some(Value::Array(stages)) => stages.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => ["build", "test", "deploy"].map(str::to_owned).to_vec(),
    };
    [vec![".pre".to_owned()], named, vec![".post".to_owned()]].concat()
}

/// Every job in the order of its stages, or everything that is wrong.
pub(super) fn plan(config: &Map<String, Value>, access: &[&str]) -> Result<Vec<PlannedJob>, Vec<String>> {
    let stages = stages(config);
    let mut errors = Vec::new();
    let mut jobs = Vec::new();
    let is_job = |name: &str| !name.starts_with('.') && !GLOBAL.contains(&name);
    for (name, value) in config.iter().filter(|(name, _)| is_job(name)) {
        match extended(config, name, value, &mut Vec::new())
            .and_then(|job| check(config, name, &job, (&stages, access)))
        {
            Ok(job) => jobs.push(job),
            Err(error) => errors.push(error),
        }
    }
    if jobs.is_empty() && errors.is_empty() {
        errors.push("jobs config should contain at least one visible job".to_owned());
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    jobs.sort_by_key(|job| stages.iter().position(|stage| *stage == job.stage));
    Ok(jobs)
}

/// A job with what it `extends` merged in below it.
fn extended(
    config: &Map<String, Value>,
    name: &str,
    job: &Value,
    seen: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let Value::Object(job) = job else { return Err(format!("jobs:{name} config should be a hash")) };
    let parents: Vec<String> = match job.get("extends") {
        None => return Ok(job.clone()),
        Some(Value::String(parent)) => vec![parent.clone()],
        Some(Value::Array(parents)) => parents.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) => return Err(format!("jobs:{name}:extends config should be an array of strings or a string")),
    };
    if seen.iter().any(|earlier| earlier == name) {
        return Err(format!("{name}: circular dependency detected in `extends`"));
    }
    seen.push(name.to_owned());
    let mut result = Map::new();
    for parent in parents {
        let value = config.get(&parent).ok_or_else(|| format!("{name}: unknown keys in `extends` ({parent})"))?;
        merge(&mut result, extended(config, &parent, value, seen)?);
    }
    merge(&mut result, job.clone());
    seen.pop();
    Ok(result)
}

fn check(
    config: &Map<String, Value>,
    name: &str,
    job: &Map<String, Value>,
    (stages, access): (&[String], &[&str]),
) -> Result<PlannedJob, String> {
    let unknown: Vec<_> = job.keys().filter(|key| !KEYWORDS.contains(&key.as_str())).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(format!("jobs:{name} config contains unknown keys: {}", unknown.join(", ")));
    }
    if !["script", "run", "trigger"].iter().any(|key| job.contains_key(*key)) {
        return Err(format!("jobs:{name} config should implement the script:, run:, or trigger: keyword"));
    }
    if matches!(job.get("script"), Some(Value::Null)) {
        return Err(format!(
            "jobs:{name}:script config should be a string or a nested array of strings up to 10 levels deep"
        ));
    }
    let stage = job.get("stage").and_then(Value::as_str).unwrap_or("test").to_owned();
    if !stages.contains(&stage) {
        return Err(format!(
            "{name} job: chosen stage {stage} does not exist; available stages are {}",
            stages.join(", ")
        ));
    }
    for needed in needed(job) {
        if !config.contains_key(&needed) || needed.starts_with('.') || GLOBAL.contains(&needed.as_str()) {
            return Err(format!("{name} job: undefined need: {needed}"));
        }
    }
    let rules: Vec<&Value> = match job.get("rules") {
        Some(Value::Array(rules)) => rules.iter().collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(_) => return Err(format!("jobs:{name}:rules config should be an array of hashes")),
    };
    for when in rules.iter().filter_map(|rule| rule.get("when")).chain(job.get("when")) {
        if !when.as_str().is_some_and(|when| WHEN.contains(&when)) {
            return Err(format!("jobs:{name} when should be one of: {}", WHEN.join(", ")));
        }
    }
    let given = job.get("artifacts").and_then(|artifacts| artifacts.get("access"));
    if given.is_some_and(|value| !value.as_str().is_some_and(|value| access.contains(&value))) {
        return Err(format!("jobs:{name}:artifacts access should be one of: {}", access.join(", ")));
    }
    let (environment, tier) = match job.get("environment") {
        Some(Value::String(name)) => (Some(name.clone()), None),
        Some(value) => (value["name"].as_str().map(str::to_owned), value["deployment_tier"].as_str()),
        None => (None, None),
    };
    if tier.is_some_and(|tier| !TIERS.contains(&tier)) {
        return Err(format!("jobs:{name}:environment deployment tier must be one of {}", TIERS.join(", ")));
    }
    let mut planned = PlannedJob {
        name: name.to_owned(),
        stage,
        manual: false,
        after: After::Success,
        allow_failure: false,
        environment,
        tier: tier.map(str::to_owned),
        definition: job.clone(),
    };
    planned.manual = planned.could_be_manual();
    // A manual job may stay unplayed unless it says otherwise; one that is manual by a rule may not.
    let allowed = job.get("allow_failure").map(|value| value == true);
    planned.allow_failure = allowed.unwrap_or_else(|| job.get("when").is_some_and(is_manual));
    Ok(planned)
}

impl PlannedJob {
    /// The tags that a runner needs.
    pub(crate) fn tags(&self) -> Vec<String> {
        let tags = self.definition.get("tags").and_then(Value::as_array).into_iter().flatten();
        tags.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The jobs that it waits for, if it does not wait for whole stages.
    pub(crate) fn needs(&self) -> Option<Vec<String>> {
        self.definition.contains_key("needs").then(|| needed(&self.definition))
    }

    /// The exit codes with which it may fail.
    pub(crate) fn allowed_codes(&self) -> Vec<i64> {
        let codes = self.definition.get("allow_failure").and_then(|value| value.get("exit_codes"));
        match codes {
            Some(Value::Array(codes)) => codes.iter().filter_map(Value::as_i64).collect(),
            Some(code) => code.as_i64().into_iter().collect(),
            None => Vec::new(),
        }
    }
}

/// Whether a `when` waits for a person.
pub(super) fn is_manual(when: &Value) -> bool {
    when == "manual"
}

/// The jobs of this pipeline that a job needs; optional ones and those of other projects left out.
pub(crate) fn needed(job: &Map<String, Value>) -> Vec<String> {
    let needs = ["needs", "dependencies"].into_iter().filter_map(|key| job.get(key)?.as_array()).flatten();
    needs
        .filter_map(|need| match need {
            Value::String(name) => Some(name.clone()),
            need if need["optional"] == true || !need["project"].is_null() || !need["pipeline"].is_null() => None,
            need => need["job"].as_str().map(str::to_owned),
        })
        .collect()
}
