//! What a runner asks: for a job, with its log and how it ended; and the log as people read it.
//!
//! Jobs are handed out as GitLab does, to runners that fit. The stand-in keeps logs and archives of artifacts, and drops reports. The
//! real `gitlab-runner` 19.4 takes and runs its jobs: `tests/judges`. Source: `lib/api/ci/runner.rb`,
//! `lib/api/entities/ci/job_request/response.rb`.

use serde_json::{Map, Value, json};

use super::pipelines::readable;
use super::runners::verify;
use crate::auth::{JOB, Need, NewToken, digest, now};
use crate::call::Call;
use crate::model::{Job, Pipeline, Project, Variables};
use crate::reply::{Body, Outcome, Refusal, Reply, error, forbidden, message, not_found};
use crate::router::Route;
use crate::running::{Place, advance, next_for};

/// Seconds that a job may take.
const TIMEOUT: u64 = 3600;

fn request(call: &mut Call<'_>) -> Outcome {
    verify(call)?;
    let digest = digest(&call.required("token")?);
    let runner = call.state.runners.values().find(|runner| runner.digest == digest).ok_or_else(|| forbidden(""))?;
    let runner_id = runner.id;
    let Some(place) = next_for(call.state, runner) else { return Ok(Reply::no_content()) };
    let (project, at, position) = place;
    let user = call.at(project)?.pipelines[at].user;
    let scopes = vec!["read_repository".to_owned(), JOB.to_owned()];
    let new = NewToken { user, name: "job", description: None, scopes, expires_at: None };
    let (token, text) = call.state.tokens.issue_for_job(new)?;
    let job = &mut call.at_mut(project)?.pipelines[at].jobs[position];
    "running".clone_into(&mut job.status);
    job.run.runner = Some(runner_id);
    job.run.started_at = Some(now());
    job.run.token = Some((crate::auth::digest(&text), token.id));
    advance(&mut call.at_mut(project)?.pipelines[at]);
    Ok(Reply::created(job_for_runner(call, place, &text)?))
}

/// Lines of a script, however deep they are nested.
fn lines(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(line)) => vec![line.clone()],
        Some(Value::Array(values)) => values.iter().flat_map(|value| lines(Some(value))).collect(),
        _ => Vec::new(),
    }
}

fn job_for_runner(call: &Call<'_>, (id, at, position): Place, token: &str) -> Result<Value, Refusal> {
    let project = call.at(id)?;
    let pipeline = &project.pipelines[at];
    let job = &pipeline.jobs[position];
    let path = call.state.project_path(project);
    let (definition, reference) = (&job.definition, pipeline.reference.as_str());
    let script = [lines(definition.get("before_script")), lines(definition.get("script"))].concat();
    let step = |name: &str, script: Vec<String>, when: &str, allow_failure: bool| json!({ "name": name, "script": script, "timeout": TIMEOUT, "when": when, "allow_failure": allow_failure });
    let mut steps = vec![step("script", script, "on_success", false)];
    let after = lines(definition.get("after_script"));
    if !after.is_empty() {
        steps.push(step("after_script", after, "always", true));
    }
    let image = match definition.get("image") {
        Some(Value::String(name)) => json!({ "name": name }),
        Some(image) => image.clone(),
        None => Value::Null,
    };
    let mut refspecs = vec![format!("+refs/pipelines/{0}:refs/pipelines/{0}", pipeline.id)];
    if pipeline.tag {
        refspecs.push(format!("+refs/tags/{reference}:refs/tags/{reference}"));
    } else if !reference.starts_with("refs/") {
        refspecs.push(format!("+refs/heads/{reference}:refs/remotes/origin/{reference}"));
    }
    let repository = format!("{}/{path}.git", call.settings.url);
    let address = repository.replacen("://", &format!("://gitlab-ci-token:{token}@"), 1);
    let variables = variables(call, project, pipeline, job, token);
    let depth = variables.get("GIT_DEPTH").and_then(|depth| depth.parse().ok()).unwrap_or(20_u32);
    let secret = |key: &str| key == "CI_JOB_TOKEN" || project.variables.iter().any(|v| v.key == *key && v.masked);
    let variables: Vec<_> = variables
        .iter()
        .map(|(key, value)| {
            json!({ "key": key, "value": value, "public": !secret(key), "masked": secret(key), "file": is_file(project, key), "raw": true })
        })
        .collect();
    let artifacts = definition.get("artifacts").filter(|artifacts| artifacts.get("paths").is_some());
    let archive = |artifacts: &Value| {
        json!({
            "name": artifacts["name"], "untracked": false, "paths": artifacts["paths"], "when": artifacts["when"],
            "expire_in": artifacts["expire_in"], "artifact_type": "archive", "artifact_format": "zip",
        })
    };
    // The order is that of GitLab, and `id` and `token` come first.
    Ok(json!({
        "id": job.id,
        "token": token,
        "allow_git_fetch": true,
        "job_info": {
            "id": job.id, "name": job.name, "stage": job.stage, "pipeline_id": pipeline.id, "project_id": id,
            "project_name": project.path, "project_full_path": path,
        },
        "git_info": {
            "repo_url": address, "ref": reference, "sha": pipeline.sha, "before_sha": "0".repeat(40),
            "ref_type": if pipeline.tag { "tag" } else { "branch" }, "repo_object_format": "sha1", "refspecs": refspecs,
            "depth": depth, "protected": pipeline.protected,
        },
        "runner_info": { "timeout": TIMEOUT },
        "variables": variables,
        "steps": steps,
        "image": image,
        "services": [],
        "artifacts": artifacts.map(archive).into_iter().collect::<Vec<_>>(),
        "cache": [],
        "credentials": [],
        "dependencies": dependencies(pipeline, position, token),
        "features": { "trace_sections": true, "failure_reasons": ["script_failure", "runner_system_failure", "job_canceled"] },
    }))
}

/// The jobs whose artifacts this one gets: those that it names, else those that it needs, else all of earlier stages. GitLab gives each
/// its own token; here the job's own opens them.
fn dependencies(pipeline: &Pipeline, position: usize, token: &str) -> Vec<Value> {
    let job = &pipeline.jobs[position];
    let first = pipeline.jobs.iter().position(|other| other.stage == job.stage).unwrap_or(position);
    let chosen = job.definition.get("dependencies").map(|names| lines(Some(names))).or_else(|| job.needs.clone());
    let wanted = pipeline.jobs.iter().enumerate().filter(|(at, other)| match &chosen {
        Some(names) => names.contains(&other.name),
        None => *at < first,
    });
    let entry = |(_, other): (usize, &Job)| {
        let size = other.run.artifacts.as_ref()?.len();
        let file = json!({ "filename": "artifacts.zip", "size": size });
        Some(json!({ "id": other.id, "name": other.name, "token": token, "artifacts_file": file }))
    };
    wanted.filter_map(entry).collect()
}

fn is_file(project: &Project, key: &str) -> bool {
    project.variables.iter().any(|variable| variable.key == key && variable.kind == "file")
}

fn variables(call: &Call<'_>, project: &Project, pipeline: &Pipeline, job: &Job, token: &str) -> Variables {
    let mut all = pipeline.variables.clone();
    let own = job.definition.get("variables").and_then(Value::as_object).into_iter().flatten();
    all.extend(own.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
    let environment = match job.definition.get("environment") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(value) => value["name"].as_str(),
        None => None,
    };
    let scoped = project.variables.iter().filter(|variable| {
        Some(variable.environment_scope.as_str()) == environment && (pipeline.protected || !variable.protected)
    });
    all.extend(scoped.map(|variable| (variable.key.clone(), variable.value.clone())));
    let url = &call.settings.url;
    let page = format!("{url}/{}/-", call.state.project_path(project));
    let user = call.state.users.get(&pipeline.user).map(|user| user.username.clone()).unwrap_or_default();
    let short = pipeline.sha.get(..8).unwrap_or(&pipeline.sha);
    for (key, value) in [
        ("CI_JOB_ID", job.id.to_string()),
        ("CI_JOB_NAME", job.name.clone()),
        ("CI_JOB_STAGE", job.stage.clone()),
        ("CI_JOB_TOKEN", token.to_owned()),
        ("CI_JOB_URL", format!("{page}/jobs/{}", job.id)),
        ("CI_PIPELINE_ID", pipeline.id.to_string()),
        ("CI_PIPELINE_URL", format!("{page}/pipelines/{}", pipeline.id)),
        ("CI_PROJECT_ID", project.id.to_string()),
        ("CI_PROJECT_NAME", project.path.clone()),
        ("CI_COMMIT_SHORT_SHA", short.to_owned()),
        ("CI_API_V4_URL", format!("{url}/api/v4")),
        ("CI_SERVER_URL", url.clone()),
        ("CI_SERVER_FQDN", url.rsplit('/').next().unwrap_or_default().to_owned()),
        ("CI_ENVIRONMENT_NAME", environment.unwrap_or_default().to_owned()),
        ("GITLAB_USER_LOGIN", user),
    ] {
        all.insert(key.to_owned(), value);
    }
    all
}

/// The job that the path names, if the caller shows its token. A job that does not run any more has none, and is refused with its state.
fn own(call: &Call<'_>) -> Result<Place, Refusal> {
    let id = call.param_id(0)?;
    let sent = call.text("token").or_else(|| call.headers.get("job-token").cloned()).unwrap_or_default();
    let found = call.state.projects.values().find_map(|project| {
        project
            .pipelines
            .iter()
            .enumerate()
            .find_map(|(at, pipeline)| Some((project.id, at, pipeline.jobs.iter().position(|job| job.id == id)?)))
    });
    let place = found.ok_or_else(|| not_found("Job"))?;
    let job = job_at(call, place)?;
    if job.status != "running" {
        let refusal = message(403, "403 Forbidden - Job is not running").into_reply();
        return Err(Refusal::new(refusal.header("Job-Status", job.status.as_str())));
    }
    if job.run.token.is_none_or(|(known, _)| known != digest(&sent)) {
        return Err(forbidden(""));
    }
    Ok(place)
}

fn job_at<'a>(call: &'a Call<'_>, (project, at, position): Place) -> Result<&'a Job, Refusal> {
    Ok(&call.at(project)?.pipelines[at].jobs[position])
}

fn update(call: &mut Call<'_>) -> Outcome {
    let place = own(call)?;
    let (project, at, position) = place;
    let state =
        call.one_of("state", &["running", "success", "failed"])?.ok_or_else(|| error(400, "state is missing"))?;
    if state != "running" {
        let (reason, code) = (call.text("failure_reason"), call.integer("exit_code")?);
        let reason = reason.unwrap_or_else(|| "unknown_failure".to_owned());
        let is_retried = state == "failed" && job_at(call, place)?.is_retried(&reason, code);
        if let Some((_, token)) = job_at(call, place)?.run.token {
            call.state.tokens.revoke(token);
        }
        let next = if is_retried { Some(call.state.next_id()) } else { None };
        let pipeline = &mut call.at_mut(project)?.pipelines[at];
        let job = &mut pipeline.jobs[position];
        if let Some(next) = next {
            job.retry(next);
            return Ok(Reply::ok(json!(200)).header("Job-Status", state));
        }
        if state == "failed" {
            job.run.failure_reason = Some(reason);
            job.allow_failure |= code.is_some_and(|code| job.allowed_codes.contains(&code));
        }
        job.end(&state);
        advance(pipeline);
    }
    let status = job_at(call, place)?.status.clone();
    Ok(Reply::ok(json!(200)).header("Job-Status", status))
}

fn append(call: &mut Call<'_>) -> Outcome {
    let (project, at, position) = own(call)?;
    let range = call.headers.get("content-range").cloned().unwrap_or_default();
    let start: Option<usize> = range.split('-').next().and_then(|start| start.trim().parse().ok());
    let start = start.ok_or_else(|| error(400, "Missing header Content-Range"))?;
    let body = call.body.to_vec();
    let job = &mut call.at_mut(project)?.pipelines[at].jobs[position];
    let there = job.run.trace.len();
    let status = job.status.clone();
    let reply = |code: u16, size: usize| {
        let reply = Reply::text(code, "").header("Range", format!("0-{size}")).header("Job-Status", status.as_str());
        reply.header("X-GitLab-Trace-Update-Interval", "3")
    };
    if start != there {
        return Err(Refusal::new(reply(416, there)));
    }
    job.run.trace.extend_from_slice(&body);
    Ok(reply(202, job.run.trace.len()))
}

fn upload(call: &mut Call<'_>) -> Outcome {
    let (project, at, position) = own(call)?;
    let content_type = call.headers.get("content-type").cloned().unwrap_or_default();
    let file = multipart_file(&content_type, call.body).ok_or_else(|| error(400, "file is missing"))?.to_vec();
    if call.text("artifact_type").is_none_or(|kind| kind == "archive") {
        call.at_mut(project)?.pipelines[at].jobs[position].run.artifacts = Some(file);
    }
    Ok(Reply::created(Value::Object(Map::new())))
}

/// The content of the part `file` of a form with one file (RFC 7578).
fn multipart_file<'b>(content_type: &str, body: &'b [u8]) -> Option<&'b [u8]> {
    let boundary = content_type.split("boundary=").nth(1)?.trim_matches('"');
    let find = |in_: &[u8], what: &[u8]| in_.windows(what.len()).position(|window| window == what);
    let head = find(body, b"name=\"file\"")?;
    let start = head + find(&body[head..], b"\r\n\r\n")? + 4;
    let end = find(&body[start..], format!("\r\n--{boundary}").as_bytes())?;
    Some(&body[start..start + end])
}

/// The artifacts of a job, for a job of the same pipeline that runs.
fn download(call: &mut Call<'_>) -> Outcome {
    let id = call.param_id(0)?;
    let sent = digest(&call.headers.get("job-token").cloned().unwrap_or_default());
    let all = call.state.projects.values().flat_map(|project| &project.pipelines);
    let pipeline = all.into_iter().find(|pipeline| pipeline.jobs.iter().any(|job| job.id == id));
    let pipeline = pipeline.ok_or_else(|| not_found("Job"))?;
    if !pipeline.jobs.iter().any(|job| job.run.token.is_some_and(|(known, _)| known == sent)) {
        return Err(forbidden(""));
    }
    let found = pipeline.jobs.iter().find(|job| job.id == id).and_then(|job| job.run.artifacts.clone());
    Ok(Reply::new(200, Body::Bytes("application/octet-stream", found.ok_or_else(|| not_found("Artifacts"))?)))
}

/// The log of a job, for who may see pipelines.
fn trace(call: &mut Call<'_>) -> Outcome {
    let id = readable(call)?;
    let job = call.param_id(1)?;
    let found = call.at(id)?.pipelines.iter().flat_map(|pipeline| &pipeline.jobs).find(|one| one.id == job);
    let found = found.ok_or_else(|| not_found(""))?;
    Ok(Reply::text(200, String::from_utf8_lossy(&found.run.trace)))
}

const UPDATE: &[&str] = &["token", "state", "failure_reason", "checksum", "output", "exit_code", "info"];
const REQUEST: &[&str] = &["token", "system_id", "last_update", "session", "info", "job_age"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("POST", "/jobs/request", Need::Nothing, REQUEST, request),
    Route::new("PUT", "/jobs/:id", Need::Nothing, UPDATE, update),
    Route::new("PATCH", "/jobs/:id/trace", Need::Nothing, &["token", "debug_trace"], append).raw(),
    Route::new(
        "POST",
        "/jobs/:id/artifacts",
        Need::Nothing,
        &["token", "expire_in", "artifact_type", "artifact_format"],
        upload,
    )
    .raw(),
    Route::new("GET", "/jobs/:id/artifacts", Need::Nothing, &["direct_download", "token"], download),
    Route::new("GET", "/projects/:id/jobs/:job_id/trace", Need::Read, &[], trace),
];
