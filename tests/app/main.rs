//! Applications: scaffolded, adopted, built, deployed on a real host, taken back; and the work on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs, unreachable_pub)]

#[path = "../support/canary.rs"]
mod canary;
#[path = "../support/control_repo.rs"]
mod control_repo;
#[path = "../support/engine.rs"]
mod engine;
#[path = "../host/journey.rs"]
mod journey;
#[path = "../../crates/gitlab-stand-in/tests/support/plane.rs"]
mod plane;
#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/mod.rs"]
mod support;

mod adopt;
mod apart;
mod archive;
mod blocks;
mod corpus;
mod databases;
mod deeds;
mod deploy;
mod earlier;
mod edge;
mod history;
mod https;
mod image;
mod infrastructure;
mod ledger;
mod lines;
mod owner;
mod processes;
mod redis;
mod restore;
mod runbooks;
mod scaffold;
mod shipped;
mod switch;
mod work;
mod world;
