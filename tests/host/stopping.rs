//! Ctrl-C while the host is at work: it stops between two changes, over each way to reach it, and says what goes on.

use crate::command::Owner;
use crate::journey::Journey;
use crate::support::lab;

/// Has apt wait until it is let go.
const SLOW_APT: &str = "echo 'DPkg::Pre-Invoke { \"touch /root/installing; until [ -e /root/go ]; do sleep 0.1; done; rm -f /root/installing\"; };' >/etc/apt/apt.conf.d/99slow";

impl Journey {
    /// Whether a run holds the host.
    fn is_at_work(&self) -> bool {
        self.inside("flock -n /var/lib/factoryup/lock true && echo no || echo yes") == "yes"
    }

    /// The last line of the host's journal.
    fn last_mark(&self) -> String {
        self.inside("tail -n 1 /var/lib/factoryup/journal.jsonl")
    }

    /// All that a run records or leaves behind on the host.
    fn records(&self) -> String {
        self.inside("cat /var/lib/factoryup/journal.jsonl /var/lib/factoryup/receipt.json; ls /run/factoryup-stop.* /var/lib/factoryup/work 2>/dev/null; true")
    }

    fn is_installing(&self) -> bool {
        self.host.rootfs().join("root/installing").exists()
    }

    /// Lets apt go, once the host was told to stop.
    fn go_on_when_told(&self) {
        self.wait_until("ls /run/factoryup-stop.*");
        self.inside("touch /root/go");
    }
}

#[test]
fn the_host_stops_between_two_changes_and_the_next_run_resumes() {
    if !lab::can_host() {
        return;
    }
    // Far enough away that a signal arrives between two logins.
    let mut journey = Journey::on(&lab::image(), Some(std::time::Duration::from_millis(50)));
    // Below sudo, with a password.
    journey.factory.host.login = "admin".into();
    journey.inside(&format!("{SLOW_APT}; apt-get -qq update"));
    let owner = Owner::of(&journey);

    let mut run = owner.apply();
    run.wait_until("installing", |_| journey.is_installing());
    run.signal("INT");
    run.wait_for("stopping after the current change: install ");
    journey.go_on_when_told();
    let (code, said) = run.end();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("press Ctrl-C again to leave it running on ssh://operator@"), "{said}");
    assert!(said.contains("error: interrupted after 2 of ") && said.contains(" changes on ssh://operator@"), "{said}");
    assert!(!journey.is_at_work());
    assert!(journey.last_mark().contains(r#""event":"stopped""#), "{}", journey.last_mark());
    // The change in progress was finished: nothing is half installed, and it is on record.
    assert_eq!(journey.inside("dpkg --audit"), "");
    let records = journey.records();
    assert!(
        records.contains(r#"{"id":"package:base","#) && !records.contains("file:/usr/local/bin/factory"),
        "{records}"
    );
    assert!(owner.journal().lines().last().unwrap().contains(r#""event":"ended""#));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(journey.records(), records, "something happened after the exit");
    assert!(!records.contains("factoryup-stop"), "{records}");

    // The system's client, and another signal; the change that is cut here is the last of its kind.
    owner.use_client();
    journey.inside("rm /root/go; dpkg --purge unzip");
    let mut run = owner.apply();
    run.wait_until("installing", |_| journey.is_installing());
    run.signal("TERM");
    journey.go_on_when_told();
    let (code, said) = run.end();
    assert_eq!(code, 130, "{said}");
    assert!(!journey.is_at_work() && journey.last_mark().contains(r#""event":"stopped""#), "{said}");
    assert_eq!(journey.inside("command -v unzip"), "/usr/bin/unzip");

    // The second Ctrl-C leaves at once, and says what goes on and where to watch it.
    journey.inside("rm /root/go; dpkg --purge unzip");
    let mut run = owner.apply();
    run.wait_until("installing", |_| journey.is_installing());
    run.signal("INT");
    run.wait_for("stopping after the current change: install ");
    run.signal("INT");
    let (code, said) = run.end();
    assert_eq!(code, 130, "{said}");
    assert!(journey.is_at_work(), "{said}");
    assert!(said.contains("is still at: install 1 package for base: unzip; it stops after that"), "{said}");
    let log = said.split("tail -f ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(journey.inside(&format!("cat {log}")).contains("-- \"package:base\""), "{said}");

    // The next run waits for it, and does the rest.
    journey.inside("touch /root/go");
    let (code, said) = owner.apply().end();
    assert_eq!(code, 0, "{said}");
    assert_eq!(journey.inside("grep -c '\"event\":\"stopped\"' /var/lib/factoryup/journal.jsonl"), "3", "{said}");
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));

    the_change_to_sshd_is_confirmed_or_reverts(&journey, &owner);

    // The way back goes the same way.
    let revert = ["revert", "host", "--yes"];
    let mut run = owner.start(&revert);
    run.wait_for("done remove ");
    run.signal("INT");
    let (code, said) = run.end();
    assert_eq!(code, 130, "{said}");
    assert!(
        !journey.is_at_work() && said.contains("changes on ssh://") && said.contains("no change is incomplete"),
        "{said}"
    );
    let (code, said) = owner.start(&revert).end();
    assert_eq!(code, 0, "{said}");
}

/// Within the guard's window, the first Ctrl-C waits for the new login; the second leaves, and the host reverts by itself.
fn the_change_to_sshd_is_confirmed_or_reverts(journey: &Journey, owner: &Owner<'_>) {
    let drift = "echo 'MaxSessions 9' >>/etc/ssh/sshd_config.d/00-factoryup.conf";
    let armed = journey.host.rootfs().join("var/lib/factoryup/guard/armed");
    let config = journey.host.rootfs().join("etc/ssh/sshd_config.d/00-factoryup.conf");
    for twice in [false, true] {
        journey.inside(drift);
        let mut run = owner.apply();
        let in_place = || !std::fs::read_to_string(&config).is_ok_and(|text| text.contains("MaxSessions 9"));
        run.wait_until("armed", |_| armed.exists() && in_place());
        run.signal("INT");
        run.wait_for("stopping after the change to sshd and the firewall");
        if twice {
            run.signal("INT");
        }
        let (code, said) = run.end();
        assert_eq!(code, 130, "{said}");
        assert_eq!(armed.exists(), twice, "{said}");
        let left = journey.inside("grep -c 'MaxSessions 9' /etc/ssh/sshd_config.d/00-factoryup.conf || true");
        assert_eq!(left, "0", "{said}");
        if twice {
            assert!(said.contains("is not confirmed, and reverts by itself within 120 s"), "{said}");
            assert_eq!(journey.inside("systemctl is-active factoryup-revert.timer"), "active");
            // The same as when its time is over.
            journey.inside(
                "systemctl start factoryup-revert.service; while [ ! -e /var/lib/factoryup/guard/reverted ]; do sleep 0.1; done",
            );
            assert_eq!(journey.inside("grep -c 'MaxSessions 9' /etc/ssh/sshd_config.d/00-factoryup.conf"), "1");
        } else {
            assert!(said.contains("interrupted after 1 of 1 changes"), "{said}");
        }
    }
    let (code, said) = owner.apply().end();
    assert_eq!(code, 0, "{said}");
}
