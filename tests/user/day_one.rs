//! Day one with the real binary, from flags to a proved hand-off, on a host that is reached over an account with passworded
//! sudo; the agent's first day there, a renewed token, and the way back; and the canary: every secret of the run is unique, and
//! nothing may hold one but the place where it belongs.

mod ci;
mod counted;
mod moved;
mod online;
mod publish;
mod refused;
mod renewed;
mod traced;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::canary;
use crate::canary::{Watcher, find_in_tree, git_objects};
use crate::gitlab_project;
use crate::plane;
use crate::plane::Plane;
use crate::support;
use crate::support::lab;
use disposable_host::{DisposableHost, ExtraUser, Options};

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
        let admin = ExtraUser { name: "admin".into(), password: SUDO_PASSWORD.into() };
        let options = Options { authorized_key: keys.public("id"), users: vec![admin], delay: None };
        let mut host = DisposableHost::start(&lab::image(), &options).unwrap();
        host.lead_back(plane.stand_in.port()).unwrap();
        let runner = host.rootfs().join("usr/bin/gitlab-runner");
        support::make_program(&runner, include_str!("../../src/rehearsal/gitlab-runner"));
        support::put_tools(host.rootfs());
        Some(Self { keys, host, plane, home: tempfile::tempdir().unwrap() })
    }

    fn repo(&self) -> PathBuf {
        self.home.path().join("my-factory")
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state/factoryup/acme")
    }

    fn trace(&self) -> PathBuf {
        self.home.path().join("trace.jsonl")
    }

    /// Runs factoryup with the secrets in its environment, as CI or a password manager would hand them over.
    fn factoryup(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_factoryup"));
        command
            .arg("--trace")
            .arg(self.trace())
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .env("FACTORYUP_GITLAB_TOKEN", self.plane.owner_token())
            .env("FACTORYUP_SUDO_PASSWORD", SUDO_PASSWORD)
            .env("FACTORYUP_IDENTITY", self.keys.path("id"))
            .stdin(Stdio::null());
        command
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

    /// Runs a command as the agent, whom the operator becomes over SSH.
    fn as_agent(&self, command: &str) -> Output {
        let quoted = command.replace('\'', r"'\''");
        lab::ssh(&self.host, &self.keys, "operator", &format!("sudo -n -H -u agent sh -c '{quoted}'"))
    }

    fn uid(&self, user: &str) -> u32 {
        lab::stdout(&self.host.run_inside(&["id", "-u", user]).unwrap()).parse().unwrap()
    }

    fn in_repo(&self, args: &[&str]) -> Output {
        self.factoryup(&[&["-C", self.repo().to_str().unwrap()], args].concat())
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
    // What comes after the hand-off is in the plan before it, as such.
    let planned = said(&runs[1]);
    let first = "put the agent's GitLab token, which the hand-off makes, into ~agent/.config/factory/gitlab-credential (600 agent)";
    let (before, after) = planned.split_once(first).unwrap_or_else(|| panic!("{planned}"));
    assert!(before.contains("create a token for") && after.contains("one `factoryup apply` does both"), "{planned}");
    assert!(
        after.contains("the trusted runner's token") && after.contains("the untrusted runner's token"),
        "{planned}"
    );
    runs.push(journey.in_repo(&["plan", "host", "--script"]));
    ends_with(&runs[2], 2);
    assert!(said(&runs[2]).contains("# === guard:"), "{}", said(&runs[2]));
    runs.push(journey.in_repo(&["apply", "--yes"]));
    ends_with(&runs[3], 0);
    counted::left_to_the_owner(&runs[3]);
    online::runners_are_started(&journey);
    journey.plane.stand_in.clear_log();
    runs.push(journey.in_repo(&["--json", "apply", "--yes"]));
    ends_with(&runs[4], 0);
    let second = said(&runs[4]);
    assert_eq!(second.matches("already-right").count(), 3, "{second}");
    runs.push(journey.in_repo(&["plan"]));
    ends_with(&runs[5], 0);
    let mut seen = watcher.stop();

    let made = secrets(&journey);
    assert_eq!(
        made.len(),
        12,
        "the run should have made tokens of the agent, its desk, two runners and three jobs, a passphrase and a key"
    );
    let watcher = Watcher::start(made.iter().map(|secret| secret.text.clone()).collect());
    agent_works(&journey);
    renewed::without_the_owner(&journey);

    // The token is renewed, and the host gets the new one; both are told before.
    fs::remove_file(journey.state().join("agent-token")).unwrap();
    runs.push(journey.in_repo(&["plan", "--diff"]));
    ends_with(&runs[6], 2);
    let renewal = said(&runs[6]);
    assert!(
        renewal.contains("replace the agent's GitLab token in ~agent/.config/factory/gitlab-credential by the new one"),
        "{renewal}"
    );
    // What the agent put in the way in its own home keeps the control plane from nothing, and is said at the end.
    let in_the_way = "rm -r ~/.config/factory && chmod 500 ~/.config";
    assert!(journey.as_agent(in_the_way).status.success());
    runs.push(journey.in_repo(&["apply", "--yes"]));
    ends_with(&runs[7], 73);
    let partial = said(&runs[7]);
    // The folder, and the token of the desk, which this machine still has.
    assert!(
        partial.contains("2 changes in the homes of workers could not be made, and all else was; continuing"),
        "{partial}"
    );
    assert!(
        partial.contains("continuing with the next target") && partial.contains("policy checks passed"),
        "{partial}"
    );
    assert!(partial.contains("error: on ssh://") && partial.contains("4 changes in the homes of workers"), "{partial}");
    assert!(journey.as_agent("chmod 700 ~/.config").status.success());
    runs.push(journey.in_repo(&["--json", "apply", "--yes"]));
    ends_with(&runs[8], 0);
    let renewal = said(&runs[8]);
    let host_changes: Vec<_> =
        renewal.lines().filter(|line| line.contains("change-ended") && line.contains("secret:")).collect();
    assert_eq!(host_changes.len(), 2, "{renewal}");
    assert_eq!(
        journey.as_agent("cd ~/work/factory && git fetch && git ls-remote origin | wc -l").status.code(),
        Some(0)
    );
    // One target alone says what it leaves to another.
    fs::remove_file(journey.state().join("agent-token")).unwrap();
    runs.push(journey.in_repo(&["apply", "gitlab", "--yes"]));
    ends_with(&runs[9], 0);
    assert!(said(&runs[9]).contains("copy them: factoryup apply host"), "{}", said(&runs[9]));
    runs.push(journey.in_repo(&["apply", "host", "--yes"]));
    ends_with(&runs[10], 0);
    assert!(said(&runs[10]).contains("replace the agent's GitLab token in"), "{}", said(&runs[10]));
    runs.push(journey.in_repo(&["plan"]));
    ends_with(&runs[11], 0);
    seen.extend(watcher.stop());
    assert!(seen.is_empty(), "a secret was in the arguments or environment of: {seen:?}");

    let renewed = secrets(&journey);
    let old = made.into_iter().filter(|old| renewed.iter().all(|new| new.text != old.text)).map(Secrecy::over);
    let all: Vec<_> = renewed.iter().cloned().chain(old).collect();
    for secret in &all {
        for output in &runs {
            assert!(!said(output).contains(&secret.text), "{} was printed", secret.name);
        }
        only_where_it_belongs(&journey, secret, true);
    }
    moved::another_host_gets_nothing_unasked(&journey);
    way_back(&journey, &renewed);
    traced::holds_no_secret(&journey.trace(), all.iter().map(|secret| (secret.name.as_str(), secret.text.as_str())));
    traced::shows_the_run(&journey.trace(), ".config/factory/gitlab-credential");
}

/// As the agent, over the real sshd, with nothing typed: clone, read, propose; and no more than that.
fn agent_works(journey: &Journey) {
    let work = "set -e; cd ~/work/factory; git config user.email; git switch --quiet -c agent/1-x; \
         echo more >>README.md; git commit --quiet -am 'Say more'; \
         scripts/propose 'Say more' 'In the readme.'; scripts/pipeline status || [ $? -eq 75 ]; \
         scripts/issue list; scripts/issue show 1; scripts/review; git log -1 --format=%ae";
    let output = journey.as_agent(work);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    let printed = String::from_utf8_lossy(&output.stdout);
    let mail = printed.lines().last().unwrap();
    assert!(printed.contains("#1\tFirst day: take a small change") && printed.contains("opened, by owner"), "{text}");
    assert!(
        mail.ends_with("-acme-agent@users.noreply.127.0.0.1") && mail.starts_with(|c: char| c.is_ascii_digit()),
        "{text}"
    );
    let refused = journey.as_agent("cd ~/work/factory && git push origin HEAD:main");
    assert!(!refused.status.success() && said(&refused).contains("protected"), "{}", said(&refused));
    // The credential is for this origin only, and for the agent only.
    let elsewhere = "printf 'protocol=https\nhost=example.org\n\n' | GIT_TERMINAL_PROMPT=0 git credential fill";
    assert!(!journey.as_agent(elsewhere).status.success());
    for path in ["/etc/factory/runner-trusted-token", "/etc/factory/runner-untrusted-token"] {
        assert!(!journey.as_agent(&format!("cat {path}")).status.success(), "{path}");
    }
}

/// `doctor` tells of a token that ends; `revert host` takes all tokens away, and brings the host back.
fn way_back(journey: &Journey, secrets: &[Secrecy]) {
    ends_with(&journey.in_repo(&["doctor"]), 0);
    let memory = journey.state().join("gitlab.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
    json["agent"]["made"] = plane::expires_in(-29).into();
    json["agent"]["ends"] = plane::expires_in(1).into();
    fs::write(&memory, json.to_string()).unwrap();
    let doctor = journey.in_repo(&["doctor"]);
    ends_with(&doctor, 2);
    assert!(said(&doctor).contains("the token of acme-agent expires on"), "{}", said(&doctor));

    let edited = journey.host.rootfs().join("etc/profile.d/factoryup.sh");
    fs::write(&edited, "# mine\n").unwrap();
    ends_with(&journey.in_repo(&["revert", "host"]), 64);
    let plan = journey.in_repo(&["revert", "host", "--dry-run"]);
    ends_with(&plan, 2);
    let text = said(&plan);
    assert!(text.contains("/etc/profile.d/factoryup.sh was edited since, and stays as it is"), "{text}");
    assert!(text.contains("remove the secret in ~agent/.config/factory/gitlab-credential"), "{text}");
    assert!(text.contains("(reverts automatically"), "{text}");
    assert!(!lab::ssh(&journey.host, &journey.keys, "admin", "true").status.success());
    let done = journey.in_repo(&["--json", "revert", "host", "--yes"]);
    ends_with(&done, 0);
    assert!(lab::ssh(&journey.host, &journey.keys, "admin", "true").status.success());
    assert_eq!(fs::read_to_string(&edited).unwrap(), "# mine\n");
    let log = fs::read_to_string(journey.state().join("evidence/log.jsonl")).unwrap();
    assert!(log.contains("urn:factoryup:evidence:revert:v1"), "{log}");
    for secret in secrets {
        only_where_it_belongs(journey, secret, false);
    }
    // The provider's account gets in again, so the operator's goes now.
    ends_with(&journey.in_repo(&["revert", "host", "--yes"]), 0);
    assert!(!lab::ssh(&journey.host, &journey.keys, "operator", "true").status.success());
    ends_with(&journey.in_repo(&["revert", "host", "--dry-run"]), 0);
}

/// A secret of the run.
#[derive(Clone)]
struct Secrecy {
    name: String,
    text: String,
    /// The one file on this machine that may hold it.
    here: Option<PathBuf>,
    /// The files on the host that may hold it, and their owner there.
    on_host: Vec<(&'static str, &'static str)>,
}

impl Secrecy {
    fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into(), here: None, on_host: Vec::new() }
    }

    /// The same once another one has taken its place.
    fn over(self) -> Self {
        Self { here: None, on_host: Vec::new(), name: format!("{}, replaced", self.name), ..self }
    }
}

/// All of them.
fn secrets(journey: &Journey) -> Vec<Secrecy> {
    let private = fs::read_to_string(journey.keys.path("id")).unwrap();
    let mut secrets = vec![
        Secrecy::new("owner token", &journey.plane.owner_token()),
        Secrecy::new("sudo password", SUDO_PASSWORD),
        // A line of the key that no other key has.
        Secrecy::new("private key", private.lines().nth(3).unwrap()),
    ];
    secrets.extend(ci::secrets(journey));
    for path in canary::files(&journey.state()) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let token =
            text.split(['"', '\n', ' ', '=']).find(|word| word.starts_with("glpat-") || word.starts_with("glrt-"));
        let Some(token) = token else { continue };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let on_host = match name.as_str() {
            "agent-token" => vec![("home/agent/.config/factory/gitlab-credential", "agent")],
            "desk-token" => vec![("home/agent/.config/factory/desk-credential", "agent")],
            "runner-trusted-token" => {
                vec![("etc/factory/runner-trusted-token", "root"), ("etc/factory/runner-trusted/config.toml", "root")]
            }
            "runner-untrusted-token" => {
                vec![
                    ("etc/factory/runner-untrusted-token", "root"),
                    ("etc/factory/runner-untrusted/config.toml", "root"),
                ]
            }
            _ => Vec::new(),
        };
        secrets.push(Secrecy { here: Some(path), on_host, ..Secrecy::new(&name, token) });
    }
    secrets
}

fn only_where_it_belongs(journey: &Journey, secret: &Secrecy, on_host: bool) {
    let Secrecy { name, text, .. } = secret;
    // The untrusted runner reads its configuration by its group.
    let private = |path: &Path| [0o600, 0o640].contains(&(fs::metadata(path).unwrap().permissions().mode() & 0o777));
    let mut found: BTreeSet<PathBuf> = find_in_tree(journey.home.path(), text).into_iter().collect();
    // A token that factoryup made and has to keep belongs into one private file of the state folder.
    if let Some(own) = &secret.here {
        assert!(found.remove(own) && private(own), "{name}");
    }
    assert!(found.is_empty(), "{name} is in {found:?}");
    assert!(!git_objects(&journey.repo()).contains(text), "{name} is in the control repo");
    assert!(
        !git_objects(&journey.plane.stand_in.repository("factory/factory").unwrap()).contains(text),
        "{name} was pushed"
    );
    let mut found: BTreeSet<PathBuf> = find_in_tree(&journey.host.rootfs(), text).into_iter().collect();
    // And into private files of whoever uses it on the host.
    for (path, owner) in secret.on_host.iter().filter(|_| on_host) {
        let path = journey.host.rootfs().join(path);
        let uid = if *owner == "root" { 0 } else { journey.uid(owner) };
        assert!(found.remove(&path) && private(&path), "{name}");
        assert_eq!(fs::metadata(&path).unwrap().uid(), uid, "{name}");
    }
    assert!(found.is_empty(), "{name} is on the host in {found:?}");
    let journal = journey.host.run_inside(&["journalctl", "--no-pager", "-o", "cat"]).unwrap();
    assert!(!String::from_utf8_lossy(&journal.stdout).contains(text), "{name} is in the host's journal");
    let log = format!("{:?}", journey.plane.log());
    assert!(!log.contains(text), "{name} is in the request log");
}
