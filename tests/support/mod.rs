//! What the journeys share: finding a tool, and what happens when it is not there.
//!
//! A journey that needs a tool, root or a data file asks for it first and returns when it is missing:
//!
//! ```ignore
//! if !support::available(&["git", "rsync"]) || !support::root() {
//!     return;
//! }
//! ```
//!
//! On a developer's machine that prints `skipped: needs rsync`, and the run counts it; see [`skip`]. With `FACTORYUP_REQUIRE_ALL=1`,
//! as `.ci/run` sets it, nothing may be skipped, so the same call fails the test.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

pub mod dialog;
#[path = "../../crates/disposable-host/tests/support/lab.rs"]
pub mod lab;
pub mod patience;
pub mod program;
pub mod skip;

pub use patience::{PATIENCE, wait_until};
pub use program::{copy_program, make_program, put_tools, start_server};
pub use skip::{all_required, available, need, path, root, satisfied, time, tool};
