//! The hand-off against the stand-in control plane: real HTTP, real git, the real engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::disallowed_methods
)]

#[path = "../support/plane.rs"]
mod plane;
#[path = "../support/mod.rs"]
mod support;

mod hand_off;
mod situation;
