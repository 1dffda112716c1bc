//! factoryup gives one developer a software factory on day one.
//!
//! One idea runs through the whole crate: everything factoryup brings about goes the same way,
//! **desired → observe → plan → confirm → apply → verify → receipt and evidence**, and the three things it brings about, the
//! *targets*, differ only in what a resource is and how it is read and written.
//!
//! | room | what lives there |
//! |---|---|
//! | [`factory`] | `factory.toml`: the typed desired state, its field table, validation and JSON Schema |
//! | `migrations` | what a new version changes besides the texts of files, as a list |
//! | [`wizard`] | asks for what the field table says is missing |
//! | [`plan`] | the engine: `Target`, `Change`, `Plan`, journal, receipt, evidence; knows no target |
//! | [`host`] | target *host*: a trusted machine, observed and changed by two POSIX sh programs |
//! | [`repo`] | target *repo*: the control repo, rendered from `templates/` into one git commit |
//! | [`templating`] | from templates and answers to a tree of files in memory |
//! | [`git`] | the user's git, run so that what it does depends on the repo alone |
//! | [`gitlab`] | target *gitlab*: the hand-off, and the negative proof that it holds |
//! | [`workspace`] | a factory's folder with its answers, keys, state and dialog: makes targets, and applies them in order |
//! | [`budget`] | what a peer may cost: bytes, entries and time |
//! | [`hand_over`] | what the hand-off makes for the host |
//! | [`age`] | age keys: creates and reads them |
//! | [`app`] | application repos under the factory's app contract |
//! | [`transport`] | how a program reaches a host: SSH through libssh2, or this very machine |
//! | `rehearsal` | day one against a disposable host and a GitLab stand-in |
//! | [`ui`] | the only room that prints or asks |
//! | [`cli`] | one file per command; no logic |
//! | [`dialog`] | what any room may say to the person, and ask them |
//! | [`interrupt`] | Ctrl-C |
//! | `private` | creates temporary directories that only the user can enter |
//! | [`process`] | starts other programs without handing them secrets |
//! | [`trace`] | `--trace FILE`: a record of requests, host programs and git commands, without secrets |
//! | `shell` | text as one word of a shell |
//! | `digest` | SHA-256 in hexadecimal |
//! | [`secret`], [`error`] | a value that cannot be shown by accident; one error with kind, hints and exit code |
//!
//! Two more crates of the workspace know nothing about factoryup. `rehearsal` and the tests use them: `disposable_host`, a real
//! Debian that leaves no trace, and `gitlab_stand_in`, a GitLab in one process.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod age;
pub mod app;
pub mod budget;
pub mod cli;
pub mod dialog;
mod digest;
pub mod error;
pub mod factory;
#[cfg(test)]
#[path = "../tests/fuzz/mod.rs"]
mod fuzz;
pub mod git;
pub mod gitlab;
pub mod hand_over;
pub mod host;
pub mod interrupt;
mod migrations;
pub mod plan;
mod private;
pub mod process;
#[cfg(test)]
#[path = "../tests/merge/random.rs"]
mod random;
mod rehearsal;
pub mod repo;
pub mod secret;
mod shell;
#[cfg(test)]
#[path = "../tests/support/skip.rs"]
mod skip;
pub mod templating;
pub mod trace;
pub mod transport;
pub mod ui;
pub mod wizard;
pub mod workspace;

pub use error::{Error, Kind, Result};
