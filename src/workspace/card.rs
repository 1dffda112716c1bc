//! The factory at a glance: what was read, a line for each part, and what only a person can do next.

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// What `factoryup status` and `factoryup apply` show.
#[derive(Debug, Default, Serialize)]
pub struct Card {
    /// A line for each part of the factory.
    pub lines: Vec<CardLine>,
    /// What is left for the user, in order.
    pub next: Vec<Step>,
    /// Why a host or GitLab could not be reached.
    #[serde(skip)]
    unreachable: Option<Error>,
}

/// How a part of the factory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// There is something to do about it.
    Attention,
    /// It could not be read.
    Unknown,
}

/// A part of the factory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardLine {
    /// Which part, in a word.
    pub part: &'static str,
    /// How it is.
    pub state: State,
    /// What was read.
    pub text: String,
    /// Its page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// Something that only a person can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What to do.
    pub what: String,
    /// What to type, or the page to open.
    pub how: String,
    /// Whether it is known that it was not done; else that cannot be told.
    pub is_open: bool,
}

impl Card {
    /// Adds a line.
    pub(super) fn line(&mut self, part: &'static str, state: State, text: impl Into<String>) {
        self.lines.push(CardLine { part, state, text: text.into(), link: None });
    }

    /// Adds a line about something that has a page.
    pub(super) fn linked(&mut self, part: &'static str, state: State, text: impl Into<String>, link: &str) {
        self.lines.push(CardLine { part, state, text: text.into(), link: Some(link.to_owned()) });
    }

    /// Adds a line for what could not be read.
    ///
    /// # Errors
    /// The error itself, if the user interrupted.
    pub(super) fn unknown(&mut self, part: &'static str, error: Error) -> Result<()> {
        if error.kind() == Kind::Interrupted {
            return Err(error);
        }
        self.line(part, State::Unknown, format!("cannot tell: {error}"));
        if error.kind() == Kind::Unreachable {
            self.unreachable.get_or_insert(error);
        }
        Ok(())
    }

    /// Adds a step that is known to be open.
    pub(super) fn step(&mut self, what: impl Into<String>, how: impl Into<String>) {
        self.next.push(Step { what: what.into(), how: how.into(), is_open: true });
    }

    /// Whether all parts were read and are as they should be, and no step is known to be open.
    ///
    /// # Errors
    /// `Unreachable` if the host or GitLab did not answer.
    pub fn verdict(self) -> Result<bool> {
        match self.unreachable {
            Some(error) => Err(error),
            None => {
                Ok(self.lines.iter().all(|line| line.state == State::Ok) && !self.next.iter().any(|step| step.is_open))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_that_of_the_worst() {
        let mut card = Card::default();
        card.line("repo", State::Ok, "main");
        card.next.push(Step { what: "keep a copy".into(), how: "x".into(), is_open: false });
        assert!(card.verdict().unwrap());
        let mut card = Card::default();
        card.step("log in", "x");
        assert!(!card.verdict().unwrap());
        let mut card = Card::default();
        card.unknown("gitlab", Error::usage("no token")).unwrap();
        assert_eq!(card.lines[0].text, "cannot tell: no token");
        card.unknown("host", Error::new(Kind::Unreachable, "no answer")).unwrap();
        card.unknown("gitlab", Error::new(Kind::Unreachable, "nor here")).unwrap();
        assert!(card.unknown("x", crate::interrupt::interrupted()).is_err());
        assert_eq!(card.verdict().unwrap_err().to_string(), "no answer");
    }
}
