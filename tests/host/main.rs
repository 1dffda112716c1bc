//! The host target against a real host: systemd, sshd, apt, nftables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs, unreachable_pub)]

mod audit;
mod builds;
mod command;
mod drift;
mod firewall;
mod fresh;
mod full_disk;
mod hostile;
mod interrupted;
mod journey;
mod levels;
mod living;
mod lockout;
mod machine;
mod programs;
mod proof;
mod resume;
mod revert;
mod runners;
mod stopping;
mod sudo;
mod systems;
mod tools;
mod traces;
mod waiting;

#[path = "../support/mod.rs"]
mod support;
