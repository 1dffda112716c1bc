//! The world that runbooks are run in.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use crate::blocks::{Block, blocks};
use crate::control_repo::{ControlRepo, text};
use crate::deeds::{deeds, named, path_of};
use crate::journey::Journey;
use crate::plane::Plane;
use crate::support::{self, lab, make_program};

/// Where all of it runs: a provisioned host, a control repo that a stand-in control plane holds, and the operator's machine.
pub(crate) struct World {
    pub(crate) journey: Journey,
    pub(crate) plane: Plane,
    pub(crate) repo: ControlRepo,
    pub(crate) programs: PathBuf,
    /// What was done so far, by runbook, as it is rendered.
    pub(crate) done: RefCell<BTreeSet<(String, String)>>,
}

impl World {
    pub(crate) fn new() -> Option<Self> {
        let plane = Plane::start()?;
        let journey = Journey::new();
        journey.provision();
        let repo = ControlRepo::of(&format!(
            r#"schema = 2
[factory]
name = "acme"
owner_name = "Ada Lovelace"
owner_email = "ada@example.org"
[host]
address = "{}"
authorized_keys = ["{}"]
[gitlab]
url = "{}"
group = "factory"
project = "control"
[cloudflare]
enabled = true
account_id = "0123456789abcdef0123456789abcdef"
zone_id = "fedcba9876543210fedcba9876543210"
zone = "example.org"
[secrets]
owner_recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
[runner]
kind = "shared"
"#,
            journey.host.address(),
            journey.keys.public("id").trim(),
            plane.url(),
        ));
        plane.project("control");
        repo.git(&["remote", "set-url", "origin", &plane.remote("control", &plane.owner_token())]);
        repo.git(&["push", "--quiet", "origin", "HEAD:main"]);
        let programs = repo.path().join("../programs");
        fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_factoryup"), programs.join("factoryup")).unwrap();
        // Where factoryup looks for the records of this factory.
        let beside = |below: &str| repo.path().parent().unwrap().join(below);
        fs::rename(beside("state"), beside("records")).unwrap();
        fs::create_dir_all(beside("state/factoryup")).unwrap();
        fs::rename(beside("records"), beside("state/factoryup/acme")).unwrap();
        Some(Self { journey, plane, repo, programs, done: RefCell::default() })
    }

    pub(crate) fn runbooks(&self) -> Vec<String> {
        let listed = self.repo.git(&["ls-files", "docs"]);
        listed.lines().filter_map(named).map(str::to_owned).collect()
    }

    /// Name and text of every runbook and procedure.
    pub(crate) fn texts(&self) -> Vec<(String, String)> {
        let text = |name: String| (self.text(&name), name);
        self.runbooks().into_iter().map(text).map(|(text, name)| (name, text)).collect()
    }

    pub(crate) fn text(&self, runbook: &str) -> String {
        self.repo.read(&path_of(runbook, |path| self.repo.path().join(path).exists()))
    }

    pub(crate) fn blocks(&self, runbook: &str) -> Vec<Block> {
        blocks(runbook, &self.text(runbook))
    }

    /// The blocks of one section.
    pub(crate) fn section(&self, runbook: &str, section: &str) -> Vec<Block> {
        let found: Vec<_> = self.blocks(runbook).into_iter().filter(|block| block.section == section).collect();
        assert!(!found.is_empty(), "{runbook} has no commands under {section}");
        found
    }

    /// The block that holds `what`.
    pub(crate) fn block(&self, runbook: &str, what: &str) -> Block {
        let found = self.blocks(runbook).into_iter().find(|block| block.commands.contains(what));
        found.unwrap_or_else(|| panic!("{runbook} has no block with {what}"))
    }

    /// The commands within a sentence, or the words of a step, that hold `what`; they count as done.
    pub(crate) fn command(&self, runbook: &str, what: &str) -> String {
        let all = deeds(runbook, &self.text(runbook));
        let whole = all.iter().find(|deed| deed.text == what);
        let found = whole.or_else(|| all.iter().find(|deed| deed.text.contains(what))).cloned();
        let deed = found.unwrap_or_else(|| panic!("{runbook} has no {what}"));
        self.done.borrow_mut().insert((deed.runbook, deed.text.clone()));
        deed.text
    }

    pub(crate) fn run(&self, block: &Block) -> Output {
        self.done.borrow_mut().insert((block.runbook.clone(), block.deed.clone()));
        match block.place.as_str() {
            "repo" | "own" => self.here(&block.commands),
            "host" => self.host(&block.commands),
            "agent" => self.host(&format!("cd /tmp\nexec sudo -u agent -H sh -euc {}", quoted(&block.commands))),
            other => panic!("{}: {other}", block.runbook),
        }
    }

    pub(crate) fn here(&self, commands: &str) -> Output {
        let path = format!("{}:{}", self.programs.display(), support::path());
        let mut command = self.repo.command("sh");
        command.args(["-euc", commands]).env("PATH", path);
        command.envs(["GITLAB_TOKEN", "FACTORYUP_GITLAB_TOKEN"].map(|name| (name, self.plane.owner_token())));
        command.env("XDG_STATE_HOME", self.repo.path().join("../state")).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// The owner's `ssh` and `scp`, which know the host's key, with these entries in their configuration.
    pub(crate) fn ssh_config(&self, hosts: &str) {
        let (key, known) = (self.journey.keys.path("id"), self.programs.join("known_hosts"));
        let config = self.programs.join("ssh_config");
        let rest = format!(
            "Host *\n  BatchMode yes\n  IdentitiesOnly yes\n  IdentityFile {}\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n",
            key.display(),
            known.display()
        );
        fs::write(&config, format!("{hosts}{rest}")).unwrap();
        let host = &self.journey.host;
        fs::write(&known, format!("{} {}\n", host.address(), host.host_key())).unwrap();
        for program in ["ssh", "scp"] {
            let path = self.programs.join(program);
            make_program(&path, format!("#!/bin/sh\nexec /usr/bin/{program} -F {} \"$@\"\n", config.display()));
        }
    }

    /// As the operator, over SSH.
    pub(crate) fn host(&self, commands: &str) -> Output {
        lab::ssh(&self.journey.host, &self.journey.keys, "operator", &format!("sh -euc {}", quoted(commands)))
    }

    pub(crate) fn done(&self, block: &Block) -> String {
        let output = self.run(block);
        assert!(output.status.success(), "{block:?}\n{}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A file on the host, root's.
    pub(crate) fn put(&self, path: &str, mode: &str, content: &str) {
        let below = self.journey.host.rootfs().join(path.strip_prefix('/').unwrap());
        fs::write(below, content).unwrap();
        self.journey.inside(&format!("chmod {mode} {path}"));
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
