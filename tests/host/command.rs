//! The program itself, as a child that can be sent signals, on a journey's host.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use factoryup::factory::to_toml;

use crate::journey::Journey;
use crate::support::{PATIENCE, lab};

/// A folder with `factory.toml`, and a home to run factoryup in.
pub struct Owner<'a> {
    journey: &'a Journey,
    home: tempfile::TempDir,
}

/// factoryup at work, with all that it says in a file.
pub struct Running {
    child: Child,
    said: PathBuf,
}

impl<'a> Owner<'a> {
    pub fn of(journey: &'a Journey) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("factory.toml"), to_toml(&journey.factory).unwrap()).unwrap();
        // A file, since another test watches every process for this password.
        fs::write(home.path().join("sudo-password"), lab::ADMIN_PASSWORD).unwrap();
        fs::set_permissions(home.path().join("sudo-password"), fs::Permissions::from_mode(0o600)).unwrap();
        Self { journey, home }
    }

    /// Has the system's ssh client be used from now on, since only that knows certificates of hosts.
    pub fn use_client(&self) {
        let host = &self.journey.host;
        let place = format!("[{}]:{},{0}", host.address(), host.port());
        let folder = self.home.path().join("state/factoryup/acme");
        let known =
            format!("{place} {}\n@cert-authority {place} {}\n", host.host_key(), self.journey.keys.public("id"));
        fs::write(folder.join("known_hosts"), known).unwrap();
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        let said = self.home.path().join("said");
        let out = File::create(&said).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_factoryup"))
            .args(arguments)
            .args(["--sudo-password-file", "sudo-password"])
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .env("FACTORYUP_IDENTITY", self.journey.keys.path("id"))
            .env("FACTORYUP_HOST_KEY", self.journey.host.host_key_fingerprint())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Running { child, said }
    }

    pub fn apply(&self) -> Running {
        self.start(&["apply", "host", "--yes"])
    }

    /// What this machine recorded of its runs.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.home.path().join("state/factoryup/acme/journal.jsonl")).unwrap()
    }
}

impl Running {
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said something, or `what` is so.
    pub fn wait_until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let since = Instant::now();
        while !is_so(&self.said()) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{what} never happened, it ended with {status}:\n{}", self.said());
            }
            assert!(since.elapsed() < PATIENCE, "{what} never happened:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |said| said.contains(text));
    }

    pub fn signal(&self, name: &str) {
        let kill =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits for the end: the exit code, and all that was said.
    pub fn end(mut self) -> (i32, String) {
        let since = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if since.elapsed() > 2 * PATIENCE {
                let _ = self.child.kill();
                panic!("still running:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        (self.child.wait().unwrap().code().unwrap_or(-1), self.said())
    }
}
