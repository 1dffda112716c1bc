//! A person's home, in which the wizard runs.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::fs;
use std::path::PathBuf;

use factoryup::factory::{self, Factory};
use portable_pty::CommandBuilder;
use tempfile::TempDir;

use crate::pty::Pty;

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX8 ada@laptop";
pub const CANARY: &str = "glpat-CANARY0123456789wxyz";
pub const SHOW_CURSOR: &str = "\u{1b}[?25h";
pub const HIDE_CURSOR: &str = "\u{1b}[?25l";
pub const ESCAPE: &str = "\u{1b}";
pub const UP: &str = "\u{1b}[A";
pub const DOWN: &str = "\u{1b}[B";
pub const CTRL_C: &str = "\u{3}";
pub const CTRL_U: &str = "\u{15}";

/// A person's home with git, an SSH key, two hosts and a GitLab token in the environment.
pub struct Home(pub TempDir);

impl Home {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        fs::create_dir(&ssh).unwrap();
        fs::write(ssh.join("config"), "Host forge\n  HostName 203.0.113.7\nHost *\n  User me\n").unwrap();
        fs::write(ssh.join("id_ed25519.pub"), format!("{KEY}\n")).unwrap();
        fs::write(home.path().join(".gitconfig"), "[user]\n name = Ada Lovelace\n email = ada@example.org\n").unwrap();
        Self(home)
    }

    pub fn folder(&self) -> PathBuf {
        self.0.path().join("acme")
    }

    pub fn factory(&self) -> Factory {
        factory::read(&self.folder().join("factory.toml")).unwrap()
    }

    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HOME", self.0.path().display().to_string()),
            ("PATH", std::env::var("PATH").unwrap()),
            ("TERM", "xterm-256color".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("GITLAB_TOKEN", CANARY.to_owned()),
        ]
    }

    pub fn command(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> CommandBuilder {
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(self.0.path());
        command.env_clear();
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        command
    }

    pub fn start(&self, arguments: &[&str], variables: &[(&str, &str)], columns: u16) -> Pty {
        let folder = self.folder().display().to_string();
        let arguments = [&["init", folder.as_str()], arguments].concat();
        Pty::start(self.command(env!("CARGO_BIN_EXE_factoryup"), &arguments, variables), columns)
    }

    pub fn wizard(&self) -> Pty {
        self.start(&[], &[], 100)
    }

    /// Nothing was written where the factory would be.
    pub fn is_untouched(&self) -> bool {
        !self.folder().exists()
    }

    /// The process that was started with this program in the home folder.
    pub fn process(&self, program: &str) -> String {
        let here = self.0.path().canonicalize().unwrap();
        let of = |pid: &String| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let folder = fs::read_link(format!("/proc/{pid}/cwd"));
            command.split(|byte| *byte == 0).next() == Some(program.as_bytes())
                && folder.is_ok_and(|folder| folder == here)
        };
        let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).find(of).expect("it runs")
    }

    /// No file in the home folder holds the token.
    pub fn holds_no_token(&self) {
        let mut folders = vec![self.0.path().to_owned()];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let content = fs::read(entry.path()).unwrap();
                    let found = content.windows(6).any(|window| window == b"CANARY");
                    assert!(!found, "{} holds the token", entry.path().display());
                    files += 1;
                }
            }
        }
        assert!(files > 3, "{files} files looked at");
    }
}

/// Takes what is offered from the question about the host to the review.
pub fn take_the_rest(pty: &mut Pty) {
    for question in [
        "Where the agent works",
        "Address of the host",
        "Your public SSH key",
        "URL of GitLab",
        "GitLab group",
        "GitLab subscription",
        "Coding agent",
        "Use Cloudflare",
    ] {
        pty.answer(question, "");
    }
    pty.expect("Is this correct?");
}
