//! A provisioned host becomes what it was.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use factoryup::Kind;
use factoryup::host::{Reach, RevertTarget};
use factoryup::plan::{Options, Outcome, StateDir, converge};
use factoryup::transport::Who;

use crate::journey::{Journey, Observer};
use crate::support::{PATIENCE, lab};

pub fn revert(journey: &Journey) -> factoryup::Result<Outcome> {
    run(journey, RevertTarget::new(&journey.factory, journey.reach(), None).unwrap())
}

fn run(journey: &Journey, mut target: RevertTarget<'_>) -> factoryup::Result<Outcome> {
    let state = StateDir::at(journey.state.path()).unwrap();
    converge(&mut target, &journey.watch, &state, Options { yes: true, ..Options::default() })
}

fn until_busy(journey: &Journey) {
    let since = Instant::now();
    while journey.inside("flock -n -s /var/lib/factoryup/lock true && echo free || true") == "free" {
        assert!(since.elapsed() < PATIENCE, "the lock was never taken");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_provisioned_host_is_brought_back() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.factory.host.backup_to = "/mnt/backup".into();
    journey.factory.secrets.owner_recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".into();
    // Packages stay when all is undone, so they do not count.
    journey.inside("apt-get -qq update; apt-get -qq -y install --no-install-recommends age bubblewrap caddy curl dbus-user-session git jq logrotate nftables shellcheck tmux unattended-upgrades unzip yamllint 2>&1");
    // Somebody has been here before.
    journey
        .inside("mkdir -p /etc/systemd/journald.conf.d; echo '# mine' >/etc/systemd/journald.conf.d/60-factoryup.conf");
    journey.inside("groupadd docker; useradd -m -G docker -s /bin/sh deploy; echo deploy:secret | chpasswd; chmod 751 /home/deploy");
    journey.inside("systemctl disable --now apt-daily-upgrade.timer");
    // Passwords are only locked, so their hashes come back; numbers of new subordinate ids are not in these files.
    let look = "find /etc -type l -printf '%p %l\n' | sort; find /etc -type f ! -name '*-' ! -name 'subuid*' ! -name 'subgid*' ! -name '.pwd.lock' ! -name '.updated' -exec sha256sum {} + | sort; \
                getent passwd; getent shadow | cut -d: -f1,2,4-; getent group | sort; sshd -T; nft list ruleset; \
                ls /var/lib/systemd/linger; stat -c '%a %U' /home/deploy; systemctl is-active apt-daily-upgrade.timer; true";
    let before = journey.inside(look);

    journey.watch = Observer::yes();
    journey.provision();
    assert!(!journey.lets_in("root") && journey.lets_in("operator"));

    // A receipt that a newer factoryup has written to is refused, and nothing is undone.
    let receipt = "/var/lib/factoryup/receipt.json";
    let entry = r#",{"id":"quota:agent","action":"create","at":"2027-01-01T00:00:00Z","undo":{"how":"remove"}}"#;
    journey.inside(&format!("cp {receipt} /root/; sed -i '2a {entry}' {receipt}"));
    let state = "ls -l --time-style=full-iso /var/lib/factoryup; getent shadow agent; nft -s -t list ruleset; sshd -T";
    let provisioned = journey.inside(state);
    let error = revert(&journey).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("a newer factoryup: it names the kind `quota`"), "{error}");
    assert_eq!(journey.inside(state), provisioned);
    journey.inside(&format!("mv /root/receipt.json {receipt}"));

    // Killed before the new login that would make it stay: the host takes it back.
    let Reach::Remote(dial) = journey.reach() else { unreachable!() };
    let logins = AtomicUsize::new(0);
    let reach = Reach::Remote(Box::new(move |who: &Who<'_>| {
        if logins.fetch_add(1, Ordering::Relaxed) > 0 {
            resume_unwind(Box::new("killed"));
        }
        dial(who)
    }));
    let killed = RevertTarget::new(&journey.factory, reach, None).unwrap().with_revert_after(45);
    assert!(catch_unwind(AssertUnwindSafe(|| run(&journey, killed))).is_err(), "the run should have been killed");
    assert_eq!(journey.inside("ls /var/lib/factoryup/guard/armed"), "/var/lib/factoryup/guard/armed");
    assert!(journey.lets_in("root"), "what was before is in place, until the timer fires");
    let since = Instant::now();
    while journey.lets_in("root") {
        assert!(since.elapsed() < PATIENCE, "the timer never fired");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(journey.lets_in("operator"));

    // Another run still works: what it makes is waited for, not overlooked.
    journey.inside("systemd-run --quiet --collect --unit=busy flock /var/lib/factoryup/lock sleep 20");
    until_busy(&journey);

    // As the operator, since nobody else gets in: everything but the operator's own account.
    let outcome = revert(&journey);
    assert!(journey.watch.said.borrow().iter().any(|said| said.contains("another run is still at work")));
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert!(journey.lets_in("root") && journey.lets_in("operator") && journey.lets_in("admin"));
    let notes = journey.watch.plans.borrow().last().unwrap().notes.join("\n");
    assert!(notes.contains("the account operator stays, since this runs as it"), "{notes}");
    // As root now: that too.
    let outcome = revert(&journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert!(!journey.lets_in("operator"));

    let after = journey.inside(look);
    let changed: Vec<_> = before.lines().filter(|line| !after.contains(line)).collect();
    let added: Vec<_> = after.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!((changed, added), (vec![], vec![]));
    assert_eq!(revert(&journey).unwrap(), Outcome::AlreadyRight { proofs: 0 });

    // And forth again; this time what was there before would let nobody in, so the way back is taken back.
    journey.inside("echo 'AllowUsers nobody' >/etc/ssh/sshd_config.d/00-factoryup.conf");
    journey.watch = Observer::yes();
    journey.provision();
    assert!(!journey.lets_in("root") && journey.lets_in("operator"));
    let firewall = journey.inside("nft list table inet factoryup");
    let error = revert(&journey).unwrap_err();
    assert_eq!(error.kind(), Kind::Reverted, "{error}");
    assert!(error.to_string().contains("nobody could log in under them"), "{error}");
    assert!(!journey.lets_in("root") && journey.lets_in("operator"));
    assert_eq!(journey.inside("nft list table inet factoryup").lines().count(), firewall.lines().count());
    // The workers were taken out of action before anything else; the next run has them at work again.
    let outcome = journey.run(journey.target());
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    let ids = journey.watch.ids();
    assert!(["user:agent", "directory:~agent/work"].iter().all(|id| ids.iter().any(|one| one == id)), "{ids:?}");
    assert_eq!(journey.inside("getent shadow agent | cut -d: -f8; ls /var/lib/systemd/linger"), "\nagent\ndeploy");
}
