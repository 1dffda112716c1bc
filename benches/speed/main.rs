//! How fast factoryup is, as ratios to what it cannot be faster than: `cargo bench --bench speed`, or one part of it
//! with its name, `-- start-up`, `-- rendering` or `-- host`. See `docs/benchmarks.md`.
//!
//! Both sides of a ratio are measured in this one run, turn by turn, so that a busy machine slows both; each is the median of
//! several turns after one that does not count. Figures depend on the machine, ratios much less. The run prints which of the
//! targets are met, and fails when one is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, unreachable_pub)]
#![allow(clippy::disallowed_methods)]

mod host;
mod measure;
#[path = "../../tests/support/pty.rs"]
mod pty;
#[path = "../registry/mod.rs"]
mod registry;
mod rendering;
mod start_up;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benchmarks too, without --bench; there is nothing to test in them.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    // One of the parts by its name, else all.
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    println!("load of this machine at the start: {}", measure::load());
    let mut met = true;
    if wanted("start-up") {
        met &= start_up::measure();
    }
    if wanted("rendering") {
        met &= rendering::measure();
    }
    if wanted("host") {
        met &= host::measure();
    }
    println!("load of this machine at the end: {}", measure::load());
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Names another program to measure than the one that cargo built, such as that of a release.
const PROGRAM: &str = "FACTORYUP_PROGRAM";

fn program() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(|| env!("CARGO_BIN_EXE_factoryup").into(), PathBuf::from)
}
