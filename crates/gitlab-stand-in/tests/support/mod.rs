//! What the tests share: finding a tool, and what happens if it is missing.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

#[path = "../../../../tests/support/skip.rs"]
pub mod skip;

pub use skip::{need, satisfied, tool};
