//! What the wizard finds out by itself, from the real ssh-agent, git and files.

use crate::support;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use factoryup::factory::{self, Factory};

/// An agent that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn init(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_factoryup"))
        .args(["init", "work/acme", "--owner-name", "Ada", "--owner-email", "ada@example.org"])
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var("PATH").unwrap())
        .env("TZ", "UTC")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .unwrap()
}

fn made(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Factory {
    let output = init(home, arguments, variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    factory::read(&home.join("work/acme/factory.toml")).unwrap()
}

#[test]
fn keys_come_from_the_agent() {
    if !support::available(&["ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("agent.sock").display().to_string();
    let mut agent = Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(agent.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let _agent = Agent(agent);
    assert!(first.starts_with("SSH_AUTH_SOCK="), "{first}");
    let file = home.path().join("key").display().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).env("SSH_AUTH_SOCK", &socket).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "in the agent", "-f", &file]);
    run("ssh-add", &["-q", &file]);
    let factory = made(home.path(), &["--defaults", "--host-address", "forge"], &[("SSH_AUTH_SOCK", &socket)]);
    assert_eq!(factory.host.authorized_keys, [fs::read_to_string(format!("{file}.pub")).unwrap().trim()]);
}

#[test]
fn an_agent_that_does_not_answer_holds_nothing_up() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("agent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let started = std::time::Instant::now();
    let variables = [("SSH_AUTH_SOCK", socket.to_str().unwrap())];
    let factory = made(home.path(), &["--host-kind", "none", "--name", "acme", "--gitlab-group", "acme"], &variables);
    assert_eq!(factory.factory.name, "acme");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn the_instance_comes_from_a_variable_or_the_remote() {
    if !support::need("git") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let work = home.path().join("work");
    fs::create_dir(&work).unwrap();
    let git = |arguments: &[&str]| {
        let status = Command::new("git").args(arguments).current_dir(&work).env("HOME", home.path()).status().unwrap();
        assert!(status.success());
    };
    git(&["init", "-q"]);
    git(&["remote", "add", "origin", "git@gitlab.example.org:acme/tools/shop.git"]);
    let arguments = ["--defaults", "--host-kind", "none"];
    let gitlab = |factory: Factory| (factory.gitlab.url, factory.gitlab.group);
    let expected = ("https://gitlab.example.org".to_owned(), "acme/tools".to_owned());
    assert_eq!(gitlab(made(home.path(), &arguments, &[])), expected);
    fs::remove_dir_all(work.join("acme")).unwrap();
    let expected = ("https://git.example.org".to_owned(), "acme".to_owned());
    assert_eq!(gitlab(made(home.path(), &arguments, &[("GITLAB_HOST", "git.example.org")])), expected);
}

#[test]
fn what_was_taken_unasked_is_said() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--host-kind", "none", "--name", "acme", "--gitlab-group", "acme", "--engine", "opentofu"];
    let output = init(home.path(), &arguments, &[("TZ", "Asia/Tokyo")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let (_, list) = said.split_once("Detected or derived; override with the flag shown:\n").unwrap();
    let lines: Vec<Vec<&str>> =
        list.lines().take_while(|line| line.starts_with("  --")).map(|l| l.split_whitespace().collect()).collect();
    let expected = [
        "--timezone Asia/Tokyo (TZ)",
        "--agent-username acme-agent (from other settings)",
        "--runner shared (from other settings)",
    ];
    assert_eq!(lines.iter().map(|words| words.join(" ")).collect::<Vec<_>>(), expected, "{said}");
    let factory = factory::read(&home.path().join("work/acme/factory.toml")).unwrap();
    assert_eq!((factory.factory.timezone.as_str(), factory.agent.username.as_str()), ("Asia/Tokyo", "acme-agent"));
    // Nothing is said where everything was given.
    fs::remove_dir_all(home.path().join("work")).unwrap();
    let all = [&arguments[..], &["--timezone", "UTC", "--agent-username", "bot", "--json"]].concat();
    let output = init(home.path(), &all, &[]);
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("Taken"));
}

/// Which engine is installed here says nothing about where state may lie in plain text.
#[test]
fn terraform_on_path_does_not_choose_the_engine() {
    let home = tempfile::tempdir().unwrap();
    let programs = home.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    let terraform = programs.join("terraform");
    support::make_program(&terraform, "#!/bin/sh\n");
    for name in ["git", "sh"] {
        let found = which::which(name).unwrap();
        std::os::unix::fs::symlink(found, programs.join(name)).unwrap();
    }
    let arguments = ["--host-kind", "none", "--name", "acme", "--gitlab-group", "acme"];
    let made = made(home.path(), &arguments, &[("PATH", &programs.display().to_string())]);
    assert_eq!(made.infra.engine, factoryup::factory::Engine::Opentofu);
}
