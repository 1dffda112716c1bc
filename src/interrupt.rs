//! Ctrl-C.
//!
//! An interruption gives the work in hand a moment to end by itself, since a prompt that reads keys notices it and saves its
//! answers; then the cursor is shown again and the process ends with 130. Nothing else needs to be put away: what must not
//! outlive the process (a disposable host) has a keeper of its own, and what must (a program running on a host) goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Error, Result};

/// How long the work in hand has to end by itself.
const GRACE: Duration = Duration::from_millis(400);

static PENDING: AtomicBool = AtomicBool::new(false);

/// Whether the process was interrupted and is about to end.
#[must_use]
pub fn pending() -> bool {
    PENDING.load(Ordering::Relaxed)
}

/// Watches for SIGINT, SIGTERM and SIGHUP from now on; `end` is called to end the process.
///
/// # Errors
/// `Internal` when the handlers cannot be installed.
pub fn watch(end: impl FnOnce() + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|e| Error::internal(format!("cannot watch for interruptions: {e}")))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            PENDING.store(true, Ordering::Relaxed);
            std::thread::sleep(GRACE);
            let terminal = console::Term::stderr();
            if terminal.is_term() {
                let _ = terminal.show_cursor();
            }
            end();
        }
    });
    Ok(())
}
