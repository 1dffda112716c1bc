//! The programs around a change that could shut everybody out: put it in place under a timer, confirm it, or look what became of
//! it.

use super::apply::{functions, prologue, words};
use super::{COMMON, Payload, REVERT, Run, Show, Step, Word, frame, library};

const GUARD: &str = include_str!("../lib/guard.sh");

/// One guarded change: its step stages and checks.
pub(crate) struct Staged {
    /// Stages and checks.
    pub(crate) step: Step,
    /// What has to read it: `sshd` or `firewall`.
    pub(crate) part: &'static str,
}

fn library_of(run: &Run) -> String {
    format!("{}{}\n{}\n", prologue(run), library(REVERT), library(GUARD))
}

/// The program that the timer runs, and, with the word `at-boot`, the next start of the host.
fn revert_program() -> String {
    let body = format!("{}\n{}\nrevert \"$when\"\n", library(COMMON), library(REVERT));
    format!("when=${{1-}}\n{}", frame("revert", &body))
}

/// Stages, checks, arms the timer and puts all changes in place. The `first` program of a run waits for cloud-init, before the timer
/// runs. The changes are announced when it is `announced` that they are made;
/// on the way back, another program does that.
pub(crate) fn guard(run: &Run, staged: &[Staged], seconds: u32, announced: bool, first: bool) -> String {
    let mut body = library_of(run);
    body.push_str(&functions(staged.iter().map(|change| &change.step)));
    body.push_str(&format!("begin {}\n", Word::text(&run.receipt_header())));
    if first {
        body.push_str("wait_for_cloud_init\n");
    }
    body.push_str("guard_begin\n");
    for (index, change) in staged.iter().enumerate() {
        let id = serde_json::Value::from(change.step.id()).to_string();
        body.push_str(&format!("examine {} step_{index}\n", Word::text(&id)));
        body.push_str(&format!(": >\"$GUARD/{}\"\n", change.part));
    }
    // From here on, it is one change.
    body.push_str("stop_before_guard\n");
    for change in staged.iter().filter(|_| announced) {
        let id = serde_json::Value::from(change.step.id()).to_string();
        body.push_str(&format!("announce {}\n", Word::text(&id)));
    }
    let revert = Payload::text(revert_program());
    body.push_str(&revert.feed(&format!("guard {seconds}"), Show::Run));
    body.push_str("finish\n");
    frame(&run.id, &body)
}

/// Confirms the changes: whoever runs it has got in under the new rules.
pub(crate) fn confirm(run: &Run, staged: &[Staged]) -> String {
    let mut body = library_of(run);
    body.push_str(&format!("begin {}\nconfirm\n", Word::text(&run.receipt_header())));
    for change in staged {
        body.push_str(&format!("settle {}\n", words(change.step.id(), change.step.action())));
    }
    body.push_str("finish\n");
    frame(&run.id, &body)
}

/// Confirms what was put back; the receipt's lines about it go when the rest is undone.
pub(crate) fn confirm_back(run: &Run) -> String {
    let header = Word::text(&run.receipt_header()).to_string();
    frame(&run.id, &format!("{}begin {header}\nconfirm\nfinish\n", library_of(run)))
}

/// Takes the changes back now, if the timer has not.
pub(crate) fn take_back(run: &Run) -> String {
    let header = Word::text(&run.receipt_header()).to_string();
    frame(&run.id, &format!("{}begin {header}\ntake_back\n", library_of(run)))
}

/// Does nothing but to come to its end: shows that a login leads to root.
pub(crate) fn hello() -> String {
    frame("hello", &format!("{}\nprintf '%s\\n' '{{\"event\":\"end\"}}'\n", library(COMMON)))
}
