//! What a trusted host is made of: one kind of resource per file.
//!
//! Each file holds all that its kind is: a plain struct that says what should be, what the probe must find out to judge it, the
//! comparison in words for people, the shell that makes it so, and how that is undone. The order among resources, and which there
//! are, is for the [profile](crate::host::profile) to say.

mod authorized_key;
mod directory;
mod file;
mod git_include;
mod group;
mod link;
mod nftables;
mod package;
mod secret_file;
mod sshd;
mod sysctl;
mod unit;
mod user;

pub(crate) use authorized_key::{AuthorizedKey, key_parts};
pub(crate) use directory::Directory;
pub(crate) use file::{File, Then};
pub(crate) use git_include::GitInclude;
pub(crate) use group::Group;
pub(crate) use link::Link;
pub(crate) use nftables::{Nftables, RULES, UNIT_FILE};
pub(crate) use package::Packages;
pub(crate) use secret_file::{SecretFile, Wish};
pub(crate) use sshd::{HOST_KEYS, Sshd};
pub(crate) use sysctl::Sysctl;
pub(crate) use unit::Unit;
pub(crate) use user::{PasswordWish, User};

use crate::error::{Error, Result};
use crate::host::observed::Observed;
use crate::host::profile::is_of_worker;
use crate::host::program::{HostPath, Questions, Step};
use crate::plan::Change;

/// What came of comparing.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// What would have to change; none where all is as it should be.
    pub(crate) change: Option<Change>,
    /// What a reader of the plan should know.
    pub(crate) note: Option<String>,
}

impl Verdict {
    /// All is as it should be.
    pub(crate) fn right() -> Self {
        Self::default()
    }

    /// Something is not.
    pub(crate) fn differs(change: Change) -> Self {
        Self { change: Some(change), note: None }
    }
}

/// What stands where something else must be is never taken away. It stops the run, for a person to look at; but in a worker's home,
/// where the worker could have put it to stop just that, it is noted, and the rest of the host is brought right.
fn in_the_way(path: &HostPath, is: &str, needed: &str) -> Result<Verdict> {
    let said = format!("{path} is there and is {is}");
    if is_of_worker(path) {
        let note = format!("{said}, and stays: move it away, then run this again; the factory needs {needed} there");
        return Ok(Verdict { change: None, note: Some(note) });
    }
    Err(Error::data(said)
        .hint(format!("look at it, move it away, then run this again; the factory needs {needed} there")))
}

/// What a change that could shut everybody out is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guarded {
    /// sshd's configuration.
    Sshd,
    /// The packet filter.
    Firewall,
}

impl Guarded {
    /// As the shell library calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sshd => "sshd",
            Self::Firewall => "firewall",
        }
    }
}

/// One desired fact about a host.
pub(crate) trait Resource: std::fmt::Debug {
    /// `kind:name`, stable between runs.
    fn id(&self) -> String;

    /// What must be found out to compare.
    fn ask(&self, questions: &mut Questions);

    /// What is different.
    ///
    /// # Errors
    /// When what is there must not be changed: another use of the same name, for one.
    fn compare(&self, seen: &Observed) -> Result<Verdict>;

    /// The shell that makes it so. Runs only where [`compare`](Self::compare) saw a difference, or where a run was cut at it; it
    /// may find the change half or wholly made.
    fn write(&self, seen: &Observed, step: &mut Step);

    /// For what could shut everybody out: then [`write`](Self::write) only stages and checks, and the guard does the rest.
    fn guarded(&self) -> Option<Guarded> {
        None
    }
}
