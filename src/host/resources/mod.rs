//! What a trusted host is made of: one kind of resource per file.
//!
//! Each file holds all that its kind is:
//!
//! - a plain struct that says what should be, and is a [`Resource`]: what the probe must find out to judge it, the comparison in
//!   words for people, what of the state before goes on record, and the shell that makes it so;
//! - a [`ResourceKind`] that says how a change is undone, given no more than its entry in the receipt;
//! - where that takes more shell than a few calls, the functions, in a `.sh` beside it.
//!
//! [`KINDS`] lists them. To add one: its file, its line there, and where it is wanted a line in the
//! [profile](crate::host::profile), which says what resources there are and in which order.

mod audit;
mod authorized_key;
mod clone;
mod directory;
mod download;
mod file;
mod git_include;
mod group;
mod host_key;
mod hostname;
mod kind;
mod link;
mod nftables;
mod package;
mod runner_program;
mod runner_service;
mod secret_file;
mod sshd;
mod swap;
mod sysctl;
mod tool;
mod trust;
mod trusted_jobs;
mod unit;
mod user;

pub(crate) use audit::Audit;
pub(crate) use authorized_key::{AuthorizedKey, fingerprint, key_parts, remove_under_guard};
pub(crate) use clone::GitClone;
pub(crate) use directory::Directory;
pub(crate) use download::Download;
pub(crate) use file::{BACKUP, DATABASES, DEPLOYER, File, INSTANCES, RENEWER, TUNNEL, Then};
pub(crate) use git_include::{GitInclude, INCLUDED};
pub(crate) use group::Group;
pub(crate) use host_key::HostKey;
pub(crate) use hostname::Hostname;
pub(crate) use kind::{Back, ResourceKind, WayBack};
pub(crate) use link::Link;
pub(crate) use nftables::{FIREWALL, Nftables};
pub(crate) use package::Packages;
pub(crate) use runner_program::RunnerProgram;
pub(crate) use runner_service::RunnerService;
pub(crate) use secret_file::{RENEWALS, SecretFile, Wish};
pub(crate) use sshd::{HOST_KEYS, Sshd};
pub(crate) use swap::Swap;
pub(crate) use sysctl::{Sysctl, is_stricter};
pub(crate) use tool::Tool;
pub(crate) use trust::{Program, Trust};
pub(crate) use trusted_jobs::TrustedJobs;
pub(crate) use unit::Unit;
pub(crate) use user::{PasswordWish, SubordinateIds, User};

use crate::dialog::plain;
use crate::error::{Error, Result};
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Show, Step};
use crate::plan::{Change, Entry, Undo};

/// All kinds. A receipt that names another one is refused.
pub(crate) static KINDS: &[&ResourceKind] = &[
    &audit::KIND,
    &authorized_key::KIND,
    &clone::KIND,
    &directory::KIND,
    &download::KIND,
    &file::KIND,
    &git_include::KIND,
    &group::KIND,
    &host_key::KIND,
    &hostname::KIND,
    &link::KIND,
    &nftables::KIND,
    &package::KIND,
    &runner_program::KIND,
    &runner_service::KIND,
    &secret_file::KIND,
    &sshd::KIND,
    &swap::KIND,
    &sysctl::KIND,
    &tool::KIND,
    &trust::KIND,
    &trusted_jobs::KIND,
    &unit::KIND,
    &user::KIND,
];

/// The ways back from all entries of a receipt, in its order; or why a change stays, in words for the plan.
///
/// # Errors
/// `Data` when the receipt names a kind that this factoryup does not know: then none of it may be undone, since the rest can depend
/// on that.
pub(crate) fn ways_back(entries: &[Entry]) -> Result<Vec<std::result::Result<Back, String>>> {
    let way_back = |entry: &Entry| {
        let (name_of_kind, name) = entry.id.split_once(':').unwrap_or((&entry.id, ""));
        let kind = KINDS.iter().find(|kind| kind.name == name_of_kind).ok_or_else(|| {
            Error::data(format!(
                "this receipt was written by a newer factoryup: it names the kind `{}`, which {} does not know",
                plain(name_of_kind),
                env!("CARGO_PKG_VERSION")
            ))
            .hint("use the factoryup that wrote it, or a newer one; nothing was changed")
        })?;
        Ok(kind.back(name, entry))
    };
    entries.iter().map(way_back).collect()
}

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
    if path.is_of_worker() {
        let note = format!("{said}, and stays: move it away, then run this again; the factory needs {needed} there");
        return Ok(Verdict { change: None, note: Some(note) });
    }
    Err(Error::data(said)
        .hint(format!("look at it, move it away, then run this again; the factory needs {needed} there")))
}

/// One desired fact about a host.
pub(crate) trait Resource: std::fmt::Debug {
    /// Its kind, and its name: unique in the kind and stable between runs.
    fn named(&self) -> (&'static ResourceKind, String);

    /// What must be found out to compare.
    fn ask(&self, questions: &mut Questions);

    /// What is different.
    ///
    /// # Errors
    /// When what is there must not be changed: another use of the same name, for one.
    fn compare(&self, seen: &Observed) -> Result<Verdict>;

    /// What goes on record of the state before. Its kind's way back gets it.
    fn before(&self, seen: &Observed) -> Before;

    /// The shell that makes it so. Runs only where [`compare`](Self::compare) saw a difference, or where a run was cut at it; it
    /// may find the change half or wholly made. For what is [guarded](Before::Guarded) it only stages and checks.
    fn write(&self, seen: &Observed, step: &mut Step);

    /// Whether it runs files that its user can edit. Such a change comes after all others.
    fn is_last(&self) -> bool {
        false
    }

    /// `kind:name`.
    fn id(&self) -> String {
        let (kind, name) = self.named();
        format!("{}:{name}", kind.name)
    }

    /// What has to read the change, where that is made by the guard, since it could shut everybody out.
    fn guarded(&self, seen: &Observed) -> Option<&'static str> {
        match self.before(seen) {
            Before::Guarded(part) => Some(part),
            _ => None,
        }
    }

    /// Why a change to it is not undone, where it is not.
    fn stays(&self, seen: &Observed) -> Option<String> {
        match (self.before(seen), &self.named().0.way_back) {
            (Before::Known(Undo::Never { reason }), _) => Some(reason),
            (_, WayBack::None(reason)) => Some((*reason).to_owned()),
            _ => None,
        }
    }

    /// A change to it as a step.
    fn step(&self, change: &Change, seen: &Observed, show: Show) -> Step {
        let mut step = Step::new(change, self.named().0.shell, show);
        step.before(&self.before(seen));
        self.write(seen, &mut step);
        step
    }
}
