//! A Postgres for a trial: a cluster in a temporary directory, reached over a socket there and over no port, gone with the trial.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::job::{self, Job};
use crate::budget::Budget;
use crate::process;

/// How long it may take to be made, and then to answer.
const TIME: Duration = Duration::from_mins(1);
/// Where Debian has what it keeps off `PATH`, below the version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The number of `nobody`: Postgres refuses to run as root.
const NOBODY: u32 = 65534;

/// One that runs. It ends before its directory goes.
#[derive(Debug)]
pub(super) struct Postgres {
    job: Job,
    folder: TempDir,
}

impl Postgres {
    /// The first of its programs that is not installed.
    pub(super) fn missing() -> Option<&'static str> {
        ["initdb", "postgres", "pg_isready"].into_iter().find(|name| program(name).is_none())
    }

    /// Makes and starts it.
    ///
    /// # Errors
    /// In words, if this machine does not let it run.
    pub(super) fn start() -> Result<Self, String> {
        let no = |why: io::Error| format!("Postgres does not start here: {why}");
        let folder = crate::private::directory("factoryup-postgres-").map_err(no)?;
        if is_root() {
            // In a namespace of users, root reaches it as a member of its group.
            chown(folder.path(), Some(NOBODY), None).map_err(no)?;
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).map_err(no)?;
        }
        let data = folder.path().join("data");
        let mut command = command("initdb", folder.path());
        command
            .args(["--auth=trust", "--username=app", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(&data);
        let mut job = Job::start(&mut command, folder.path().join("initdb.log")).map_err(no)?;
        if !job.wait(TIME, &mut |_| ()).map_err(no)?.is_some_and(|status| status.success()) {
            return Err(format!("initdb of Postgres fails: {}", job.tail()));
        }
        let mut command = command_of_server(folder.path(), &data);
        let job = Job::start(&mut command, folder.path().join("postgres.log")).map_err(no)?;
        let mut started = Self { job, folder };
        started.wait().map_err(no)?;
        Ok(started)
    }

    /// What an application is told of it, as on the host.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let folder = self.folder.path().display().to_string();
        let all = [
            ("DATABASE_URL", format!("postgresql:///postgres?host={folder}")),
            ("PGHOST", folder),
            ("PGUSER", "app".into()),
            ("PGDATABASE", "postgres".into()),
        ];
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn wait(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < TIME && self.job.ended()?.is_none() {
            let mut ask = command("pg_isready", self.folder.path());
            ask.args(["--quiet", "--host"]).arg(self.folder.path());
            if process::output(&mut ask, None, Budget::LOCAL)?.status.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(io::Error::other(self.job.tail()))
    }
}

fn command_of_server(folder: &Path, data: &Path) -> Command {
    let mut command = command("postgres", folder);
    command.arg("-D").arg(data).arg("-k").arg(folder).args(["-c", "listen_addresses=", "-c", "fsync=off"]);
    command
}

/// One of its programs, as a user that is not root.
fn command(name: &str, folder: &Path) -> Command {
    let program = program(name).unwrap_or_else(|| name.into());
    if !is_root() {
        return job::command(&program, folder);
    }
    let mut command = job::command(Path::new("setpriv"), folder);
    command
        .arg(format!("--reuid={NOBODY}"))
        .arg(format!("--regid={NOBODY}"))
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}

fn program(name: &str) -> Option<PathBuf> {
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u16>().ok());
    let folders = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = folders.filter(|path| path.join("bin").join(name).exists()).max_by_key(version);
    newest.map(|path| path.join("bin").join(name)).or_else(|| which::which(name).ok())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
