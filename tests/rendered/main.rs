//! The generated control repo, checked by the real tools for each kind of file, for answers that differ in every choice.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../support/control_repo.rs"]
mod control_repo;
#[path = "../support/plane.rs"]
mod plane;
#[path = "../support/mod.rs"]
mod support;

mod agent;
mod checks;
mod infra;
mod pipeline;
mod settings;
mod text;
