//! A fault in a file, shown with file, line, column, field, the line itself with a caret, and the remedy.

use std::fmt::Write as _;
use std::ops::Range;

use console::measure_text_width;

use super::rules::{Fault, find_secrets};
use crate::dialog::plain;
use crate::error::Error;

/// How many problems one message shows.
const SHOWN: usize = 20;
/// How many are told apart: each is compared with those before it, and 64 KiB of `=` are as many faults in TOML.
pub(super) const COUNTED: usize = 1000;
/// How many columns of the line are shown around the caret.
const WIDTH: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// The bytes of the file it is about; none when it is about what is not there.
    pub(super) span: Option<Range<usize>>,
    /// What it is about: `host.port`, `[host]`; may be empty.
    pub(super) subject: String,
    pub(super) fault: Fault,
}

impl Problem {
    pub(super) fn new(span: Option<Range<usize>>, subject: impl Into<String>, fault: Fault) -> Self {
        Self { span, subject: subject.into(), fault }
    }
}

/// One error that says all that is wrong with the file called `name`.
pub(super) fn error(name: &str, text: &str, mut problems: Vec<Problem>) -> Error {
    problems.sort_by_key(|problem| problem.span.as_ref().map_or((usize::MAX, 0), |span| (span.start, span.end)));
    let secret = problems.iter().filter(|problem| problem.fault.secret).filter_map(|problem| problem.span.clone());
    let source = Source::new(text, secret.collect());
    let count = problems.len();
    let least = if count < COUNTED { "" } else { "at least " };
    let mut message = format!("{name} has {least}{count} problem{}\n", if count == 1 { "" } else { "s" });
    for problem in problems.iter().take(SHOWN) {
        let _ = write!(message, "\n{}", source.show(name, problem));
    }
    if count > SHOWN {
        let _ = write!(message, "\n… and {} more\n", count - SHOWN);
    }
    Error::data(message.trim_end()).hint("`factoryup schema --markdown` describes every field")
}

/// The text as it may be shown: without secrets, its lines and columns as they are.
struct Source {
    text: String,
}

impl Source {
    fn new(text: &str, mut secret: Vec<Range<usize>>) -> Self {
        secret.extend(find_secrets(text).into_iter().map(|pasted| pasted.span));
        let mut shown = String::with_capacity(text.len());
        for (at, character) in text.char_indices() {
            if character != '\n' && secret.iter().any(|span| span.contains(&at)) {
                // Byte for byte, so that spans still point to the same place.
                shown.extend(std::iter::repeat_n('*', character.len_utf8()));
            } else {
                shown.push(character);
            }
        }
        Self { text: shown }
    }

    fn show(&self, name: &str, problem: &Problem) -> String {
        let subject = if problem.subject.is_empty() { String::new() } else { format!("{} ", problem.subject) };
        let Fault { reason, remedy, .. } = &problem.fault;
        let Some(span) = &problem.span else { return format!("{name}: {subject}{reason}\n  = {remedy}\n") };
        let start = self.boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or_default();
        // A span may begin inside a line ending of two characters, which is no part of the line.
        let start = start.min(line_start + line.len());
        let number = self.text[..start].matches('\n').count() + 1;
        let column = self.text[line_start..start].chars().count() + 1;
        let end = self.boundary(span.end.clamp(start, line_start + line.len()).max(start));

        let (before, marked) = (&self.text[line_start..start], &self.text[start..end]);
        let after = line.get(end - line_start..).unwrap_or_default();
        let (before, marked, after) = window(&visible(before), &visible(marked), &visible(after));
        let gutter = number.to_string();
        let indent = " ".repeat(gutter.len());
        format!(
            "{name}:{number}:{column}: {subject}{reason}\n{gutter} | {before}{marked}{after}\n{indent} | {caret:>from$}\n{indent} = {remedy}\n",
            caret = "^".repeat(measure_text_width(&marked).max(1)),
            from = measure_text_width(&before) + measure_text_width(&marked).max(1),
        )
        .replace(" \n", "\n")
    }

    /// The nearest character boundary at or before `at`.
    fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }
}

/// A piece of a line without what acts on a terminal; each tab one space, so that carets stay below what they mean.
fn visible(text: &str) -> String {
    plain(text).replace('\t', " ")
}

/// The part of a long line that matters: what is marked, and what is around it.
fn window(before: &str, marked: &str, after: &str) -> (String, String, String) {
    let length = |text: &str| text.chars().count();
    if length(before) + length(marked) + length(after) <= WIDTH {
        return (before.to_owned(), marked.to_owned(), after.to_owned());
    }
    let skipped = length(before).saturating_sub(40);
    let before: String = if skipped > 0 {
        format!("…{}", before.chars().skip(skipped).collect::<String>())
    } else {
        before.to_owned()
    };
    let shown = WIDTH - length(&before).min(WIDTH - 20);
    let cut = |text: &str, room: usize| {
        if length(text) <= room { text.to_owned() } else { text.chars().take(room).chain(['…']).collect() }
    };
    let marked = cut(marked, shown);
    let room = shown.saturating_sub(length(&marked));
    let after = if marked.ends_with('…') { String::new() } else { cut(after, room) };
    (before, marked, after)
}
