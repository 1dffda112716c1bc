//! One change as shell: the body of a function that a program runs under `set -eu`, with its output going to the log.

use std::collections::BTreeSet;

use super::payload::line;
use super::{HostPath, Payload, Show, Word};
use crate::plan::{Action, Change, Undo};

/// What the receipt gets to know of the state before a change. It is on record before the change is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// What is at this path, if anything: the host keeps a copy.
    Path(HostPath),
    /// Known from the observation.
    Known(Undo),
    /// The guard keeps it, with that of all else that it changes. What has to read the change: `sshd` or `firewall`.
    Guarded(&'static str),
}

/// The shell of one change.
#[derive(Debug)]
pub(crate) struct Step {
    id: String,
    action: Action,
    /// The functions of its kind.
    shell: &'static str,
    body: String,
    users: BTreeSet<String>,
    or_leave: bool,
    show: Show,
}

impl Step {
    /// An empty step for a change, which may call the functions in `shell` beside those of the library.
    pub(crate) fn new(change: &Change, shell: &'static str, show: Show) -> Self {
        Self {
            id: change.id.clone(),
            action: change.action,
            shell,
            body: String::new(),
            users: BTreeSet::new(),
            or_leave: false,
            show,
        }
    }

    /// Puts the state before on record.
    pub(crate) fn before(&mut self, before: &Before) {
        match before {
            Before::Path(path) => self.at("keep", path, &[]),
            Before::Known(undo) => {
                let json = serde_json::to_string(undo).unwrap_or_else(|_| "null".into());
                self.call("undo", &[Word::text(&json)]);
            }
            Before::Guarded(_) => {}
        }
    }

    /// Lets the next call fail: then it says what stays as it is, and the rest goes on.
    pub(crate) fn best_effort(&mut self) {
        self.body.push_str("best_effort ");
    }

    /// A command, or a call of a function in the library. `command` is constant text of this program.
    pub(crate) fn call(&mut self, command: &'static str, words: &[Word]) {
        self.body.push_str(&line(command, words));
        self.body.push('\n');
    }

    /// A call `COMMAND USER PATH WORDS…`: in a home folder its user does it, who could have put a link where root would follow.
    pub(crate) fn at(&mut self, command: &'static str, path: &HostPath, words: &[&str]) {
        let words = self.words_at(path, words);
        self.call(command, &words);
    }

    /// The same with a text on its standard input.
    pub(crate) fn feed_at(&mut self, command: &'static str, path: &HostPath, words: &[&str], payload: &Payload) {
        let words = self.words_at(path, words);
        self.feed(command, &words, payload);
    }

    fn words_at(&mut self, path: &HostPath, words: &[&str]) -> Vec<Word> {
        self.users.extend(path.accounts().into_iter().map(str::to_owned));
        self.or_leave |= path.is_of_worker();
        let actor = Word::text(path.inside_home_of().unwrap_or("root"));
        [actor, path.word()].into_iter().chain(words.iter().map(|word| Word::text(word))).collect()
    }

    /// Takes the receipt's line about the change away.
    pub(crate) fn forget(&mut self) {
        self.call("forget", &[Word::text(&serde_json::Value::from(self.id.as_str()).to_string())]);
    }

    /// A command with a text on its standard input.
    pub(crate) fn feed(&mut self, command: &'static str, words: &[Word], payload: &Payload) {
        self.body.push_str(&payload.feed(&line(command, words), self.show));
    }

    /// The change it makes.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The change's action.
    pub(crate) fn action(&self) -> Action {
        self.action
    }

    /// The functions that it needs beside the library.
    pub(crate) fn shell(&self) -> &'static str {
        self.shell
    }

    /// Lets the step fail without ending the run: it depends on another server.
    pub(crate) fn or_leave(&mut self) {
        self.or_leave = true;
    }

    /// Whether the rest must be made without it if it fails: a worker could make it fail, or another server.
    pub(crate) fn is_left_if_it_fails(&self) -> bool {
        self.or_leave
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
