//! How any room tells or asks the user something.
//!
//! Rooms that do work never print: they take a `&dyn Dialog`. The real one is [`crate::ui::Ui`], which knows terminals, colors and
//! `--json`; tests use [`Silent`], which refuses every question as a run without a terminal would.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::secret::{Secret, redact};

/// A user at a terminal, or no user.
pub trait Dialog {
    /// Whether questions can be answered.
    fn is_interactive(&self) -> bool;

    /// Asks for a yes or no. `default` is what Enter means.
    ///
    /// # Errors
    /// `Usage` without a terminal, `Interrupted` if the user cancels.
    fn confirm(&self, question: &str, default: bool) -> Result<bool>;

    /// Asks for a secret, which is not echoed.
    ///
    /// # Errors
    /// As [`confirm`](Self::confirm).
    fn secret(&self, prompt: &str) -> Result<Secret>;

    /// Shows a note.
    fn note(&self, text: &str);

    /// Shows a warning.
    fn warn(&self, text: &str);

    /// Shows a step that takes time, such as `building the Debian image`. The next call, an empty text or
    /// any other message ends it.
    fn busy(&self, text: &str);
}

/// Shows nothing and answers no question.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Dialog for Silent {
    fn is_interactive(&self) -> bool {
        false
    }

    fn confirm(&self, question: &str, _default: bool) -> Result<bool> {
        Err(Error::usage(format!("no terminal to ask: {question}")))
    }

    fn secret(&self, prompt: &str) -> Result<Secret> {
        Err(Error::usage(format!("no terminal to ask for: {prompt}")))
    }

    fn note(&self, _text: &str) {}

    fn warn(&self, _text: &str) {}

    fn busy(&self, _text: &str) {}
}

/// `text` as it may be shown: without what could act on a terminal, which is control characters (C0, C1, DEL) other than newline and tab
/// and the invisible characters that reorder text, and without the [secrets](crate::secret::redact) of this process. For all text that
/// came from a host or the network.
///
/// Shorten a text only after this: half a secret is not found.
#[must_use]
pub fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|&c| c == '\n' || c == '\t' || !acts_on_a_terminal(c)).collect();
    match redact(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

/// Whether a character is a control character, or an invisible one that reorders text.
#[must_use]
pub fn acts_on_a_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn plain_removes_what_acts_on_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\u{9b}2Jc\n\td\u{202e}e"), "a[31mb2Jc\n\tde");
    }
}
