//! The generated control repo, checked by the real tools for each kind of file, for answers that differ in every choice.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../support/combinations.rs"]
mod combinations;
#[path = "../support/control_repo.rs"]
mod control_repo;
#[path = "../support/covering.rs"]
mod covering;
#[path = "../support/hcl/mod.rs"]
mod hcl;
#[path = "../../crates/gitlab-stand-in/tests/support/plane.rs"]
mod plane;
#[path = "../support/mod.rs"]
mod support;

mod agent;
mod attributes;
mod backup;
mod checks;
mod cloudflare;
mod corpus;
mod evidence;
mod guard;
mod infra;
mod links;
mod local;
mod matrix;
mod mutation;
mod night;
mod pipeline;
mod policy;
mod prompts;
mod readers;
mod recipients;
mod recording;
mod release;
mod rules;
mod secret;
mod settings;
mod text;
mod tools;
mod words;
mod yaml;
