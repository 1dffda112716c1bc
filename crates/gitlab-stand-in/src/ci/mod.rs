//! Reading a pipeline's configuration: enough to say whether it hangs together and which jobs it has.
//!
//! **Checked**: the YAML; `include:local` and components of the same project, resolved from the commit, with their inputs;
//! `extends`; that each job has something to do, known keywords, a stage that exists, needs that exist, a known `when` and
//! deployment tier. For a pipeline also: `workflow`, `rules`, and that no job needs one that was left out. **Not checked**: the
//! values of most keywords; `include` of other projects, templates and remote files (a warning says so); `!reference` is not
//! followed; `rules` of an `include` are not evaluated.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::editions::Feature;
use crate::git::Git;
use crate::model::Variables;
use crate::state::Settings;

pub(crate) use jobs::PlannedJob;
pub(crate) use select::Occasion;

mod expression;
pub(crate) mod glob;
mod inputs;
mod jobs;
mod select;
mod yaml;

/// Who may download artifacts, the last since 18.4. Source: <https://docs.gitlab.com/ci/yaml/#artifactsaccess>.
const ACCESS: &[&str] = &["none", "developer", "all", "maintainer"];

/// The values of `artifacts:access` that a GitLab knows.
pub(crate) fn access(settings: &Settings) -> &'static [&'static str] {
    &ACCESS[..ACCESS.len() - usize::from(!settings.has(Feature::ArtifactsForMaintainers))]
}

/// How deep includes may nest. Source: <https://docs.gitlab.com/ci/yaml/includes/> (150 files in all).
const MOST_INCLUDES: usize = 150;

/// A configuration that was read, whether or not it is right.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) merged: Map<String, Value>,
    pub(crate) includes: Vec<Value>,
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) jobs: Vec<PlannedJob>,
}

impl Config {
    /// The jobs a pipeline gets on this occasion: none when its rules leave none, errors when it cannot be made.
    pub(crate) fn select(&self, occasion: &Occasion) -> Result<Vec<PlannedJob>, Vec<String>> {
        if !self.errors.is_empty() {
            return Err(self.errors.clone());
        }
        select::select(&self.merged, &self.jobs, occasion)
    }

    /// The configuration's own global variables, those with a plain value.
    pub(crate) fn variables(&self) -> Variables {
        let Some(Value::Object(variables)) = self.merged.get("variables") else { return Variables::new() };
        let plain = |value: &Value| value.get("value").unwrap_or(value).as_str().map(str::to_owned);
        variables.iter().filter_map(|(name, value)| Some((name.clone(), plain(value)?))).collect()
    }
}

/// Where included files are looked up.
pub(crate) struct Source<'a> {
    pub(crate) git: &'a Git,
    pub(crate) repository: &'a Path,
    /// The commit; without one, nothing can be included.
    pub(crate) sha: Option<&'a str>,
    /// `group/project`.
    pub(crate) project: &'a str,
    /// The values of `artifacts:access` that this GitLab knows.
    pub(crate) access: &'static [&'static str],
}

/// Lays one mapping over another: mappings are merged, everything else is replaced.
fn merge(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Object(base)), Value::Object(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// Reads a configuration.
pub(crate) fn read(source: &Source<'_>, text: &str) -> Config {
    let mut config = Config::default();
    if text.trim().is_empty() {
        config.errors.push("Please provide content of .gitlab-ci.yml".to_owned());
        return config;
    }
    match content(source, ".gitlab-ci.yml", text, &Map::new(), &mut config) {
        Ok(merged) => config.merged = merged,
        Err(error) => config.errors.push(error),
    }
    if config.errors.is_empty() {
        match jobs::plan(&config.merged, source.access) {
            Ok(jobs) => config.jobs = jobs,
            Err(errors) => config.errors = errors,
        }
    }
    config
}

/// A file's content with its inputs filled in and its includes merged below it.
fn content(
    source: &Source<'_>,
    name: &str,
    text: &str,
    given: &Map<String, Value>,
    config: &mut Config,
) -> Result<Map<String, Value>, String> {
    let documents = yaml::documents(text)?;
    let (header, body) = match documents.as_slice() {
        [body] => (Value::Null, body.clone()),
        [header, body] if header.get("spec").is_some() => (header.clone(), body.clone()),
        _ => return Err(format!("`{name}`: Invalid configuration format")),
    };
    let inputs = inputs::resolve(name, &header, given)?;
    let Value::Object(mut body) = inputs::interpolate(name, &body, &inputs)? else {
        return Err(format!("`{name}`: Invalid configuration format"));
    };
    let mut merged = Map::new();
    let entries = match body.shift_remove("include") {
        None => Vec::new(),
        Some(Value::Array(entries)) => entries,
        Some(entry) => vec![entry],
    };
    for entry in entries {
        if let Some(included) = include(source, &entry, config)? {
            merge(&mut merged, included);
        }
    }
    merge(&mut merged, body);
    Ok(merged)
}

/// What one `include` entry brings; nothing, with a warning, when it lies elsewhere.
fn include(source: &Source<'_>, entry: &Value, config: &mut Config) -> Result<Option<Map<String, Value>>, String> {
    if config.includes.len() >= MOST_INCLUDES {
        return Err(format!("Maximum of {MOST_INCLUDES} nested includes are allowed!"));
    }
    let local =
        entry.get("local").and_then(Value::as_str).or_else(|| entry.as_str().filter(|e| !e.starts_with("http")));
    let component = entry.get("component").and_then(Value::as_str);
    let named = component.and_then(|address| own_component(source, address));
    let paths = match (local, named) {
        (Some(path), _) => vec![path.trim_start_matches('/').to_owned()],
        (None, Some(name)) => vec![format!("templates/{name}.yml"), format!("templates/{name}/template.yml")],
        (None, None) => {
            config.warnings.push(format!("the stand-in did not look up the include {entry}"));
            return Ok(None);
        }
    };
    let location = local.or(component).unwrap_or_default();
    let found = source.sha.and_then(|sha| {
        paths.iter().find_map(|path| Some((path.clone(), source.git.blob(source.repository, sha, path)?)))
    });
    let Some((path, bytes)) = found else {
        return Err(if local.is_some() {
            format!("Local file `{location}` does not exist!")
        } else {
            format!("Component '{location}' - content not found")
        });
    };
    config.includes.push(json!({
        "type": if local.is_some() { "local" } else { "component" },
        "location": location,
        "context_project": source.project,
        "context_sha": source.sha,
        "extra": {},
    }));
    let given = match entry.get("inputs") {
        Some(Value::Object(given)) => given.clone(),
        _ => Map::new(),
    };
    content(source, &path, &String::from_utf8_lossy(&bytes), &given, config).map(Some)
}

/// The name of a component, when its address is in this very project at this very commit.
fn own_component(source: &Source<'_>, address: &str) -> Option<String> {
    let (path, version) = address.split_once('@')?;
    let here = version == "$CI_COMMIT_SHA" || Some(version) == source.sha;
    let name = path
        .strip_prefix("$CI_SERVER_FQDN/$CI_PROJECT_PATH/")
        .or_else(|| path.split_once('/')?.1.strip_prefix(source.project)?.strip_prefix('/'))?;
    (here && !name.contains("..")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{ACCESS, Git, Occasion, PlannedJob, Source, read};

    fn errors(text: &str) -> Vec<String> {
        let git = Git::new(PathBuf::from("git"), PathBuf::from("/"));
        read(&Source { git: &git, repository: Path::new("/"), sha: None, project: "g/p", access: ACCESS }, text).errors
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, problem) in [
            ("", "Please provide content"),
            ("[a]", "Invalid configuration format"),
            ("stages: [a]\n", "at least one visible job"),
            ("a:\n  stage: build\n", "should implement the script:"),
            ("a:\n  script: x\n  stage: plan\n", "chosen stage plan does not exist; available stages are .pre, build"),
            ("a:\n  script: x\n  needs: [b]\n", "undefined need: b"),
            ("a:\n  script: x\n  extends: .b\n", "unknown keys in `extends` (.b)"),
            ("a:\n  script: x\n  skript: y\n", "unknown keys: skript"),
            ("a:\n  script: x\n  environment: {name: p, deployment_tier: prod}\n", "deployment tier must be one of"),
            ("include: {local: /ci.yml}\na:\n  script: x\n", "Local file `/ci.yml` does not exist!"),
            ("a:\n  extends: b\nb:\n  extends: a\n", "circular dependency"),
        ] {
            let errors = errors(text);
            assert!(errors.iter().any(|error| error.contains(problem)), "{text:?}: {errors:?}");
        }
    }

    #[test]
    fn what_hangs_together_passes() {
        let text = "stages: [validate, apply]\n.base: {stage: apply, when: manual, script: [y]}\n\
                    check:\n  stage: validate\n  script: x\n\
                    apply:\n  extends: .base\n  needs: [check]\n  environment: {name: production}\n";
        assert_eq!(errors(text), Vec::<String>::new());
    }

    /// The jobs that a pipeline with these variables and changed files gets, manual ones in brackets; or the first error.
    fn selected(text: &str, variables: &[(&str, &str)], changed: Option<&[&str]>) -> String {
        let git = Git::new(PathBuf::from("git"), PathBuf::from("/"));
        let config =
            read(&Source { git: &git, repository: Path::new("/"), sha: None, project: "g/p", access: ACCESS }, text);
        let occasion = Occasion {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            changed: changed.map(|files| files.iter().map(|file| (*file).to_owned()).collect()),
            files: vec!["Dockerfile".to_owned()],
        };
        let shown = |job: &PlannedJob| if job.manual { format!("[{}]", job.name) } else { job.name.clone() };
        match config.select(&occasion) {
            Ok(jobs) => jobs.iter().map(shown).collect::<Vec<_>>().join(" "),
            Err(errors) => errors[0].clone(),
        }
    }

    #[test]
    fn rules_say_which_jobs_there_are() {
        let text = "workflow: {rules: [{if: $CI_COMMIT_BRANCH}, {if: $CI_PIPELINE_SOURCE == 'merge_request_event'}]}\n\
                    always: {script: x}\n\
                    check: {script: x, rules: [{when: on_success}]}\n\
                    container: {script: x, rules: [{exists: [Dockerfile]}]}\n\
                    helm: {script: x, rules: [{exists: ['charts/**/*']}]}\n\
                    plan: {script: x, rules: [{if: $P == 'no', when: never}, {changes: ['infra/**/*']}]}\n\
                    apply: {script: x, rules: [{if: $P == 'yes', when: manual}]}\n";
        let main = ("CI_COMMIT_BRANCH", "main");
        assert_eq!(selected(text, &[main], None), "always check container plan");
        assert_eq!(selected(text, &[main, ("P", "yes")], None), "always check container plan [apply]");
        assert_eq!(selected(text, &[main, ("P", "no")], None), "always check container");
        assert_eq!(selected(text, &[main], Some(&["docs/a.md", "infra"])), "always check container");
        assert_eq!(selected(text, &[main], Some(&["infra/a/b.tf"])), "always check container plan");
        let request = ("CI_PIPELINE_SOURCE", "merge_request_event");
        assert_eq!(selected(text, &[request], Some(&[])), "check container");
        assert_eq!(selected(text, &[("CI_COMMIT_TAG", "v1")], None), "");
    }

    #[test]
    fn a_job_that_needs_one_left_out_is_an_error() {
        let text = "plan: {stage: build, script: x, rules: [{if: $PLAN}]}\napply: {script: x, needs: [plan]}\n";
        assert_eq!(selected(text, &[("PLAN", "1")], None), "plan apply");
        assert!(selected(text, &[], None).starts_with("'apply' job needs 'plan' job"));
        let optional = text.replace("[plan]", "[{job: plan, optional: true}]");
        assert_eq!(selected(&optional, &[], None), "apply");
    }
}
