//! Day one with the real binary, from flags to a proved hand-off, on a host that is reached over an account with passworded
//! sudo; and the canary: every secret of the run is unique, and nothing may hold one but the place where it belongs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/canary.rs"]
mod canary;
#[path = "support/plane.rs"]
mod plane;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use canary::{Watcher, find_in_tree, git_objects};
use factoryup::rehearsal::host::{DisposableHost, ExtraUser, Options};
use factoryup::secret::Secret;
use plane::Plane;
use support::lab;

/// Words that no package description holds.
const SUDO_PASSWORD: &str = "canary 9Yh2 sudo kVq7";

struct Journey {
    keys: lab::Keys,
    host: DisposableHost,
    plane: Plane,
    home: tempfile::TempDir,
}

impl Journey {
    fn begin() -> Option<Self> {
        if !support::root() || !lab::can_host() {
            return None;
        }
        let plane = Plane::start()?;
        let keys = lab::Keys::new();
        let admin = ExtraUser { name: "admin".into(), password: Secret::new(SUDO_PASSWORD) };
        let options = Options { authorized_key: keys.public("id"), users: vec![admin], delay: None };
        let host = DisposableHost::start(&lab::image(), &options).unwrap();
        Some(Self { keys, host, plane, home: tempfile::tempdir().unwrap() })
    }

    fn repo(&self) -> PathBuf {
        self.home.path().join("my-factory")
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state/factoryup/acme")
    }

    /// Runs factoryup with the secrets in its environment, as CI or a password manager would hand them over.
    fn factoryup(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_factoryup"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .env("FACTORYUP_GITLAB_TOKEN", self.plane.owner_token())
            .env("FACTORYUP_SUDO_PASSWORD", SUDO_PASSWORD)
            .env("FACTORYUP_IDENTITY", self.keys.path("id"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn init(&self) -> Output {
        let repo = self.repo();
        let address = self.host.address().to_string();
        let port = self.host.port().to_string();
        let key = self.keys.path("id.pub");
        let (url, host_key) = (self.plane.url(), self.host.host_key_fingerprint());
        let answers = [
            ("--name", "acme"),
            ("--owner-name", "Ada Lovelace"),
            ("--owner-email", "ada@example.org"),
            ("--host-address", &address),
            ("--host-port", &port),
            ("--host-login", "admin"),
            ("--host-key", host_key),
            ("--authorized-key", key.to_str().unwrap()),
            ("--gitlab-url", &url),
            ("--gitlab-group", "factory"),
        ];
        let mut args = vec!["init", repo.to_str().unwrap(), "--yes", "--defaults"];
        args.extend(answers.iter().flat_map(|(flag, value)| [*flag, *value]));
        self.factoryup(&args)
    }

    fn in_repo(&self, args: &[&str]) -> Output {
        let repo = self.repo();
        let mut all = vec!["-C", repo.to_str().unwrap()];
        all.extend(args);
        self.factoryup(&all)
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn ends_with(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

#[test]
fn day_one_is_done_once_and_no_secret_leaves_its_place() {
    let Some(journey) = Journey::begin() else { return };
    let watcher = Watcher::start(vec![journey.plane.owner_token(), SUDO_PASSWORD.to_owned()]);
    let mut runs = vec![journey.init()];
    ends_with(&runs[0], 0);
    runs.push(journey.in_repo(&["plan", "--diff"]));
    ends_with(&runs[1], 2);
    runs.push(journey.in_repo(&["plan", "host", "--script"]));
    ends_with(&runs[2], 2);
    assert!(said(&runs[2]).contains("# === guard:"), "{}", said(&runs[2]));
    runs.push(journey.in_repo(&["apply", "--yes"]));
    ends_with(&runs[3], 0);
    journey.plane.stand_in.clear_log();
    runs.push(journey.in_repo(&["--json", "apply", "--yes"]));
    ends_with(&runs[4], 0);
    let second = said(&runs[4]);
    assert_eq!(second.matches("already-right").count(), 3, "{second}");
    runs.push(journey.in_repo(&["plan"]));
    ends_with(&runs[5], 0);
    let seen = watcher.stop();
    assert!(seen.is_empty(), "a secret was in the arguments or environment of: {seen:?}");

    let secrets = secrets(&journey);
    assert!(secrets.len() >= 5, "the run should have made an agent token and two runner tokens: {}", secrets.len());
    for (name, secret) in &secrets {
        for output in &runs {
            assert!(!said(output).contains(secret.as_str()), "{name} was printed");
        }
        nothing_on_disk_holds(&journey, name, secret);
    }
}

/// Name and text of every secret of the run.
fn secrets(journey: &Journey) -> Vec<(String, String)> {
    let private = fs::read_to_string(journey.keys.path("id")).unwrap();
    let mut secrets = vec![
        ("owner token".to_owned(), journey.plane.owner_token()),
        ("sudo password".to_owned(), SUDO_PASSWORD.to_owned()),
        // A line of the key that no other key has.
        ("private key".to_owned(), private.lines().nth(3).unwrap().to_owned()),
    ];
    for path in canary::files(&journey.state()) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let token =
            text.split(['"', '\n', ' ', '=']).find(|word| word.starts_with("glpat-") || word.starts_with("glrt-"));
        if let Some(token) = token {
            secrets.push((path.display().to_string(), token.to_owned()));
        }
    }
    secrets
}

fn nothing_on_disk_holds(journey: &Journey, name: &str, secret: &str) {
    let mut found: BTreeSet<PathBuf> = find_in_tree(journey.home.path(), secret).into_iter().collect();
    // A token that factoryup made and has to keep belongs into one private file of the state folder.
    let own = Path::new(name);
    if found.remove(own) {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(own).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(found.is_empty(), "{name} is in {found:?}");
    assert!(!git_objects(&journey.repo()).contains(secret), "{name} is in the control repo");
    assert!(
        !git_objects(&journey.plane.stand_in.repository("factory/factory").unwrap()).contains(secret),
        "{name} was pushed"
    );
    let on_host = find_in_tree(&journey.host.rootfs(), secret);
    assert!(on_host.is_empty(), "{name} is on the host in {on_host:?}");
    let journal = journey.host.run_inside(&["journalctl", "--no-pager", "-o", "cat"]).unwrap();
    assert!(!String::from_utf8_lossy(&journal.stdout).contains(secret), "{name} is in the host's journal");
    let log = format!("{:?}", journey.plane.log());
    assert!(!log.contains(secret), "{name} is in the request log");
}

#[test]
fn the_canary_would_be_seen() {
    let secret = "canary-of-the-canary-41";
    let watcher = Watcher::start(vec![secret.to_owned()]);
    let in_arguments = Command::new("sh").args(["-c", "sleep 0.2", secret]).status().unwrap();
    let in_environment = Command::new("sleep").arg("0.21").env("CANARY", secret).status().unwrap();
    assert!(in_arguments.success() && in_environment.success());
    let seen = watcher.stop();
    assert!(seen.iter().any(|s| s.contains(secret)) && seen.iter().any(|s| s.contains("0.21")), "{seen:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("deep")).unwrap();
    fs::write(folder.path().join("deep/file"), format!("\0binary {secret}")).unwrap();
    assert_eq!(find_in_tree(folder.path(), secret), [folder.path().join("deep/file")]);
}
