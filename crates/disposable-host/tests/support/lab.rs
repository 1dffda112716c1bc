//! A disposable host for a journey, and keys to log in to it with.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use disposable_host::{DisposableHost, ExtraUser, Image, Options, Recipe, Requirements};
use tempfile::TempDir;

use super::satisfied;

/// The password of the lab's `admin`, who may use sudo with it.
pub const ADMIN_PASSWORD: &str = "correct horse battery staple";

/// Whether a disposable host can run here; see [`satisfied`].
pub fn can_host() -> bool {
    let missing: Vec<_> = Requirements::check().into_iter().map(|m| m.what).collect();
    super::time()
        && satisfied(&missing.join(", "), missing.is_empty())
        && super::available(&["ps", "ssh", "ssh-keygen"])
}

/// The cached image, built if need be.
pub fn image() -> Image {
    Image::ensure(&Recipe::default(), &mut |line| eprintln!("{line}")).unwrap()
}

/// A folder with a fresh key, `id`, that no agent and no configuration knows.
pub struct Keys {
    pub dir: TempDir,
}

impl Keys {
    pub fn new() -> Self {
        let keys = Self { dir: tempfile::tempdir().unwrap() };
        keys.make("id", "ed25519", "");
        keys
    }

    /// Makes another key pair, `NAME` and `NAME.pub`, and returns its path.
    pub fn make(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let path = self.path(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind, "-N", passphrase, "-C", name, "-f"]).arg(&path);
        assert!(command.stdin(Stdio::null()).status().unwrap().success());
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn public(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }
}

/// Options for a host that lets root and `admin` in with the key `id`.
pub fn options(keys: &Keys) -> Options {
    Options {
        authorized_key: keys.public("id"),
        users: vec![ExtraUser { name: "admin".into(), password: ADMIN_PASSWORD.into() }],
        delay: None,
    }
}

/// A running host that lets root and `admin` in with the key `id`.
pub fn host(keys: &Keys) -> DisposableHost {
    DisposableHost::start(&image(), &options(keys)).unwrap()
}

/// Runs a command on the host with the system's ssh client, which knows the host's key.
pub fn ssh(host: &DisposableHost, keys: &Keys, user: &str, command: &str) -> Output {
    Command::new("ssh")
        .args(ssh_options(host, keys))
        .args([&format!("{user}@{}", host.address()), command])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Makes a program that is `ssh` with all it takes to reach the host, for scripts that call it.
pub fn ssh_program(host: &DisposableHost, keys: &Keys, path: &Path) {
    let options = ssh_options(host, keys).join("' '");
    super::make_program(path, format!("#!/bin/sh\nexec /usr/bin/ssh '{options}' \"$@\"\n"));
}

fn ssh_options(host: &DisposableHost, keys: &Keys) -> Vec<String> {
    let known = keys.path("known_hosts");
    fs::write(&known, format!("[{}]:{} {}\n{0} {2}\n", host.address(), host.port(), host.host_key())).unwrap();
    let known = format!("UserKnownHostsFile={}", known.display());
    let (identity, port) = (keys.path("id").display().to_string(), host.port().to_string());
    ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]
        .into_iter()
        .chain(["-o", &known, "-i", &identity, "-p", &port])
        .map(str::to_owned)
        .collect()
}

/// A program's standard output, when it succeeded.
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
