//! One connection of the system's ssh client, which all commands of a session share.
//!
//! Its first session is a program that ends when its input does. So the connection ends with this process, even if that is killed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::output::Tail;
use crate::process::peek;

/// The longest path that leaves room for what ssh adds to it while it makes a socket: a socket's path has 104 bytes on some systems.
const LONGEST: usize = 80;
/// How often a login is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long the client may take to end, and its messages after it.
const GRACE: Duration = Duration::from_secs(2);

/// How long the client may take to notice that its connection is gone, after those that share it have.
const NOTICE: Duration = Duration::from_millis(500);

/// What the first session runs.
pub(super) const HOLD: &str = "cat >/dev/null";

/// A private directory for a connection's socket, as far as its path is short enough for one.
pub(super) fn socket_in(folder: &TempDir) -> Option<PathBuf> {
    let path = folder.path().join("c");
    (path.as_os_str().len() <= LONGEST).then_some(path)
}

/// The client that holds the connection. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct Master {
    child: Child,
    /// How it ended, once it is reaped.
    ended: Option<ExitStatus>,
    _input: Option<ChildStdin>,
    socket: PathBuf,
    // It is removed after the client has ended.
    _folder: Arc<TempDir>,
}

/// How a login ended.
pub(super) enum Started {
    /// The connection is there.
    Connected(Master),
    /// The client ended: with this status, and these messages.
    Ended(ExitStatus, String),
    /// It took too long.
    TooLong(String),
}

impl Master {
    /// Starts the client, and waits until it has logged in or ended. Without a socket it runs to its end.
    pub(super) fn start(
        mut command: Command,
        socket: Option<PathBuf>,
        folder: &Arc<TempDir>,
        limit: Duration,
    ) -> std::io::Result<Started> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let messages = child.stderr.take().map(Messages::read);
        let input = child.stdin.take();
        let (socket, folder) = (socket.unwrap_or_default(), Arc::clone(folder));
        let mut master = Self { child, ended: None, _input: input, socket, _folder: folder };
        let begun = Instant::now();
        loop {
            // It makes the socket once the host has let it in.
            if master.socket.exists() {
                return Ok(Started::Connected(master));
            }
            if peek(&master.child)?.is_some() {
                let status = master.end()?;
                return Ok(Started::Ended(status, messages.map(Messages::text).unwrap_or_default()));
            }
            if begun.elapsed() > limit {
                master.end()?;
                return Ok(Started::TooLong(messages.map(Messages::text).unwrap_or_default()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Where other clients find it, as long as it lives.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the connection is gone, or about to.
    pub(super) fn is_gone(&self) -> bool {
        let begun = Instant::now();
        while matches!(peek(&self.child), Ok(None)) {
            if begun.elapsed() > NOTICE {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn end(&mut self) -> std::io::Result<ExitStatus> {
        // Once the client is reaped, its number can be another process's.
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let group = Pid::from_raw(self.child.id().cast_signed());
        let tell = |signal| group.map(|group| kill_process_group(group, signal));
        tell(Signal::TERM);
        let begun = Instant::now();
        while matches!(peek(&self.child), Ok(None)) && begun.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
        // Its proxies, too, which may hold its output open.
        tell(Signal::KILL);
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The last part of the client's messages, as far as they are read.
struct Messages {
    tail: Arc<Mutex<Tail>>,
    /// Disconnected when all of them are read.
    all: Receiver<()>,
}

impl Messages {
    /// Reads them in a thread that nobody waits for.
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (kept, (reading, all)) = (Arc::clone(&tail), channel());
        std::thread::spawn(move || {
            let (_reading, mut buffer): (Sender<()>, _) = (reading, vec![0; 8 * 1024]);
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(&buffer[..read]);
            }
        });
        Self { tail, all }
    }

    /// What they are after the client has ended. A process in a session of its own can hold the pipe open for as long as it runs.
    fn text(self) -> String {
        let _ = self.all.recv_timeout(GRACE);
        std::mem::take(&mut *self.tail.lock().unwrap_or_else(PoisonError::into_inner)).text()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::process::user_command;
    use super::*;

    #[test]
    fn a_process_that_holds_the_messages_is_not_waited_for() {
        let folder = Arc::new(crate::private::directory("fu").unwrap());
        let pids = folder.path().join("pids");
        let leave = "setsid sh -c 'echo $$ >>\"$0\"; exec sleep 60' \"$0\" </dev/null >/dev/null & until test -s \"$0\"; do sleep 0.1; done";
        let start = |then: &str, limit| {
            let _ = std::fs::remove_file(&pids);
            let mut command = user_command("sh");
            command.args(["-c", &format!("echo no way >&2; {leave}; {then}")]).arg(&pids);
            let begun = Instant::now();
            let started = Master::start(command, None, &folder, limit).unwrap();
            // Far more than a login takes, and less than the process that is left.
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
            let pid = std::fs::read_to_string(&pids).unwrap().trim().parse().ok().and_then(Pid::from_raw).unwrap();
            // It was not in the client's group.
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
            started
        };
        let ended = start("exit 7", Duration::from_secs(30));
        assert!(matches!(ended, Started::Ended(status, text) if status.code() == Some(7) && text == "no way"));
        let ended = start("kill -9 $$", Duration::from_secs(30));
        assert!(matches!(ended, Started::Ended(status, _) if status.code().is_none()));
        let late = start("sleep 60", Duration::from_secs(2));
        assert!(matches!(late, Started::TooLong(text) if text == "no way"));
    }
}
