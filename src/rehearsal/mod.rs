//! Day one against disposable targets on this machine.
//!
//! [`day_one`] plays the real journey, with the real targets and the real engine. What it plays against are crates of their own,
//! which the tests use too: `disposable-host` and `gitlab-stand-in`.

mod agent_at_work;
pub mod control_plane;
pub mod day_one;
pub mod system;

use crate::error::{Error, Kind};

impl From<disposable_host::Error> for Error {
    fn from(error: disposable_host::Error) -> Self {
        use disposable_host::Error as Host;
        let kind = match &error {
            Host::Recipe(_) => Kind::Usage,
            Host::Boot { .. } => Kind::Unreachable,
            Host::Random(_) | Host::HostKey(_) => Kind::Internal,
            Host::ImageLocked { .. } => Kind::CutShort,
            _ => Kind::CannotWrite,
        };
        let mapped = Self::new(kind, error.to_string());
        match error.remedy() {
            Some(remedy) => mapped.hint(remedy),
            None => mapped,
        }
    }
}
