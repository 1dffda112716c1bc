//! The repo target against the real git: made, made again, cut short, edited, pushed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "../support/control_repo.rs"]
mod control_repo;
#[path = "../../crates/gitlab-stand-in/tests/support/plane.rs"]
mod plane;
#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/mod.rs"]
mod support;

mod adopting;
mod again;
mod creating;
mod doctor;
mod elsewhere;
mod formats;
mod hostile;
mod in_place;
mod indexes;
mod killed;
mod looking;
mod meantime;
mod modes;
mod places;
mod pushing;
mod refusing;
mod releases;
mod resolving;
mod settings;
mod syscalls;
mod upgrading;
mod world;
