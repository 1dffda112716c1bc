//! What is shown of a job's log: its end, or the plan in it.
//!
//! Source: <https://docs.gitlab.com/api/jobs/#get-a-log-file>.

use std::fmt::Display;

use super::answer::clean;
use super::client::Client;
use super::error::GitlabResult;
use super::http::Call;
use super::pipeline::Job;
use crate::dialog::plain;

/// How many lines of a failed job's log are shown.
const LOG_LINES: usize = 20;
/// How many lines of a plan are shown, before it is confirmed.
const PLAN_LINES: usize = 500;

/// The last lines of a job's log, as they may be shown.
pub(super) fn end(owner: &Client, project: &dyn Display, job: &Job) -> GitlabResult<String> {
    let call = Call::get("/projects/:id/jobs/:job_id/trace", &[project, &job.id]);
    owner.text(&call).map(|log| tail(&shown(&log)))
}

/// What a job's log says that an apply would do, as OpenTofu and Terraform write it; the end of a log without that.
pub(super) fn plan(owner: &Client, project: u64, job: &Job) -> GitlabResult<String> {
    let call = Call::get("/projects/:id/jobs/:job_id/trace", &[&project, &job.id]);
    owner.text(&call).map(|log| planned(&shown(&log)))
}

fn planned(lines: &[String]) -> String {
    let begin = lines.iter().position(|line| line.ends_with("will perform the following actions:"));
    let end = lines.iter().rposition(|line| line.starts_with("Plan: "));
    let (Some(begin), Some(end)) = (begin, end) else { return tail(lines) };
    let plan = lines.get(begin..=end).unwrap_or_default();
    let kept = plan.len().min(PLAN_LINES);
    let mut text = plan[..kept].join("\n");
    if kept < plan.len() {
        text = format!("{text}\n… and {} lines more, up to: {}", plan.len() - kept, lines[end]);
    }
    text
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// The lines of a log as a terminal would leave them: without what colors it, redraws a line, or marks a section.
fn shown(log: &str) -> Vec<String> {
    let shown = |line: &str| {
        // Runners write `section_start:TIME:NAME\r\e[0K` before a line.
        let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        plain(&without_sequences(line)).trim_end().to_owned()
    };
    log.lines().map(shown).filter(|line| !line.is_empty()).map(|line| clean(&line)).collect()
}

/// A text without control sequences: ECMA-48, `CSI` with its parameters and final byte.
fn without_sequences(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        kept.push_str(before);
        let end = after.find(|c: char| ('@'..='~').contains(&c)).map_or(after.len(), |end| end + 1);
        rest = &after[end..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_ends_as_a_terminal_would_leave_it() {
        let _secret = crate::secret::Secret::new("log-canary-1");
        let log =
            "one\nsection_start:1700000000:x\r\u{1b}[0K\u{1b}[36;1mtwo\u{1b}[0;m\r\n\n\u{9b}2Jthree log-canary-1\n";
        assert_eq!(tail(&shown(log)), "one\ntwo\n2Jthree [secret]");
        let numbers: Vec<_> = (0..50).map(|n| n.to_string()).collect();
        assert_eq!(tail(&numbers), numbers[30..].join("\n"));
        let plan = |lines: usize| {
            let head = ["a".to_owned(), "OpenTofu will perform the following actions:".to_owned()];
            let changes = (0..lines).map(|n| format!("+ {n}"));
            let end = ["Plan: 1 to add".to_owned(), "Job succeeded".to_owned()];
            planned(&head.into_iter().chain(changes).chain(end).collect::<Vec<_>>())
        };
        assert_eq!(plan(1), "OpenTofu will perform the following actions:\n+ 0\nPlan: 1 to add");
        assert!(plan(600).ends_with("+ 498\n… and 102 lines more, up to: Plan: 1 to add"), "{}", plan(600));
        assert_eq!(planned(&numbers), tail(&numbers));
    }
}
