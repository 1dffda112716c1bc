//! What the tests share: finding a tool, and what happens if it is missing.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::print_stderr)]

use std::path::PathBuf;

/// The tool's path on `PATH`.
pub fn tool(name: &str) -> Option<PathBuf> {
    which::which(name).ok()
}

/// Whether this tool is there; see [`satisfied`].
pub fn need(name: &str) -> bool {
    satisfied(name, tool(name).is_some())
}

/// `present`, after saying `skipped: needs WHAT` if it is false. With `FACTORYUP_REQUIRE_ALL=1` it panics instead.
pub fn satisfied(what: &str, present: bool) -> bool {
    let all_required = std::env::var_os("FACTORYUP_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(present || !all_required, "needs {what}, and FACTORYUP_REQUIRE_ALL=1 lets nothing be skipped");
    if !present {
        eprintln!("skipped: needs {what}");
    }
    present
}
