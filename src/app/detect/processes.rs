//! What runs besides the program that serves: a migration before it, and workers, which listen nowhere.

use super::procfile::{self, is_migration};
use super::source::{Said, Source, is_line};
use super::worker::{Worker, add, is_name};
use super::{Facts, Refusal, Wishes};

/// Names in a `Procfile` of processes that run all the time, besides those that begin with `worker`.
const WORKERS: [&str; 4] = ["beat", "clock", "queue", "scheduler"];
/// Settles what the manifests of platforms left open.
pub(super) fn read(source: &Source, wishes: &Wishes, facts: &mut Facts) {
    let before = facts.before.take().or_else(|| procfile::web(source)?.1);
    if let Some(command) = &wishes.migrate {
        facts.migrate = Some(Said::new(command, "--migrate")).filter(|said| !said.value.trim().is_empty());
    } else {
        let own = procfile::process(source, "release").map(|said| Said::new(facts.tool(&said.value), said.origin));
        let front = before.clone().filter(|said| is_migration(&said.value));
        facts.migrate = facts.migrate.take().or(own).or(front).or(facts.framework.take());
    }
    let is_known = |said: &Said| facts.migrate.as_ref().is_some_and(|known| known.value == said.value);
    if let Some(before) = before.filter(|said| !is_known(said) && wishes.migrate.is_none() && is_line(&said.value)) {
        let Said { value, origin } = before;
        facts.notes.push(format!("{origin} runs this before each start; releases do not: {value}"));
    }
    if facts.workers.is_empty() {
        for (name, said) in procfile::processes(source) {
            if name.starts_with("worker") || WORKERS.contains(&name.as_str()) {
                add(facts, &name, &said.value, said.origin);
            } else if !["web", "release", "postdeploy", "console", "test"].contains(&name.as_str()) {
                let note =
                    format!("{} has the process {name}, which releases do not run; --worker adds it", said.origin);
                facts.notes.push(note);
            }
        }
    }
    for wish in &wishes.workers {
        let (name, command) = wish.split_once('=').unwrap_or((wish, ""));
        facts.workers.retain(|worker| worker.name != name);
        if !command.trim().is_empty() {
            let said = Said::new(command, "--worker");
            facts.workers.push(Worker { name: name.to_owned(), said, off: None });
        }
    }
}

/// What no question is about: a wish that no contract could have.
pub(super) fn check(wishes: &Wishes) -> Result<(), Refusal> {
    let migrate = wishes.migrate.iter().filter(|command| !command.trim().is_empty());
    if migrate.into_iter().any(|command| !is_line(command)) {
        return Err(Refusal::new("--migrate is not one line of text", "join its commands with &&"));
    }
    for wish in &wishes.workers {
        let (name, command) = wish.split_once('=').unwrap_or((wish, "\n"));
        if !is_name(name) || !command.is_empty() && !is_line(command) {
            return Err(Refusal::new(
                "--worker is not NAME=COMMAND, one line with a name of at most 16 letters a-z, digits and hyphens",
                "for example: --worker mail='python3 -m mail'; or without it: --worker mail=",
            ));
        }
    }
    Ok(())
}
