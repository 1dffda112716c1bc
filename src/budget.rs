//! What a peer may cost: bytes, entries and time.
//!
//! GitLab, git, a host and a folder from elsewhere are peers: what they send can be endless, huge or slow, by mistake or on purpose. Every
//! reader of a peer opens a [`Meter`] on the peer's [`Budget`], counts what it takes before it keeps it, and stops at the first
//! [`Exceeded`]. The peer's own error says what was asked, of whom, and what to do; `Exceeded` says the limit.
//!
//! | budget | one meter is for | bytes | entries | time |
//! |---|---|---|---|---|
//! | [`ANSWER`](Budget::ANSWER) | one HTTP exchange with GitLab | 4 MiB | | 60 s |
//! | [`OBJECT`](Budget::OBJECT) | one object in an answer of GitLab | 1 MiB | | |
//! | [`GITLAB`](Budget::GITLAB) | one call with its retries, or a whole list with its pages | 16 MiB | 10,000 elements | 10 min |
//! | [`GIT`](Budget::GIT) | one git command, or a walk through a tree | 32 MiB | 200,000 paths and folders | 2 min |
//! | [`REMOTE`](Budget::REMOTE) | one fetch or push | 32 MiB | | 30 min |
//! | [`HOST`](Budget::HOST) | one program on a host that changes something | 64 MiB | 1,000,000 lines | 2 h |
//! | [`QUESTION`](Budget::QUESTION) | one program on a host that only looks | 64 MiB | 1,000,000 lines | 15 min |
//! | [`LOCAL`](Budget::LOCAL) | a program that is asked for a setting | 1 MiB | | 10 s |
//! | [`FOLDER`](Budget::FOLDER) | one file | 16 MiB | | |
//! | [`LOG`](Budget::LOG) | a log that factoryup appends to | 64 MiB | | |
//!
//! A depth needs no number of its own: each level of a tree costs entries, and JSON is read to a depth of 128 by `serde_json`. The memory of
//! git itself is bounded by the kernel, see `git`.
//!
//! ```
//! use factoryup::budget::{Budget, Exceeded};
//! let mut meter = Budget { bytes: 5, ..Budget::FOLDER }.open();
//! assert_eq!(meter.take(4), Ok(()));
//! assert_eq!(meter.take(4), Err(Exceeded::Bytes(5)));
//! ```

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

const MIB: u64 = 1024 * 1024;

/// The limits of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that are taken from it.
    pub bytes: u64,
    /// Elements, paths or lines.
    pub items: u64,
    /// From the first request to the last byte.
    pub time: Duration,
}

impl Budget {
    /// One HTTP exchange with GitLab. A page of 100 projects with every attribute has about 1 MiB.
    pub const ANSWER: Self = Self { bytes: 4 * MIB, items: u64::MAX, time: Duration::from_mins(1) };
    /// One object in an answer of GitLab, such as a project, which has some 10 KiB. As JSON it takes up to a hundred times the memory.
    pub const OBJECT: Self = Self { bytes: MIB, ..Self::ANSWER };
    /// One call of GitLab's API with its retries and waits, or a list with all its pages.
    pub const GITLAB: Self = Self { bytes: 16 * MIB, items: 10_000, time: Duration::from_mins(10) };
    /// One git command that works here, or a walk through the tree of a commit.
    pub const GIT: Self = Self { bytes: 32 * MIB, items: 200_000, time: Duration::from_mins(2) };
    /// One git command that speaks to a remote.
    pub const REMOTE: Self = Self { time: Duration::from_mins(30), ..Self::GIT };
    /// How long less than one byte a second may come from a git remote before a transfer is given up.
    pub const STALLED: Duration = Duration::from_mins(1);
    /// One program on a host that changes something.
    pub const HOST: Self = Self { bytes: 64 * MIB, items: 1_000_000, time: Duration::from_hours(2) };
    /// One program on a host that only looks.
    pub const QUESTION: Self = Self { time: Duration::from_mins(15), ..Self::HOST };
    /// A program on this machine that is asked for a setting.
    pub const LOCAL: Self = Self { bytes: MIB, items: u64::MAX, time: Duration::from_secs(10) };
    /// One file of a folder that may be from elsewhere.
    pub const FOLDER: Self = Self { bytes: 16 * MIB, items: u64::MAX, time: Duration::MAX };
    /// A log of factoryup's own, which only grows.
    pub const LOG: Self = Self { bytes: 64 * MIB, ..Self::FOLDER };

    /// Begins to count.
    #[must_use]
    pub fn open(self) -> Meter {
        Meter { budget: self, bytes: 0, items: 0, since: Instant::now() }
    }
}

/// A budget that was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// More bytes than this.
    Bytes(u64),
    /// More elements, paths or lines than this.
    Items(u64),
    /// More time than this.
    Time(Duration),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(limit) if limit % MIB == 0 => write!(f, "larger than the limit of {} MiB", limit / MIB),
            Self::Bytes(limit) => write!(f, "larger than the limit of {limit} bytes"),
            Self::Items(limit) => write!(f, "more than the limit of {limit} entries"),
            Self::Time(limit) => write!(f, "not complete within {} s", limit.as_secs_f32()),
        }
    }
}

impl std::error::Error for Exceeded {}

impl From<Exceeded> for io::Error {
    fn from(exceeded: Exceeded) -> Self {
        Self::other(exceeded)
    }
}

impl Exceeded {
    /// The one that a reader passed on as an I/O error, if it was that.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).copied()
    }
}

/// What was taken of a budget so far.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    budget: Budget,
    bytes: u64,
    items: u64,
    since: Instant,
}

impl Meter {
    /// Counts bytes.
    ///
    /// # Errors
    /// `Bytes` if that is too many; `Time` if it is too late.
    pub fn take(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.budget.bytes { Err(Exceeded::Bytes(self.budget.bytes)) } else { self.left().map(drop) }
    }

    /// Counts elements, paths or lines.
    ///
    /// # Errors
    /// `Items` if that is too many.
    pub fn count(&mut self, items: usize) -> Result<(), Exceeded> {
        self.items = self.items.saturating_add(items as u64);
        if self.items > self.budget.items { Err(Exceeded::Items(self.budget.items)) } else { Ok(()) }
    }

    /// The time that is left.
    ///
    /// # Errors
    /// `Time` if none is.
    pub fn left(&self) -> Result<Duration, Exceeded> {
        let left = self.budget.time.saturating_sub(self.since.elapsed());
        if left.is_zero() { Err(Exceeded::Time(self.budget.time)) } else { Ok(left) }
    }

    /// The elements, paths or lines that are left.
    #[must_use]
    pub fn items_left(&self) -> u64 {
        self.budget.items.saturating_sub(self.items)
    }
}

/// A pipe that is read within a meter: neither more nor longer.
#[derive(Debug)]
pub struct Metered<R> {
    pipe: R,
    /// What it may still cost.
    pub meter: Meter,
}

impl<R> Metered<R> {
    /// Reads `pipe` within `meter`.
    pub const fn new(pipe: R, meter: Meter) -> Self {
        Self { pipe, meter }
    }
}

impl<R: Read + AsFd> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait(&mut [&self.pipe], &self.meter)?;
        let read = self.pipe.read(buffer)?;
        self.meter.take(read)?;
        Ok(read)
    }
}

/// Waits until one of these pipes has something to read, or has come to its end; says which.
///
/// # Errors
/// `Time` as an I/O error if the meter's time ends first.
pub(crate) fn wait<F: AsFd>(pipes: &mut [F], meter: &Meter) -> io::Result<Vec<bool>> {
    loop {
        // In pieces, so that no duration is too long for the system.
        let left = meter.left()?.min(Duration::from_mins(1));
        let left = Timespec { tv_sec: left.as_secs().try_into().unwrap_or(60), tv_nsec: left.subsec_nanos().into() };
        let mut fds: Vec<_> = pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        match poll(&mut fds, Some(&left)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Reads a file that may be from elsewhere. A pipe is not waited for.
///
/// # Errors
/// As `std::fs::read`; [`Exceeded`] if it is larger than [`Budget::FOLDER`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, Budget::FOLDER)
}

/// The same for a text.
///
/// # Errors
/// As [`read`]; `InvalidData` if it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))
}

/// The same within another budget.
///
/// # Errors
/// As [`read`].
pub fn read_within(path: &Path, budget: Budget) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let mut bytes = Vec::new();
    file.take(budget.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    budget.open().take(bytes.len())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_named_once_it_is_passed() {
        let budget = Budget { bytes: 2 * MIB, items: 3, time: Duration::from_millis(20) };
        let mut meter = budget.open();
        assert_eq!(meter.take(2 << 20), Ok(()));
        assert_eq!(meter.take(1).unwrap_err().to_string(), "larger than the limit of 2 MiB");
        assert_eq!((meter.count(3), meter.items_left()), (Ok(()), 0));
        assert_eq!(meter.count(1).unwrap_err().to_string(), "more than the limit of 3 entries");
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(meter.left().unwrap_err().to_string(), "not complete within 0.02 s");
        let error = io::Error::from(meter.left().unwrap_err());
        assert_eq!(Exceeded::of(&error), Some(Exceeded::Time(budget.time)));
        assert_eq!(budget.open().take(usize::MAX), Err(Exceeded::Bytes(2 * MIB)));
    }

    #[test]
    fn neither_a_device_without_end_nor_a_pipe_holds_up_a_reader() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "larger than the limit of 16 MiB");
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read_text(&pipe).unwrap(), "");
    }

    #[test]
    fn a_pipe_that_says_nothing_is_given_up() {
        let (from, _to) = io::pipe().unwrap();
        let meter = Budget { time: Duration::from_millis(50), ..Budget::GIT }.open();
        let error = Metered::new(from, meter).read(&mut [0]).unwrap_err();
        assert!(matches!(Exceeded::of(&error), Some(Exceeded::Time(_))), "{error}");
    }
}
