//! The repo target against the real git: made, made again, cut short, edited, pushed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "../support/plane.rs"]
mod plane;
#[path = "../support/mod.rs"]
mod support;

mod again;
mod creating;
mod doctor;
mod in_place;
mod killed;
mod places;
mod pushing;
mod settings;
mod upgrading;
mod world;
