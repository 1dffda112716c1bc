//! `factoryup rehearse`: it plays what it can and says what it left out, and what it keeps can be used until it is told to go.
//! `tests/judges/pipeline` goes on where this ends, with the real GitLab Runner.

use crate::support::{self, lab};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Debian's nobody, who owns nothing.
const NOBODY: u32 = 65534;

fn rehearse(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factoryup"));
    command.args(["--json", "rehearse", "--into"]).arg(home.join("made")).args(args);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).current_dir("/");
    command.stdin(Stdio::null()).output().unwrap()
}

/// The report, which is the last line.
fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "report", "{last}");
    last["report"].clone()
}

#[test]
fn without_root_it_plays_what_it_can_and_says_what_it_left_out() {
    if !support::root() || !support::available(&["git", "ssh-keygen"]) {
        return;
    }
    // The binary may lie where nobody else can reach, so nobody gets a copy.
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let copy = home.path().join("factoryup");
    support::copy_program(env!("CARGO_BIN_EXE_factoryup"), &copy);
    let mut command = Command::new(&copy);
    command.args(["--json", "rehearse", "--yes", "--into"]).arg(home.path().join("made"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home.path()).current_dir("/");
    let output = command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).output().unwrap();
    let report = report(&output);
    let left_out = report["left_out"][0].as_str().unwrap();
    assert!(left_out.contains("needs root"), "{left_out}");
    let parts: Vec<_> = report["parts"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    let all = ["stand-in control plane", "repo", "gitlab", "all of it, applied again"];
    assert_eq!(parts, all);
    let repo = Path::new(report["control_repo"].as_str().unwrap());
    assert!(repo.join("AGENTS.md").is_file() && repo.join("factory.toml").is_file());
}

#[test]
fn it_replaces_what_a_rehearsal_made_and_nothing_else() {
    if !support::available(&["git", "ssh-keygen"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    report(&rehearse(home.path(), &["--without-host"]));
    report(&rehearse(home.path(), &["--without-host"]));
    let mine = home.path().join("mine");
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("precious"), "x").unwrap();
    fs::remove_dir_all(home.path().join("made")).unwrap();
    fs::rename(&mine, home.path().join("made")).unwrap();
    let refused = rehearse(home.path(), &["--without-host"]);
    assert_eq!(refused.status.code(), Some(73));
    assert!(home.path().join("made/precious").exists());
}

/// `GET` of an address of the stand-in, with a token; the status line, or nothing if it is gone.
fn status(address: &str, path: &str, token: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nPRIVATE-TOKEN: {token}\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

/// A command on the host, typed after the words that the report gives for logging in.
fn on_host(login: &str, command: &str) -> Output {
    let typed = format!("{login} {command}");
    Command::new("sh").args(["-c", &typed]).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn what_it_keeps_answers_until_it_is_told_to_go() {
    if !support::available(&["git", "ssh", "ssh-keygen"]) {
        return;
    }
    let has_host = support::root() && lab::can_host();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_factoryup"));
    command.args(["--json", "rehearse", "--keep"]);
    if has_host {
        let programs = home.path().join("files/usr/local/bin");
        fs::create_dir_all(&programs).unwrap();
        support::make_program(programs.join("claude"), "#!/bin/sh\necho \"$FACTORY_ISSUE in $PWD\" >~/seen\n");
        command.arg("--files").arg(home.path().join("files"));
    } else {
        command.arg("--without-host");
    }
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home.path()).current_dir("/");
    // The images of hosts are where other tests have them.
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    command.envs(cache.map(|cache| ("XDG_CACHE_HOME", cache)));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let report = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()).find(|line| line["event"] == "report");
    let report = &report.unwrap()["report"];
    let kept = &report["kept"];
    let address = kept["gitlab"].as_str().unwrap().strip_prefix("http://").unwrap();
    let token = fs::read_to_string(kept["token_file"].as_str().unwrap()).unwrap();
    let project = "/api/v4/projects/factory%2Fcontrol";
    assert!(status(address, project, token.trim()).unwrap().contains("200"));
    let login = kept["login"].as_str();
    assert_eq!(login.is_some(), has_host, "{kept}");
    if let Some(login) = login {
        host_is_used(report, login);
    }
    // Another rehearsal does not take its place.
    let destroy = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_factoryup"));
        command.arg("rehearse").args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        let output = command.env("HOME", home.path()).current_dir("/").stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, said) = destroy(&["--without-host"]);
    assert!(code == Some(73) && said.contains(kept["destroy"].as_str().unwrap()), "{said}");
    assert!(status(address, project, token.trim()).unwrap().contains("200"));
    let (code, said) = destroy(&["--destroy"]);
    assert!(code == Some(0) && said.contains("The disposable targets are removed."), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let (code, said) = destroy(&["--destroy"]);
    assert!(code == Some(0) && said.contains("keeps targets"), "{said}");
    assert_eq!(status(address, project, token.trim()), None);
    if let Some(login) = login {
        assert_eq!(on_host(login, "true").status.code(), Some(255));
    }
}

/// The stand-in for the runner is told, and what the report says of the host is so.
fn host_is_used(report: &Value, login: &str) {
    let result = |name: &str| {
        let part = report["parts"].as_array().unwrap().iter().find(|part| part["name"] == name);
        part.unwrap_or_else(|| panic!("{report}"))["result"].as_str().unwrap()
    };
    let left_out = report["left_out"].as_array().unwrap();
    let is_real = result("GitLab Runner") != "a stand-in that takes jobs and runs no script";
    assert_eq!(left_out.is_empty(), is_real, "{report}");
    assert_eq!(result("the agent's tools"), "claude from --files; programs that do nothing for tofu, sops");
    assert_eq!(result("the application"), "deployed, healthy; a bad release was rolled back");

    let page = on_host(login, &format!("curl -fsS {}", report["kept"]["application"].as_str().unwrap()));
    assert!(String::from_utf8_lossy(&page.stdout).contains("<title>example"), "{page:?}");
    let work = on_host(login, "factory work 1");
    assert!(String::from_utf8_lossy(&work.stdout).contains("session control-issue-1 runs"), "{work:?}");
    support::wait_until("the agent in its worktree", || {
        on_host(login, "sudo -u agent cat /home/agent/seen").stdout == b"1 in /home/agent/work/control-issue-1\n"
    });
}
