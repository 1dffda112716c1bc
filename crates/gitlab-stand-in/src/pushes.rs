//! What follows when refs have moved, however they were moved: the default branch and its first protection, pipelines, merge
//! requests asked for with push options.

use std::time::Instant;

use crate::approvals;
use crate::auth::now;
use crate::call::Call;
use crate::commits::{Change, commit};
use crate::git::Identity;
use crate::hooks::{Moved, Push};
use crate::model::{DEVELOPER, Grant, Grantee, MAINTAINER, MergeRequest, Project, ProtectedBranch};
use crate::pipelines::{self, NewPipeline, Source};
use crate::reply::{Refusal, not_found};
use crate::state::{Settings, State};

/// Commits one file as the caller, as creating a project with a README does.
pub(crate) fn seed(call: &mut Call<'_>, project: u64, branch: &str, path: &str, text: &str) -> Result<(), Refusal> {
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
pub(crate) fn after(
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
        let runs = push.option("ci.skip").is_none();
        if runs {
            let source = Source::Push { before: moved.old.as_deref() };
            let new = NewPipeline { project, user, name, tag: branch.is_none(), sha, source };
            pipelines::make(state, settings, &new)?;
        }
        if let Some(branch) = branch {
            let resets = state.projects.get(&project).is_some_and(|at| approvals::are_reset(state, at));
            if let Some(at) = state.projects.get_mut(&project).filter(|_| resets) {
                reset_approvals(settings, at, branch, moved.old.as_deref(), sha);
            }
            if push.option("merge_request.create").is_some() {
                open_merge_request(state, settings, project, user, branch, push)?;
            }
            if runs {
                pipelines::for_merge_requests(state, settings, project, user, branch)?;
            }
        }
    }
    Ok(())
}

/// GitLab does it in a job that it queues for later, and only if the patch changed: trees are compared here, not patches.
/// Source: `ee/app/workers/merge_request_reset_approvals_worker.rb`, `ee/app/services/ee/merge_requests/refresh_service.rb`.
fn reset_approvals(settings: &Settings, project: &mut Project, branch: &str, old: Option<&str>, new: &str) {
    let tree = |sha: &str| settings.git.run(&project.repository, &["rev-parse", &format!("{sha}^{{tree}}")], b"").ok();
    if old.and_then(tree) == tree(new) {
        return;
    }
    let at = Instant::now() + settings.approvals_reset_after;
    let open = |mr: &&mut MergeRequest| mr.state == "opened" && mr.source_branch == branch;
    project.merge_requests.iter_mut().filter(open).for_each(|mr| mr.end_approvals(at));
}

/// The first branch of a repository becomes the default branch, and is protected by the instance's default.
fn first_branch(state: &mut State, settings: &Settings, project: u64, branch: &str) -> Result<(), Refusal> {
    let id = state.next_id();
    let (push_grant, merge_grant) = (state.next_id(), state.next_id());
    let project = state.projects.get_mut(&project).ok_or_else(|| not_found("Project"))?;
    if settings.git.references(&project.repository, "refs/heads")?.len() != 1 {
        return Ok(());
    }
    project.first_push = Some(Instant::now());
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

/// What the push options `merge_request.*` ask for: a merge request, or another title, description and labels of the one that is
/// open. Labels that a push brings are added to those that are there, and those that it takes off go.
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
    if branch == target || settings.git.branch(&at.repository, &target).is_none() {
        return Ok(());
    }
    let title = push.option("merge_request.title").filter(|title| !title.is_empty()).map(str::to_owned);
    let description = push.option("merge_request.description").map(|text| text.replace("\\n", "\n"));
    let open = |mr: &MergeRequest| mr.state == "opened" && mr.source_branch == branch && mr.target_branch == target;
    if let Some(there) = at.merge_requests.iter().position(open) {
        let there = &mut state.projects.get_mut(&project).ok_or_else(|| not_found("Project"))?.merge_requests[there];
        there.title = title.unwrap_or_else(|| there.title.clone());
        there.description = description.or_else(|| there.description.take());
        label(&mut there.labels, push);
        return Ok(());
    }
    let title = match title {
        Some(title) => title,
        None => match settings.git.branch(&at.repository, branch) {
            Some(sha) => settings.git.commit(&at.repository, &sha)?.title,
            None => branch.to_owned(),
        },
    };
    let mut labels = Vec::new();
    label(&mut labels, push);
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
        labels,
        merge_user: None,
        merge_commit_sha: None,
        squash_commit_sha: None,
        discussions: Vec::new(),
        approved_by: Vec::new(),
        final_sha: None,
        created_at: now(),
        merged_at: None,
    });
    Ok(())
}

/// What `merge_request.label` and `merge_request.unlabel` make of the labels.
fn label(labels: &mut Vec<String>, push: &Push) {
    for new in push.options("merge_request.label") {
        if !labels.iter().any(|label| label == new) {
            labels.push(new.to_owned());
        }
    }
    labels.retain(|label| !push.options("merge_request.unlabel").any(|gone| gone == label));
}
