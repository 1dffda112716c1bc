//! A text before and after, as a unified diff.

use similar::{ChangeTag, TextDiff};

use super::Paint;
use crate::dialog::plain;
use crate::plan::Diff;

/// Lines of context around a change, as in `diff -u`.
const CONTEXT: usize = 3;

pub(crate) fn text(diff: &Diff, paint: Paint, margin: &str) -> String {
    let before = plain(diff.before.as_deref().unwrap_or_default());
    let after = plain(diff.after.as_deref().unwrap_or_default());
    let lines = TextDiff::from_lines(before.as_str(), after.as_str());
    let mut text = String::new();
    for (index, group) in lines.grouped_ops(CONTEXT).iter().enumerate() {
        if index > 0 {
            text.push_str(&format!("{margin}{}\n", paint.dim("…")));
        }
        for change in group.iter().flat_map(|op| lines.iter_changes(op)) {
            let line = change.value().trim_end_matches('\n');
            let shown = match change.tag() {
                ChangeTag::Delete => paint.bad(&format!("- {line}")),
                ChangeTag::Insert => paint.good(&format!("+ {line}")),
                ChangeTag::Equal => format!("  {line}"),
            };
            text.push_str(&format!("{margin}{}\n", shown.trim_end()));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_the_change_with_its_context() {
        let diff = Diff { before: Some("a\nb\nc\n".into()), after: Some("a\nB\u{1b}\nc\n".into()) };
        assert_eq!(text(&diff, Paint { on: false }, "  "), "    a\n  - b\n  + B\n    c\n");
    }
}
