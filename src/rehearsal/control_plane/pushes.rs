//! What follows when refs have moved, however they were moved: the default branch and its first protection, pipelines, merge
//! requests asked for with push options.

use super::call::Call;
use super::commits::{Change, commit};
use super::git::Identity;
use super::hooks::{Moved, Push};
use super::model::{DEVELOPER, Grant, Grantee, MAINTAINER, ProtectedBranch};
use super::reply::{Refusal, not_found};
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
    _user: u64,
    push: &Push,
) -> Result<(), Refusal> {
    for moved in &push.moved {
        if let (Some(branch), None) = (moved.reference.strip_prefix("refs/heads/"), &moved.old) {
            first_branch(state, settings, project, branch)?;
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
    // Source: https://docs.gitlab.com/user/project/repository/branches/default/#protect-initial-default-branches; level 0 leaves
    // the branch open, 1 lets developers push, 3 lets them merge, 2 and 4 let only maintainers.
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
