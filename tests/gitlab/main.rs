//! The hand-off against the stand-in control plane: real HTTP, real git, the real engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::disallowed_methods
)]

#[path = "../support/control_repo.rs"]
mod control_repo;
#[path = "../support/gitlab_project.rs"]
mod gitlab_project;
#[path = "../../crates/gitlab-stand-in/tests/support/openapi.rs"]
mod openapi;
#[path = "../../crates/gitlab-stand-in/tests/support/plane.rs"]
mod plane;
#[path = "../support/pty.rs"]
mod pty;
#[path = "../../crates/gitlab-stand-in/tests/support/runner.rs"]
mod runner;
#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod agent_renewal;
mod anchor;
mod certificates;
mod ci;
mod contract;
mod cutter;
mod desk;
mod drift;
mod editions;
mod flood;
mod hand_off;
mod jobs;
mod killed;
mod lifetimes;
mod locks;
mod parrot;
mod passphrases;
mod pipeline;
mod preflight;
mod proof;
mod publish;
mod readers;
mod refusals;
mod renewal;
mod reverting;
mod secrets;
mod signing;
mod situation;
mod status;
mod takeover;
mod tiers;
mod upgrades;
mod weakened;
