//! How any room tells or asks the user something.
//!
//! Rooms that do work never print: they take a `&dyn Dialog`. The real one is [`crate::ui::Ui`], which knows terminals, colors and
//! `--json`; tests use [`Silent`], which refuses every question as a run without a terminal would.

use crate::error::{Error, Result};
use crate::secret::Secret;
pub use crate::secret::{acts_on_a_terminal, plain};

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
