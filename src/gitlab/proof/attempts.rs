//! The attempts by API: each with what it is about, which the owner must see, with the owner's twin of it, and with how to take it
//! back.

use serde::Deserialize;
use serde_json::{Value, json};

use super::stage::{Person, Stage};
use super::verdict::proof;
use crate::gitlab::client::Created;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::identity::Identity;
use crate::gitlab::preflight::days_from_now;
use crate::gitlab::resources::{agent_token, membership};
use crate::gitlab::roles::{DEVELOPER, MAINTAINER, NO_ONE};
use crate::plan::Proof;

/// One forbidden call.
pub(super) struct Attempt {
    pub(super) claim: String,
    pub(super) call: Call,
    pub(super) body: Option<Value>,
    /// What the owner reads first, to see that the attempt is about something that is there.
    pub(super) control: Call,
    /// Whether 404 is how GitLab refuses it.
    pub(super) hidden: bool,
    /// Whether some GitLab has no such thing: an edition, a version, an instance's setting.
    pub(super) optional: bool,
    /// The same call by the owner, who may, changed so that it does nothing; none where the control is that call.
    pub(super) twin: Option<OwnersCall>,
    /// Calls of the owner that take it back.
    pub(super) mend: Mend,
}

pub(super) const SCHEDULES: &str = "/projects/:id/pipeline_schedules";
pub(super) const SCHEDULE: &str = "/projects/:id/pipeline_schedules/:pipeline_schedule_id";

/// A call with its body.
pub(super) type OwnersCall = (Call, Option<Value>);

/// How what succeeded is taken back.
pub(super) enum Mend {
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

/// Those whose success changes least come first, the agent's own role last: raising it would let later ones through.
pub(super) fn attempts(stage: &mut Stage<'_>, person: &Person, proofs: &mut Vec<Proof>) -> GitlabResult<Vec<Attempt>> {
    let mut all = reading(stage)?;
    all.extend(repository(stage, person, proofs)?);
    all.extend(pipelines(stage)?);
    all.extend(project(stage)?);
    all.extend(accounts(stage, person));
    for attempt in &mut all {
        attempt.claim = person.claim(&attempt.claim);
    }
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
            ..attempt("the agent cannot read the owner's token", token.clone(), None, token, Mend::Nothing)
        },
    ])
}

fn repository(stage: &Stage<'_>, person: &Person, proofs: &mut Vec<Proof>) -> GitlabResult<Vec<Attempt>> {
    let (id, main) = (stage.site.id, &stage.site.desired.branch);
    // Were it let through, there would be no such file to delete.
    let commit = json!({
        "branch": main,
        "commit_message": "Try what is forbidden [skip ci]",
        "actions": [{ "action": "delete", "file_path": stage.branch }],
    });
    let branch = Call::get("/projects/:id/repository/branches/:branch", &[&id, main]);
    let commits = Call::post("/projects/:id/repository/commits", &[&id]);
    // Nobody may commit to main, so the owner tries it on the proof's branch.
    let mut elsewhere = commit.clone();
    elsewhere["branch"] = stage.branch.as_str().into();
    let claim = format!("the agent cannot commit to {main} by API");
    let mut all =
        vec![attempt(claim, commits.clone(), Some(commit), branch, Mend::Nothing).twin(commits, Some(elsewhere))];
    let claim = format!("the agent cannot merge into {main}");
    match stage.merge_request()? {
        Some(request) => all.push(
            attempt(
                claim,
                Call::put("/projects/:id/merge_requests/:merge_request_iid/merge", &[&id, &request.iid]),
                // Not the request's own commit: were the agent let through, GitLab would stop at this.
                Some(json!({ "sha": stage.tip })),
                Call::get("/projects/:id/merge_requests/:merge_request_iid", &[&id, &request.iid]),
                Mend::Nothing,
            )
            .same_twin(),
        ),
        None => proofs.push(proof(&person.claim(&claim), false, "there is no merge request by the agent to test with")),
    }
    Ok(all)
}

fn pipelines(stage: &mut Stage<'_>) -> GitlabResult<Vec<Attempt>> {
    let (id, main) = (stage.site.id, stage.site.desired.branch.clone());
    let mut all = vec![
        attempt(
            format!("the agent cannot start a pipeline on {main}"),
            Call::post("/projects/:id/pipeline", &[&id]),
            Some(json!({ "ref": main })),
            Call::get("/projects/:id/repository/branches/:branch", &[&id, &main]),
            cancel(),
        )
        .twin(Call::post("/projects/:id/pipeline", &[&id]), Some(json!({ "ref": format!("{}-none", stage.branch) }))),
    ];
    let schedules = Call::get(SCHEDULES, &[&id]);
    let schedule = json!({
        "description": stage.branch,
        "ref": format!("refs/heads/{main}"),
        "cron": "0 0 1 1 *",
        "active": false,
    });
    // It is removed with what else the proof makes. Without it the control finds none.
    let owners = match stage.site.owner.attempt(&Call::post(SCHEDULES, &[&id]), Some(&schedule)) {
        Err(error) if error.is_foreign() => 0,
        answer => answer?.made.id.unwrap_or_default(),
    };
    let one: [&dyn std::fmt::Display; 2] = [&id, &owners];
    let same = json!({ "description": stage.branch });
    let (change, control) = (Call::put(SCHEDULE, &one), Call::get(SCHEDULE, &one));
    all.push(
        attempt("the agent cannot change a schedule of yours", change, Some(same), control, Mend::Nothing).same_twin(),
    );
    let mut never = schedule.clone();
    never["cron"] = "never".into();
    let scheduling = attempt(
        format!("the agent cannot schedule pipelines on {main}"),
        Call::post(SCHEDULES, &[&id]),
        Some(schedule),
        schedules,
        Mend::Created(|stage, made| {
            let made = made.id.unwrap_or_default();
            let values: [&dyn std::fmt::Display; 2] = [&stage.site.id, &made];
            Ok(vec![(Call::delete(SCHEDULE, &values), None)])
        }),
    );
    all.push(scheduling.twin(Call::post(SCHEDULES, &[&id]), Some(never)));
    match production_job(stage)? {
        Some(job) => {
            let cancel = Call::post("/projects/:id/jobs/:job_id/cancel", &[&id, &job.id]);
            let starting = attempt(
                format!("the agent cannot start the job {} of {main}", crate::dialog::plain(&job.name)),
                Call::post("/projects/:id/jobs/:job_id/play", &[&id, &job.id]),
                None,
                Call::get("/projects/:id/jobs/:job_id", &[&id, &job.id]),
                Mend::Calls(vec![(cancel, None)]),
            );
            all.push(starting.twin(Call::post("/projects/:id/jobs/:job_id/play", &[&id, &0]), None));
        }
        None => stage.note(format!("not tried, since {main} has no pipeline yet: starting its manual jobs")),
    }
    Ok(all)
}

/// By canceling the pipeline that was started.
pub(super) fn cancel() -> Mend {
    Mend::Created(|stage, made| {
        let made = made.id.unwrap_or_default();
        let values: [&dyn std::fmt::Display; 2] = [&stage.site.id, &made];
        Ok(vec![(Call::post("/projects/:id/pipelines/:pipeline_id/cancel", &values), None)])
    })
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
    let mut untagged = runner.clone();
    untagged["tag_list"] = json!([]);
    let keys = Call::get("/projects/:id/deploy_keys", &[&id]);
    Ok(vec![
        attempt(
            "the agent cannot change the project's settings",
            Call::put("/projects/:id", &[&id]),
            Some(json!({ "description": own.description.unwrap_or_default() })),
            path,
            Mend::Nothing,
        )
        .same_twin(),
        attempt(
            "the agent cannot change the job token allowlist",
            Call::patch("/projects/:id/job_token_scope", &[&id]),
            Some(json!({ "enabled": true })),
            scope,
            Mend::Nothing,
        )
        .same_twin(),
        attempt(
            "the agent cannot add a deploy key",
            Call::post("/projects/:id/deploy_keys", &[&id]),
            // No key at all: were the agent let through, GitLab would stop at this.
            Some(json!({ "title": stage.branch, "key": "ssh-ed25519 none", "can_push": true })),
            keys,
            Mend::Nothing,
        )
        .same_twin(),
        attempt(
            "the agent cannot register a runner",
            Call::post("/user/runners", &[]),
            Some(runner),
            Call::get("/projects/:id/runners", &[&id]),
            Mend::Created(|_, made| Ok(vec![(Call::delete("/runners/:id", &[&made.id.unwrap_or_default()]), None)])),
        )
        .twin(Call::post("/user/runners", &[]), Some(untagged)),
        attempt(
            format!("the agent cannot unprotect {main}"),
            Call::delete("/projects/:id/protected_branches/:name", &[&id, main]),
            None,
            rule,
            Mend::Calls(vec![(Call::post("/projects/:id/protected_branches", &[&id]), Some(protect))]),
        )
        .twin(Call::delete("/projects/:id/protected_branches/:name", &[&id, &stage.branch]), None),
    ])
}

fn accounts(stage: &Stage<'_>, person: &Person) -> Vec<Attempt> {
    let (id, user) = (stage.site.id, person.account.id);
    let member = Call::get("/projects/:id/members/:user_id", &[&id, &user]);
    let values: [&dyn std::fmt::Display; 2] = [&id, &user];
    let change = Call::put("/projects/:id/members/:user_id", &values);
    let mut before = json!({ "access_level": person.level });
    // The membership of the agent ends, and no other.
    if person.level == DEVELOPER {
        before["expires_at"] = membership::end(&stage.site.desired.agent).to_string().into();
    }
    // Itself, which is a member already: were it let through, GitLab would stop at this.
    let itself = json!({ "user_id": user, "access_level": person.level });
    let mut all = new_tokens(stage, person);
    all.extend([
        attempt(
            "the agent cannot add a member",
            Call::post("/projects/:id/members", &[&id]),
            Some(itself),
            member.clone(),
            Mend::Nothing,
        )
        .same_twin(),
        attempt(
            "the agent cannot raise its own role",
            change.clone(),
            Some(json!({ "access_level": MAINTAINER })),
            member,
            Mend::Calls(vec![(change.clone(), Some(before))]),
        )
        // There is no such level.
        .twin(change, Some(json!({ "access_level": 1 }))),
    ]);
    all
}

/// Tokens of its own account and of the project.
fn new_tokens(stage: &Stage<'_>, person: &Person) -> Vec<Attempt> {
    let id = stage.site.id;
    let body = |scopes: &[&str], days: i64| json!({ "name": stage.branch, "scopes": scopes, "expires_at": days_from_now(days).to_string() });
    let of_project = |days: i64| {
        let mut body = body(&["read_api"], days);
        body["access_level"] = DEVELOPER.into();
        Some(body)
    };
    let project = Call::post("/projects/:id/access_tokens", &[&id]);
    let listed = Call::get("/projects/:id/access_tokens", &[&id]);
    let claim = "the agent cannot create a project access token";
    let mut all = vec![
        may_be_missing(attempt(claim, project.clone(), of_project(1), listed, Mend::Created(end_token)))
            .twin(project, of_project(-1)),
    ];
    // Tokens of users are made by administrators alone, so that the owner would be refused like the agent. And a token with the scope api, as
    // the desk's, rotates itself.
    if person.home != Identity::Given && person.level >= DEVELOPER {
        let mint = agent_token::minting_of(stage.site, &person.home, &person.account);
        let known = Call::get("/users/:id", &[&person.account.id]);
        let claim = "the agent cannot create another token for itself";
        let made = Mend::Created(end_token);
        let another = attempt(claim, mint.clone(), Some(body(person.scopes, 1)), known, made);
        // It sees no group that it is no member of.
        let hidden = matches!(person.home, Identity::Group(_));
        let another = Attempt { hidden, ..another };
        all.insert(0, another.twin(mint, Some(body(person.scopes, -1))));
    }
    all
}

/// A token is best ended by itself.
fn end_token(stage: &Stage<'_>, made: &Created) -> GitlabResult<Vec<OwnersCall>> {
    if let Some(token) = &made.token {
        let client = stage.site.owner.with_token(token.clone(), "a token that the agent created");
        client.delete(&Call::delete("/personal_access_tokens/self", &[]))?;
    }
    Ok(Vec::new())
}

/// Project access tokens depend on the edition, the version and the instance's settings.
fn may_be_missing(attempt: Attempt) -> Attempt {
    Attempt { optional: true, ..attempt }
}

pub(super) fn attempt(claim: impl Into<String>, call: Call, body: Option<Value>, control: Call, mend: Mend) -> Attempt {
    Attempt { claim: claim.into(), call, body, control, hidden: false, optional: false, twin: None, mend }
}

impl Attempt {
    /// With this call as the owner's twin.
    pub(super) fn twin(self, call: Call, body: Option<Value>) -> Self {
        Self { twin: Some((call, body)), ..self }
    }

    /// With the call itself as the owner's twin, since it changes nothing whoever makes it.
    pub(super) fn same_twin(self) -> Self {
        let twin = Some((self.call.clone(), self.body.clone()));
        Self { twin, ..self }
    }
}
