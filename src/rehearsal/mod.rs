//! Runs the whole setup against disposable targets on this machine.
//!
//! [`day_one`] plays the real journey, with the real targets and the real engine. What it plays against are crates of their own,
//! which the tests use too: `disposable-host` and `gitlab-stand-in`.

mod agent_at_work;
pub(crate) mod day_one;
pub(crate) mod system;

use disposable_host::Error as Host;
use gitlab_stand_in::Error as StandIn;

use crate::error::{Error, Kind};

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
