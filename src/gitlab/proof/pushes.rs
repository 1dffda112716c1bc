//! The policy checks by git: what the agent must and must not be able to do.

use serde_json::json;

use super::stage::{Stage, tip};
use super::verdict::{is_refusal_of_push, proof, words};
use crate::error::{Error, Kind};
use crate::git::remote::Pushed;
use crate::gitlab::anchor;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::plan::Proof;

/// Makes them all.
pub(super) fn try_all(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<()> {
    let fetched = stage.fetch();
    proofs.push(permitted("the agent can read the control repo", &fetched, "fetched it with git")?);
    if fetched.is_err() {
        return Err(no_further("read the control repo"));
    }
    let above = stage.commit(false)?;
    proofs.push(work(stage, &above)?);

    let main = stage.site.desired.branch.clone();
    let refused = |push: Pushed| (is_refusal_of_push(&push.reason), format!("refused: {}", push.reason));

    let push = stage.push(&format!("{above}:refs/heads/{main}"), &["ci.skip"])?;
    let (held, detail) = if push.accepted { (false, take_back(stage, &main)) } else { refused(push) };
    proofs.push(proof(&format!("the agent cannot push to {main}"), held, detail));

    let beside = stage.commit(true)?;
    let push = stage.push(&format!("+{beside}:refs/heads/{main}"), &["ci.skip"])?;
    let (held, detail) = if push.accepted { (false, take_back(stage, &main)) } else { refused(push) };
    proofs.push(proof(&format!("the agent cannot rewrite {main}"), held, detail));

    let push = stage.push(&format!(":refs/heads/{main}"), &[])?;
    let (held, detail) = if push.accepted { (false, take_back(stage, &main)) } else { refused(push) };
    proofs.push(proof(&format!("the agent cannot delete {main}"), held, detail));

    // Matches the rule for release tags, and not the pattern of versions that the pipeline releases.
    let tag = stage.branch.replacen("factoryup", "v-factoryup", 1);
    let push = stage.push(&format!("{above}:refs/tags/{tag}"), &["ci.skip"])?;
    let (held, detail) = if push.accepted { (false, remove_tag(stage, &tag)) } else { refused(push) };
    proofs.push(proof("the agent cannot create a release tag", held, detail));
    evidence(stage, proofs, &above, &beside)
}

/// The anchors of the evidence log. What is moved and deleted is a tag of the proof's own under the same rule, and no anchor.
fn evidence(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>, above: &str, beside: &str) -> GitlabResult<()> {
    let refused = |push: Pushed| (is_refusal_of_push(&push.reason), format!("refused: {}", push.reason));
    let tag = format!("{}{}", anchor::prefix(), stage.branch);
    let push = stage.push(&format!("{above}:refs/tags/{tag}-new"), &["ci.skip"])?;
    let (held, detail) = if push.accepted { (false, remove_tag(stage, &format!("{tag}-new"))) } else { refused(push) };
    proofs.push(proof("the agent cannot create an anchor of the evidence log", held, detail));

    let claims = [
        "the agent cannot move an anchor of the evidence log",
        "the agent cannot delete an anchor of the evidence log",
    ];
    let body = json!({ "tag_name": tag, "ref": stage.site.desired.branch, "message": "factoryup tries to move this; it removes it" });
    let unmade = match stage.site.owner.attempt(&Call::post(anchor::TAGS, &[&stage.site.id]), Some(&body)) {
        Ok(made) if made.is_success() => None,
        Ok(made) => Some(words(&made)),
        Err(error) if error.is_foreign() => Some(error.to_string()),
        Err(error) => return Err(error),
    };
    if let Some(why) = unmade {
        let detail = format!("cannot tell: could not create the owner's tag {tag} for the test: {why}");
        proofs.extend(claims.map(|claim| proof(claim, false, detail.clone())));
        return Ok(());
    }
    for (claim, refspec) in claims.into_iter().zip([format!("+{beside}:refs/tags/{tag}"), format!(":refs/tags/{tag}")])
    {
        let push = stage.push(&refspec, &["ci.skip"])?;
        let (held, detail) = if push.accepted {
            (false, "GitLab accepted it; the tag belonged to the policy checks".into())
        } else {
            refused(push)
        };
        proofs.push(proof(claim, held, detail));
    }
    Ok(())
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
