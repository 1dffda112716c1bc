//! The lock on a state directory: one process at a time changes a factory.
//!
//! The lock is the kernel's, on the open file, so that it ends with its process, however that ends. The file says who holds it, and
//! is valid only while the lock is held.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// How often, and how long apart, the file is read before the holder counts as unknown: it may not have written it yet.
const READS: (u32, Duration) = (10, Duration::from_millis(20));

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

/// The process that holds a lock.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: i32,
    /// The command, without its flags.
    command: String,
    since: jiff::Timestamp,
}

impl Lock {
    /// Takes the lock in the file `path` for `command`.
    pub(crate) fn take(path: &Path, command: &str) -> Result<Self> {
        let cannot = |verb: &str, e: std::io::Error| {
            Error::new(Kind::CannotWrite, format!("cannot {verb} {}: {e}", path.display()))
        };
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.map_err(|e| cannot("open", e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held(&file, path)),
            Err(errno) => return Err(cannot("lock", errno.into())),
        }
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let holder = Holder { pid, command: command.to_owned(), since: jiff::Timestamp::now() };
        // Only the words of an error depend on it.
        let _ = write(&file, &holder);
        Ok(Self(file))
    }
}

/// The process that holds the lock in the file `path`; none if no process does.
///
/// # Errors
/// `CannotWrite` if the file cannot be read, or does not say who.
pub(crate) fn holder_of(path: &Path) -> Result<Option<Pid>> {
    let cannot = |e: std::io::Error| Error::new(Kind::CannotWrite, format!("cannot read {}: {e}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cannot(e)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => return Ok(None),
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(cannot(errno.into())),
    }
    let pid = holder(&file).and_then(|holder| Pid::from_raw(holder.pid));
    pid.map(Some).ok_or_else(|| held(&file, path))
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.set_len(0);
        // Not only closed: a child that another thread has started has the file open too, until it executes its program.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn write(mut file: &File, holder: &Holder) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(serde_json::to_string(holder)?.as_bytes())
}

fn held(file: &File, path: &Path) -> Error {
    let who = match holder(file) {
        Some(Holder { pid, command, since }) => {
            let since = since.strftime("%Y-%m-%d %H:%M UTC");
            format!("another factoryup (process {pid}, `factoryup {command}`, since {since}) is using this factory")
        }
        None => format!("another factoryup is using this factory (lock: {})", path.display()),
    };
    Error::new(Kind::CannotWrite, who)
        .hint("answer its question if it asks one, or wait until it ends; then run the command again")
        .hint("or run a command that only reads: factoryup plan, factoryup doctor")
}

/// The process that holds the lock, if it is alive: a killed process leaves its record.
fn holder(mut file: &File) -> Option<Holder> {
    for read in 0..READS.0 {
        if read > 0 {
            std::thread::sleep(READS.1);
        }
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text)).ok()?;
        let alive = |pid| Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH));
        match serde_json::from_str::<Holder>(&text) {
            Ok(holder) if holder.pid > 0 && alive(holder.pid) => return Some(holder),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_holds_it_is_named_as_long_as_it_does() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        // As a process leaves it that was killed, with a number that no process can have.
        fs::write(&path, r#"{"pid":2147483647,"command":"apply","since":"2026-11-24T20:31:50Z"}"#).unwrap();
        let first = Lock::take(&path, "upgrade").unwrap();
        let error = Lock::take(&path, "apply").unwrap_err();
        assert_eq!(error.kind(), Kind::CannotWrite);
        let holder = format!("another factoryup (process {}, `factoryup upgrade`, since 20", std::process::id());
        assert!(error.to_string().starts_with(&holder), "{error}");
        drop(first);
        assert_eq!(fs::read(&path).unwrap(), b"");
        Lock::take(&path, "apply").unwrap();
    }

    #[test]
    fn a_holder_that_did_not_say_so_is_not_guessed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let _first = Lock::take(&path, "apply").unwrap();
        for text in ["", "{", r#"{"pid":2147483647,"command":"apply","since":"2026-11-24T20:31:50Z"}"#] {
            fs::write(&path, text).unwrap();
            let said = Lock::take(&path, "apply").unwrap_err().to_string();
            assert!(!said.contains("process") && said.contains("(lock: /"), "{said}");
        }
    }
}
