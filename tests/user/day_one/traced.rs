//! What `--trace` records: all that a run sent and got, and no secret in any form.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::plane::Plane;
use super::{canary, ends_with, said};

/// The records of a trace.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// A secret as it is, and in base64 at each of the three places in a group where it can begin.
fn forms(secret: &str) -> Vec<String> {
    let inside = |before: usize| {
        let text = [&vec![b' '; before], secret.as_bytes()].concat();
        STANDARD.encode(&text)[[0, 2, 3][before]..text.len() / 3 * 4].to_owned()
    };
    (0..3).map(inside).chain([secret.to_owned()]).collect()
}

#[track_caller]
pub(super) fn holds_no_secret<'a>(trace: &Path, secrets: impl Iterator<Item = (&'a str, &'a str)>) {
    assert_eq!(fs::metadata(trace).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(trace).unwrap();
    for (name, secret) in secrets {
        for form in forms(secret) {
            let at = text.find(&form).map(|at| text.get(at.saturating_sub(300)..at).unwrap_or_default());
            assert!(at.is_none(), "{name} is in the trace after {at:?}");
        }
    }
}

/// A day one with a host: each kind of record is there, and says what it should.
pub(super) fn shows_the_run(trace: &Path, token_file: &str) {
    let records = records(trace);
    let all = |what: &str| records.iter().filter(|record| record["what"] == what).collect::<Vec<_>>();
    let kinds: BTreeSet<_> = records.iter().map(|record| record["what"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["end", "git", "line", "program", "program-end", "request", "start"].into());
    assert!(records.iter().all(|record| record["time"].as_str().unwrap().ends_with('Z')));
    assert_eq!(all("program").len(), all("program-end").len());
    assert!(all("program-end").iter().all(|end| end["status"].is_string() && end["ms"].is_u64()));
    // The program that installs a token on the host is there, and the token is not.
    let programs: Vec<_> = all("program").iter().map(|record| record["program"].as_str().unwrap()).collect();
    assert!(programs.iter().any(|program| program.contains(token_file) && program.contains("[secret]")));
    assert!(all("line").iter().any(|line| line["line"].as_str().unwrap().contains(r#""event":"done""#)));
}

/// Runs against GitLab alone.
fn gitlab_alone(plane: &Plane, home: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_factoryup"))
        .args(["--trace", "trace.jsonl"])
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("FACTORYUP_GITLAB_TOKEN", plane.owner_token())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_trace_shows_requests_and_git_commands_without_their_tokens() {
    let Some(plane) = Plane::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let url = plane.url();
    let init = ["init", "acme", "--defaults", "--yes", "--name", "acme", "--host-kind", "none", "--owner-name", "Ada"];
    let more = ["--owner-email", "ada@example.org", "--gitlab-url", &url, "--gitlab-group", "factory"];
    ends_with(&gitlab_alone(&plane, home.path(), &[&init[..], &more].concat()), 0);
    ends_with(&gitlab_alone(&plane, home.path(), &["-C", "acme", "apply", "--yes", "--no-wait"]), 0);
    ends_with(&gitlab_alone(&plane, home.path(), &["-C", "acme", "plan", "host"]), 65);
    let trace = home.path().join("trace.jsonl");

    let state = home.path().join("state/factoryup/acme");
    let token = fs::read_to_string(state.join("agent-token")).unwrap();
    let secrets = [("owner token", plane.owner_token()), ("agent token", token.trim().to_owned())];
    holds_no_secret(&trace, secrets.iter().map(|(name, text)| (*name, text.as_str())));
    // Nor a token that was not kept: every token of GitLab begins like these.
    for prefix in ["glpat-", "glrt-"] {
        assert_eq!(canary::find_in_tree(&trace, prefix), [] as [&Path; 0]);
    }

    let records = records(&trace);
    let is_made =
        |r: &&Value| r["method"] == "POST" && r["route"].as_str().unwrap().ends_with("personal_access_tokens");
    let made = records.iter().find(is_made).expect("a token");
    assert_eq!((made["status"].as_u64(), made["as"].as_str()), (Some(201), Some("the owner")), "{made}");
    assert_eq!(made["received"]["token"], "[secret]", "{made}");
    assert!(made["ms"].is_u64() && made["sent_bytes"].as_u64() > Some(0) && made["received_bytes"].as_u64() > Some(0));
    let push = records.iter().find(|r| r["what"] == "git" && r["arguments"][0] == "push").expect("a push");
    assert!(push["code"] == 0 && push["ms"].is_u64() && !push.to_string().contains("credential"), "{push}");
    let ends: Vec<_> = records.iter().filter(|r| r["what"] == "end").map(|r| r["code"].as_u64().unwrap()).collect();
    assert_eq!(ends, [0, 0, 65], "each run is appended");
    assert!(records.last().unwrap()["error"].as_str().unwrap().contains("no host"), "{records:?}");
}

#[test]
fn a_file_that_others_can_read_is_no_trace_and_a_cut_line_stays_alone() {
    let Some(plane) = Plane::start() else { return };
    let home = tempfile::tempdir().unwrap();
    let trace = home.path().join("trace.jsonl");
    let permit = |mode| fs::set_permissions(&trace, fs::Permissions::from_mode(mode)).unwrap();
    fs::write(&trace, "{\"cut").unwrap();
    permit(0o640);
    let refused = gitlab_alone(&plane, home.path(), &["schema"]);
    ends_with(&refused, 64);
    assert!(said(&refused).contains("open to other users") && said(&refused).contains("chmod 600 "), "{refused:?}");
    assert_eq!(fs::read_to_string(&trace).unwrap(), "{\"cut");
    permit(0o600);
    ends_with(&gitlab_alone(&plane, home.path(), &["schema"]), 0);
    let text = fs::read_to_string(&trace).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("{\"cut", 3), "{text}");
    assert!(lines[1..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    fs::remove_file(&trace).unwrap();
    fs::create_dir(&trace).unwrap();
    ends_with(&gitlab_alone(&plane, home.path(), &["schema"]), 73);
    fs::remove_dir(&trace).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &trace, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let refused = gitlab_alone(&plane, home.path(), &["schema"]);
    ends_with(&refused, 64);
    assert!(said(&refused).contains("not a regular file"), "{refused:?}");
    fs::remove_file(&trace).unwrap();
    std::os::unix::fs::symlink("/dev/full", &trace).unwrap();
    ends_with(&gitlab_alone(&plane, home.path(), &["schema"]), 64);
}

#[test]
fn a_trace_that_could_not_be_written_is_reported_and_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    let run = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let program = env!("CARGO_BIN_EXE_factoryup");
    let long = format!("/{}", "long/".repeat(400));
    let args = ["-c", run, "sh", program, "--trace", "t", "-C", &long, "schema"];
    let output = Command::new("sh").args(args).current_dir(home.path()).output().unwrap();
    ends_with(&output, 0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is incomplete: "), "{output:?}");
    assert!(output.stdout.len() > 1000);
}
