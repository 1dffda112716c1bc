//! In a trial, what runs besides the program that serves: its migration before it, its workers after it, both without a network.

use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::job::Job;
use super::{AppError, Place};
use crate::budget::Budget;
use crate::dialog::plain;
use crate::process;

const MIGRATE: Duration = Duration::from_mins(2);
/// A worker that runs for so long is taken for alive.
const ALIVE: Duration = Duration::from_secs(5);
/// What takes the network from a program; the user stays the same.
const ALONE: [&str; 5] = ["unshare", "--user", "--map-current-user", "--net", "--"];
/// What `.factory/run` of an image begins with.
pub(super) const IN_AN_IMAGE: [&str; 8] =
    ["unshare", "--user", "--map-root-user", "--mount", "--", "mount", "--rbind", "/proc"];

impl Place<'_> {
    /// Runs the migration, which has to succeed.
    pub(super) fn migrate(&self) -> Result<(), AppError> {
        let Some(said) = &self.facts.migrate else { return Ok(()) };
        (self.say)(&format!("  migration: {}", plain(&said.value)));
        let mut job = self.run("migrate", "migrate.log").map_err(|e| self.no(e))?;
        let why = match job.wait(MIGRATE, &mut |_| ()).map_err(|e| self.no(e))? {
            None if crate::interrupt::pending() => return Err(AppError::Interrupted),
            None => format!("its migration did not end within {} min", MIGRATE.as_secs() / 60),
            Some(status) if status.success() => return Ok(()),
            Some(status) => format!("it builds, but its migration ends with {}", ending(status)),
        };
        let why = format!("{why}: {} (from {})", said.value, said.origin);
        let mut error = self.failed(why, &job.tail());
        if let AppError::Trial { hints, .. } = &mut error {
            hints.insert(0, "choose another migration: --migrate COMMAND; or none: --migrate ''".into());
        }
        Err(error)
    }

    /// Starts all workers at once. Returns those that ended, and why.
    pub(super) fn workers(&self) -> Result<Vec<(String, String)>, AppError> {
        let mut jobs = Vec::new();
        for worker in &self.facts.workers {
            (self.say)(&format!("  worker {}: {}", worker.name, plain(&worker.said.value)));
            let job = self.run(&format!("worker.{}", worker.name), &format!("worker-{}.log", worker.name));
            jobs.push((worker.name.clone(), job.map_err(|e| self.no(e))?));
        }
        let begun = Instant::now();
        let mut ended = Vec::new();
        while !jobs.is_empty() && begun.elapsed() < ALIVE {
            if crate::interrupt::pending() {
                return Err(AppError::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(100));
            let mut running = Vec::new();
            for (name, mut job) in jobs {
                match job.ended().map_err(|e| self.no(e))? {
                    None => running.push((name, job)),
                    Some(status) => {
                        let last: String = job.tail().lines().last().unwrap_or_default().chars().take(200).collect();
                        let said = if last.is_empty() { String::new() } else { format!(": {last}") };
                        ended.push((
                            name,
                            format!("it ended with {} in a trial without a network{said}", ending(status)),
                        ));
                    }
                }
            }
            jobs = running;
        }
        Ok(ended)
    }

    /// Starts a line of the contract, without a network where this machine lets a user do that.
    fn run(&self, key: &str, log: &str) -> io::Result<Job> {
        let run = self.root.join("release/.factory/run");
        let mut command = if lets(&ALONE, "true") {
            let mut command = self.command(Path::new(ALONE[0]));
            command.args(&ALONE[1..]).arg(run);
            command
        } else {
            self.command(&run)
        };
        Job::start(command.arg(key), self.root.join(log))
    }
}

/// Whether a user of this machine can make these namespaces.
pub(super) fn lets(namespaces: &[&str], then: &str) -> bool {
    let mut command: Command = process::command(namespaces[0]);
    command.args(&namespaces[1..]).arg(then);
    process::output(&mut command, None, Budget::LOCAL).is_ok_and(|output| output.status.success())
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| "a signal".into(), |code| format!("exit code {code}"))
}
