//! A worker: a process that runs all the time and listens nowhere.

use super::Facts;
use super::procfile::split;
use super::source::{Said, is_line, one_line};
use crate::shell;

/// The longest name of a worker, and how many there are at most, as `factory-deploy` has it.
const LONGEST: usize = 16;
pub(super) const MOST: usize = 8;

/// A process of the application without a port.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) said: Said,
    /// Why a release does not start it, as it ended in a trial.
    pub(crate) off: Option<String>,
}

impl Facts {
    /// One program: the last of several commands is the one that signals have to reach.
    fn one_program(&self, command: &str) -> String {
        match split(command) {
            (Some(before), last) if is_line(before) => {
                format!("sh -c {}", shell::word(&format!("{before} && exec {}", self.tool(last))))
            }
            (_, one) => self.tool(one),
        }
    }

    /// A worker that ended in a trial stays in the contract, as a comment.
    pub(crate) fn turn_off(&mut self, name: &str, why: String) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.name == name) {
            self.notes
                .push(format!("the worker {name} is off, since {}. To turn it on, uncomment its line", one_line(&why)));
            worker.off = Some(why);
        }
    }
}

/// Adds a worker under a name that units can have; or says why it cannot.
pub(super) fn add(facts: &mut Facts, name: &str, command: &str, origin: String) {
    let name = fit(name);
    if command.trim().is_empty() {
        return;
    }
    let command = facts.one_program(command);
    if !is_name(&name) || !is_line(&command) {
        facts.notes.push(format!("{origin} is no worker: its name or its command does not fit; --worker adds it"));
    } else if let Some(other) = facts.workers.iter().find(|worker| worker.name == name) {
        facts.notes.push(format!("{origin} is no worker: {} has one with the name {name} too", other.said.origin));
    } else {
        facts.workers.push(Worker { name, said: Said::new(command, origin), off: None });
    }
}

/// The name of a process as one of a worker: in small letters, and not too long.
pub(super) fn fit(name: &str) -> String {
    let name = name.chars().map(|c| if c == '_' || c == '.' { '-' } else { c.to_ascii_lowercase() });
    name.take(LONGEST).collect::<String>().trim_matches('-').to_owned()
}

/// What the contract takes as the name of a worker.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
