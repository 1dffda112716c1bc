//! The merge itself: who may, when, and which commits come of it.

use regex_lite::Regex;
use serde_json::Value;

use super::merge_requests::{detailed_status, position, request_json, source_sha};
use crate::access::is_protected;
use crate::auth::{Need, now};
use crate::call::Call;
use crate::git::Identity;
use crate::hooks::{Moved, Push};
use crate::model::REPORTER;
use crate::pushes;
use crate::reply::{Outcome, Refusal, Reply, message, not_found};
use crate::router::Route;

/// The commits that a merge made.
struct Merged {
    head: String,
    merge_commit: Option<String>,
    squash_commit: Option<String>,
}

fn merge(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let at = position(call, id)?;
    let (user, actor, project) = (call.user()?, call.actor(id)?, call.at(id)?);
    let request = &project.merge_requests[at];
    if !actor.may_merge(project, &request.target_branch) {
        return Err(message(401, "401 Unauthorized"));
    }
    let later = call.boolean("auto_merge")?.or(call.boolean("merge_when_pipeline_succeeds")?).unwrap_or(false);
    let source = source_sha(call, project, request).ok_or_else(|| message(405, "405 Method Not Allowed"))?;
    // The pin is looked at before readiness, so that a stale caller hears of it and does not wait for a pipeline.
    if call.text("sha").is_some_and(|sha| sha != source) {
        return Err(message(409, format!("SHA does not match HEAD of source branch: {source}")));
    }
    match detailed_status(call, project, request) {
        "mergeable" => {}
        "ci_still_running" if later => {
            // Accepted, and then left as it is: no pipeline ever ends here by itself.
            return request_json(call, id, request).map(Reply::ok);
        }
        "conflict" => return Err(message(422, "Branch cannot be merged")),
        _ => return Err(message(405, "405 Method Not Allowed")),
    }
    let target = call.settings.git.branch(&project.repository, &request.target_branch);
    let target = target.ok_or_else(|| not_found("Branch"))?;
    let merged = make(call, id, at, user, &source, &target)?;
    let project = call.at(id)?;
    let request = &project.merge_requests[at];
    let reference = format!("refs/heads/{}", request.target_branch);
    let source_branch = request.source_branch.clone();
    let git = &call.settings.git;
    git.update_ref(&project.repository, &reference, Some(&merged.head), Some(&target))?;
    let default_removal = project.settings.get("remove_source_branch_after_merge").is_some_and(|value| value == true);
    let removal =
        call.boolean("should_remove_source_branch")?.unwrap_or(request.remove_source_branch || default_removal);
    if removal && !is_protected(project, &source_branch) && source_branch != project.default_branch {
        let name = format!("refs/heads/{source_branch}");
        git.update_ref(&project.repository, &name, None, Some(&source))?;
    }
    let request = &mut call.at_mut(id)?.merge_requests[at];
    request.state = "merged";
    request.merge_user = Some(user);
    request.merged_at = Some(now());
    request.final_sha = Some(source);
    request.merge_commit_sha = merged.merge_commit;
    request.squash_commit_sha = merged.squash_commit;
    let closes = closed_issues(request.description.as_deref().unwrap_or_default());
    let project = call.at_mut(id)?;
    let by_default = reference.strip_prefix("refs/heads/") == Some(&project.default_branch);
    for issue in
        project.issues.iter_mut().filter(|issue| by_default && closes.iter().any(|iid| issue.value["iid"] == *iid))
    {
        (issue.value["state"], issue.value["closed_at"]) = ("closed".into(), now().into());
    }
    let moved = Moved { reference, old: Some(target), new: Some(merged.head) };
    pushes::after(call.state, call.settings, id, user, &Push { moved: vec![moved], options: Vec::new() })?;
    request_json(call, id, &call.at(id)?.merge_requests[at]).map(Reply::ok)
}

/// The issues that a merge into the default branch closes, by GitLab's `issue_closing_pattern` of `config/initializers/1_settings.rb`.
fn closed_issues(description: &str) -> Vec<u64> {
    let pattern =
        r"\b(?:[Cc]los(?:e[sd]?|ing)|[Ff]ix(?:e[sd]|ing)?|[Rr]esolv(?:e[sd]?|ing)|[Ii]mplement(?:s|ed|ing)?):? +#(\d+)";
    let Ok(pattern) = Regex::new(pattern) else { return Vec::new() };
    pattern.captures_iter(description).filter_map(|found| found[1].parse().ok()).collect()
}

/// Makes the commits the project's merge method and squash setting ask for.
fn make(call: &Call<'_>, id: u64, at: usize, user: u64, source: &str, target: &str) -> Result<Merged, Refusal> {
    let project = call.at(id)?;
    let request = &project.merge_requests[at];
    let person = call.state.users.get(&user).ok_or_else(|| not_found("User"))?;
    let who = Identity { name: &person.name, email: &person.email };
    let (git, repository) = (&call.settings.git, &project.repository);
    let setting = |name: &str| project.settings.get(name).and_then(Value::as_str).unwrap_or_default();
    let squash = match setting("squash_option") {
        "always" => true,
        "never" => false,
        _ => call.boolean("squash")?.unwrap_or(request.squash),
    };
    let tree = git.merge_tree(repository, target, source).ok_or_else(|| message(422, "Branch cannot be merged"))?;
    let (mut tip, mut squash_commit) = (source.to_owned(), None);
    if squash {
        let text = call.text("squash_commit_message").unwrap_or_else(|| {
            let template = setting("squash_commit_template");
            let reference = format!("{}!{}", call.state.project_path(project), request.iid);
            let text = if template.is_empty() { "%{title}" } else { template }
                .replace("%{reference}", &reference)
                .replace("%{title}", &request.title)
                .replace("%{description}", request.description.as_deref().unwrap_or_default());
            text.trim_end().to_owned()
        });
        let base = if setting("merge_method") == "merge" {
            // GitLab squashes onto the merge base and then merges; the tree there is the source's own.
            let output = git.run(repository, &["merge-base", target, source], b"")?;
            String::from_utf8_lossy(&output).trim_end().to_owned()
        } else {
            target.to_owned()
        };
        let own_tree = format!("{source}^{{tree}}");
        let own_tree =
            String::from_utf8_lossy(&git.run(repository, &["rev-parse", &own_tree], b"")?).trim_end().to_owned();
        tip = git.commit_tree(repository, &own_tree, &[&base], &text, &who)?;
        squash_commit = Some(tip.clone());
    }
    if setting("merge_method") == "ff" {
        return Ok(Merged { head: tip, merge_commit: None, squash_commit });
    }
    let text = call.text("merge_commit_message").unwrap_or_else(|| {
        format!("Merge branch '{}' into '{}'\n\n{}\n", request.source_branch, request.target_branch, request.title)
    });
    let head = git.commit_tree(repository, &tree, &[target, &tip], &text, &who)?;
    Ok(Merged { merge_commit: Some(head.clone()), head, squash_commit })
}

const MERGE: &[&str] = &[
    "merge_commit_message",
    "squash_commit_message",
    "should_remove_source_branch",
    "auto_merge",
    "merge_when_pipeline_succeeds",
    "sha",
    "squash",
];

pub(super) const ROUTES: &[Route] =
    &[Route::new("PUT", "/projects/:id/merge_requests/:merge_request_iid/merge", Need::Write, MERGE, merge)];
