//! Target *host*: a machine brought to be a factory's trusted host.
//!
//! | here | what lives there |
//! |---|---|
//! | `profile/` | from `factory.toml` and what the host is like, the list of resources |
//! | `resources/` | one file per kind: what it is, asks, compares, writes, undoes; its shell beside it |
//! | `accounts` | the names of the accounts |
//! | `word` | quoting, and paths on the host |
//! | `program/` | resources compiled to a *probe* and an *apply*, POSIX sh |
//! | `lib/` | the shell that all kinds share |
//! | `observed/` | what a probe saw, typed |
//! | `event`, `apt`, `follow` | what a running program says, what apt says, and what the engine hears of it |
//! | `root` | how a program gets to root's shell over one session |
//! | `closing` | what works now and ends with a change |
//! | `backup`, `renewal` | how the host's own backups are, and its renewals of the agent's tokens |
//! | `left`, `drift` | what left `factory.toml`, by the receipt; and what was changed around the settings |
//! | `app_runner` | starts a runner of an application, by `factory-runner` |
//! | `guard` | changes to sshd and the firewall, which could shut everybody out |
//! | `proof/` | what the host promises, tried on it after every apply |
//! | [`RevertTarget`] | the way back, from the receipt on the host |
//! | [`HostTarget`] | observe and apply, as the engine wants them |
//!
//! What does not live here: how a session is made ([`crate::transport`]), and showing, asking and journaling
//! ([`crate::plan`]).
//!
//! ```no_run
//! use factoryup::dialog::Silent;
//! use factoryup::host::{HostTarget, Reach};
//! use factoryup::plan::{Options, StateDir, converge};
//! use factoryup::transport::{Ssh, SshOptions};
//! # fn example(factory: &factoryup::factory::Factory) -> factoryup::Result<()> {
//! let reach = Reach::Remote(Box::new(|who| {
//!     let options = SshOptions::new(&factory.host.address, "/home/me/known_hosts");
//!     Ok(Box::new(Ssh::new(options.logging_in(who), &Silent)?))
//! }));
//! let mut target = HostTarget::new(factory, reach, None)?;
//! converge(&mut target, &Silent, &StateDir::open("acme")?, Options::default())?;
//! # Ok(())
//! # }
//! ```

#[cfg(test)]
#[path = "../../tests/fuzz/host.rs"]
pub(crate) mod fuzz;

mod accounts;
mod app_runner;
mod apt;
mod backup;
mod closing;
mod drift;
mod event;
mod follow;
mod guard;
mod left;
mod observed;
mod password;
mod profile;
mod program;
mod proof;
mod receipt;
mod renewal;
mod resources;
mod revert;
mod root;
mod script;
mod target;
mod word;

pub use backup::Backups;
pub use profile::Drill;
pub(crate) use profile::agent_tools;
pub use revert::RevertTarget;
pub use script::Script;
pub use target::{Dial, HostTarget, Reach};
