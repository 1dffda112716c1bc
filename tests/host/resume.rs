//! Runs that are cut, hosts that are busy, names that are taken.

use std::time::Duration;

use factoryup::Kind;
use factoryup::hand_over::{HandOver, Token};
use factoryup::plan::{Action, Outcome, Target};
use factoryup::secret::Secret;

use crate::journey::{Journey, Observer};
use crate::revert::revert;
use crate::support::{lab, wait_until};

#[test]
fn a_lost_connection_does_not_stop_the_host_and_a_killed_run_is_finished() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::on(&lab::image(), Some(Duration::from_millis(1)));
    journey.factory.host.login = "admin".into();
    journey.inside("printf 'admin ALL=NOPASSWD: ALL\\n' >/etc/sudoers.d/admin");
    let at_work = journey.host.rootfs().join("var/lib/factoryup/unfinished");

    // The connection goes while apt is at work, below sudo.
    let error = std::thread::scope(|scope| {
        let (host, at_work) = (&journey.host, &at_work);
        scope.spawn(move || {
            wait_until("the first change", || at_work.exists());
            host.proxy().unwrap().cut();
        });
        journey.run(journey.target()).unwrap_err()
    });
    assert_eq!(error.kind(), Kind::CutShort, "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("again")), "{error:?}");

    // The next run waits until the host has done what it could without us, and does the rest.
    let outcome = journey.run(journey.target());
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert!(journey.watch.said.borrow().iter().any(|said| said.contains("another run is still at work")));
    let left = journey.watch.ids();
    assert_eq!(left, ["sshd:/etc/ssh/sshd_config.d/00-factoryup.conf", "nftables:inet factoryup"]);
    assert!(journey.target().observe(&journey.watch).unwrap().is_empty());

    // A run that is killed between two commands of one change: the file is there, what should follow is not.
    journey.inside("rm /etc/systemd/journald.conf.d/60-factoryup.conf; systemctl mask --runtime --now systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket 2>/dev/null; true");
    let error = journey.run(journey.target()).unwrap_err();
    assert!(error.to_string().contains("masked") && !error.is_partial(), "{error}");
    journey.inside("systemctl unmask --runtime systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket");
    let plan = journey.target().observe(&journey.watch).unwrap();
    assert_eq!(
        plan.changes.iter().map(|c| (c.id.as_str(), c.action)).collect::<Vec<_>>(),
        [("file:/etc/systemd/journald.conf.d/60-factoryup.conf", Action::Run)]
    );
    assert_eq!(journey.provision(), 1);
    assert_eq!(journey.inside("systemctl is-active systemd-journald.service"), "active");
    assert!(!at_work.exists());
}

#[test]
fn names_that_are_taken_are_refused_and_apt_is_waited_for() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    let refused = |journey: &Journey, deed: &str, says: &str, undo: &str| {
        journey.inside(deed);
        let error = journey.run(journey.target()).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.hints().is_empty());
        journey.inside(undo);
    };
    refused(&journey, "useradd --system deploy", "a system account deploy (uid 99", "userdel deploy");
    refused(&journey, "touch /etc/factory", "/etc/factory is there and is not a folder", "rm /etc/factory");
    refused(
        &journey,
        "mkdir -p /etc/profile.d/factoryup.sh",
        "/etc/profile.d/factoryup.sh is there and is a folder",
        "rmdir /etc/profile.d/factoryup.sh",
    );
    refused(
        &journey,
        "cp /etc/os-release /root; printf 'ID=alpine\\nPRETTY_NAME=\"Alpine \\033[31mLinux\"\\n' >/tmp/os; mount --bind /tmp/os /etc/os-release",
        "runs Alpine ?[31mLinux (ID=alpine), which factoryup does not know how to provision",
        "umount /etc/os-release",
    );
    journey.factory.host.operator = "agent".into();
    assert!(journey.run_result().unwrap_err().to_string().contains("is the name of another identity"));
    journey.factory.host.operator = "operator".into();
    assert_eq!(journey.inside("ls /var/lib/factoryup 2>/dev/null || echo untouched"), "untouched");

    // Accounts of people are adopted, with what is in them; somebody else uses apt meanwhile.
    journey.inside("useradd -m -s /bin/sh agent; groupadd docker; usermod -aG docker,sudo agent; echo mine >/home/agent/mine; echo agent:secret | chpasswd");
    journey.inside("apt-get -qq update");
    journey.watch = Observer::yes();
    std::thread::scope(|scope| {
        let host = &journey.host;
        scope.spawn(move || {
            let install = "apt-get -o DPkg::Lock::Timeout=120 -o DPkg::Pre-Invoke::='sleep 8' -qq -y install less";
            lab::stdout(&host.run_inside(&["sh", "-c", install]).unwrap());
        });
        wait_until("apt", || !journey.inside("pgrep -x apt-get || true").is_empty());
        journey.provision();
    });
    assert_eq!(
        journey.inside("id -nG agent; cat /home/agent/mine; getent shadow agent | cut -c 1-7"),
        "agent\nmine\nagent:!"
    );
    assert!(journey.lets_in("operator"));
    what_holds_the_host_can_be_found(&journey);
    the_account_of_a_person_outlives_the_way_back(&journey);
}

/// A run that waited long enough names a command, and that finds the process.
fn what_holds_the_host_can_be_found(journey: &Journey) {
    journey.inside("echo LOCK_WAIT=2 >>/etc/environment; echo 'Defaults env_keep += LOCK_WAIT' >/etc/sudoers.d/wait; rm /etc/profile.d/factoryup.sh");
    let hold = "systemd-run --quiet --collect --unit=hold flock /var/lib/factoryup/lock sleep 300; \
                while flock -n /var/lib/factoryup/lock true; do sleep 0.1; done";
    let error = journey.run_with(journey.target(), hold).unwrap_err();
    assert_eq!(error.kind(), Kind::CutShort, "{error}");
    assert!(error.to_string().contains("another run still holds"), "{error}");
    let hint = error.hints().join("\n");
    let command = hint.split('`').nth(1).unwrap();
    let found = journey.inside(command);
    let held_by = journey.inside("systemctl show --property=MainPID --value hold.service");
    assert!(found.lines().any(|line| line.split_whitespace().any(|word| word == held_by)), "{held_by}: {found}");
    assert!(found.contains("sleep 300"), "{found}");
    journey.inside("systemctl stop hold.service; sed -i /LOCK_WAIT/d /etc/environment; rm /etc/sudoers.d/wait");
    assert_eq!(journey.inside(command), "");
    assert_eq!(journey.provision(), 1);
}

/// What a person's account had before, it has again; what runs as it goes on; and what factoryup gave it is gone.
fn the_account_of_a_person_outlives_the_way_back(journey: &Journey) {
    journey.put_clone();
    crate::support::put_tools(journey.host.rootfs());
    let made = HandOver { agent: Token::Known(Secret::new("glpat-canary")), account: Some(7), ..HandOver::default() };
    let outcome = journey.run(journey.target().with_hand_over(made).unwrap());
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert!(journey.inside("grep -rl glpat-canary /home/agent").ends_with("/gitlab-credential"));
    journey.inside("systemd-run --quiet --collect --uid=agent --unit=theirs sleep 1000");
    let outcome = revert(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    let notes = journey.watch.plans.borrow().last().unwrap().notes.join("\n");
    assert!(notes.contains("the account agent was there before factoryup: it stays"), "{notes}");
    assert!(notes.contains("the agent's token works in GitLab until it ends or is revoked"), "{notes}");
    assert!(!notes.contains("the account deploy"), "{notes}");
    assert_eq!(journey.inside("systemctl is-active theirs.service"), "active");
    let mut groups: Vec<String> = journey.inside("id -nG agent").split(' ').map(str::to_owned).collect();
    groups.sort();
    assert_eq!(groups, ["agent", "docker", "sudo"]);
    // A password that opens it, no day on which it ends, and no services without a login, as before.
    assert_eq!(journey.inside("getent shadow agent | cut -d: -f2 | cut -c 1; getent shadow agent | cut -d: -f8; ls /var/lib/systemd/linger"), "$");
    let left = "grep -rl glpat-canary /home /etc /var/lib /root 2>/dev/null; find /etc/systemd/system/user-*.slice.d /etc/factory /home/agent/.gitconfig /home/agent/.config/factory -type f 2>/dev/null; true";
    assert_eq!(journey.inside(left), "");
    assert_eq!(journey.inside("cat /home/agent/mine"), "mine");
}
