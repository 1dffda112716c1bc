//! A Redis for a trial: in a temporary directory, reached over a socket there and over no port, gone with the trial.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::job::{self, Job};

/// How long it may take until it listens.
const TIME: Duration = Duration::from_secs(10);
const PROGRAM: &str = "redis-server";

/// One that runs. It ends before its directory goes.
#[derive(Debug)]
pub(super) struct Redis {
    _job: Job,
    folder: TempDir,
}

impl Redis {
    /// Its program, if that is not installed.
    pub(super) fn missing() -> Option<&'static str> {
        which::which(PROGRAM).is_err().then_some(PROGRAM)
    }

    /// Starts it.
    ///
    /// # Errors
    /// In words, if this machine does not let it run.
    pub(super) fn start() -> Result<Self, String> {
        let no = |why: io::Error| format!("Redis does not start here: {why}");
        let folder = crate::private::directory("factoryup-redis-").map_err(no)?;
        let mut command = job::command(Path::new(PROGRAM), folder.path());
        command.args(["--port", "0", "--save", "", "--unixsocket", "socket", "--dir"]).arg(folder.path());
        let mut job = Job::start(&mut command, folder.path().join("redis.log")).map_err(no)?;
        let begun = Instant::now();
        while !folder.path().join("socket").exists() {
            if begun.elapsed() > TIME || job.ended().map_err(no)?.is_some() {
                return Err(no(io::Error::other(job.tail())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { _job: job, folder })
    }

    /// What an application is told of it, as on the host.
    pub(super) fn setting(&self) -> (String, String) {
        ("REDIS_URL".into(), format!("unix://{}", self.folder.path().join("socket").display()))
    }
}
