//! A program of an adopted repo, with all that it starts: its own process group, little of the environment, a bounded log.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::dialog::plain;
use crate::process;

/// What a build may need of the user's environment: where tools and their caches are, and how they reach registries. Nothing of it is
/// one of factoryup's secrets.
const KEPT: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "GOPATH",
    "PYENV_ROOT",
    "NVM_DIR",
];
/// Beginnings of names of variables that say how a tool reaches its registry.
const KEPT_TOO: [&str; 7] = ["PIP_", "UV_", "npm_config_", "NPM_CONFIG_", "GOPROXY", "GOSUMDB", "GOCACHE"];
/// A log that grows beyond this ends its program.
const LOG: u64 = 64 * 1024 * 1024;
/// How long a program has to end once it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// One that runs.
#[derive(Debug)]
pub(super) struct Job {
    child: Child,
    keeper: Child,
    log: PathBuf,
    /// How much of the log was passed on.
    read: u64,
}

/// A command of the repo. Of the environment it gets what [`KEPT`] names.
pub(super) fn command(program: &Path, folder: &Path) -> Command {
    let mut command = process::command(program);
    command.env_clear().current_dir(folder);
    for (name, value) in std::env::vars_os() {
        if name.to_str().is_some_and(is_kept) {
            command.env(name, value);
        }
    }
    command
}

fn is_kept(name: &str) -> bool {
    let is_secret = ["TOKEN", "AUTH", "PASSWORD", "SECRET"].iter().any(|word| name.to_ascii_uppercase().contains(word));
    !is_secret && (KEPT.contains(&name) || KEPT_TOO.iter().any(|begin| name.starts_with(begin)))
}

/// A process that ends a process group once this one is gone, however it ended: it waits for the end of a pipe that only this one holds.
fn keeper(group: u32) -> io::Result<Child> {
    let mut command = process::command("sh");
    command.args(["-c", "read -r _; kill -s KILL -- \"-$0\""]).arg(group.to_string());
    // Ctrl-C goes to a whole process group; the keeper must see its owner go first.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

impl Job {
    /// Starts a command; what it says goes to the file `log`.
    pub(super) fn start(command: &mut Command, log: PathBuf) -> io::Result<Self> {
        let out = File::create(&log)?;
        command.process_group(0).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut child = command.spawn()?;
        match keeper(child.id()) {
            Ok(keeper) => Ok(Self { child, keeper, log, read: 0 }),
            Err(error) => {
                process::see_off(&mut child);
                Err(error)
            }
        }
    }

    /// How it ended, if it did. One whose log is too large is told to end.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if fs::metadata(&self.log)?.len() > LOG {
            self.signal(Signal::KILL);
        }
        process::peek(&self.child)
    }

    /// Waits for its end, and passes lines of its log on. `None` when it was ended: its time was over, or the process is interrupted.
    pub(super) fn wait(&mut self, limit: Duration, line: &mut dyn FnMut(&str)) -> io::Result<Option<ExitStatus>> {
        let begun = Instant::now();
        loop {
            let ended = self.ended()?;
            self.pass_on(line)?;
            if ended.is_some() {
                return Ok(ended);
            }
            if begun.elapsed() > limit || crate::interrupt::pending() {
                self.signal(Signal::KILL);
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn pass_on(&mut self, line: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = Vec::new();
        file.take(1024 * 1024).read_to_end(&mut text)?;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        self.read += whole as u64;
        String::from_utf8_lossy(&text[..whole]).lines().for_each(line);
        Ok(())
    }

    /// The last lines that it said.
    pub(super) fn tail(&self) -> String {
        let mut text = Vec::new();
        let _ = File::open(&self.log).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(8192)))?;
            file.read_to_end(&mut text)
        });
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last: Vec<String> = lines[lines.len().saturating_sub(6)..].iter().map(|line| plain(line)).collect();
        last.join("\n")
    }

    /// The number of its process group.
    pub(super) fn group(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// It is told to end, and made to. What it started and left behind ends too.
impl Drop for Job {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while process::peek(&self.child).is_ok_and(|status| status.is_none())
            && asked.elapsed() < GRACE
            && !crate::interrupt::pending()
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        let _ = self.keeper.kill().and_then(|()| self.keeper.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_started_ends_with_this_process() {
        let temp = tempfile::tempdir().unwrap();
        let mut command = process::command("sh");
        command.args(["-c", "trap '' TERM; sleep 600 & wait"]);
        let mut job = Job::start(&mut command, temp.path().join("log")).unwrap();
        assert!(job.ended().unwrap().is_none());
        // As the kernel closes it for a process that was killed.
        drop(job.keeper.stdin.take());
        let begun = Instant::now();
        while job.ended().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
