//! CI lint: what the configuration reader finds, in GitLab's form. The merged YAML is written as JSON, which is YAML too.

use serde_json::{Value, json};

use crate::auth::Need;
use crate::call::Call;
use crate::ci;
use crate::model::DEVELOPER;
use crate::pipelines::unverified;
use crate::reply::{Outcome, Reply, not_found};
use crate::router::Route;

fn report(config: &ci::Config, with_jobs: bool) -> Value {
    let mut value = json!({
        "valid": config.errors.is_empty(),
        "errors": config.errors,
        "warnings": config.warnings,
        "merged_yaml": serde_json::to_string_pretty(&config.merged).unwrap_or_default(),
        "includes": config.includes,
    });
    if with_jobs {
        value["jobs"] = config
            .jobs
            .iter()
            .map(|job| {
                json!({
                    "name": job.name,
                    "stage": job.stage,
                    "when": if job.manual { "manual" } else { "on_success" },
                    "allow_failure": job.allow_failure,
                    "environment": job.environment,
                })
            })
            .collect();
    }
    value
}

/// Checks what a commit holds.
fn committed(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let with_jobs = call.boolean("include_jobs")?.unwrap_or(false);
    let project = call.at(id)?;
    let named = ["content_ref", "ref", "sha"].into_iter().find_map(|name| call.text(name));
    let revision = named.unwrap_or_else(|| project.default_branch.clone());
    let git = &call.settings.git;
    let sha = git.resolve(&project.repository, &revision).ok_or_else(|| not_found("Commit"))?;
    let configured = project.settings.get("ci_config_path").and_then(Value::as_str).unwrap_or(".gitlab-ci.yml");
    let text = git.blob(&project.repository, &sha, configured).unwrap_or_default();
    let path = call.state.project_path(project);
    let source = ci::Source {
        git,
        repository: &project.repository,
        sha: Some(&sha),
        project: &path,
        access: ci::access(call.settings),
    };
    let mut config = ci::read(&source, &String::from_utf8_lossy(&text));
    // A pipeline is simulated as it would be made.
    if call.boolean("dry_run")?.unwrap_or(false) && config.errors.is_empty() {
        config.errors.extend(unverified(call.settings, project).map(str::to_owned));
    }
    Ok(Reply::ok(report(&config, with_jobs)))
}

/// Checks a text that was sent, with the includes it finds on a ref.
fn sent(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let with_jobs = call.boolean("include_jobs")?.unwrap_or(false);
    let text = call.text("content").unwrap_or_default();
    let project = call.at(id)?;
    let revision = call.text("ref").unwrap_or_else(|| project.default_branch.clone());
    let git = &call.settings.git;
    let sha = git.resolve(&project.repository, &revision);
    let path = call.state.project_path(project);
    let source = ci::Source {
        git,
        repository: &project.repository,
        sha: sha.as_deref(),
        project: &path,
        access: ci::access(call.settings),
    };
    Ok(Reply::ok(report(&ci::read(&source, &text), with_jobs)))
}

const COMMITTED: &[&str] = &["sha", "content_ref", "dry_run", "include_jobs", "ref", "dry_run_ref"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/ci/lint", Need::Read, COMMITTED, committed),
    Route::new("POST", "/projects/:id/ci/lint", Need::Write, &["content", "dry_run", "include_jobs", "ref"], sent),
];
