//! Runs the whole setup against disposable targets on this machine.
//!
//! [`day_one`] plays the real journey, with the real targets and the real engine. What it plays against are crates of their own,
//! which the tests use too: `disposable-host` and `gitlab-stand-in`.
//!
//! | part | played by |
//! |---|---|
//! | repo, host and GitLab, twice | the product, as `apply` |
//! | the first pipeline | the real GitLab Runner where one is found, which `programs` looks for; otherwise a stand-in, and the report says so |
//! | what the agent may do and what not | `agent_at_work`, over SSH |
//! | a release, and a bad one that is rolled back | `application`, over SSH |
//!
//! The agent's first issue stays for you: with `--keep`, log in as the report says, and type `factory work 1`.

mod agent_at_work;
mod application;
pub(crate) mod day_one;
pub(crate) mod kept;
mod programs;
pub(crate) mod system;

use std::process::{Command, Stdio};

use disposable_host::Error as Host;
use gitlab_stand_in::Error as StandIn;

use crate::error::{Error, Kind, Result};
use crate::transport::{Session, Status};

/// Runs a program on this machine, and returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let failed = |name: &Command, why: String| {
        let name = name.get_program().to_string_lossy().into_owned();
        Error::new(Kind::CannotWrite, format!("{name} failed")).caused_by(why)
    };
    let output = command.stdin(Stdio::null()).output().map_err(|e| failed(command, e.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(command, String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
}

/// Runs a command on the host, and returns what it printed and how it ended.
fn on_host(session: &mut dyn Session, command: &str, stdin: &[u8]) -> Result<(String, Status)> {
    let mut said = Vec::new();
    let exit = session.exec(command, stdin, None, &mut |line| said.push(crate::dialog::plain(line)))?;
    Ok((said.join("\n"), exit.status))
}

impl From<Host> for Error {
    fn from(error: Host) -> Self {
        let kind = match &error {
            Host::Recipe(_) => Kind::Usage,
            Host::Boot { .. } => Kind::Unreachable,
            Host::Random(_) | Host::HostKey(_) => Kind::Internal,
            Host::ImageLocked { .. } => Kind::CutShort,
            _ => Kind::CannotWrite,
        };
        mapped(kind, &error, error.remedy())
    }
}

impl From<StandIn> for Error {
    fn from(error: StandIn) -> Self {
        let kind = match &error {
            StandIn::NoGit(_) | StandIn::NameTaken(_) | StandIn::NoUser(_) | StandIn::NoProject(_) => Kind::Usage,
            StandIn::Start { .. } => Kind::CannotWrite,
            _ => Kind::Internal,
        };
        mapped(kind, &error, error.remedy())
    }
}

fn mapped(kind: Kind, error: &dyn std::error::Error, remedy: Option<impl Into<String>>) -> Error {
    let mapped = Error::new(kind, error.to_string());
    match remedy {
        Some(remedy) => mapped.hint(remedy),
        None => mapped,
    }
}
