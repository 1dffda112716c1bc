//! A person who answers as the test says.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::VecDeque;

use factoryup::dialog::Dialog;
use factoryup::secret::Secret;
use factoryup::{Error, Result};

/// Gives prepared answers, and remembers what was asked and said. Runs out of answers as a person would leave.
#[derive(Default)]
pub struct Scripted {
    answers: RefCell<VecDeque<bool>>,
    secrets: RefCell<VecDeque<Secret>>,
    asked: RefCell<Vec<String>>,
    notes: RefCell<Vec<String>>,
}

impl Scripted {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn answers(self, answers: &[bool]) -> Self {
        self.answers.borrow_mut().extend(answers);
        self
    }

    pub fn secrets(self, secrets: &[&str]) -> Self {
        self.secrets.borrow_mut().extend(secrets.iter().map(|text| Secret::new(*text)));
        self
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }

    /// All that was said so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }
}

impl Dialog for Scripted {
    fn is_interactive(&self) -> bool {
        true
    }

    fn confirm(&self, question: &str, _default: bool) -> Result<bool> {
        self.asked.borrow_mut().push(question.to_owned());
        self.answers.borrow_mut().pop_front().ok_or_else(|| Error::new(factoryup::Kind::Interrupted, "left"))
    }

    fn secret(&self, prompt: &str) -> Result<Secret> {
        self.asked.borrow_mut().push(prompt.to_owned());
        self.secrets.borrow_mut().pop_front().ok_or_else(|| Error::new(factoryup::Kind::Interrupted, "left"))
    }

    fn note(&self, text: &str) {
        self.notes.borrow_mut().push(text.to_owned());
    }

    fn warn(&self, text: &str) {
        self.notes.borrow_mut().push(text.to_owned());
    }

    fn busy(&self, _text: &str) {}
}
