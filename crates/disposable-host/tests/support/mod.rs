//! What the tests share: a host with keys to log in to it, and what happens if this machine cannot run one.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

pub mod lab;
#[path = "../../../../tests/support/patience.rs"]
pub mod patience;
#[path = "../../../../tests/support/program.rs"]
pub mod program;
#[path = "../../../../tests/support/skip.rs"]
pub mod skip;

pub use patience::wait_until;
pub use program::make_program;
pub use skip::{available, root, satisfied, time};
