//! Other systems than Debian 12, and everything that a factory can have on one.

use factoryup::Kind;
use factoryup::factory::{HostKind, RunnerKind};
use factoryup::host::{Drill, HostTarget};
use factoryup::plan::Outcome;
use factoryup::rehearsal::host::{Image, Recipe};

use crate::journey::{Journey, Observer};
use crate::support::lab;

#[test]
fn debian_13_with_containers() {
    if !lab::can_host() {
        return;
    }
    let recipe = Recipe { suite: "trixie".into(), ..Recipe::default() };
    let image = Image::ensure(&recipe, &mut |line| eprintln!("{line}")).unwrap();
    let mut journey = Journey::on(&image, None);
    journey.factory.runner.kind = RunnerKind::Podman;
    journey.provision();
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
    // Post-quantum key exchange comes first, and what older clients know stays.
    let effective = journey.inside("sshd -T | grep ^kexalgorithms");
    assert!(effective.starts_with("kexalgorithms mlkem768x25519-sha256,") && effective.contains(",curve25519-sha256,"));
    assert_eq!(journey.inside("grep -c ^runner: /etc/subuid /etc/subgid"), "/etc/subuid:1\n/etc/subgid:1");
    // Rootless containers get the numbers that the user was given. The lab's disk needs a storage driver of its own.
    let podman = "podman --storage-driver=vfs unshare cat /proc/self/uid_map | tail -n 1 | tr -s \" \"";
    let map = journey.inside(&format!("su - runner -c 'XDG_RUNTIME_DIR=/run/user/$(id -u) {podman}' 2>&1"));
    assert!(map.ends_with(" 65536"), "{map}");
}

#[test]
fn this_very_machine_wants_somebody_to_confirm() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.factory.host.kind = HostKind::Local;
    let target = |journey: &Journey| HostTarget::new(&journey.factory, journey.here(), None).unwrap();

    let error = journey.run(target(&journey)).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.hints()[0].contains("terminal"), "{error:?}");
    assert_eq!(journey.inside("ls /var/lib/factoryup 2>/dev/null || echo untouched"), "untouched");

    journey.watch = Observer { interactive: true, ..Observer::default() };
    journey.watch.answers.borrow_mut().push_back(false);
    let outcome = journey.run(target(&journey));
    assert_eq!(outcome.as_ref().unwrap_err().kind(), Kind::Reverted, "{}", journey.explain(&outcome));
    assert!(journey.lets_in("root"));
    assert!(journey.watch.said.borrow().iter().any(|said| said.contains("Open a second terminal")));

    journey.watch.answers.borrow_mut().push_back(true);
    let outcome = journey.run(target(&journey));
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 2, .. })), "{}", journey.explain(&outcome));
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
}

#[test]
fn a_socket_that_starts_sshd_is_hardened_and_taken_back_all_the_same() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.inside("systemctl disable --now ssh.service && systemctl enable --now ssh.socket");
    // sshd tells its settings only where it finds this folder, which lasts as long as the service.
    let settings = || {
        let told = journey.inside("mkdir -p /run/sshd; sshd -T");
        assert!(told.contains("permitrootlogin"), "{told}");
        told
    };
    let before = settings();
    let drill = Drill { sshd: true, firewall: false };
    let outcome = journey.run(journey.target().with_drill(drill, 30));
    assert_eq!(outcome.as_ref().unwrap_err().kind(), Kind::Reverted, "{}", journey.explain(&outcome));
    assert_eq!(settings(), before);
    assert!(journey.lets_in("root"));
    journey.provision();
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
    assert_eq!(
        journey.inside("systemctl is-active ssh.socket; systemctl is-enabled ssh.service || true"),
        "active\ndisabled"
    );
    // sshd, started anew by the next login, still follows.
    journey.inside("systemctl stop ssh.service");
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
}
