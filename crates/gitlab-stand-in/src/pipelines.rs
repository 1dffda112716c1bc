//! Making pipelines: what they are made for, which jobs they get, which environments they bring.

use crate::access::{is_protected, matches};
use crate::auth::now;
use crate::ci::{self, Occasion};
use crate::model::{Environment, Job, Pipeline, Project, Run, Variables};
use crate::reply::{Refusal, not_found};
use crate::running::advance;
use crate::state::{Settings, State};

/// What a pipeline is made for.
pub(crate) struct NewPipeline<'a> {
    pub(crate) project: u64,
    pub(crate) user: u64,
    /// The branch's or tag's short name; of a merge request its source branch.
    pub(crate) name: &'a str,
    pub(crate) tag: bool,
    pub(crate) sha: &'a str,
    pub(crate) source: Source<'a>,
}

/// What brought a pipeline about.
pub(crate) enum Source<'a> {
    /// A push; with the commit the ref was at before.
    Push { before: Option<&'a str> },
    /// A call of the API, with its variables.
    Api { variables: Variables },
    /// A merge request of this number into this branch.
    MergeRequest { iid: u64, target: &'a str },
}

/// What came of it.
pub(crate) enum PipelineResult {
    /// The pipeline of this id.
    Pipeline(u64),
    /// Nothing: the commit has no configuration.
    NoConfiguration,
    /// Nothing: the rules leave no job.
    NoJobs,
    /// Nothing, or after a push a failed pipeline: what is wrong with the configuration.
    Invalid(Vec<String>),
}

impl Source<'_> {
    /// `CI_PIPELINE_SOURCE`.
    fn name(&self) -> &'static str {
        match self {
            Self::Push { .. } => "push",
            Self::Api { .. } => "api",
            Self::MergeRequest { .. } => "merge_request_event",
        }
    }
}

/// Makes the pipeline that a configuration asks for on this occasion.
pub(crate) fn make(state: &mut State, settings: &Settings, new: &NewPipeline<'_>) -> Result<PipelineResult, Refusal> {
    let project = state.projects.get(&new.project).ok_or_else(|| not_found("Project"))?;
    let path = state.project_path(project);
    let configured = project.settings.get("ci_config_path").and_then(|path| path.as_str()).unwrap_or(".gitlab-ci.yml");
    let Some(text) = settings.git.blob(&project.repository, new.sha, configured) else {
        return Ok(PipelineResult::NoConfiguration);
    };
    let source = ci::Source {
        git: &settings.git,
        repository: &project.repository,
        sha: Some(new.sha),
        project: &path,
        access: ci::access(settings),
    };
    let config = ci::read(&source, &String::from_utf8_lossy(&text));
    if let Some(why) = unverified(settings, project).filter(|_| config.errors.is_empty()) {
        if matches!(new.source, Source::Push { .. }) {
            let id = record(state, new, Vec::new(), None, (false, Variables::new()))?;
            if let Some(at) = state.projects.get_mut(&new.project)
                && let Some(made) = at.pipelines.iter_mut().find(|made| made.id == id)
            {
                "failed".clone_into(&mut made.status);
            }
        }
        return Ok(PipelineResult::Invalid(vec![why.to_owned()]));
    }
    let protected = protected(project, new);
    let occasion = occasion(settings, project, &path, &config, new, protected)?;
    let repository = project.repository.clone();
    match config.select(&occasion) {
        Ok(jobs) if jobs.is_empty() => Ok(PipelineResult::NoJobs),
        Ok(jobs) => {
            for job in &jobs {
                if let Some(name) = &job.environment {
                    ensure_environment(state, new.project, name, job.tier.as_deref());
                }
            }
            let id = record(state, new, jobs, None, (protected, occasion.variables))?;
            // What a runner fetches.
            settings.git.run(&repository, &["update-ref", &format!("refs/pipelines/{id}"), new.sha], b"")?;
            Ok(PipelineResult::Pipeline(id))
        }
        Err(errors) => {
            if matches!(new.source, Source::Push { .. }) {
                record(state, new, Vec::new(), Some(errors.join("; ")), (protected, Variables::new()))?;
            }
            Ok(PipelineResult::Invalid(errors))
        }
    }
}

/// Why an account that is not verified gets no pipeline, which does not show it itself. Sources:
/// `ee/lib/ee/gitlab/ci/pipeline/chain/validate/after_config.rb`, `ee/spec/services/users/identity_verification/authorize_ci_spec.rb`.
pub(crate) fn unverified(settings: &Settings, project: &Project) -> Option<&'static str> {
    let shares = project.settings.get("shared_runners_enabled").is_none_or(|on| on == true);
    (!settings.verified && shares).then_some("Identity verification is required in order to run CI jobs")
}

/// Whether its jobs get protected variables and runners.
fn protected(project: &Project, new: &NewPipeline<'_>) -> bool {
    match &new.source {
        Source::MergeRequest { .. } => false,
        _ if new.tag => project.protected_tags.iter().any(|rule| matches(&rule.name, new.name)),
        _ => is_protected(project, new.name),
    }
}

/// The variables and files that rules look at.
fn occasion(
    settings: &Settings,
    project: &Project,
    path: &str,
    config: &ci::Config,
    new: &NewPipeline<'_>,
    protected: bool,
) -> Result<Occasion, Refusal> {
    let (git, repository) = (&settings.git, &project.repository);
    let mut variables = config.variables();
    for variable in project.variables.iter().filter(|v| v.environment_scope == "*" && (protected || !v.protected)) {
        variables.insert(variable.key.clone(), variable.value.clone());
    }
    let mut set = |name: &str, value: &str| drop(variables.insert(name.to_owned(), value.to_owned()));
    set("CI", "true");
    set("GITLAB_CI", "true");
    set("CI_PIPELINE_SOURCE", new.source.name());
    set("CI_COMMIT_SHA", new.sha);
    set("CI_COMMIT_REF_NAME", new.name);
    set("CI_COMMIT_REF_PROTECTED", if protected { "true" } else { "false" });
    set("CI_DEFAULT_BRANCH", &project.default_branch);
    set("CI_PROJECT_PATH", path);
    let commit = git.commit(repository, new.sha)?;
    set("CI_COMMIT_TITLE", &commit.title);
    set("CI_COMMIT_MESSAGE", &commit.message);
    match &new.source {
        Source::MergeRequest { iid, target } => {
            set("CI_MERGE_REQUEST_IID", &iid.to_string());
            set("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", new.name);
            set("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", target);
        }
        _ if new.tag => set("CI_COMMIT_TAG", new.name),
        _ => set("CI_COMMIT_BRANCH", new.name),
    }
    if let Source::Api { variables: sent } = &new.source {
        variables.extend(sent.clone());
    }
    let names = |range: &str| -> Result<Vec<String>, Refusal> {
        let output = git.run(repository, &["diff", "--name-only", "-z", range], b"")?;
        Ok(String::from_utf8_lossy(&output).split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    };
    let changed = match &new.source {
        Source::Push { before: Some(before) } if !new.tag => Some(names(&format!("{before}..{}", new.sha))?),
        Source::MergeRequest { target, .. } => Some(names(&format!("refs/heads/{target}...{}", new.sha))?),
        _ => None,
    };
    let files = git.files(repository, new.sha)?.into_keys().collect();
    Ok(Occasion { variables, changed, files })
}

/// Keeps a pipeline: pending, or failed when its configuration is.
fn record(
    state: &mut State,
    new: &NewPipeline<'_>,
    jobs: Vec<ci::PlannedJob>,
    yaml_errors: Option<String>,
    (protected, variables): (bool, Variables),
) -> Result<u64, Refusal> {
    let id = state.next_id();
    let jobs = jobs.into_iter().map(|job| Job {
        id: state.next_id(),
        status: "created".to_owned(),
        tags: job.tags(),
        needs: job.needs(),
        allowed_codes: job.allowed_codes(),
        name: job.name,
        stage: job.stage,
        manual: job.manual,
        after: job.after,
        allow_failure: job.allow_failure,
        started_by: None,
        definition: job.definition,
        run: Run::default(),
    });
    let jobs = jobs.collect();
    let project = state.projects.get_mut(&new.project).ok_or_else(|| not_found("Project"))?;
    let reference = match &new.source {
        Source::MergeRequest { iid, .. } => format!("refs/merge-requests/{iid}/head"),
        _ => new.name.to_owned(),
    };
    let mut pipeline = Pipeline {
        id,
        iid: project.pipelines.last().map_or(1, |pipeline| pipeline.iid + 1),
        reference,
        tag: new.tag,
        sha: new.sha.to_owned(),
        source: new.source.name(),
        status: if yaml_errors.is_some() { "failed" } else { "pending" }.to_owned(),
        user: new.user,
        jobs,
        yaml_errors,
        created_at: now(),
        protected,
        variables,
    };
    advance(&mut pipeline);
    project.pipelines.push(pipeline);
    Ok(id)
}

/// Makes the environment a job names, as GitLab does when the pipeline is made. A name with variables in it is left alone.
fn ensure_environment(state: &mut State, project: u64, name: &str, tier: Option<&str>) {
    let id = state.next_id();
    let Some(project) = state.projects.get_mut(&project) else { return };
    if name.contains('$') || project.environments.iter().any(|environment| environment.name == name) {
        return;
    }
    project.environments.push(Environment {
        id,
        name: name.to_owned(),
        external_url: None,
        tier: tier.unwrap_or_else(|| tier_of(name)).to_owned(),
        state: "available",
        description: None,
        auto_stop_setting: "always".to_owned(),
        created_at: now(),
    });
}

/// The tier GitLab reads off a name. Source: <https://docs.gitlab.com/ci/environments/#deployment-tier-of-environments>.
pub(crate) fn tier_of(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["dev", "review", "trunk"]) {
        "development"
    } else if has(&["test", "tst", "int", "accept", "acpt", "qa", "qc", "control", "quality"]) {
        "testing"
    } else if has(&["stag", "stg", "modl", "model", "pre", "demo", "non"]) {
        "staging"
    } else if has(&["prod", "prd", "live"]) {
        "production"
    } else {
        "other"
    }
}

/// Makes the pipelines of the open merge requests that come from a branch.
pub(crate) fn for_merge_requests(
    state: &mut State,
    settings: &Settings,
    project: u64,
    user: u64,
    branch: &str,
) -> Result<(), Refusal> {
    let at = state.projects.get(&project).ok_or_else(|| not_found("Project"))?;
    let Some(sha) = settings.git.branch(&at.repository, branch) else { return Ok(()) };
    let open: Vec<_> = at
        .merge_requests
        .iter()
        .filter(|request| request.state == "opened" && request.source_branch == branch)
        .map(|request| (request.iid, request.target_branch.clone()))
        .collect();
    for (iid, target) in open {
        let source = Source::MergeRequest { iid, target: &target };
        make(state, settings, &NewPipeline { project, user, name: branch, tag: false, sha: &sha, source })?;
    }
    Ok(())
}
