//! Pipelines and jobs. A pipeline stays pending until runners have run its jobs, or a test sets how it ended
//! ([`finish_pipelines`](crate::StandIn::finish_pipelines)).
//!
//! On protected refs only who may merge, push or tag may start pipelines and manual jobs. Source:
//! <https://docs.gitlab.com/ci/pipelines/#pipeline-security-on-protected-branches>.

use serde_json::{Value, json};

use super::accounts::user_json;
use crate::auth::Need;
use crate::call::Call;
use crate::model::{DEVELOPER, GUEST, Job, OWNER, Pipeline, REPORTER, Variables};
use crate::pipelines::{NewPipeline, PipelineResult, Source, make};
use crate::reply::{Outcome, Refusal, Reply, bad_request, error, forbidden, message, not_found};
use crate::router::Route;
use crate::running::advance;

/// A pipeline as lists and merge requests show it.
pub(super) fn pipeline_json(call: &Call<'_>, project: u64, pipeline: &Pipeline) -> Value {
    let path = call.at(project).map(|project| call.state.project_path(project)).unwrap_or_default();
    json!({
        "id": pipeline.id,
        "iid": pipeline.iid,
        "project_id": project,
        "sha": pipeline.sha,
        "ref": pipeline.reference,
        "status": pipeline.status,
        "source": pipeline.source,
        "created_at": pipeline.created_at,
        "updated_at": pipeline.created_at,
        "web_url": format!("{}/{path}/-/pipelines/{}", call.settings.url, pipeline.id),
    })
}

fn details_json(call: &Call<'_>, project: u64, pipeline: &Pipeline) -> Value {
    let mut value = pipeline_json(call, project, pipeline);
    value["tag"] = pipeline.tag.into();
    value["yaml_errors"] = pipeline.yaml_errors.clone().into();
    value["user"] = call.state.users.get(&pipeline.user).map(|user| user_json(user, &call.settings.url)).into();
    value["detailed_status"] = json!({ "text": pipeline.status, "label": pipeline.status, "group": pipeline.status });
    value
}

fn job_json(call: &Call<'_>, project: u64, pipeline: &Pipeline, job: &Job) -> Value {
    let user = job.started_by.unwrap_or(pipeline.user);
    let mut value = json!({
        "id": job.id,
        "status": job.status,
        "stage": job.stage,
        "name": job.name,
        "ref": pipeline.reference,
        "tag": pipeline.tag,
        "allow_failure": job.allow_failure,
        "tag_list": job.tags,
        "failure_reason": job.run.failure_reason,
        "created_at": pipeline.created_at,
        "started_at": job.run.started_at,
        "finished_at": job.run.finished_at,
        "duration": duration(job),
        "user": call.state.users.get(&user).map(|user| user_json(user, &call.settings.url)),
        "pipeline": pipeline_json(call, project, pipeline),
        "artifacts": archive(job).map(|file| json!({ "file_type": "archive", "size": file["size"], "filename": file["filename"] })).into_iter().collect::<Vec<_>>(),
        "runner": job.run.runner.map(|id| json!({ "id": id })),
    });
    // Source: `lib/api/entities/ci/job.rb`.
    if let Some(file) = archive(job) {
        value["artifacts_file"] = file;
    }
    value
}

fn archive(job: &Job) -> Option<Value> {
    job.run.artifacts.as_ref().map(|archive| json!({ "filename": "artifacts.zip", "size": archive.len() }))
}

/// Seconds from a job's start to its end, or until now.
fn duration(job: &Job) -> Option<f64> {
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let end = job.run.finished_at.as_deref().map_or_else(|| Some(jiff::Timestamp::now()), time)?;
    Some(end.duration_since(time(job.run.started_at.as_deref()?)?).as_secs_f64())
}

/// The project, when the caller may see pipelines in it: Reporters always, Guests when its jobs are public.
pub(super) fn readable(call: &mut Call<'_>) -> Result<u64, Refusal> {
    let id = call.project(GUEST)?;
    let public = call.at(id)?.settings.get("public_jobs").is_some_and(|value| value == true);
    if call.role < Some(REPORTER) && !public { Err(forbidden("")) } else { Ok(id) }
}

fn pipelines(call: &mut Call<'_>) -> Outcome {
    let id = readable(call)?;
    let fits = |name: &str, value: &str| call.text(name).is_none_or(|wanted| wanted == value);
    let ascending = call.text("sort").is_some_and(|sort| sort == "asc");
    let mut found: Vec<_> = call
        .at(id)?
        .pipelines
        .iter()
        .filter(|p| {
            fits("ref", &p.reference) && fits("sha", &p.sha) && fits("status", &p.status) && fits("source", p.source)
        })
        .map(|pipeline| pipeline_json(call, id, pipeline))
        .collect();
    if !ascending {
        found.reverse();
    }
    Ok(Reply::list(found))
}

/// The pipeline that the path's second value names.
fn at<'a>(call: &'a Call<'_>, project: u64) -> Result<&'a Pipeline, Refusal> {
    let id = call.param_id(1)?;
    call.at(project)?.pipelines.iter().find(|pipeline| pipeline.id == id).ok_or_else(|| not_found("Pipeline"))
}

fn pipeline(call: &mut Call<'_>) -> Outcome {
    let id = readable(call)?;
    Ok(Reply::ok(details_json(call, id, at(call, id)?)))
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let name = call.required("ref")?;
    let (user, actor, project) = (call.user()?, call.actor(id)?, call.at(id)?);
    let git = &call.settings.git;
    let base = |text: String| message(400, json!({ "base": [text] }));
    let branch = git.branch(&project.repository, &name);
    let tag = branch.is_none();
    let sha = branch.or_else(|| git.resolve(&project.repository, &format!("refs/tags/{name}")));
    let sha = sha.ok_or_else(|| base("Reference not found".to_owned()))?;
    let variables: Variables = call
        .input
        .get("variables")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|variable| Some((variable["key"].as_str()?.to_owned(), variable["value"].as_str()?.to_owned())))
        .collect();
    if !variables.is_empty() {
        let least = match project.settings.get("ci_pipeline_variables_minimum_override_role").and_then(Value::as_str) {
            Some("no_one_allowed") => u8::MAX,
            Some("owner") => 50,
            Some("maintainer") => 40,
            _ => DEVELOPER,
        };
        if actor.role < least {
            return Err(base("Insufficient permissions to set pipeline variables".to_owned()));
        }
    }
    if !actor.may_run(project, &name, tag) {
        return Err(base(format!(
            "You do not have sufficient permission to run a pipeline on '{name}'. Please select a different branch or contact \
             your administrator for assistance."
        )));
    }
    let source = Source::Api { variables };
    let new = NewPipeline { project: id, user, name: &name, tag, sha: &sha, source };
    let made = match make(call.state, call.settings, &new)? {
        PipelineResult::Pipeline(id) => id,
        PipelineResult::NoConfiguration => return Err(base("Missing CI config file".to_owned())),
        PipelineResult::NoJobs => {
            return Err(base(
                "Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to \
                 the pipeline."
                    .to_owned(),
            ));
        }
        PipelineResult::Invalid(errors) => return Err(message(400, json!({ "base": errors }))),
    };
    let pipeline = call.at(id)?.pipelines.iter().find(|pipeline| pipeline.id == made);
    pipeline.map(|pipeline| Reply::created(details_json(call, id, pipeline))).ok_or_else(|| not_found("Pipeline"))
}

/// The states asked for with `scope` or `scope[]`.
fn scopes(call: &Call<'_>) -> Result<Option<Vec<String>>, Refusal> {
    call.list("scope")
}

fn jobs_of_pipeline(call: &mut Call<'_>) -> Outcome {
    let id = readable(call)?;
    let scopes = scopes(call)?;
    let pipeline = at(call, id)?;
    let wanted = |job: &&Job| scopes.as_ref().is_none_or(|scopes| scopes.contains(&job.status));
    Ok(Reply::list(pipeline.jobs.iter().filter(wanted).map(|job| job_json(call, id, pipeline, job))))
}

fn jobs(call: &mut Call<'_>) -> Outcome {
    let id = readable(call)?;
    let scopes = scopes(call)?;
    let wanted = |job: &&Job| scopes.as_ref().is_none_or(|scopes| scopes.contains(&job.status));
    let mut values = Vec::new();
    for pipeline in call.at(id)?.pipelines.iter().rev() {
        values.extend(pipeline.jobs.iter().filter(wanted).map(|job| job_json(call, id, pipeline, job)));
    }
    Ok(Reply::list(values))
}

/// The pipeline and job that the path's second value names, by position.
pub(super) fn find_job(call: &Call<'_>, project: u64) -> Result<(usize, usize), Refusal> {
    let id = call.param_id(1)?;
    for (at, pipeline) in call.at(project)?.pipelines.iter().enumerate() {
        if let Some(job) = pipeline.jobs.iter().position(|job| job.id == id) {
            return Ok((at, job));
        }
    }
    Err(not_found(""))
}

fn job(call: &mut Call<'_>) -> Outcome {
    let id = readable(call)?;
    let (pipeline, job) = find_job(call, id)?;
    let pipeline = &call.at(id)?.pipelines[pipeline];
    Ok(Reply::ok(job_json(call, id, pipeline, &pipeline.jobs[job])))
}

/// Starts a manual job. Here that means: it is pending, and by whom.
fn play(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (at, position) = find_job(call, id)?;
    let (user, actor, project) = (call.user()?, call.actor(id)?, call.at(id)?);
    let pipeline = &project.pipelines[at];
    if !actor.may_run(project, &pipeline.reference, pipeline.tag) {
        return Err(forbidden(""));
    }
    // A manual job of a later stage is `created` until the stages before it are done, and cannot be played until then.
    let job = &pipeline.jobs[position];
    let environment = job.definition.get("environment");
    let environment = environment.and_then(|value| value.as_str().or_else(|| value["name"].as_str()));
    if environment.is_some_and(|name| !actor.may_deploy(project, name)) {
        return Err(forbidden(""));
    }
    if job.status != "manual" {
        return Err(bad_request("Unplayable Job"));
    }
    if call.has("job_variables_attributes") && !call.input["job_variables_attributes"].is_array() {
        return Err(error(400, "job_variables_attributes is invalid"));
    }
    let pipeline = &mut call.at_mut(id)?.pipelines[at];
    let job = &mut pipeline.jobs[position];
    "pending".clone_into(&mut job.status);
    job.started_by = Some(user);
    advance(pipeline);
    let pipeline = &call.at(id)?.pipelines[at];
    Ok(Reply::ok(job_json(call, id, pipeline, &pipeline.jobs[position])))
}

fn cancel_job(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (at, position) = find_job(call, id)?;
    let (actor, project) = (call.actor(id)?, call.at(id)?);
    let pipeline = &project.pipelines[at];
    if !actor.may_run(project, &pipeline.reference, pipeline.tag) {
        return Err(forbidden(""));
    }
    let pipeline = &mut call.at_mut(id)?.pipelines[at];
    pipeline.jobs[position].end("canceled");
    advance(pipeline);
    let pipeline = &call.at(id)?.pipelines[at];
    Ok(Reply::created(job_json(call, id, pipeline, &pipeline.jobs[position])))
}

fn cancel(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    let (actor, project) = (call.actor(id)?, call.at(id)?);
    let pipeline = at(call, id)?;
    if !actor.may_run(project, &pipeline.reference, pipeline.tag) {
        return Err(forbidden(""));
    }
    let wanted = pipeline.id;
    for pipeline in call.at_mut(id)?.pipelines.iter_mut().filter(|pipeline| pipeline.id == wanted) {
        // What is over stays as it ended. Source: `cancelable` in `app/models/concerns/ci/has_status.rb`.
        let open = |job: &&mut Job| matches!(job.status.as_str(), "created" | "pending" | "running");
        pipeline.jobs.iter_mut().filter(open).for_each(|job| job.end("canceled"));
        advance(pipeline);
    }
    Ok(Reply::ok(details_json(call, id, at(call, id)?)))
}

/// Deletes a pipeline with its jobs. Source: `enable :destroy_pipeline` for Owners in `app/policies/project_policy.rb`.
fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(OWNER)?;
    let wanted = at(call, id)?.id;
    call.at_mut(id)?.pipelines.retain(|pipeline| pipeline.id != wanted);
    Ok(Reply::no_content())
}

const LIST: &[&str] = &["scope", "status", "ref", "sha", "username", "order_by", "sort", "source", "name"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/pipelines", Need::Read, LIST, pipelines),
    Route::new("POST", "/projects/:id/pipeline", Need::Write, &["ref", "variables", "inputs"], create),
    Route::new("GET", "/projects/:id/pipelines/:pipeline_id", Need::Read, &[], pipeline),
    Route::new("DELETE", "/projects/:id/pipelines/:pipeline_id", Need::Write, &[], delete),
    Route::new("POST", "/projects/:id/pipelines/:pipeline_id/cancel", Need::Write, &[], cancel),
    Route::new(
        "GET",
        "/projects/:id/pipelines/:pipeline_id/jobs",
        Need::Read,
        &["scope", "include_retried"],
        jobs_of_pipeline,
    ),
    Route::new("GET", "/projects/:id/jobs", Need::Read, &["scope"], jobs),
    Route::new("GET", "/projects/:id/jobs/:job_id", Need::Read, &[], job),
    Route::new("POST", "/projects/:id/jobs/:job_id/cancel", Need::Write, &["force"], cancel_job),
    Route::new("POST", "/projects/:id/jobs/:job_id/play", Need::Write, &["job_variables_attributes"], play),
];
