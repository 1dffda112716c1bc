//! What an answer says about the person who asked.

use crate::gitlab::client::Answer;
use crate::plan::Proof;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempted {
    /// GitLab does not let this person do it.
    Person,
    /// GitLab does not let this token do it, whoever has it.
    Scope,
    /// It was done.
    Done,
    /// The person may, though it was not done: something else was in the way.
    Otherwise,
}

/// How GitLab says with 400 that it is the person: for pipelines and tokens, and for schedules.
const NOT_YOU: [&str; 2] = ["permission", "not authorized"];

/// Judges an API answer. `hidden` says that 404 is a refusal here, since the owner has just seen the thing.
pub(super) fn judge(answer: &Answer, hidden: bool) -> Attempted {
    match answer.status {
        200..300 => Attempted::Done,
        403 if answer.scope.is_some() => Attempted::Scope,
        401 | 403 => Attempted::Person,
        404 if hidden => Attempted::Person,
        400 if NOT_YOU.iter().any(|words| answer.said.contains(words)) => Attempted::Person,
        _ => Attempted::Otherwise,
    }
}

/// Whether git's words name the protection of the ref, and not some other reason.
pub(super) fn is_refusal_of_push(reason: &str) -> bool {
    let policy = ["protected", "default branch", "current branch"];
    reason.contains("[remote rejected]") && policy.iter().any(|word| reason.contains(word))
}

/// An answer in a few words.
pub(super) fn words(answer: &Answer) -> String {
    if answer.is_success() {
        return format!("done ({})", answer.status);
    }
    let said = if answer.said.is_empty() { String::new() } else { format!(" {}", answer.said) };
    format!("refused ({}{said})", answer.status)
}

/// A proof.
pub(super) fn proof(claim: &str, held: bool, detail: impl Into<String>) -> Proof {
    Proof { claim: claim.to_owned(), held, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitlab::client::Created;

    fn answer(status: u16, said: &str, scope: Option<&str>) -> Answer {
        Answer { status, made: Created::default(), said: said.into(), scope: scope.map(str::to_owned) }
    }

    #[test]
    fn only_a_refusal_of_the_person_is_one() {
        let no_run = "base You do not have sufficient permission to run a pipeline on 'main'";
        for (status, said, scope, hidden, verdict) in [
            (201, "", None, false, Attempted::Done),
            (401, "401 Unauthorized", None, false, Attempted::Person),
            (403, "403 Forbidden", None, false, Attempted::Person),
            (403, "insufficient_scope", Some("api"), false, Attempted::Scope),
            (404, "404 Not found", None, false, Attempted::Otherwise),
            (404, "404 Not found", None, true, Attempted::Person),
            (400, no_run, None, false, Attempted::Person),
            (
                400,
                "base The current user is not authorized to create the pipeline schedule",
                None,
                false,
                Attempted::Person,
            ),
            (400, "400 Bad request - Unplayable Job", None, false, Attempted::Otherwise),
            (405, "405 Method Not Allowed", None, false, Attempted::Otherwise),
            (409, "SHA does not match HEAD of source branch", None, false, Attempted::Otherwise),
            (422, "Branch cannot be merged", None, false, Attempted::Otherwise),
        ] {
            assert_eq!(judge(&answer(status, said, scope), hidden), verdict, "{status} {said}");
        }
    }

    #[test]
    fn a_push_is_refused_by_protection_or_not_at_all() {
        let hook = "[remote rejected] (pre-receive hook declined): GitLab: ";
        assert!(is_refusal_of_push(&format!(
            "{hook}You are not allowed to push code to protected branches on this project."
        )));
        assert!(is_refusal_of_push(&format!("{hook}You are not allowed to create this tag as it is protected.")));
        assert!(is_refusal_of_push("[remote rejected] (deletion of the current branch prohibited)"));
        assert!(!is_refusal_of_push(&format!("{hook}Committer's email is not verified")));
        assert!(!is_refusal_of_push("[rejected] (fetch first)"));
        assert!(!is_refusal_of_push("[remote rejected] (failed to update ref)"));
    }
}
