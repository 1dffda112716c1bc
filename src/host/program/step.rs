//! One change as shell: the body of a function that the apply program runs under `set -eu`, with its output going to the log.

use std::collections::BTreeSet;

use super::payload::line;
use super::{HostPath, Payload, Show, Word};
use crate::host::profile::is_of_worker;
use crate::plan::{Action, Undo};

/// What a step's undoing looks like before the step runs: known here, or found by the library when it makes a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undoing {
    /// The library's `put`, `point` or `authorize` keeps what is there.
    Kept,
    /// Known from the observation.
    Known(Undo),
}

/// The shell of one change.
#[derive(Debug)]
pub(crate) struct Step {
    id: String,
    action: Action,
    body: String,
    users: BTreeSet<String>,
    of_worker: bool,
    show: Show,
}

impl Step {
    /// An empty step for a change.
    pub(crate) fn new(id: &str, action: Action, show: Show) -> Self {
        Self { id: id.to_owned(), action, body: String::new(), users: BTreeSet::new(), of_worker: false, show }
    }

    /// Puts on record how the change can be undone. Comes before what it undoes.
    pub(crate) fn undoing(&mut self, undoing: &Undoing) {
        if let Undoing::Known(undo) = undoing {
            let json = serde_json::to_string(undo).unwrap_or_else(|_| "null".into());
            self.call("undo", &[Word::text(&json)]);
        }
    }

    /// A command, or a call of a function in the library. `command` is constant text of this program.
    pub(crate) fn call(&mut self, command: &'static str, words: &[Word]) {
        self.body.push_str(&line(command, words));
        self.body.push('\n');
    }

    /// A command with a text on its standard input.
    pub(crate) fn feed(&mut self, command: &'static str, words: &[Word], payload: &Payload) {
        self.body.push_str(&payload.feed(&line(command, words), self.show));
    }

    /// A path as a word, with the accounts that it needs looked up.
    pub(crate) fn path(&mut self, path: &HostPath) -> Word {
        self.users.extend(path.accounts().into_iter().map(str::to_owned));
        self.of_worker |= is_of_worker(path);
        path.word()
    }

    /// The change it makes.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The change's action.
    pub(crate) fn action(&self) -> Action {
        self.action
    }

    /// Whether it works where a worker could make it fail, so that the rest must be made without it.
    pub(crate) fn is_left_if_it_fails(&self) -> bool {
        self.of_worker
    }

    /// The function's lines.
    pub(crate) fn body(&self) -> String {
        if self.users.is_empty() {
            return self.body.clone();
        }
        let users: Vec<&str> = self.users.iter().map(String::as_str).collect();
        let words = users.iter().map(|user| Word::text(user)).collect::<Vec<_>>();
        format!("{}\n{}{}", line("look_up", &words), super::accounts(&self.body, &users), self.body)
    }
}
