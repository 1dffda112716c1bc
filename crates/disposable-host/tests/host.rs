//! The disposable host is a real one, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use disposable_host::{DisposableHost, Options, sweep};
use support::lab::{self, Keys, stdout};

mod support;

/// All that exists on this machine under a host's id.
fn traces(id: &str) -> Vec<String> {
    let run = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    [
        run("ip", &["netns", "list"]),
        run("ip", &["-brief", "link"]),
        run("nft", &["list", "tables"]),
        fs::read_to_string("/proc/self/mounts").unwrap(),
        run("find", &["/sys/fs/cgroup", "/run/factoryup", "/run/systemd/nspawn", "-name", &format!("*{id}*")]),
        run("ps", &["-eo", "args"]),
    ]
    .iter()
    .flat_map(|text| text.lines())
    .filter(|line| line.contains(id))
    .map(str::to_owned)
    .collect()
}

/// The id that all names of the host contain: its folder's name.
fn id(host: &DisposableHost) -> String {
    let root = host.rootfs();
    root.ancestors().nth(2).unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn it_is_a_fresh_debian_with_systemd_and_sshd() {
    if !lab::can_host() {
        return;
    }
    let keys = Keys::new();
    let host = lab::host(&keys);
    assert_eq!(stdout(&lab::ssh(&host, &keys, "root", "id -un; systemctl is-system-running --wait")), "root\nrunning");
    assert_eq!(stdout(&lab::ssh(&host, &keys, "admin", "id -un")), "admin");
    assert_eq!(stdout(&host.run_inside(&["cat", "/etc/debian_version"]).unwrap()).split('.').next(), Some("12"));

    // sudo asks for the password, and takes it.
    let sudo = lab::ssh(&host, &keys, "admin", "sudo -n true");
    assert!(!sudo.status.success() && String::from_utf8_lossy(&sudo.stderr).contains("password"), "{sudo:?}");
    let sudo = format!("printf '%s\\n' '{}' | sudo -S -p '' id -un", lab::ADMIN_PASSWORD);
    assert_eq!(stdout(&lab::ssh(&host, &keys, "admin", &sudo)), "root");

    // What a factory brings is not there yet; sshd is as providers leave it.
    for absent in ["nft", "python3", "git", "curl", "unattended-upgrade"] {
        assert!(!host.run_inside(&["sh", "-c", &format!("command -v {absent}")]).unwrap().status.success(), "{absent}");
    }
    assert!(stdout(&host.run_inside(&["sshd", "-T"]).unwrap()).contains("passwordauthentication yes"));

    // Its network settings are its own; the kernel's are out of reach.
    let outside = fs::read_to_string("/proc/sys/net/ipv4/conf/all/log_martians").unwrap();
    assert!(host.run_inside(&["sysctl", "-w", "net.ipv4.conf.all.log_martians=1"]).unwrap().status.success());
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/conf/all/log_martians").unwrap(), outside);
    assert!(!host.run_inside(&["sh", "-c", "echo 1 >/proc/sys/kernel/sysrq"]).unwrap().status.success());
    host.stop().unwrap();
}

#[test]
fn packages_can_be_installed_and_the_firewall_is_its_own() {
    if !lab::can_host() {
        return;
    }
    let keys = Keys::new();
    let host = lab::host(&keys);
    let install = "export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -qqy --no-install-recommends nftables";
    assert!(lab::ssh(&host, &keys, "root", install).status.success());
    assert_eq!(
        stdout(&lab::ssh(&host, &keys, "root", "nft list tables; nft add table ip mine; nft list tables")),
        "table ip mine"
    );
    let outside = Command::new("nft").args(["list", "tables"]).output().unwrap();
    assert!(!stdout(&outside).contains("mine"));
}

#[test]
fn hosts_run_side_by_side_and_leave_nothing() {
    if !lab::can_host() {
        return;
    }
    let keys = Keys::new();
    let (one, two) = (lab::host(&keys), lab::host(&keys));
    assert_ne!(one.address(), two.address());
    assert_ne!(one.host_key_fingerprint(), two.host_key_fingerprint());
    assert!(one.host_key_fingerprint().starts_with("SHA256:") && one.host_key_fingerprint().len() == 50);

    // A host lets users in before all of its services are up.
    assert_eq!(stdout(&two.run_inside(&["systemctl", "is-system-running", "--wait"]).unwrap()), "running");
    // What one host does stays in it: files, services, processes.
    assert!(
        one.run_inside(&["sh", "-c", "echo one >/etc/mine; systemctl stop dbus.socket dbus"]).unwrap().status.success()
    );
    assert!(!two.rootfs().join("etc/mine").exists());
    assert_eq!(stdout(&two.run_inside(&["systemctl", "is-active", "dbus"]).unwrap()), "active");
    // Nobody but this machine gets in.
    let reach = format!("timeout 2 bash -c '</dev/tcp/{}/22'", two.address());
    assert!(!one.run_inside(&["sh", "-c", &reach]).unwrap().status.success());

    let ids = [id(&one), id(&two)];
    assert!(ids.iter().all(|id| traces(id).len() > 4));
    one.stop().unwrap();
    assert_eq!(traces(&ids[0]), [""; 0]);
    assert_eq!(stdout(&lab::ssh(&two, &keys, "root", "echo alive")), "alive");
    drop(two);
    assert_eq!(traces(&ids[1]), [""; 0]);
}

#[test]
fn a_delay_is_felt() {
    if !lab::can_host() {
        return;
    }
    let keys = Keys::new();
    let rtt = Duration::from_millis(60);
    let host = DisposableHost::start(&lab::image(), &Options { delay: Some(rtt), ..lab::options(&keys) }).unwrap();
    let begun = Instant::now();
    assert_eq!(stdout(&lab::ssh(&host, &keys, "root", "echo far")), "far");
    // Measured for OpenSSH: about 11 round trips.
    assert!(begun.elapsed() > rtt * 7, "{:?}", begun.elapsed());
    assert_eq!(host.proxy().map(disposable_host::delay_proxy::DelayProxy::connections), Some(1));
}

/// Not a test of its own: what [`a_killed_owner_leaves_nothing`] runs in a process that it can kill.
#[test]
#[ignore = "is run by another test"]
fn owner_that_is_killed() {
    let keys = Keys::new();
    let host = lab::host(&keys);
    println!("\nID {}", id(&host));
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_mins(10));
}

#[test]
fn a_killed_owner_leaves_nothing() {
    if !lab::can_host() {
        return;
    }
    lab::image();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "owner_that_is_killed", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(owner.stdout.take().unwrap()));
    let id = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ID ").map(str::to_owned)).unwrap();
    assert!(traces(&id).len() > 4);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let begun = Instant::now();
    while !traces(&id).is_empty() && begun.elapsed() < Duration::from_mins(2) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(traces(&id), [""; 0]);
}

#[test]
fn sweeping_takes_leftovers_and_spares_the_living() {
    if !lab::can_host() {
        return;
    }
    let keys = Keys::new();
    let host = lab::host(&keys);
    // As if this machine had lost power just after the folder was made, in a slot that nobody holds.
    fs::create_dir("/run/factoryup/hosts/63deadbeef").unwrap();
    sweep().unwrap();
    assert!(!std::path::Path::new("/run/factoryup/hosts/63deadbeef").exists());
    assert_eq!(stdout(&lab::ssh(&host, &keys, "root", "echo alive")), "alive");
}

#[test]
fn the_program_prints_a_login_that_works_and_leaves_nothing() {
    if !lab::can_host() {
        return;
    }
    lab::image();
    let mut program = Command::new(env!("CARGO_BIN_EXE_disposable-host"));
    let mut child = program.args(["--delay", "5"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let login = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("log in:").map(str::to_owned)).unwrap();
    let login = login.trim();
    let id = login.split("/hosts/").nth(1).unwrap().split('/').next().unwrap();
    assert!(traces(id).len() > 4);
    let script = format!("{login} -F none -o BatchMode=yes -o StrictHostKeyChecking=yes id -un");
    assert_eq!(stdout(&Command::new("sh").args(["-c", &script]).output().unwrap()), "root");
    let signaled = Command::new("sh").args(["-c", "kill -INT \"$0\"", &child.id().to_string()]).status().unwrap();
    assert!(signaled.success() && child.wait().unwrap().success());
    assert_eq!(traces(id), [""; 0]);
}
