//! Other systems than Debian 12, and everything that a factory can have on one.

use disposable_host::{Image, Recipe};
use factoryup::Kind;
use factoryup::factory::{HostKind, RunnerKind};
use factoryup::host::{Drill, HostTarget};
use factoryup::plan::Outcome;
use factoryup::templating::render::render;

use crate::journey::{Journey, Observer};
use crate::support::{self, lab};

#[test]
fn debian_13_with_containers() {
    if !lab::can_host() || !support::available(&["ssh-audit"]) {
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
    untrusted_jobs_run_in_containers(&journey);
    // An auditor objects to what older clients know, and to nothing else. Last, since sshd lets nobody in for a while who looks so closely.
    let old = "Key exchanges: mlkem768x25519-sha256 sntrup761x25519-sha512 sntrup761x25519-sha512@openssh.com curve25519-sha256 \
               curve25519-sha256@libssh.org ext-info-s kex-strict-s-v00@openssh.com";
    assert_eq!(crate::audit::faults(&journey, "Hardened Debian 13 (version 1)"), [old]);
}

/// As the runbooks have it, with the real Podman; GitLab's own program cannot be had here, so one stands in its place that accepts one
/// token.
fn untrusted_jobs_run_in_containers(journey: &Journey) {
    let tree = render(&journey.factory).unwrap();
    let command = |runbook: &str, begins: &str| {
        let paths = [format!("docs/runbooks/{runbook}.md"), format!("docs/procedures/{runbook}.md")];
        let file = tree.files.iter().find(|file| paths.contains(&file.path)).unwrap();
        let text = String::from_utf8_lossy(&file.bytes).into_owned();
        let found = text.split(['`', '\n']).map(str::trim).find(|words| words.starts_with(begins));
        found.unwrap_or_else(|| panic!("{runbook} has no {begins}")).to_owned()
    };
    let operator = |commands: &str| lab::stdout(&lab::ssh(&journey.host, &journey.keys, "operator", commands));
    journey.inside(
        "cat >/usr/bin/gitlab-runner <<'END'\n#!/bin/sh\nset -eu\ncase $1 in\n\
         verify) [ ! -e /tmp/gitlab-is-away ] || { echo 'ERROR: Verifying runner... client error'; exit 0; }\n\
         if grep -q 'token = \"glrt-the-right-one\"' \"$3\"; then echo 'Verifying runner... is valid'; \
         else echo 'ERROR: Verifying runner... is removed'; exit 1; fi ;;\n\
         run) [ \"$4 $5\" = '--working-directory /home/runner' ] && exec sleep 100000 ;;\nesac\nEND\n\
         chmod 755 /usr/bin/gitlab-runner\n\
         (umask 077; echo glrt-the-right-one >/etc/factory/runner-untrusted-token)\n\
         install -d -o runner -g runner /home/runner/.config /home/runner/.config/containers\n\
         printf '[storage]\\ndriver = \"vfs\"\\n' >/home/runner/.config/containers/storage.conf",
    );
    let said = operator(&command("runner-down", "sudo factory-runner start untrusted http"));
    assert!(said.contains("factory-runner-untrusted.service runs"), "{said}");
    assert_eq!(journey.inside("systemctl show --property User --value factory-runner-untrusted"), "runner");
    // Its jobs' containers come from this socket, which is the user's own.
    let ping = "socket=$(sed -n 's|.*host = \"unix://\\(.*\\)\"|\\1|p' /etc/factory/runner-untrusted/config.toml)\n\
                exec runuser -u runner -- curl -sS --max-time 120 --unix-socket \"$socket\" http://podman/_ping";
    assert_eq!(journey.inside(ping), "OK");
    let token =
        journey.inside("runuser -u agent -- cat /etc/factory/runner-untrusted/config.toml 2>&1 || echo refused");
    assert!(token.ends_with("refused"), "{token}");

    // An application's beside it, with a token that was typed.
    let of_shop = |text: String| text.replace("KIND", "untrusted").replace("NAME", "shop");
    let token = of_shop(command("start-runners", "sudo factory-runner token KIND NAME"));
    operator(&format!("echo glrt-the-right-one | {token}"));
    let start = of_shop(command("start-runners", "sudo factory-runner start KIND NAME"));
    assert!(operator(&start).contains("factory-runner-untrusted-shop.service runs"));
    assert_eq!(operator("sudo factory-runner status").matches("token accepted").count(), 2);
    journey.inside("touch /tmp/gitlab-is-away");
    assert_eq!(operator("sudo factory-runner status").matches("token unknown: GitLab not reached").count(), 2);
    journey.inside("rm /tmp/gitlab-is-away");
    let freed = operator(&command("disk-full", "sudo -iu runner podman system prune"));
    assert!(freed.contains("Total reclaimed space"), "{freed}");
    for runbook in ["start-runners", "decommission"] {
        operator(&command(runbook, "sudo factory-runner stop untrusted"));
        assert_eq!(journey.inside("systemctl is-active factory-runner-untrusted || true"), "inactive");
    }
    assert_eq!(operator("sudo factory-runner status").matches("token accepted").count(), 1);
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
