//! An `apply host` that finds nothing to do, against the least that a look at a host costs: `ssh host true`.
//!
//! Both log in as the operator with the same key, through the same proxy, which lengthens the way by a round-trip time, and both
//! check the host's key. The host is a disposable one that the program itself has provisioned.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use disposable_host::delay_proxy::{self, DelayProxy};
use disposable_host::{DisposableHost, Options};
use tempfile::TempDir;

use crate::measure::{Times, in_turn, ratio, run, show, target};
use crate::program;
use crate::support::lab::{self, Keys};

const TURNS: usize = 9;
/// How many times as long as `ssh host true` it may take.
const LIMIT: f64 = 1.3;
const FAR: Duration = Duration::from_millis(100);

/// Measures at no distance and at a far one. Says so, and fails, when no host can be had.
pub fn measure() -> bool {
    println!();
    if !lab::can_host() {
        return target("apply host within 1.3 times ssh host true: no host to measure on", false);
    }
    let site = Site::provisioned();
    let (near, near_ssh) = site.measure(Duration::ZERO);
    let (far, far_ssh) = site.measure(FAR);
    let round_trips =
        |far: &Times, near: &Times| (far.median().as_secs_f64() - near.median().as_secs_f64()) / FAR.as_secs_f64();
    println!(
        "round trips, from the difference: apply host {:.1}, ssh host true {:.1}",
        round_trips(&far, &near),
        round_trips(&far_ssh, &near_ssh)
    );
    let mut met = true;
    for (ours, ssh, rtt) in [(near, near_ssh, Duration::ZERO), (far, far_ssh, FAR)] {
        let what = format!("apply host within {LIMIT} times ssh host true at {} ms", rtt.as_millis());
        met &= target(&what, ratio(&ours, &ssh) <= LIMIT);
    }
    met
}

/// A provisioned host and the factory that it belongs to.
struct Site {
    home: TempDir,
    keys: Keys,
    host: DisposableHost,
}

impl Site {
    fn provisioned() -> Self {
        let keys = Keys::new();
        let options = Options { authorized_key: keys.public("id"), ..Options::default() };
        let host = DisposableHost::start(&lab::image(), &options).unwrap();
        let site = Self { home: tempfile::tempdir().unwrap(), keys, host };
        println!("provisioning a disposable host …");
        run(&mut site.init());
        run(&mut site.apply());
        site
    }

    fn repo(&self) -> PathBuf {
        self.home.path().join("factory")
    }

    /// factoryup in a home of its own, with no ssh configuration and no agent.
    fn factoryup(&self) -> Command {
        let mut command = Command::new(program());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("FACTORYUP_IDENTITY", self.keys.path("id"))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn init(&self) -> Command {
        let mut command = self.factoryup();
        command.arg("init").arg(self.repo()).args(["--yes", "--defaults"]);
        command.args(["--name", "speed", "--owner-name", "Ada Lovelace", "--owner-email", "ada@example.org"]);
        command.args(["--host-address", &self.host.address().to_string(), "--host-login", "root"]);
        command.args(["--host-key", self.host.host_key_fingerprint(), "--gitlab-group", "speed"]);
        command.arg("--authorized-key").arg(self.keys.path("id.pub"));
        command
    }

    fn apply(&self) -> Command {
        let mut command = self.factoryup();
        command.arg("-C").arg(self.repo()).args(["apply", "host", "--yes"]);
        command
    }

    /// The system's client, as plain as it gets: no configuration, no shared connection, one key, one known host.
    fn ssh(&self, proxy: &DelayProxy) -> Command {
        let known = self.keys.path("known_hosts");
        let address = proxy.address();
        let key = self.host.host_key();
        fs::write(&known, format!("[{}]:{} {key}\n", address.ip(), address.port())).unwrap();
        let mut command = Command::new("ssh");
        command.args(["-F", "none", "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "BatchMode=yes"]);
        command.args(["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
        command.arg("-i").arg(self.keys.path("id"));
        command.args(["-p", &address.port().to_string(), &format!("operator@{}", address.ip()), "true"]);
        command.env_remove("SSH_AUTH_SOCK").stderr(Stdio::null());
        command
    }

    fn measure(&self, rtt: Duration) -> (Times, Times) {
        let proxy = delay_proxy::start(self.host.direct(), rtt).unwrap();
        let file = self.repo().join("factory.toml");
        point(&file, &proxy);
        // The same host at another address is asked about, and nobody is here to say yes.
        let known_by = self.home.path().join(".local/state/factoryup/speed/factory.json");
        fs::remove_file(&known_by).unwrap();
        let output = self.apply().arg("--json").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("already-right"), "not a no-op: {output:?}");

        let before = proxy.connections();
        let (ours, ssh) = in_turn(TURNS, || run(&mut self.apply()), || run(&mut self.ssh(&proxy)));
        let connections = usize::try_from(proxy.connections() - before).unwrap();
        assert_eq!(connections, 2 * (TURNS + 1), "one connection each");
        let distance = format!("at {} ms", rtt.as_millis());
        show(&format!("apply host, nothing to do, {distance}"), &ours, &format!("ssh host true, {distance}"), &ssh);
        (ours, ssh)
    }
}

/// Has the factory reach its host through the proxy.
fn point(file: &Path, proxy: &DelayProxy) {
    let text = fs::read_to_string(file).unwrap();
    let mut document: toml_edit::DocumentMut = text.parse().unwrap();
    document["host"]["address"] = toml_edit::value(proxy.address().ip().to_string());
    document["host"]["port"] = toml_edit::value(i64::from(proxy.address().port()));
    fs::write(file, document.to_string()).unwrap();
}
