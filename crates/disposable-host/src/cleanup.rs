//! Taking a host away, in whichever way its owner ends.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use crate::command::{command, run, tail};
use crate::error::{Error, Result};
use crate::network::{RUN, Slot};

/// The one program that takes a host away.
const PROGRAM: &str = include_str!("cleanup.sh");

/// A process that outlives this one by a moment: it waits for the end of a pipe that only this process holds, then cleans up.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    pipe: Option<ChildStdin>,
    id: String,
}

impl Keeper {
    /// Starts to keep a host, before anything of it but its folder exists.
    pub(crate) fn start(id: &str) -> Result<Self> {
        let mut child = command("sh")
            .args(["-c", PROGRAM, "cleanup"])
            .arg(state_dir(id))
            .arg("keep")
            .current_dir("/")
            // Ctrl-C goes to a whole process group; the keeper must see its owner go first.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::spawn("sh"))?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe, id: id.to_owned() })
    }

    /// Cleans up now, and waits until all is gone.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.pipe.take().is_none() {
            return Ok(());
        }
        let mut said = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_end(&mut said);
        }
        let status = self.child.wait().map_err(Error::spawn("sh"))?;
        if status.success() { Ok(()) } else { Err(Error::Leftover { id: self.id.clone(), left: tail(&said, 4) }) }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

/// The folder with the record of one host.
pub(crate) fn state_dir(id: &str) -> PathBuf {
    Path::new(RUN).join("hosts").join(id)
}

/// Takes away what crashed runs have left on this machine, and returns how many hosts that was. Hosts in use stay.
///
/// # Errors
/// [`Error::Tool`] if something cannot be removed.
pub fn sweep() -> Result<usize> {
    let mut swept = 0;
    let Ok(hosts) = fs::read_dir(Path::new(RUN).join("hosts")) else { return Ok(0) };
    for entry in hosts.filter_map(std::io::Result::ok) {
        let id = entry.file_name().to_string_lossy().into_owned();
        // Whoever holds the slot is alive; its host is no leftover.
        let Some(_slot) = Slot::of_id(&id).and_then(Slot::take) else { continue };
        run(command("sh").args(["-c", PROGRAM, "cleanup"]).arg(state_dir(&id)), &[])?;
        swept += 1;
    }
    Ok(swept)
}
