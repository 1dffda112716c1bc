//! Makes the attempts by API, judges each, and undoes what succeeded.

use std::fmt::Write as _;

use super::attempts::{Attempt, Mend, attempts};
use super::desk;
use super::stage::{Person, Stage};
use super::verdict::{Attempted, differs, judge, proof, words};
use crate::gitlab::client::Answer;
use crate::gitlab::error::GitlabResult;
use crate::plan::Proof;

/// Makes them all.
pub(super) fn try_all(stage: &mut Stage<'_>, proofs: &mut Vec<Proof>) -> GitlabResult<()> {
    let agent = stage.agent.clone();
    let all = attempts(stage, &agent, proofs)?;
    try_as(stage, &agent, all, proofs)?;
    if let Some(person) = stage.desk.clone() {
        let mut all = desk::attempts(stage, &person, proofs)?;
        all.extend(attempts(stage, &person, proofs)?);
        try_as(stage, &person, all, proofs)?;
    }
    Ok(())
}

/// Makes these, as that person.
pub(super) fn try_as(
    stage: &mut Stage<'_>,
    person: &Person,
    all: Vec<Attempt>,
    proofs: &mut Vec<Proof>,
) -> GitlabResult<()> {
    for attempt in all {
        let tried = try_one(stage, person, &attempt);
        match tried {
            Ok(proof) => proofs.extend(proof),
            // Not GitLab's answer, and none to the next attempt either way.
            Err(error) if error.is_foreign() => {
                proofs.push(proof(&attempt.claim, false, format!("cannot tell: {error}")));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The proof of one; none where this GitLab has nothing to forbid.
fn try_one(stage: &mut Stage<'_>, person: &Person, attempt: &Attempt) -> GitlabResult<Option<Proof>> {
    let control = stage.site.owner.attempt(&attempt.control, None)?;
    if !control.is_success() && attempt.optional && matches!(control.status, 403 | 404) && !control.said.is_empty() {
        stage.note(format!(
            "not tried, since this GitLab does not have it ({} gives {}): {}",
            attempt.control, control.status, attempt.claim
        ));
        return Ok(None);
    }
    if !control.is_success() {
        let said = words(&control);
        let detail = format!("{}, as the owner: {said}; so a refusal would prove nothing", attempt.control);
        return Ok(Some(proof(&attempt.claim, false, detail)));
    }
    let own = person.client.attempt(&attempt.call, attempt.body.as_ref())?;
    let mut detail = format!("{}: {}", attempt.call, words(&own));
    let mut verdict = judge(&own, attempt.hidden);
    let mut last = own;
    if verdict == Attempted::Scope {
        let Some(wide) = person.wide().cloned() else {
            let detail = format!("cannot tell: {detail}, for the token's scope alone; {}", stage.without_wide());
            return Ok(Some(proof(&attempt.claim, false, detail)));
        };
        let wide = wide.attempt(&attempt.call, attempt.body.as_ref())?;
        detail =
            format!("{}: its own token lacks the scope, and one with the scope api is {}", attempt.call, words(&wide));
        verdict = judge(&wide, attempt.hidden);
        last = wide;
    }
    let mut held = verdict == Attempted::Person;
    match verdict {
        Attempted::Person => {
            if let Some((call, body)) = &attempt.twin {
                let twin = stage.site.owner.attempt(call, body.as_ref())?;
                held = differs(&last, &twin);
                let (begin, what) = if held { ("", "is") } else { ("cannot tell: ", "is also") };
                detail =
                    format!("{begin}{detail}; the owner, with a call that changes nothing, {what} {}", words(&twin));
            }
        }
        Attempted::Done => detail = format!("{detail}; {}", mend(stage, attempt, &last)),
        Attempted::Otherwise => {
            let _ = write!(detail, "; that is not a refusal of {}", person.who);
        }
        Attempted::Scope => detail.push_str("; it is unknown whether the role forbids it"),
        Attempted::Unclear => {
            detail = format!("cannot tell: {detail}; GitLab's refusals give a reason, so this may come from a proxy");
        }
    }
    Ok(Some(proof(&attempt.claim, held, detail)))
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
        return "it was undone".into();
    }
    stage.note(format!("{} succeeded with the agent's token and could not be undone; check it", attempt.call));
    "it could not be undone".into()
}
