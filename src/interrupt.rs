//! Ctrl-C, SIGTERM and SIGHUP.
//!
//! | what is going on | the first signal | the second |
//! |---|---|---|
//! | work here | the process ends after a moment, in which a prompt saves its answers; exit code 130 | |
//! | a wait for what continues elsewhere ([`Waiting`]) | the same, with exit code 75 | |
//! | a program changes a host ([`Work`]) | the program is asked to stop between two changes, and waited for; then 130 | the process ends at once, and says what goes on and where to watch |
//!
//! Nothing else needs to be put away: what must not outlive the process (a disposable host) has a keeper of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::{Error, Kind, Result};

/// How long work here has to end by itself.
const GRACE: Duration = Duration::from_millis(400);
/// How long until a program that could not be asked to stop is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How long the second signal leaves the first to reach the program.
const TO_ASK: Duration = Duration::from_secs(2);

static PENDING: AtomicBool = AtomicBool::new(false);
static WORK: Mutex<Vec<State>> = Mutex::new(Vec::new());
static WAITING: Mutex<Option<(String, Vec<String>)>> = Mutex::new(None);

/// Whether the process was interrupted and is about to end.
#[must_use]
pub fn pending() -> bool {
    PENDING.load(Ordering::SeqCst)
}

/// Stops what comes next in an interrupted process.
///
/// # Errors
/// `Interrupted` when the process was interrupted.
pub fn check() -> Result<()> {
    if pending() { Err(interrupted()) } else { Ok(()) }
}

/// An interruption, in the words of an error. Of a [wait](Waiting) it is `CutShort`.
#[must_use]
pub fn interrupted() -> Error {
    if let Some((what, hints)) = &*WAITING.lock().unwrap_or_else(PoisonError::into_inner) {
        return hints.iter().fold(Error::new(Kind::CutShort, what), Error::hint);
    }
    Error::new(Kind::Interrupted, "interrupted").hint("run the command again; it reads the current state first")
}

/// A wait for something elsewhere that continues without this process. While this lives, the first signal ends the process with exit
/// code 75.
#[derive(Debug)]
pub struct Waiting(());

impl Waiting {
    /// Begins to wait. An interruption says `what`, with `hints`.
    #[must_use]
    pub fn begin(what: &str, hints: &[String]) -> Self {
        let mut waiting = Self(());
        waiting.says(what, hints);
        waiting
    }

    /// An interruption says something else from now on.
    pub fn says(&mut self, what: &str, hints: &[String]) {
        *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = Some((what.to_owned(), hints.to_vec()));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // An interrupted process says the same until it ends.
        if !pending() {
            *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

#[derive(Clone, Debug)]
struct State {
    number: u64,
    place: String,
    log: String,
    change: Option<String>,
    asked: bool,
    reverts_within: Option<u32>,
}

/// A program that changes something elsewhere. While this lives, the first signal does not end the process.
#[derive(Debug)]
pub struct Work(u64);

impl Work {
    /// Begins work on `place`. A person can watch it in the file `log` there.
    ///
    /// # Errors
    /// `Interrupted` when the process was interrupted before.
    pub fn begin(place: &str, log: &str) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut all = work();
        check()?;
        let (place, log) = (place.to_owned(), log.to_owned());
        all.push(State { number, place, log, change: None, asked: false, reverts_within: None });
        Ok(Self(number))
    }

    /// The change that is being made now, in the words of the plan; none between two changes.
    pub fn is_at(&self, change: Option<&str>) {
        self.update(|state| state.change = change.map(str::to_owned));
    }

    /// The program knows that it has to stop.
    pub fn asked(&self) {
        self.update(|state| state.asked = true);
    }

    /// The change reverts by itself within so many seconds, unless this process confirms it.
    pub fn reverts_within(&self, seconds: u32) {
        self.update(|state| state.reverts_within = Some(seconds));
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        if let Some(state) = work().iter_mut().find(|state| state.number == self.0) {
            change(state);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        work().retain(|state| state.number != self.0);
    }
}

impl State {
    /// Whether the program does not know yet that it has to stop. One under an armed revert needs not.
    fn is_to_be_asked(&self) -> bool {
        !self.asked && self.reverts_within.is_none()
    }

    /// What is said at the first signal.
    fn stopping(&self) -> String {
        let place = &self.place;
        let change = self.change.as_deref();
        match self.reverts_within {
            Some(_) => format!(
                "stopping after the change to sshd and the firewall of {place} is confirmed or reverted; press Ctrl-C again to leave at once, and it reverts by itself"
            ),
            None => format!(
                "stopping {}; press Ctrl-C again to leave it running on {place}",
                change.map_or("before the next change".into(), |change| format!("after the current change: {change}"))
            ),
        }
    }

    /// What is left behind when the process ends now.
    fn left(&self) -> Error {
        let Self { place, log, .. } = self;
        let error = |what: String| Error::new(Kind::Interrupted, format!("interrupted: {what}"));
        let error = match (self.reverts_within, &self.change) {
            (Some(seconds), _) => error(format!(
                "the change to sshd and the firewall of {place} is not confirmed, and reverts by itself within {seconds} s"
            )),
            (None, change) => {
                let now = change.as_ref().map_or("still at work".into(), |change| format!("still at: {change}"));
                let then = if self.asked { "it stops after that" } else { "it continues with the remaining changes" };
                error(format!("{place} is {now}; {then}"))
            }
        };
        error
            .hint(format!("watch it there, as root: tail -f {log}"))
            .hint("run the command again; it waits until the host is done, then applies the remaining changes")
    }
}

fn work() -> MutexGuard<'static, Vec<State>> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a program has to be asked to stop.
#[derive(Debug, Default)]
pub struct Asking {
    last: Option<Instant>,
    done: bool,
}

impl Asking {
    /// Whether it is to be asked now: the process was interrupted, and the program does not know it yet.
    pub fn is_due(&mut self) -> bool {
        let due = !self.done && pending() && self.last.is_none_or(|last| last.elapsed() >= ASK_AGAIN);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }

    /// It knows.
    pub fn done(&mut self) {
        self.done = true;
    }
}

/// Whether who started the process has it ignore a signal, as `nohup` does with SIGHUP. Known on Linux; see proc(5), `SigIgn`.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// Watches for SIGINT, SIGTERM and SIGHUP from now on, except for those that the process was started to ignore. `say` is told that a program elsewhere is being stopped; `end` is called to
/// end the process, with what to say about it.
///
/// # Errors
/// `Internal` when the handlers cannot be installed.
pub fn watch(say: impl Fn(&str) + Send + 'static, end: impl FnOnce(Error) + Send + 'static) -> Result<()> {
    let all = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
    let mut signals = Signals::new(all).map_err(|e| Error::internal(format!("cannot watch for interruptions: {e}")))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let again = PENDING.swap(true, Ordering::SeqCst);
            // The kernel and the shell both tell of a terminal that closes, and that is one event.
            if again && signal == SIGHUP {
                continue;
            }
            if !again {
                let stopping = work().last().map(State::stopping);
                if let Some(text) = stopping {
                    say(&text);
                    continue;
                }
                std::thread::sleep(GRACE);
            }
            let since = Instant::now();
            while since.elapsed() < TO_ASK && work().last().is_some_and(State::is_to_be_asked) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let left = work().last().map_or_else(interrupted, State::left);
            let terminal = console::Term::stderr();
            if terminal.is_term() {
                let _ = terminal.show_cursor();
            }
            end(left);
            return;
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said() {
        let mut state = State {
            number: 0,
            place: "ssh://host".into(),
            log: "/var/log/x".into(),
            change: Some("install 2 packages".into()),
            asked: false,
            reverts_within: None,
        };
        assert_eq!(
            state.stopping(),
            "stopping after the current change: install 2 packages; press Ctrl-C again to leave it running on ssh://host"
        );
        let left = |state: &State| (state.left().to_string(), state.left().hints().join("\n"));
        let (message, hints) = left(&state);
        assert!(message.ends_with("is still at: install 2 packages; it continues with the remaining changes"));
        assert!(hints.contains("tail -f /var/log/x"));
        state.asked = true;
        assert!(left(&state).0.ends_with("it stops after that"));
        state.change = None;
        assert!(state.stopping().starts_with("stopping before the next change;"));
        state.reverts_within = Some(120);
        assert!(state.stopping().contains("reverts by itself") && left(&state).0.contains("within 120 s"));
    }
}
