//! How long a test waits for something: until it is so. The bound only ends a hang, so it is far more than a loaded machine takes.

use std::time::{Duration, Instant};

/// What ends a wait for what never happens.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
