//! The policy checks by git: what the agent must and must not be able to do, and what its desk must not.

use serde_json::json;

use super::stage::{Person, Stage, tip};
use super::verdict::{is_refusal_of_push, proof, words};
use crate::error::{Error, Kind};
use crate::git::remote::Pushed;
use crate::gitlab::anchor;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::resources::wanted_branch::PROPOSING;
use crate::gitlab::roles::DEVELOPER;
use crate::plan::Proof;

/// How GitLab refuses one who may push nothing. Source: `lib/gitlab/git_access.rb`.
const NO_PUSH: &str = "You are not allowed to push code to this project";

/// Makes them all.
pub(super) fn try_all(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<()> {
    let fetched = stage.fetch();
    proofs.push(permitted("the agent can read the control repo", &fetched, "fetched it with git")?);
    if fetched.is_err() {
        return Err(no_further("read the control repo"));
    }
    let above = stage.commit(false)?;
    proofs.push(work(stage, &above)?);

    let beside = stage.commit(true)?;
    let unmade = anchor_of_owner(stage)?;
    let agent = stage.agent.clone();
    for person in std::iter::once(agent).chain(stage.desk.clone()) {
        for forbidden in forbidden(stage, &person, &above, &beside) {
            let claim = person.claim(&forbidden.claim);
            proofs.push(match (&unmade, &forbidden.undo) {
                (Some(why), Undo::Proofs) => {
                    proof(&claim, false, format!("cannot tell: could not create the owner's tag for the test: {why}"))
                }
                _ => try_one(stage, &person, &claim, &forbidden)?,
            });
        }
    }
    Ok(())
}

/// One forbidden push.
struct Forbidden {
    claim: String,
    refspec: String,
    undo: Undo,
}

/// What is to be undone if it is accepted.
enum Undo {
    /// The default branch moved.
    Main,
    /// This tag is new.
    Tag(String),
    /// This branch is new; the proof clears it away.
    Branch,
    /// The tag that the proof made like an anchor; likewise.
    Proofs,
}

/// What is moved and deleted of the anchors is a tag of the proof's own under the same rule, and no anchor.
fn forbidden(stage: &Stage<'_>, person: &Person, above: &str, beside: &str) -> Vec<Forbidden> {
    let main = &stage.site.desired.branch;
    // Matches the rule for release tags, and not the pattern of versions that the pipeline releases.
    let release = stage.branch.replacen("factoryup", "v-factoryup", 1);
    let anchor = anchor_name(stage);
    let new = format!("{anchor}-new");
    let one = |claim: String, refspec: String, undo: Undo| Forbidden { claim, refspec, undo };
    let mut all = vec![
        one(format!("the agent cannot push to {main}"), format!("{above}:refs/heads/{main}"), Undo::Main),
        one(format!("the agent cannot rewrite {main}"), format!("+{beside}:refs/heads/{main}"), Undo::Main),
        one(format!("the agent cannot delete {main}"), format!(":refs/heads/{main}"), Undo::Main),
        one(
            "the agent cannot create a release tag".into(),
            format!("{above}:refs/tags/{release}"),
            Undo::Tag(release.clone()),
        ),
        one(
            "the agent cannot create an anchor of the evidence log".into(),
            format!("{above}:refs/tags/{new}"),
            Undo::Tag(new.clone()),
        ),
        one(
            "the agent cannot move an anchor of the evidence log".into(),
            format!("+{beside}:refs/tags/{anchor}"),
            Undo::Proofs,
        ),
        one(
            "the agent cannot delete an anchor of the evidence log".into(),
            format!(":refs/tags/{anchor}"),
            Undo::Proofs,
        ),
    ];
    let proposing = format!("{above}:refs/heads/{PROPOSING}{}", stage.branch);
    all.push(one("the agent cannot push to a branch that factoryup proposes from".into(), proposing, Undo::Branch));
    if person.level < DEVELOPER {
        let branch = format!("{above}:refs/heads/{}-desk", stage.branch);
        all.push(one("the agent cannot push a branch".into(), branch, Undo::Branch));
    }
    all
}

fn try_one(stage: &mut Stage<'_>, person: &Person, claim: &str, forbidden: &Forbidden) -> GitlabResult<Proof> {
    let pushed = match stage.push_as(person, &forbidden.refspec, &["ci.skip"]) {
        // One who may push nothing is refused before git names a ref.
        Err(error) if person.level < DEVELOPER && error.kind() == Kind::NotPermitted => {
            let said = error.to_string();
            let unclear = if said.contains(NO_PUSH) { "" } else { "cannot tell: " };
            return Ok(proof(claim, unclear.is_empty(), format!("{unclear}refused: {said}")));
        }
        pushed => pushed?,
    };
    if !pushed.accepted {
        return Ok(proof(claim, is_refusal_of_push(&pushed.reason), format!("refused: {}", pushed.reason)));
    }
    let main = stage.site.desired.branch.clone();
    let detail = match &forbidden.undo {
        Undo::Main => take_back(stage, &main),
        Undo::Tag(tag) => remove_tag(stage, tag),
        Undo::Branch => "GitLab accepted it; the policy checks delete the branch".into(),
        Undo::Proofs => "GitLab accepted it; the tag belonged to the policy checks".into(),
    };
    Ok(proof(claim, false, detail))
}

/// A tag of the owner's like an anchor of the evidence log: why there is none, if GitLab did not make it.
fn anchor_of_owner(stage: &Stage<'_>) -> GitlabResult<Option<String>> {
    let (tag, main) = (anchor_name(stage), &stage.site.desired.branch);
    let body = json!({ "tag_name": tag, "ref": main, "message": "factoryup tries to move this; it removes it" });
    match stage.site.owner.attempt(&Call::post(anchor::TAGS, &[&stage.site.id]), Some(&body)) {
        Ok(made) if made.is_success() => Ok(None),
        Ok(made) => Ok(Some(words(&made))),
        Err(error) if error.is_foreign() => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

fn anchor_name(stage: &Stage<'_>) -> String {
    format!("{}{}", anchor::prefix(), stage.branch)
}

/// The agent's daily work: a branch, and a merge request for it.
fn work(stage: &mut Stage<'_>, commit: &str) -> GitlabResult<Proof> {
    let claim = "the agent can push a branch and open a merge request";
    let target = format!("merge_request.target={}", stage.site.desired.branch);
    let options = [
        "ci.skip",
        "merge_request.create",
        &target,
        "merge_request.title=factoryup tries what the policy forbids; it removes this by itself",
    ];
    let pushed = stage.push(&format!("{commit}:refs/heads/{}", stage.branch), &options);
    let pushed = match permitted(claim, &pushed, "")? {
        broken if !broken.held => return Ok(broken),
        _ => pushed?,
    };
    if !pushed.accepted {
        return Ok(proof(claim, false, format!("refused: {}", pushed.reason)));
    }
    Ok(match stage.merge_request()? {
        Some(request) => proof(claim, true, format!("pushed {} and opened !{}", stage.branch, request.iid)),
        None => proof(claim, false, "the branch was pushed, but no merge request was opened by the push options"),
    })
}

/// A thing that must work: not being permitted breaks the promise, anything else is an error.
fn permitted<T>(claim: &str, result: &crate::Result<T>, done: &str) -> GitlabResult<Proof> {
    match result {
        Ok(_) => Ok(proof(claim, true, done)),
        Err(error) if error.kind() == Kind::NotPermitted => Ok(proof(claim, false, error.to_string())),
        Err(error) => Err(Error::new(error.kind(), format!("cannot prove that {claim}: {error}")).into()),
    }
}

fn no_further(what: &str) -> crate::gitlab::error::GitlabError {
    Error::new(Kind::Pending, format!("cannot run the policy checks: the agent cannot {what}"))
        .hint("run `factoryup apply gitlab` again; it creates a new token if the stored one does not work")
        .into()
}

/// Puts the default branch back to where it was: the way it was moved, else as its owner.
fn take_back(stage: &mut Stage<'_>, main: &str) -> String {
    let refspec = format!("+{}:refs/heads/{main}", stage.tip);
    let back = |pushed: crate::Result<Pushed>| pushed.is_ok_and(|pushed| pushed.accepted);
    if back(stage.push(&refspec, &["ci.skip"])) || back(stage.push_as_owner(&refspec)) {
        return format!("GitLab accepted it; {main} was restored");
    }
    let now = tip(stage.site).unwrap_or_else(|_| "nothing".into());
    stage.note(format!("could not restore {main} from {now} to {}; check it", stage.tip));
    // What comes next is tried on top of what is there now.
    if now.len() == stage.tip.len() && stage.fetch().is_ok() {
        stage.tip.clone_from(&now);
    }
    format!("GitLab accepted it; {main} is at {now}, an empty commit that could not be removed")
}

fn remove_tag(stage: &mut Stage<'_>, tag: &str) -> String {
    let call = Call::delete("/projects/:id/repository/tags/:tag_name", &[&stage.site.id, &tag]);
    let removed = stage.site.owner.attempt(&call, None).is_ok_and(|answer| answer.is_success());
    if removed || stage.push(&format!(":refs/tags/{tag}"), &[]).is_ok_and(|pushed| pushed.accepted) {
        return "GitLab accepted it; the tag was removed".into();
    }
    stage.note(format!("the tag {tag} could not be removed; remove it"));
    format!("GitLab accepted it; the tag {tag} could not be removed")
}
