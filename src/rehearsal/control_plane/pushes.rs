//! What follows when refs have moved, however they were moved: the default branch and its first protection, pipelines, merge
//! requests asked for with push options.

use super::auth::now;
use super::call::Call;
use super::ci;
use super::commits::{Change, commit};
use super::git::Identity;
use super::hooks::{Moved, Push};
use super::model::{DEVELOPER, Environment, Grant, Grantee, Job, MAINTAINER, MergeRequest, Pipeline, ProtectedBranch};
use super::reply::{Refusal, not_found};
use super::routes::tier_of;
use super::state::{Settings, State};

/// Commits one file as the caller, as creating a project with a README does.
pub(super) fn seed(call: &mut Call<'_>, project: u64, branch: &str, path: &str, text: &str) -> Result<(), Refusal> {
    let user = call.user()?;
    let author = call.state.users.get(&user).ok_or_else(|| not_found("User"))?;
    let who = Identity { name: &author.name, email: &author.email };
    let change = Change::Write { path: path.to_owned(), bytes: text.as_bytes().to_vec(), executable: false };
    let repository = &call.at(project)?.repository;
    let sha = commit(&call.settings.git, repository, branch, None, "Initial commit", &who, &[change])?;
    let moved = Moved { reference: format!("refs/heads/{branch}"), old: None, new: Some(sha) };
    after(call.state, call.settings, project, user, &Push { moved: vec![moved], options: Vec::new() })
}

/// Acts on a push.
pub(super) fn after(
    state: &mut State,
    settings: &Settings,
    project: u64,
    user: u64,
    push: &Push,
) -> Result<(), Refusal> {
    for moved in &push.moved {
        let branch = moved.reference.strip_prefix("refs/heads/");
        if let (Some(branch), None) = (branch, &moved.old) {
            first_branch(state, settings, project, branch)?;
        }
        let Some(sha) = &moved.new else { continue };
        let name = branch.or_else(|| moved.reference.strip_prefix("refs/tags/")).unwrap_or(&moved.reference);
        if push.option("ci.skip").is_none() {
            start_pipeline(
                state,
                settings,
                &NewPipeline { project, user, name, tag: branch.is_none(), sha, source: "push" },
            )?;
        }
        if let Some(branch) = branch
            && push.option("merge_request.create").is_some()
        {
            open_merge_request(state, settings, project, user, branch, push)?;
        }
    }
    Ok(())
}

/// The first branch of a repository becomes the default branch, and is protected by the instance's default.
fn first_branch(state: &mut State, settings: &Settings, project: u64, branch: &str) -> Result<(), Refusal> {
    let id = state.next_id();
    let (push_grant, merge_grant) = (state.next_id(), state.next_id());
    let project = state.projects.get_mut(&project).ok_or_else(|| not_found("Project"))?;
    if settings.git.references(&project.repository, "refs/heads")?.len() != 1 {
        return Ok(());
    }
    if project.default_branch != branch {
        settings.git.run(&project.repository, &["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")], b"")?;
        branch.clone_into(&mut project.default_branch);
    }
    // Source: https://docs.gitlab.com/api/groups/#options-for-default_branch_protection; 0 leaves the branch open, 1 lets
    // developers push, 3 lets them merge, 2 and 4 let only maintainers.
    let (push, merge) = match settings.default_branch_protection {
        0 => return Ok(()),
        1 => (DEVELOPER, MAINTAINER),
        3 => (MAINTAINER, DEVELOPER),
        _ => (MAINTAINER, MAINTAINER),
    };
    if !project.protected_branches.iter().any(|rule| rule.name == branch) {
        project.protected_branches.push(ProtectedBranch {
            id,
            name: branch.to_owned(),
            push: vec![Grant { id: push_grant, who: Grantee::Level(push) }],
            merge: vec![Grant { id: merge_grant, who: Grantee::Level(merge) }],
            unprotect: Vec::new(),
            allow_force_push: false,
            code_owner_approval_required: false,
        });
    }
    Ok(())
}

/// What a pipeline is to be made for.
pub(super) struct NewPipeline<'a> {
    pub(super) project: u64,
    pub(super) user: u64,
    /// The branch's or tag's short name.
    pub(super) name: &'a str,
    pub(super) tag: bool,
    pub(super) sha: &'a str,
    pub(super) source: &'static str,
}

/// Records a pipeline for a commit that has a configuration; returns its id. No job of it will ever run.
pub(super) fn start_pipeline(
    state: &mut State,
    settings: &Settings,
    new: &NewPipeline<'_>,
) -> Result<Option<u64>, Refusal> {
    let project = state.projects.get(&new.project).ok_or_else(|| not_found("Project"))?;
    let path = state.project_path(project);
    let configured = project.settings.get("ci_config_path").and_then(|path| path.as_str()).unwrap_or(".gitlab-ci.yml");
    let Some(bytes) = settings.git.blob(&project.repository, new.sha, configured) else { return Ok(None) };
    let source = ci::Source { git: &settings.git, repository: &project.repository, sha: Some(new.sha), project: &path };
    let config = ci::read(&source, &String::from_utf8_lossy(&bytes));
    let iid = project.pipelines.last().map_or(1, |pipeline| pipeline.iid + 1);
    let id = state.next_id();
    let environments: Vec<_> =
        config.jobs.iter().filter_map(|job| Some((job.environment.clone()?, job.tier.clone()))).collect();
    let first_stage = config.jobs.first().map(|job| job.stage.clone()).unwrap_or_default();
    let jobs: Vec<_> = config
        .jobs
        .into_iter()
        .map(|job| Job {
            id: state.next_id(),
            status: if job.stage != first_stage {
                "created"
            } else if job.manual {
                "manual"
            } else {
                "pending"
            }
            .to_owned(),
            name: job.name,
            stage: job.stage,
            manual: job.manual,
            allow_failure: job.allow_failure,
            started_by: None,
        })
        .collect();
    let yaml_errors = (!config.errors.is_empty()).then(|| config.errors.join("; "));
    let pipeline = Pipeline {
        id,
        iid,
        reference: new.name.to_owned(),
        tag: new.tag,
        sha: new.sha.to_owned(),
        source: new.source,
        status: if yaml_errors.is_some() { "failed" } else { "pending" }.to_owned(),
        user: new.user,
        jobs,
        yaml_errors,
        created_at: now(),
    };
    let project = state.projects.get_mut(&new.project).ok_or_else(|| not_found("Project"))?;
    project.pipelines.push(pipeline);
    for (name, tier) in environments {
        ensure_environment(state, new.project, &name, tier);
    }
    Ok(Some(id))
}

/// Makes the environment a job names, as GitLab does when the pipeline is made. A name with variables in it is left alone.
fn ensure_environment(state: &mut State, project: u64, name: &str, tier: Option<String>) {
    let id = state.next_id();
    let Some(project) = state.projects.get_mut(&project) else { return };
    if name.contains('$') || project.environments.iter().any(|environment| environment.name == name) {
        return;
    }
    project.environments.push(Environment {
        id,
        name: name.to_owned(),
        external_url: None,
        tier: tier.unwrap_or_else(|| tier_of(name).to_owned()),
        state: "available",
        description: None,
        auto_stop_setting: "always".to_owned(),
        created_at: now(),
    });
}

/// What the push options `merge_request.*` ask for.
/// Source: <https://docs.gitlab.com/topics/git/commit/#push-options-for-merge-requests>.
fn open_merge_request(
    state: &mut State,
    settings: &Settings,
    project: u64,
    user: u64,
    branch: &str,
    push: &Push,
) -> Result<(), Refusal> {
    let at = state.projects.get(&project).ok_or_else(|| not_found("Project"))?;
    let target = push.option("merge_request.target").filter(|t| !t.is_empty()).unwrap_or(&at.default_branch).to_owned();
    let open = |mr: &MergeRequest| mr.state == "opened" && mr.source_branch == branch && mr.target_branch == target;
    if branch == target || settings.git.branch(&at.repository, &target).is_none() || at.merge_requests.iter().any(open)
    {
        return Ok(());
    }
    let title = match push.option("merge_request.title").filter(|title| !title.is_empty()) {
        Some(title) => title.to_owned(),
        None => match settings.git.branch(&at.repository, branch) {
            Some(sha) => settings.git.commit(&at.repository, &sha)?.title,
            None => branch.to_owned(),
        },
    };
    let description = push.option("merge_request.description").map(|text| text.replace("\\n", "\n"));
    let squash = at.settings.get("squash_option").is_some_and(|option| option == "always" || option == "default_on");
    let iid = at.merge_requests.last().map_or(1, |mr| mr.iid + 1);
    let id = state.next_id();
    let at = state.projects.get_mut(&project).ok_or_else(|| not_found("Project"))?;
    at.merge_requests.push(MergeRequest {
        id,
        iid,
        title,
        description,
        source_branch: branch.to_owned(),
        target_branch: target,
        author: user,
        state: "opened",
        squash,
        remove_source_branch: push.option("merge_request.remove_source_branch").is_some(),
        labels: Vec::new(),
        merge_user: None,
        merge_commit_sha: None,
        squash_commit_sha: None,
        final_sha: None,
        created_at: now(),
        merged_at: None,
    });
    Ok(())
}
