//! The three-way merge under random histories: what must hold of every one, and how often an edit lands in a wrong place.
//!
//! `cargo test` plays a few thousand. The long run plays 100,000 of each sort and prints what it counted:
//!
//! ```sh
//! FACTORYUP_SEED=7 cargo test --release --test merge -- --ignored --nocapture
//! ```
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod blocks;
mod laws;
mod oracle;
mod random;
mod worst;

use random::Random;

/// Histories of each sort that every run plays.
const FEW: u32 = 1_500;
/// And the long run.
const MANY: u32 = 100_000;

/// The seed of this run: `FACTORYUP_SEED`, or one that is always the same.
fn random() -> Random {
    let seed = std::env::var("FACTORYUP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(2026);
    println!("seed {seed}");
    Random::new(seed)
}

#[test]
fn repeated_blocks() {
    blocks::play(random(), FEW);
}

#[test]
fn random_texts() {
    laws::texts(random(), FEW);
}

#[test]
fn random_versions() {
    laws::versions(random(), FEW);
}

#[test]
fn texts_that_are_the_most_work() {
    worst::bounded();
}

/// `cargo test --release --test merge -- --ignored --nocapture worst_cases`
#[test]
#[ignore = "it measures"]
fn worst_cases() {
    for lines in [1_000, 3_990, 24_000, 60_000] {
        worst::measure(lines);
    }
}

#[test]
#[ignore = "it takes minutes"]
fn many_histories() {
    blocks::play(random(), MANY);
    laws::texts(random(), MANY);
    laws::versions(random(), MANY);
}
