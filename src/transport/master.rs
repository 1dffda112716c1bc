//! One connection of the system's ssh client, which all commands of a session share.
//!
//! Its first session is a program that ends when its input does. So the connection ends with this process, even if that is killed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::output::Tail;

/// The longest path that leaves room for what ssh adds to it while it makes a socket: a socket's path has 104 bytes on some systems.
const LONGEST: usize = 80;
/// How often a login is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long the client may take to say good-bye.
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
        let messages = child.stderr.take().map(read_all);
        let input = child.stdin.take();
        let mut master = Self { child, _input: input, socket: socket.unwrap_or_default(), _folder: Arc::clone(folder) };
        let begun = Instant::now();
        loop {
            // It makes the socket once the host has let it in.
            if master.socket.exists() {
                return Ok(Started::Connected(master));
            }
            if let Some(status) = master.child.try_wait()? {
                master.end();
                return Ok(Started::Ended(status, text(messages)));
            }
            if begun.elapsed() > limit {
                master.end();
                return Ok(Started::TooLong(text(messages)));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Where other clients find it, as long as it lives.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Whether the connection is gone, or about to.
    pub(super) fn is_gone(&mut self) -> bool {
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > NOTICE {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn end(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let tell = |signal| group.map(|group| kill_process_group(group, signal));
        tell(Signal::TERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
        // Its proxies, too, which may hold its output open.
        tell(Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads to the end, and keeps the last part.
fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut tail, mut buffer) = (Tail::default(), vec![0; 8 * 1024]);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            tail.push(&buffer[..read]);
        }
        tail.text()
    })
}

fn text(messages: Option<JoinHandle<String>>) -> String {
    messages.and_then(|messages| messages.join().ok()).unwrap_or_default()
}
