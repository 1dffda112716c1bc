//! What only a license enforces: approvals, code owners, production's environment and the push rule.
//!
//! The merge request for it changes the pipeline's file, and its commit names the owner as committer: the agent writes that name,
//! and it must not leave the owner's rule without approvers.

use std::fmt::Display;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::attempts::{Attempt, Mend, attempt};
use super::calls::try_as;
use super::stage::{MergeRequest, PIPELINE, Person, Stage};
use super::verdict::proof;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::resources::approval_rule;
use crate::plan::Proof;

const REQUESTS: &str = "/projects/:id/merge_requests";
const STATE: &str = "/projects/:id/merge_requests/:merge_request_iid/approval_state";
const APPROVE: &str = "/projects/:id/merge_requests/:merge_request_iid/approve";
const UNDO: &str = "/projects/:id/merge_requests/:merge_request_iid/unapprove";
/// How long to look for what GitLab does a moment after it has answered.
const SOON: Duration = Duration::from_secs(3);
/// A job finds the code owners of a merge request. Source: `ee/app/workers/merge_requests/sync_code_owner_approval_rules_worker.rb`.
const FINDS_OWNERS: Duration = Duration::from_secs(20);
/// A job that GitLab starts 10 seconds after a push removes approvals. Source: `ee/app/workers/merge_request_reset_approvals_worker.rb`.
const RESETS: Duration = Duration::from_secs(45);
/// How long to wait between two looks, at most.
const BETWEEN: Duration = Duration::from_secs(1);
const CODE_OWNER: &str = "code_owner";
/// An older control repo has no such file, and an email may be no one's.
const NO_CODE_OWNER: &str = "; .gitlab/CODEOWNERS of the default branch must name your account for .gitlab-ci.yml (`factoryup upgrade` adds the file)";
const ANY: &str = "any_approver";
/// With it GitLab refuses an approval by token alone with 401.
const REAUTHENTICATE: &str = "require_reauthentication_to_approve";
const RESET: &str = "reset_approvals_on_push";
/// GitLab's words for a file that the push rule refuses. Source: `ee/lib/ee/gitlab/checks/push_rules/file_size_check.rb` and its siblings.
const NAMED_LIKE_A_KEY: &str = "was prohibited by the pattern";

#[derive(Deserialize)]
struct Approvals {
    rules: Vec<Rule>,
}

/// A rule, as it holds for one merge request.
#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "rule_type")]
    kind: String,
    #[serde(default)]
    approvals_required: u64,
    #[serde(default)]
    eligible_approvers: Vec<Approver>,
    #[serde(default)]
    approved: bool,
}

impl Rule {
    /// Whether another than the owner can approve it.
    fn is_for_others(&self, owner: &Owner) -> bool {
        self.kind == ANY && self.approvals_required > 0 || self.eligible_approvers.iter().any(|a| a.id != owner.id)
    }
}

#[derive(Deserialize)]
struct Approver {
    id: u64,
}

#[derive(Deserialize)]
struct Owner {
    id: u64,
    #[serde(default)]
    email: String,
}

/// Makes them all.
pub(super) fn try_all(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<()> {
    let owner: Owner = stage.site.owner.fetch(&Call::get("/user", &[]))?;
    let settings: Value = stage.site.owner.fetch(&Call::get("/projects/:id/approvals", &[&stage.site.id]))?;
    let people: Vec<_> = std::iter::once(stage.agent.clone()).chain(stage.desk.clone()).collect();
    for person in &people {
        let all = rules(stage, person, &settings);
        try_as(stage, person, all, proofs)?;
    }
    proofs.push(key(stage)?);
    approvals(stage, &owner, &people, &settings, proofs)
}

/// The attempts on what was set.
fn rules(stage: &Stage<'_>, person: &Person, settings: &Value) -> Vec<Attempt> {
    let id = stage.site.id;
    let change = Call::post("/projects/:id/approvals", &[&id]);
    let shown = Call::get("/projects/:id/approvals", &[&id]);
    let reset = json!({ RESET: settings[RESET] });
    let claim = person.claim("the agent cannot change the approval settings");
    let mut all = vec![attempt(claim, change, Some(reset), shown, Mend::Nothing).same_twin()];
    let Some(production) = stage.site.desired.environments.last().map(|environment| &environment.name) else {
        return all;
    };
    let rule = "/projects/:id/protected_environments/:name";
    let protected = Call::get(rule, &[&id, production]);
    // There is no such commit: one who may deploy is stopped by that.
    let none = "0".repeat(stage.tip.len() - 1) + "1";
    let deployment = json!({
        "environment": production, "sha": none, "ref": stage.site.desired.branch, "tag": false, "status": "failed",
    });
    let claim = person.claim(&format!("the agent cannot deploy to {production}"));
    let deploy = Call::post("/projects/:id/deployments", &[&id]);
    all.push(attempt(claim, deploy, Some(deployment), protected.clone(), Mend::Nothing).same_twin());
    let claim = person.claim(&format!("the agent cannot unprotect the environment {production}"));
    let protect =
        json!({ "name": production, "deploy_access_levels": [{ "access_level": crate::gitlab::roles::MAINTAINER }] });
    let mend = Mend::Calls(vec![(Call::post("/projects/:id/protected_environments", &[&id]), Some(protect))]);
    let unprotect = attempt(claim, Call::delete(rule, &[&id, production]), None, protected, mend);
    all.push(unprotect.twin(Call::delete(rule, &[&id, &stage.branch]), None));
    all
}

/// The push rule binds all who push. That the agent pushes what is named otherwise was seen before.
fn key(stage: &Stage<'_>) -> GitlabResult<Proof> {
    let claim = "GitLab refuses a file that is named like a private key";
    let commit = stage.commit_file(&format!("{}/id_ed25519", stage.branch), &stage.tip, None)?;
    let pushed = stage.push(&format!("{commit}:refs/heads/{}-key", stage.branch), &["ci.skip"])?;
    if pushed.accepted {
        return Ok(proof(claim, false, "GitLab accepted it; the policy checks delete the branch"));
    }
    Ok(proof(claim, pushed.reason.contains(NAMED_LIKE_A_KEY), format!("refused: {}", pushed.reason)))
}

fn approvals(
    stage: &mut Stage<'_>,
    owner: &Owner,
    people: &[Person],
    settings: &Value,
    proofs: &mut Vec<Proof>,
) -> GitlabResult<()> {
    let branch = format!("{}-owned", stage.branch);
    let committer = Some(owner.email.as_str()).filter(|email| !email.is_empty());
    let commit = stage.commit_file(PIPELINE, &stage.tip, committer)?;
    let target = format!("merge_request.target={}", stage.site.desired.branch);
    let title = "merge_request.title=factoryup tries who must approve; it removes this by itself";
    let options = ["ci.skip", "merge_request.create", &target, title];
    let pushed = stage.push(&format!("{commit}:refs/heads/{branch}"), &options)?;
    let claim = "a merge request of the agent waits for the owner's approval";
    let Some(request) = stage.merge_request_of(&branch)? else {
        let detail = format!("cannot tell: no merge request was opened; {}", pushed.reason);
        proofs.push(proof(claim, false, detail));
        return Ok(());
    };
    let machines = approval_rule::machines(stage.site)?;
    let waits = |kind: &str, claim: &str| -> GitlabResult<Proof> {
        let found = look(stage, &request, SOON, |state| state.rules.iter().any(|rule| is_for(rule, kind, &machines)))?;
        let mut detail = format!("!{}, whose commit names the owner as committer: {}", request.iid, words(&found.0));
        if !found.1 && kind == CODE_OWNER {
            detail.push_str(NO_CODE_OWNER);
        }
        Ok(proof(claim, found.1, detail))
    };
    proofs.push(waits("regular", claim)?);
    let (_, has_owners) = look(stage, &request, FINDS_OWNERS, has_code_owners)?;
    proofs.push(waits(CODE_OWNER, "a change of the pipeline waits for a code owner's approval")?);

    if settings[REAUTHENTICATE] == true {
        stage.note(format!(
            "not tried, since GitLab asks for a password with each approval ({REAUTHENTICATE}): who may approve, and whether a push removes it"
        ));
    } else {
        approve(stage, &request, (&branch, &commit), people, settings[RESET] == true, proofs)?;
    }
    proofs.extend(own(stage, owner, &commit, has_owners)?);
    Ok(())
}

/// Who may approve, and for how long.
fn approve(
    stage: &mut Stage<'_>,
    request: &MergeRequest,
    (branch, commit): (&str, &str),
    people: &[Person],
    resets: bool,
    proofs: &mut Vec<Proof>,
) -> GitlabResult<()> {
    let (approve, undo) = (call(stage, Call::post, APPROVE, request), call(stage, Call::post, UNDO, request));
    for person in people.iter().rev() {
        let claim = person.claim("the agent cannot approve the agent's merge request");
        let (shown, mend) = (call(stage, Call::get, STATE, request), Mend::Calls(vec![(undo.clone(), None)]));
        // An approval by the owner is undone before the next one, and the last is looked at below.
        stage.site.owner.attempt(&undo, None)?;
        let approving = attempt(claim, approve.clone(), None, shown, mend).twin(approve.clone(), None);
        try_as(stage, person, vec![approving], proofs)?;
    }
    let (found, approved) = look(stage, request, SOON, is_approved)?;
    let claim = "the owner's approval lets the agent's merge request be merged";
    proofs.push(proof(claim, approved, format!("!{}, after it: {}", request.iid, words(&found))));

    // A commit that does not change the patch would leave the approvals.
    let next = stage.commit_file(&format!("{}/more.yml", stage.branch), commit, None)?;
    stage.push(&format!("{next}:refs/heads/{branch}"), &["ci.skip"])?;
    // A rule that GitLab approved for want of approvers has no approval to lose.
    let can =
        approved && found.rules.iter().any(|rule| rule.approvals_required > 0 && !rule.eligible_approvers.is_empty());
    let patience = if resets && can { RESETS } else { SOON };
    let (found, held) = look(stage, request, patience, |state| can && !is_approved(state))?;
    let claim = "a push to the agent's merge request removes its approvals";
    proofs.push(proof(claim, held, format!("!{}, after a push: {}", request.iid, words(&found))));
    Ok(())
}

/// The owner's own merge request. Where others can approve it too it waits for them, and there is nothing to show.
fn own(stage: &Stage<'_>, owner: &Owner, commit: &str, has_owners: bool) -> GitlabResult<Option<Proof>> {
    let claim = "a merge request of a single owner waits for no approval";
    let branch = format!("{}-of-owner", stage.branch);
    let pushed = stage.push_as_owner(&format!("{commit}:refs/heads/{branch}"))?;
    let body = json!({
        "source_branch": branch, "target_branch": stage.site.desired.branch,
        "title": "factoryup tries whether you can work alone; it removes this by itself",
    });
    let call = Call::post(REQUESTS, &[&stage.site.id]);
    if !pushed.accepted {
        return Ok(Some(proof(claim, false, format!("cannot tell: the owner's push was refused: {}", pushed.reason))));
    }
    let request: MergeRequest = stage.site.owner.write(&call, &body)?;
    if has_owners {
        look(stage, &request, FINDS_OWNERS, has_code_owners)?;
    }
    let (found, held) = look(stage, &request, SOON, is_approved)?;
    if found.rules.iter().any(|rule| rule.is_for_others(owner)) {
        return Ok(None);
    }
    Ok(Some(proof(claim, held, format!("!{}: {}", request.iid, words(&found)))))
}

/// Whether the rule is one that waits for a person: no machine counts.
fn is_for(rule: &Rule, kind: &str, machines: &[u64]) -> bool {
    let is_person = |approver: &Approver| !machines.contains(&approver.id);
    rule.kind == kind
        && rule.approvals_required > 0
        && !rule.approved
        && !rule.eligible_approvers.is_empty()
        && rule.eligible_approvers.iter().all(is_person)
}

fn call(
    stage: &Stage<'_>,
    make: fn(&'static str, &[&dyn Display]) -> Call,
    route: &'static str,
    of: &MergeRequest,
) -> Call {
    make(route, &[&stage.site.id, &of.iid])
}

fn is_approved(state: &Approvals) -> bool {
    state.rules.iter().all(|rule| rule.approved)
}

/// Also optional ones: GitLab lists what owns a changed file.
fn has_code_owners(state: &Approvals) -> bool {
    state.rules.iter().any(|rule| rule.kind == CODE_OWNER)
}

/// What a merge request waits for, looked at for so long: GitLab finds code owners, and removes approvals, after it has answered.
fn look(
    stage: &Stage<'_>,
    request: &MergeRequest,
    patience: Duration,
    is_right: impl Fn(&Approvals) -> bool,
) -> GitlabResult<(Approvals, bool)> {
    let call = call(stage, Call::get, STATE, request);
    let began = Instant::now();
    let mut pause = Duration::from_millis(150);
    loop {
        // Taken before the answer, so that a slow one is not the last.
        let is_last = began.elapsed() >= patience;
        let found: Approvals = stage.site.owner.fetch(&call)?;
        let is_right = is_right(&found);
        if is_right || is_last {
            return Ok((found, is_right));
        }
        std::thread::sleep(pause);
        pause = BETWEEN.min(pause * 2);
    }
}

/// The rules in words.
fn words(state: &Approvals) -> String {
    let one = |rule: &Rule| {
        let kind = crate::dialog::plain(&rule.kind);
        let state = if rule.approved { "approved" } else { "not approved" };
        let counting = rule.eligible_approvers.len();
        format!("{kind} needs {} of {counting}, {state}", rule.approvals_required)
    };
    if state.rules.is_empty() {
        return "no rule applies".into();
    }
    state.rules.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str, required: u64, approvers: &[u64]) -> Rule {
        let eligible_approvers = approvers.iter().map(|id| Approver { id: *id }).collect();
        Rule { kind: kind.into(), approvals_required: required, eligible_approvers, approved: false }
    }

    #[test]
    fn a_rule_waits_for_people_and_for_no_machine() {
        assert!(is_for(&rule(CODE_OWNER, 1, &[1]), CODE_OWNER, &[7]));
        assert!(is_for(&rule(CODE_OWNER, 1, &[2, 3]), CODE_OWNER, &[7]), "another person than the owner");
        for wrong in [rule("regular", 1, &[1]), rule(CODE_OWNER, 0, &[1]), rule(CODE_OWNER, 1, &[])] {
            assert!(!is_for(&wrong, CODE_OWNER, &[7]));
        }
        assert!(!is_for(&rule(CODE_OWNER, 1, &[1, 7]), CODE_OWNER, &[7]));
        assert!(!is_for(&Rule { approved: true, ..rule(CODE_OWNER, 1, &[1]) }, CODE_OWNER, &[7]));
    }

    #[test]
    fn an_owner_who_is_not_alone_waits_for_others() {
        let owner = Owner { id: 1, email: String::new() };
        assert!(!rule("regular", 1, &[]).is_for_others(&owner) && !rule(CODE_OWNER, 1, &[1]).is_for_others(&owner));
        assert!(rule(CODE_OWNER, 1, &[1, 2]).is_for_others(&owner) && rule(ANY, 1, &[]).is_for_others(&owner));
        assert!(!rule(ANY, 0, &[]).is_for_others(&owner));
    }
}
