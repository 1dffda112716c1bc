//! The program `gitlab-stand-in`, used as a stranger uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gitlab-stand-in"))
}

#[test]
fn it_prints_what_a_client_needs_and_ends_on_ctrl_c() {
    if !support::need("git") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["--group", "bakery", "--owner", "ada", "--edition", "premium"]).env("TMPDIR", temporary.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let said: BTreeMap<_, _> =
        lines.iter().filter_map(|line| line.split_once(':')).map(|(k, v)| (k, v.trim())).collect();
    assert_eq!((said["group"], said["owner"]), ("bakery", "ada"));
    let get = |path: &str| {
        let request = ureq::get(format!("{}/api/v4/{path}", said["url"])).header("PRIVATE-TOKEN", said["token"]);
        request.call().unwrap().into_body().read_json::<serde_json::Value>().unwrap()
    };
    assert_eq!(get("user")["username"], "ada");
    assert_eq!(get("groups/bakery")["full_path"], "bakery");
    assert_eq!(get("metadata")["enterprise"], true);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);

    let signaled = Command::new("sh").args(["-c", "kill -INT \"$0\"", &child.id().to_string()]).status().unwrap();
    assert!(signaled.success() && child.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn what_it_cannot_do_is_said_with_an_exit_code() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    for (arguments, code, words) in [
        (["--port", port.as_str()], 1, format!("port {port}: Address already in use")),
        (["--owner", "root"], 1, "already has a user or group root".into()),
        (["--group", "a b"], 2, "letters, digits".into()),
        (["--gitlab-version", "18"], 2, "MAJOR.MINOR.PATCH".into()),
    ] {
        let output = program().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(&words), "{arguments:?}: {said}");
    }
    let calls = program().arg("--list-calls").output().unwrap();
    assert!(String::from_utf8_lossy(&calls.stdout).lines().any(|line| line == "GET     /projects/:id"));
}
