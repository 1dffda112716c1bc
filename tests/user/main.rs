//! What users do and see: installing, answering, typing commands, the first day.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "../support/canary.rs"]
mod canary;
mod command_line;
mod day_one;
mod flake;
mod full_disk;
#[path = "../support/gitlab_project.rs"]
mod gitlab_project;
#[path = "../support/home.rs"]
mod home;
mod install_sh;
#[path = "../../crates/gitlab-stand-in/tests/support/plane.rs"]
mod plane;
mod prompts_pty;
#[path = "../support/pty.rs"]
mod pty;
mod rehearse;
#[path = "../support/mod.rs"]
mod support;
mod typed;
mod wizard_discover;
mod wizard_flow;
mod wizard_pty;
mod wizard_terminals;
