//! What an answer shows about the caller's permissions.

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
    /// It was refused without the words that GitLab has for it: by something in between, for all that is known.
    Unclear,
}

/// How GitLab says with 400 that it is the person: for pipelines and tokens, and for schedules.
const NOT_YOU: [&str; 2] = ["permission", "not authorized"];

/// Judges an API answer. `hidden` says that 404 is a refusal here, since the owner has just seen the thing.
///
/// A status alone is anybody's. GitLab's refusals are JSON with a message that begins in one way each.
/// Source: lib/api/helpers.rb, `forbidden!`, `unauthorized!` and `not_found!`.
pub(super) fn judge(answer: &Answer, hidden: bool) -> Attempted {
    let begins = |words: &str| answer.said.starts_with(words);
    match answer.status {
        200..300 => Attempted::Done,
        403 if answer.scope.is_some() => Attempted::Scope,
        401 if begins("Unauthorized") => Attempted::Person,
        403 if begins("Forbidden") => Attempted::Person,
        404 if hidden && answer.said.to_lowercase().ends_with("not found") => Attempted::Person,
        401 | 403 => Attempted::Unclear,
        400 if NOT_YOU.iter().any(|words| answer.said.contains(words)) => Attempted::Person,
        _ if answer.said.is_empty() => Attempted::Unclear,
        _ => Attempted::Otherwise,
    }
}

/// Whether the owner's twin of an attempt was answered as to somebody who may: done, or stopped for its contents.
pub(super) fn differs(own: &Answer, twin: &Answer) -> bool {
    let refused = matches!(judge(twin, false), Attempted::Person | Attempted::Scope | Attempted::Unclear);
    !refused && (own.status, &own.said) != (twin.status, &twin.said)
}

/// Whether git's words name the protection of the ref, and not some other reason.
pub(super) fn is_refusal_of_push(reason: &str) -> bool {
    let policy = ["protected", "Protected tags", "default branch", "current branch"];
    reason.contains("[remote rejected]") && policy.iter().any(|word| reason.contains(word))
}

/// An answer in a few words.
pub(super) fn words(answer: &Answer) -> String {
    if answer.is_success() {
        return format!("done ({})", answer.status);
    }
    let said = if answer.said.is_empty() { " without a word".to_owned() } else { format!(" {}", answer.said) };
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
            (401, "Unauthorized", None, false, Attempted::Person),
            (403, "Forbidden", None, false, Attempted::Person),
            (403, "Forbidden - no", None, false, Attempted::Person),
            (401, "", None, false, Attempted::Unclear),
            (403, "", None, false, Attempted::Unclear),
            (403, "Blocked by the gateway", None, false, Attempted::Unclear),
            (404, "", None, true, Attempted::Unclear),
            (404, "", None, false, Attempted::Unclear),
            (405, "", None, false, Attempted::Unclear),
            (403, "insufficient_scope", Some("api"), false, Attempted::Scope),
            (404, "Not found", None, false, Attempted::Otherwise),
            (404, "Not found", None, true, Attempted::Person),
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
    fn a_twin_differs_only_where_the_owner_is_answered_as_one_who_may() {
        let own = answer(403, "Forbidden", None);
        for (status, said, counts) in [
            (200, "", true),
            (400, "cron is invalid", true),
            (404, "Not found", true),
            (409, "Member already exists", true),
            (403, "Forbidden", false),
            (403, "", false),
            (404, "", false),
        ] {
            assert_eq!(differs(&own, &answer(status, said, None)), counts, "{status} {said}");
        }
        assert!(!differs(&answer(404, "Not found", None), &answer(404, "Not found", None)));
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
