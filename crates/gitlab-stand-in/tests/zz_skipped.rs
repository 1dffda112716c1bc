//! The last test program that cargo runs, since it goes by the names of packages and programs: says how many tests of all members
//! were skipped, and what would run them.
//!
//! It has no test harness, which would capture what it says. The ledger is that of one run of cargo (`support/skip.rs`), so that
//! a run of a part, `cargo test --test repo`, leaves nothing for the next one to count.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../../../tests/support/skip.rs"]
mod skip;

use std::path::Path;
use std::{env, fs};

fn main() {
    // Asked what tests it has (by cargo-nextest or an editor), it has none.
    if env::args().any(|word| word == "--list") {
        return;
    }
    let ledger = skip::ledger();
    println!("{}", skip::summary(&fs::read_to_string(&ledger).unwrap_or_default(), skip::lacks));
    clear(&ledger);
}

/// Removes the ledger, and those that runs of a part left.
fn clear(ledger: &Path) {
    for entry in fs::read_dir(ledger.parent().unwrap()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(cargo) = name.strip_prefix("skipped-").and_then(|rest| rest.split('-').next()) else { continue };
        if entry.path() == *ledger || !Path::new("/proc").join(cargo).exists() {
            // Root's own is not for others to remove, and does no harm.
            let _ = fs::remove_file(entry.path());
        }
    }
}
