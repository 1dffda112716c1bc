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
//! On a developer's machine that prints `skipped: needs rsync`. With `FACTORYUP_REQUIRE_ALL=1`, as `.ci/run` sets it, nothing
//! may be skipped, so the same call fails the test.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::print_stderr)]

pub mod dialog;
#[path = "../../crates/disposable-host/tests/support/lab.rs"]
pub mod lab;

use std::env;
use std::path::{Path, PathBuf};

/// Where `.ci/run` puts the tools that no Debian package brings; looked at before `PATH`, relative to the crate root.
const TOOL_DIRS: [&str; 2] = [".ci/cache/node_modules/.bin", ".ci/cache/python/bin"];

/// The tool's path: as installed by `.ci/run`, else as found on `PATH`.
pub fn tool(name: &str) -> Option<PathBuf> {
    TOOL_DIRS
        .iter()
        .map(|dir| Path::new(env!("CARGO_MANIFEST_DIR")).join(dir).join(name))
        .find(|path| path.is_file())
        .or_else(|| which::which(name).ok())
}

/// Whether every one of the tools is there; see [`satisfied`] for what happens when not.
pub fn available(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().copied().filter(|name| tool(name).is_none()).collect();
    satisfied(&missing.join(", "), missing.is_empty())
}

/// Whether this one tool is there.
pub fn need(name: &str) -> bool {
    available(&[name])
}

/// Whether the tests run as root.
pub fn root() -> bool {
    satisfied("root", rustix::process::geteuid().is_root())
}

/// Whether nothing may be skipped, that is `FACTORYUP_REQUIRE_ALL=1`.
pub fn all_required() -> bool {
    env::var_os("FACTORYUP_REQUIRE_ALL").is_some_and(|value| value == "1")
}

/// `present`, after saying `skipped: needs WHAT` when it is false. Panics instead when nothing may be skipped.
pub fn satisfied(what: &str, present: bool) -> bool {
    assert!(present || !all_required(), "needs {what}, and FACTORYUP_REQUIRE_ALL=1 lets nothing be skipped");
    if !present {
        eprintln!("skipped: needs {what}");
    }
    present
}

/// `PATH` with the tools that `.ci/run` installs first.
pub fn path() -> String {
    let dirs = TOOL_DIRS.iter().map(|dir| Path::new(env!("CARGO_MANIFEST_DIR")).join(dir));
    let rest = env::var_os("PATH").unwrap_or_default();
    let all = dirs.take(1).chain(env::split_paths(&rest));
    env::join_paths(all).unwrap_or(rest).to_string_lossy().into_owned()
}
