//! Targets that a rehearsal keeps: the process that does so has a file locked, by which another one finds it.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::plan::Watch;
use crate::plan::lock::{self, Lock};
use crate::shell;

/// The file that a process has locked for as long as it keeps the disposable targets.
const KEPT: &str = "kept";
/// How long they may take to go.
const GOING: Duration = Duration::from_mins(2);

/// Marks `dir` as one with targets for as long as this lives.
pub(super) fn keep(dir: &Path) -> Result<Lock> {
    Lock::take(&dir.join(KEPT), "rehearse --keep")
}

/// Refuses a directory with targets that are kept.
pub(super) fn refuse(dir: &Path) -> Result<()> {
    let Some(pid) = lock::holder_of(&dir.join(KEPT))? else { return Ok(()) };
    let text = format!("the process {} keeps the targets of a rehearsal in {}", pid.as_raw_nonzero(), dir.display());
    Err(Error::new(Kind::CannotWrite, text).hint(format!("remove them: {}", command(dir))))
}

/// How the targets that a rehearsal in `dir` kept are removed.
pub(super) fn command(dir: &Path) -> String {
    format!("factoryup rehearse --destroy --into {}", shell::word(&dir.display().to_string()))
}

/// Ends the process that keeps the targets of a rehearsal in `dir`, and with it the targets. Returns whether there was one.
///
/// # Errors
/// `CannotWrite` if that process is another user's; `CutShort` if it does not end.
pub(crate) fn destroy(dir: &Path, watch: &dyn Watch) -> Result<bool> {
    let path = dir.join(KEPT);
    let Some(pid) = lock::holder_of(&path)? else { return Ok(false) };
    // It holds the lock, so it is alive, and it wrote its own number.
    rustix::process::kill_process(pid, Signal::TERM).map_err(|errno| {
        let text = format!("cannot end the process {}: {}", pid.as_raw_nonzero(), std::io::Error::from(errno));
        Error::new(Kind::CannotWrite, text)
    })?;
    watch.busy("removing the disposable targets");
    let since = Instant::now();
    while lock::holder_of(&path)?.is_some() {
        interrupt::check()?;
        if since.elapsed() >= GOING {
            let text = format!("the process {} still keeps the targets after 2 min", pid.as_raw_nonzero());
            return Err(Error::new(Kind::CutShort, text).hint("run the command again"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    watch.busy("");
    Ok(true)
}
