//! The attempts by API: each with what it is about, which the owner must see, and with how to take it back.

use serde::Deserialize;
use serde_json::{Value, json};

use super::stage::Stage;
use super::verdict::{Attempted, judge, proof, words};
use crate::gitlab::client::{Answer, Created};
use crate::gitlab::desired::{AGENT_SCOPES, DEVELOPER, MAINTAINER, NO_ONE};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::preflight::days_from_now;
use crate::plan::Proof;

/// One forbidden call.
struct Attempt {
    claim: String,
    call: Call,
    body: Option<Value>,
    /// What the owner reads first, to see that the attempt is about something that is there.
    control: Call,
    /// Whether 404 is how GitLab refuses it.
    hidden: bool,
    /// Whether some GitLab has no such thing: an edition, a version, an instance's setting.
    optional: bool,
    /// Calls of the owner that take it back.
    mend: Mend,
}

/// A call with its body.
type OwnersCall = (Call, Option<Value>);

/// How what succeeded is taken back.
enum Mend {
    /// It changed nothing.
    Nothing,
    /// By these calls.
    Calls(Vec<OwnersCall>),
    /// By a call that names what was made.
    Created(fn(&Stage<'_>, &Created) -> GitlabResult<Vec<OwnersCall>>),
}

#[derive(Deserialize)]
struct Pipeline {
    id: u64,
}

#[derive(Clone, Deserialize)]
struct Job {
    id: u64,
    name: String,
    status: String,
}

#[derive(Deserialize)]
struct Own {
    id: u64,
    #[serde(default)]
    description: Option<String>,
}

/// Makes them all.
pub(super) fn try_all(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<()> {
    for attempt in attempts(stage, proofs)? {
        let control = stage.site.owner.attempt(&attempt.control, None)?;
        if !control.is_success() && attempt.optional && matches!(control.status, 403 | 404) {
            // Refused even to the owner: this GitLab has it not, so there is nothing to forbid.
            stage.note(format!(
                "not tried, since this GitLab has it not ({} gives {}): {}",
                attempt.control, control.status, attempt.claim
            ));
            continue;
        }
        if !control.is_success() {
            let said = words(&control);
            let detail = format!("{}, as the owner: {said}; so a refusal would prove nothing", attempt.control);
            proofs.push(proof(&attempt.claim, false, detail));
            continue;
        }
        proofs.push(try_one(stage, &attempt)?);
    }
    Ok(())
}

fn try_one(stage: &mut Stage<'_>, attempt: &Attempt) -> GitlabResult<Proof> {
    let own = stage.agent.attempt(&attempt.call, attempt.body.as_ref())?;
    let mut detail = format!("{}: {}", attempt.call, words(&own));
    let mut verdict = judge(&own, attempt.hidden);
    let mut last = own;
    if verdict == Attempted::Scope {
        let wide = stage.wide()?.attempt(&attempt.call, attempt.body.as_ref())?;
        detail =
            format!("{}: its own token lacks the scope, and one with the scope api is {}", attempt.call, words(&wide));
        verdict = judge(&wide, attempt.hidden);
        last = wide;
    }
    match verdict {
        Attempted::Person => {}
        Attempted::Done => detail = format!("{detail}; {}", mend(stage, attempt, &last)),
        Attempted::Otherwise => detail.push_str("; that is no refusal of the agent"),
        Attempted::Scope => detail.push_str("; whether the role forbids it is not known"),
    }
    Ok(proof(&attempt.claim, verdict == Attempted::Person, detail))
}

fn mend(stage: &mut Stage<'_>, attempt: &Attempt, answer: &Answer) -> String {
    let calls = match &attempt.mend {
        Mend::Nothing => return "it changed nothing".into(),
        Mend::Calls(calls) => Ok(calls.clone()),
        Mend::Created(calls) => calls(stage, &answer.made),
    };
    let owner = stage.site.owner;
    let done = calls.is_ok_and(|calls| {
        calls.iter().all(|(call, body)| owner.attempt(call, body.as_ref()).is_ok_and(|answer| answer.is_success()))
    });
    if done {
        return "it was taken back".into();
    }
    stage.note(format!("{} went through with the agent's token and could not be taken back; look at it", attempt.call));
    "it could not be taken back".into()
}

/// Those whose success changes least come first, the agent's own role last: raising it would let later ones through.
fn attempts(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<Vec<Attempt>> {
    let mut all = reading(stage)?;
    all.extend(repository(stage, proofs)?);
    all.extend(pipelines(stage)?);
    all.extend(project(stage)?);
    all.extend(accounts(stage));
    Ok(all)
}

fn reading(stage: &Stage<'_>) -> GitlabResult<Vec<Attempt>> {
    let own: Own = stage.site.owner.fetch(&Call::get("/personal_access_tokens/self", &[]))?;
    let variables = Call::get("/projects/:id/variables", &[&stage.site.id]);
    let token = Call::get("/personal_access_tokens/:id", &[&own.id]);
    Ok(vec![
        attempt("the agent cannot read CI/CD variables", variables.clone(), None, variables, Mend::Nothing),
        Attempt {
            hidden: true,
            ..attempt("the agent cannot look at the owner's token", token.clone(), None, token, Mend::Nothing)
        },
    ])
}

fn repository(stage: &Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<Vec<Attempt>> {
    let (id, main) = (stage.site.id, &stage.site.desired.branch);
    // Were it let through, there would be no such file to delete.
    let commit = json!({
        "branch": main,
        "commit_message": "Try what is forbidden [skip ci]",
        "actions": [{ "action": "delete", "file_path": stage.branch }],
    });
    let branch = Call::get("/projects/:id/repository/branches/:branch", &[&id, main]);
    let mut all = vec![attempt(
        format!("the agent cannot commit to {main} by API"),
        Call::post("/projects/:id/repository/commits", &[&id]),
        Some(commit),
        branch,
        Mend::Nothing,
    )];
    let claim = format!("the agent cannot merge into {main}");
    match stage.merge_request()? {
        Some(request) => all.push(attempt(
            claim,
            Call::put("/projects/:id/merge_requests/:merge_request_iid/merge", &[&id, &request.iid]),
            // Not the request's own commit: were the agent let through, GitLab would stop at this.
            Some(json!({ "sha": stage.tip })),
            Call::get("/projects/:id/merge_requests/:merge_request_iid", &[&id, &request.iid]),
            Mend::Nothing,
        )),
        None => proofs.push(proof(&claim, false, "there is no merge request of the agent's to try it on")),
    }
    Ok(all)
}

fn pipelines(stage: &mut Stage<'_>) -> GitlabResult<Vec<Attempt>> {
    let (id, main) = (stage.site.id, stage.site.desired.branch.clone());
    let made = |stage: &Stage<'_>, made: &Created| {
        let made = made.id.unwrap_or_default();
        let values: [&dyn std::fmt::Display; 2] = [&stage.site.id, &made];
        Ok(vec![(Call::post("/projects/:id/pipelines/:pipeline_id/cancel", &values), None)])
    };
    let mut all = vec![attempt(
        format!("the agent cannot start a pipeline on {main}"),
        Call::post("/projects/:id/pipeline", &[&id]),
        Some(json!({ "ref": main })),
        Call::get("/projects/:id/repository/branches/:branch", &[&id, &main]),
        Mend::Created(made),
    )];
    let schedules = Call::get("/projects/:id/pipeline_schedules", &[&id]);
    let schedule = json!({
        "description": stage.branch,
        "ref": format!("refs/heads/{main}"),
        "cron": "0 0 1 1 *",
        "active": false,
    });
    all.push(attempt(
        format!("the agent cannot schedule pipelines on {main}"),
        Call::post("/projects/:id/pipeline_schedules", &[&id]),
        Some(schedule),
        schedules,
        Mend::Created(|stage, made| {
            let made = made.id.unwrap_or_default();
            let values: [&dyn std::fmt::Display; 2] = [&stage.site.id, &made];
            Ok(vec![(Call::delete("/projects/:id/pipeline_schedules/:pipeline_schedule_id", &values), None)])
        }),
    ));
    match production_job(stage)? {
        Some(job) => {
            let cancel = Call::post("/projects/:id/jobs/:job_id/cancel", &[&id, &job.id]);
            all.push(attempt(
                format!("the agent cannot start the job {} of {main}", crate::dialog::plain(&job.name)),
                Call::post("/projects/:id/jobs/:job_id/play", &[&id, &job.id]),
                None,
                Call::get("/projects/:id/jobs/:job_id", &[&id, &job.id]),
                Mend::Calls(vec![(cancel, None)]),
            ));
        }
        None => stage.note(format!("not tried, since {main} has no pipeline yet: starting its manual jobs")),
    }
    Ok(all)
}

/// The manual job that ships to production, in the newest pipelines of the default branch; else the nearest thing to it.
fn production_job(stage: &Stage<'_>) -> GitlabResult<Option<Job>> {
    let (owner, id, desired) = (stage.site.owner, stage.site.id, stage.site.desired);
    let call =
        Call::get("/projects/:id/pipelines", &[&id]).query("ref", desired.branch.as_str()).query("per_page", "5");
    let pipelines: Vec<Pipeline> = owner.fetch(&call)?;
    let production = desired.environments.last().map(|e| e.name.clone()).unwrap_or_default();
    let rank = |job: &Job| match job {
        job if job.name == format!("apply:{production}") => 4,
        job if job.name.starts_with("apply") => 3,
        job if job.status == "manual" => 2,
        _ => 1,
    };
    let mut best: Option<Job> = None;
    for pipeline in pipelines {
        let call = Call::get("/projects/:id/pipelines/:pipeline_id/jobs", &[&id, &pipeline.id]);
        for job in owner.list::<Job>(&call)? {
            if best.as_ref().is_none_or(|best| rank(best) < rank(&job)) {
                best = Some(job);
            }
        }
        if best.as_ref().is_some_and(|best| rank(best) > 1) {
            break;
        }
    }
    Ok(best)
}

fn project(stage: &Stage<'_>) -> GitlabResult<Vec<Attempt>> {
    let (id, main) = (stage.site.id, &stage.site.desired.branch);
    let path = Call::get("/projects/:id", &[&id]);
    let own: Own = stage.site.owner.fetch(&path)?;
    let rule = Call::get("/projects/:id/protected_branches/:name", &[&id, main]);
    let protect = json!({
        "name": main,
        "push_access_level": NO_ONE,
        "merge_access_level": MAINTAINER,
        "allow_force_push": false,
    });
    let scope = Call::get("/projects/:id/job_token_scope", &[&id]);
    let runner = json!({
        "runner_type": "project_type",
        "project_id": own.id,
        "description": stage.branch,
        "tag_list": [stage.branch],
        "run_untagged": false,
        "paused": true,
    });
    let keys = Call::get("/projects/:id/deploy_keys", &[&id]);
    Ok(vec![
        attempt(
            "the agent cannot change the project's settings",
            Call::put("/projects/:id", &[&id]),
            Some(json!({ "description": own.description.unwrap_or_default() })),
            path,
            Mend::Nothing,
        ),
        attempt(
            "the agent cannot change whom job tokens let in",
            Call::patch("/projects/:id/job_token_scope", &[&id]),
            Some(json!({ "enabled": true })),
            scope,
            Mend::Nothing,
        ),
        attempt(
            "the agent cannot add a deploy key",
            Call::post("/projects/:id/deploy_keys", &[&id]),
            // No key at all: were the agent let through, GitLab would stop at this.
            Some(json!({ "title": stage.branch, "key": "ssh-ed25519 none", "can_push": true })),
            keys,
            Mend::Nothing,
        ),
        attempt(
            "the agent cannot register a runner",
            Call::post("/user/runners", &[]),
            Some(runner),
            Call::get("/projects/:id/runners", &[&id]),
            Mend::Created(|_, made| Ok(vec![(Call::delete("/runners/:id", &[&made.id.unwrap_or_default()]), None)])),
        ),
        attempt(
            format!("the agent cannot unprotect {main}"),
            Call::delete("/projects/:id/protected_branches/:name", &[&id, main]),
            None,
            rule,
            Mend::Calls(vec![(Call::post("/projects/:id/protected_branches", &[&id]), Some(protect))]),
        ),
    ])
}

fn accounts(stage: &Stage<'_>) -> Vec<Attempt> {
    let (id, user) = (stage.site.id, stage.account.id);
    let member = Call::get("/projects/:id/members/:user_id", &[&id, &user]);
    let values: [&dyn std::fmt::Display; 2] = [&id, &user];
    let end = days_from_now(1).to_string();
    let tokens = "/projects/:id/service_accounts/:user_id/personal_access_tokens";
    let own_end = days_from_now(i64::from(stage.site.desired.agent.days)).to_string();
    vec![
        may_be_missing(attempt(
            "the agent cannot make itself another token",
            Call::post(tokens, &values),
            Some(json!({ "name": stage.branch, "scopes": AGENT_SCOPES, "expires_at": end })),
            Call::get(tokens, &values),
            Mend::Created(end_token),
        )),
        may_be_missing(attempt(
            "the agent cannot make a project access token",
            Call::post("/projects/:id/access_tokens", &[&id]),
            Some(json!({ "name": stage.branch, "scopes": ["read_api"], "access_level": DEVELOPER, "expires_at": end })),
            Call::get("/projects/:id/access_tokens", &[&id]),
            Mend::Created(end_token),
        )),
        attempt(
            "the agent cannot add a member",
            Call::post("/projects/:id/members", &[&id]),
            // Itself, which is one already: were it let through, GitLab would stop at this.
            Some(json!({ "user_id": user, "access_level": DEVELOPER })),
            member.clone(),
            Mend::Nothing,
        ),
        attempt(
            "the agent cannot raise its own role",
            Call::put("/projects/:id/members/:user_id", &values),
            Some(json!({ "access_level": MAINTAINER })),
            member,
            Mend::Calls(vec![(
                Call::put("/projects/:id/members/:user_id", &values),
                Some(json!({ "access_level": DEVELOPER, "expires_at": own_end })),
            )]),
        ),
    ]
}

/// A token is best ended by itself.
fn end_token(stage: &Stage<'_>, made: &Created) -> GitlabResult<Vec<OwnersCall>> {
    if let Some(token) = &made.token {
        let client = stage.agent.with_token(token.clone(), "a token that the agent made");
        client.delete(&Call::delete("/personal_access_tokens/self", &[]))?;
    }
    Ok(Vec::new())
}

/// Project access tokens and service accounts in projects depend on the edition, the version and the instance's settings.
fn may_be_missing(attempt: Attempt) -> Attempt {
    Attempt { optional: true, ..attempt }
}

fn attempt(claim: impl Into<String>, call: Call, body: Option<Value>, control: Call, mend: Mend) -> Attempt {
    Attempt { claim: claim.into(), call, body, control, hidden: false, optional: false, mend }
}
