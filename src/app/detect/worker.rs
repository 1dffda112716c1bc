//! A worker: a process that runs all the time and listens nowhere.

use super::Facts;
use super::procfile::{split, tool};
use super::source::{Said, is_line};
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
    /// A worker that ended in a trial stays in the contract, as a comment.
    pub(crate) fn turn_off(&mut self, name: &str, why: String) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.name == name) {
            self.notes.push(format!("the worker {name} is off, since {why}. To turn it on, uncomment its line"));
            worker.off = Some(why);
        }
    }
}

/// Adds a worker under a name that units can have.
pub(super) fn add(facts: &mut Facts, name: &str, command: &str, origin: String) {
    let name: String = name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect();
    if !command.trim().is_empty() && is_name(&name) && facts.workers.iter().all(|worker| worker.name != name) {
        facts.workers.push(Worker { name, said: Said::new(single(command), origin), off: None });
    }
}

/// What the contract takes as the name of a worker.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// One program: the last of several commands is the one that signals have to reach.
fn single(command: &str) -> String {
    match split(command) {
        (Some(before), last) if is_line(before) => {
            format!("sh -c {}", shell::word(&format!("{before} && exec {}", tool(last))))
        }
        (_, one) => tool(one),
    }
}
