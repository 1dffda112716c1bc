//! The apply: the chosen changes, one after the other, each on record before and after.

use serde_json::json;

use super::probe::PROBE;
use super::{ACCOUNTS, COMMON, REVERT, Step, Word, frame, library};
use crate::plan::Action;

const APPLY: &str = include_str!("../lib/apply.sh");
const FILES: &str = include_str!("../lib/files.sh");
const UNDO: &str = include_str!("../lib/undo.sh");

/// What a program says of itself in the host's journal and receipt.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The run's id: letters, digits, `-` and `.` only.
    pub(crate) id: String,
    /// The host, as in the plan.
    pub(crate) subject: String,
}

impl Run {
    /// The file on the host with all that its tools say.
    pub(crate) fn log(&self) -> String {
        format!("/var/lib/factoryup/log/{}.log", self.id)
    }

    /// The receipt's first line; entries and `]}` follow, one line each, so that a shell can add to it.
    pub(crate) fn receipt_header(&self) -> String {
        let header = json!({
            "schema": 1, "target": "host", "subject": self.subject, "generator": env!("CARGO_PKG_VERSION"),
        });
        let text = header.to_string();
        format!("{},\"entries\":[", text.trim_end_matches('}'))
    }
}

/// The library that an apply, and everything like it, begins with.
pub(crate) fn prologue(run: &Run) -> String {
    format!(
        "RUN={}\n{}\n{}\n{}\n{}\n",
        Word::text(&run.id),
        library(COMMON),
        library(ACCOUNTS),
        library(APPLY),
        library(FILES)
    )
}

/// The program that makes the changes.
pub(crate) fn apply(run: &Run, steps: &[Step]) -> String {
    make(run, prologue(run), &[], steps, Step::is_left_if_it_fails)
}

/// The program that asks a running one to stop between two changes. It needs no room on the disk.
pub(crate) fn stop(run: &Run) -> String {
    frame(
        &run.id,
        &format!("{}\nRUN={}\n{}\n", library(COMMON), Word::text(&run.id), ": >\"/run/factoryup-stop.$RUN\""),
    )
}

fn make(run: &Run, mut body: String, quelled: &[&str], steps: &[Step], is_left: fn(&Step) -> bool) -> String {
    body.push_str(&functions(steps.iter()));
    body.push_str(&format!("begin {}\nwait_for_cloud_init\n", Word::text(&run.receipt_header())));
    for user in quelled {
        let id = Word::text(&serde_json::Value::from(format!("user:{user}")).to_string());
        let quell = format!("quell {} >\"$WORK/log\" 2>&1 </dev/null 9>&- || give_up $?", Word::text(user));
        body.push_str(&format!("change={id}\n{quell}\n"));
    }
    for (index, step) in steps.iter().enumerate() {
        let or = if is_left(step) { " or_leave" } else { "" };
        body.push_str(&format!("take {} step_{index}{or}\n", words(step.id(), step.action())));
    }
    body.push_str("finish\n");
    frame(&run.id, &body)
}

/// One function for each step, after those of their kinds.
pub(super) fn functions<'s>(steps: impl Iterator<Item = &'s Step> + Clone) -> String {
    let mut text = String::new();
    let mut known = Vec::new();
    for shell in steps.clone().map(Step::shell).filter(|shell| !shell.is_empty()) {
        if !known.contains(&shell) {
            known.push(shell);
            text.push_str(&format!("{}\n", library(shell)));
        }
    }
    for (index, step) in steps.enumerate() {
        text.push_str(&format!("# {}\nstep_{index}() {{\n{}}}\n", step.id(), step.body()));
    }
    text
}

/// The program that undoes changes, after the users in `quelled` were taken out of action.
pub(crate) fn undo(run: &Run, quelled: &[&str], steps: &[Step]) -> String {
    let body = format!("{}{}\n{}\n", prologue(run), library(REVERT), library(UNDO));
    // They say themselves what of them is left.
    make(run, body, quelled, steps, |_| false)
}

/// The program that sends the receipt, the accounts of these users, and the paths of the files that were edited since factoryup
/// wrote them, and the names of runners.
pub(crate) fn receipt(users: &[&str]) -> String {
    let words = users.iter().fold(String::new(), |line, user| line + " " + Word::text(user).as_str());
    let look = format!("look_up{words}; section passwd; printf '%s\\n' \"$accounts\"");
    let body = [COMMON, ACCOUNTS, PROBE, UNDO].map(library).join("\n")
        + &format!(
            "{{ supported || :; {look}; section receipt; cat \"$STATE/receipt.json\"; section edited; edited{words}; section runner; runners; }} 2>/dev/null | json_lines\n"
        );
    frame("receipt", &body)
}

/// A change's id and action as JSON, each one word.
pub(crate) fn words(id: &str, action: Action) -> String {
    let id = serde_json::Value::from(id).to_string();
    let action = serde_json::to_string(&action).unwrap_or_default();
    format!("{} {}", Word::text(&id), Word::text(&action))
}
