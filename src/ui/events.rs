//! How a run is shown to the user.

use std::time::Duration;

use serde_json::json;

use super::{Ui, diff, json as machine, wrap};
use crate::dialog::{Dialog, plain};
use crate::error::{Error, Result};
use crate::plan::{Action, Change, Diff, Event, Outcome, Plan, Risk, Watch};
use crate::secret::Secret;

impl Ui {
    /// A plan as people read it, in lines of `width` columns: one per change, with diffs where they were asked for.
    fn plan_text(&self, plan: &Plan, width: usize) -> String {
        let paint = self.out;
        let mut text = String::new();
        for same in plan.changes.chunk_by(|a, b| a.stays == b.stays) {
            for group in same.chunk_by(|a, b| !self.settings.diff && alike(a, b)) {
                text.push_str(&self.changes_text(group, width));
            }
            if let Some(reason) = &same[0].stays {
                let reason = wrap::fill(&format!("not reverted: {}", plain(reason)), width, "    ", "    ");
                text.push_str(&format!("{}\n", paint.dim(&reason)));
            }
        }
        for note in &plan.notes {
            text.push_str(&wrap::wrap(&format!("  {} {}\n", paint.care("note:"), plain(note)), width));
        }
        text.push_str(&wrap::wrap(&format!("  {}\n", paint.dim(&self.count(plan))), width));
        text
    }

    /// The texts in a diff keep their lines.
    fn changes_text(&self, changes: &[Change], width: usize) -> String {
        let paint = self.out;
        if changes.len() > FOLD {
            let first = format!("  {} ", Action::Create.sign());
            return format!("{}\n", paint.good(&wrap::fill(&folded(changes), width, &first, "    ")));
        }
        let mut text = String::new();
        for change in changes {
            let first = format!("  {} ", change.action.sign());
            let line = format!("{}{}", plain(&change.summary), risk(change));
            let line = wrap::fill(&line, width, &first, "    ");
            let line = match change.action {
                Action::Create => paint.good(&line),
                Action::Delete => paint.bad(&line),
                Action::Update | Action::Run => paint.care(&line),
            };
            text.push_str(&format!("{line}\n"));
            for end in &change.ends {
                let end = wrap::fill(&plain(end), width, "    ! ", "      ");
                text.push_str(&format!("{}\n", paint.bad(&end)));
            }
            if let Some(texts) = change.diff.as_ref().filter(|_| self.settings.diff) {
                text.push_str(&diff::text(texts, paint, "      "));
            }
        }
        text
    }

    /// A text before and after, as a diff.
    #[must_use]
    pub fn diff_text(&self, texts: &Diff) -> String {
        diff::text(texts, self.out, "  ")
    }

    /// Shows a plan as a result, on standard output, under the name of its target.
    ///
    /// # Errors
    /// `CannotWrite` when it cannot be written.
    pub fn plan(&self, plan: &Plan) -> Result<()> {
        if self.settings.json {
            self.result(&machine::value(&Event::Target { name: plan.target, subject: &plan.subject }).to_string())?;
            return self.result(&machine::value(&Event::Planned(plan)).to_string());
        }
        let width = self.out_width();
        let heading = self.out.bold(&wrap::wrap(&plain(&format!("{}: {}", plan.target, plan.subject)), width));
        self.result(&format!(
            "
{heading}
{}",
            self.plan_text(plan, width)
        ))
    }

    fn count(&self, plan: &Plan) -> String {
        if plan.is_empty() {
            return format!("no changes: {} up to date", plan.unchanged);
        }
        let hint = if self.settings.can_diff && !self.settings.diff && plan.changes.iter().any(|c| c.diff.is_some()) {
            "; --diff shows the texts"
        } else {
            ""
        };
        format!("{}, {} up to date{hint}", changes(plan.changes.len()), plan.unchanged)
    }
}

fn changes(count: usize) -> String {
    if count == 1 { "1 change".into() } else { format!("{count} changes") }
}

/// How many new files are still listed one by one.
const FOLD: usize = 12;

/// Whether two changes fit in one line: both create a file, and neither is risky.
fn alike(a: &Change, b: &Change) -> bool {
    let plain_file = |c: &Change| c.kind() == "file" && c.action == Action::Create && c.risk == Risk::None;
    plain_file(a) && plain_file(b)
}

/// Many new files in one line: how many, and how many below each top folder.
fn folded(changes: &[Change]) -> String {
    // A folder's name ends in its slash, a file's does not.
    let mut places: Vec<(&str, usize)> = Vec::new();
    for change in changes {
        let path = change.id.trim_start_matches("file:");
        let place = path.split_inclusive('/').next().unwrap_or(path);
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, count)) => *count += 1,
            None => places.push((place, 1)),
        }
    }
    let place =
        |(name, count): &(&str, usize)| if *count == 1 { plain(name) } else { format!("{} ({count})", plain(name)) };
    let places: Vec<_> = places.iter().map(place).collect();
    format!("create {} files: {}", changes.len(), places.join(", "))
}

fn risk(change: &Change) -> &'static str {
    match change.risk {
        Risk::None => "",
        Risk::Disruptive => "  (disruptive: restarts or replaces something in use)",
        Risk::Access => "  (reverts automatically if no new login works)",
    }
}

/// That a run was interrupted which began `at` a time in RFC 3339, and what it was doing then. The id of a change is for machines.
fn cut(at: &str, in_a_change: bool, summary: Option<&str>) -> String {
    let when = at.parse::<jiff::Timestamp>();
    let when = when.map_or_else(|_| at.to_owned(), |when| when.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let place = match summary {
        Some(summary) => format!(" in the middle of a change ({summary})"),
        None if in_a_change => " in the middle of a change".to_owned(),
        None => String::new(),
    };
    format!("the run of {when} was interrupted{place}; continuing from the current state")
}

/// A duration as people say it: `0.3 s`, `12 s`, `2 min 05 s`.
#[must_use]
pub fn seconds(took: Duration) -> String {
    let s = took.as_secs_f64();
    match took.as_secs() {
        0 if s < 0.05 => "< 0.1 s".to_owned(),
        0..=9 => format!("{s:.1} s"),
        10..=59 => format!("{s:.0} s"),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

impl Dialog for Ui {
    fn is_interactive(&self) -> bool {
        !self.settings.json && super::prompt::available()
    }

    fn confirm(&self, question: &str, default: bool) -> Result<bool> {
        if !self.is_interactive() {
            return Err(Error::usage(format!("no terminal to ask: {question}")));
        }
        self.clear();
        super::prompt::confirm(&plain(question), default)
    }

    fn secret(&self, prompt: &str) -> Result<Secret> {
        if !self.is_interactive() {
            return Err(Error::usage(format!("no terminal to ask for: {prompt}")));
        }
        self.clear();
        super::prompt::secret(&plain(prompt))
    }

    fn note(&self, text: &str) {
        if self.settings.json {
            self.emit(json!({ "event": "note", "text": text }));
        } else {
            self.line(&format!("  {}", plain(text)));
        }
    }

    fn warn(&self, text: &str) {
        if self.settings.json {
            self.emit(json!({ "event": "warning", "text": text }));
        } else {
            self.line(&format!("  {} {}", self.err.care("warning:"), plain(text)));
        }
    }

    fn busy(&self, text: &str) {
        let text = plain(text);
        if text.is_empty() {
            self.clear();
        } else if self.settings.json {
            if self.is_news(&text) {
                self.emit(json!({ "event": "busy", "text": text }));
            }
        } else if self.motion {
            if let Ok(mut progress) = self.progress.lock() {
                progress.show(&text);
            }
        } else if self.is_news(&text) {
            self.line(&format!("  {text} …"));
        }
    }
}

impl Watch for Ui {
    fn event(&self, event: &Event<'_>) {
        if self.settings.json {
            self.emit(machine::value(event));
            return;
        }
        match event {
            Event::Target { name, subject } => {
                self.heading(&format!("{name}: {subject}"));
                self.busy("reading the current state");
            }
            Event::Resuming { at, change, summary } => self.warn(&cut(at, change.is_some(), *summary)),
            Event::Planned(plan) => {
                self.clear();
                Self::raw(self.plan_text(plan, self.err_width()).trim_end());
            }
            Event::Started { change, index, total } => {
                if self.motion {
                    self.busy(&format!("{index}/{total} {}", change.summary));
                }
            }
            Event::Progress { change, text, done, total } => {
                if self.motion {
                    self.busy(&format!("{text}, {done} of {total}: {}", change.summary));
                }
            }
            Event::Ended { change, failure: None, took } => self.line(&format!(
                "  {} {} {}",
                self.err.good("done"),
                plain(&change.summary),
                self.err.dim(&seconds(*took))
            )),
            // Why it failed is in the error that ends the run.
            Event::Ended { change, failure: Some(_), .. } => {
                self.line(&format!("  {} {}", self.err.bad("failed"), plain(&change.summary)));
            }
            Event::Verified => {
                self.line(&format!("  {} no drift", self.err.good("verified:")));
            }
            Event::Proved(proof) => {
                let word = if proof.held { self.err.good("passed") } else { self.err.bad("FAILED") };
                let claim = plain(&proof.claim);
                let mut detail = format!("({})", plain(&proof.detail));
                // On a terminal a promise that holds takes one row; the evidence has all of it.
                if proof.held {
                    let room = self.err_width().saturating_sub(10 + console::measure_text_width(&claim));
                    detail = console::truncate_str(&detail, room, "…)").into_owned();
                }
                self.line(&format!("  {word} {claim} {}", self.err.dim(&detail)));
            }
            Event::Finished { outcome, took } => {
                let text = match outcome {
                    Outcome::AlreadyRight { proofs: 0 } => "no changes".to_owned(),
                    Outcome::AlreadyRight { proofs } => format!("no changes, {proofs} policy checks passed"),
                    Outcome::Applied { changes: count, proofs: 0 } => format!("{} applied", changes(*count)),
                    Outcome::Applied { changes: count, proofs } => {
                        format!("{} applied, {proofs} policy checks passed", changes(*count))
                    }
                };
                self.line(&format!("  {} {}", self.err.bold(&text), self.err.dim(&seconds(*took))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::TargetName;

    #[test]
    fn a_change_that_is_not_reverted_is_planned_as_such() {
        let mut plan = Plan::new(TargetName::Host, "x");
        for name in ["a", "b"] {
            let change = Change::new(format!("package:{name}"), Action::Create, format!("install {name}"));
            plan.push(Change { stays: Some("packages stay".into()), ..change });
        }
        plan.push(Change::new("group:c", Action::Create, "create c"));
        let text = Ui::new(super::super::Settings::default()).plan_text(&plan, usize::MAX);
        let lines =
            ["  + install a", "  + install b", "    not reverted: packages stay", "  + create c", ""].join("\n");
        assert!(text.starts_with(&lines), "{text}");
        assert_eq!(serde_json::to_value(&plan).unwrap()["changes"][0]["stays"], "packages stay");
    }

    #[test]
    fn a_cut_run_is_told_in_words_for_people() {
        let at = "2026-11-24T20:31:50.123456Z";
        let said = |in_a_change, summary| cut(at, in_a_change, summary);
        let end = "; continuing from the current state";
        assert_eq!(
            said(true, Some("create /etc/motd")),
            format!(
                "the run of 2026-11-24 20:31 UTC was interrupted in the middle of a change (create /etc/motd){end}"
            )
        );
        assert_eq!(
            said(true, None),
            format!("the run of 2026-11-24 20:31 UTC was interrupted in the middle of a change{end}")
        );
        assert_eq!(said(false, None), format!("the run of 2026-11-24 20:31 UTC was interrupted{end}"));
        assert_eq!(cut("then", false, None), format!("the run of then was interrupted{end}"));
    }
}
