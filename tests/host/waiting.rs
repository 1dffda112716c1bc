//! What the host waits for is said, has a limit, and never runs while a revert is armed; and why apt failed is said once.

use std::time::{Duration, Instant};

use factoryup::Kind;
use factoryup::plan::Outcome;

use crate::command::Owner;
use crate::journey::Journey;
use crate::support::lab;

/// A cloud-init that takes SECONDS, and without end while a revert is armed.
const CLOUD_INIT: &str = r#"printf '#!/bin/sh\n[ "$1" = status ] && { if [ -e /var/lib/factoryup/guard/armed ]; then sleep 700; else sleep SECONDS; fi; }\n' >/usr/bin/cloud-init; chmod 755 /usr/bin/cloud-init"#;

#[test]
fn cloud_init_is_waited_for_once_and_never_while_a_revert_is_armed() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.inside(&CLOUD_INIT.replace("SECONDS", "10"));
    let since = Instant::now();
    let outcome = journey.run(journey.target());
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert!(since.elapsed() < Duration::from_mins(10), "{:?}", since.elapsed());
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
    let said = journey.watch.said.take();
    let waits = said.iter().filter(|said| said.contains("cloud-init is still at work")).count();
    assert_eq!(waits, 1, "{said:?}");

    // One that does not end: a run that is interrupted meanwhile has changed nothing, and without that it goes on.
    journey.inside(&CLOUD_INIT.replace("SECONDS", "600"));
    journey.inside("rm /etc/profile.d/factoryup.sh");
    let owner = Owner::of(&journey);
    let mut run = owner.apply();
    run.wait_for("cloud-init is still at work on the host; waiting up to 600 s");
    run.signal("INT");
    let (code, said) = run.end();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("stopping before the next change") && said.contains("after 0 of 1"), "{said}");
    assert_eq!(journey.inside("pgrep -f '[c]loud-init status' || ls /etc/profile.d"), "");
    journey.inside(
        "echo CLOUD_INIT_WAIT=2 >>/etc/environment; echo 'Defaults env_keep += CLOUD_INIT_WAIT' >/etc/sudoers.d/wait",
    );
    assert_eq!(journey.provision(), 1);
    let said = journey.watch.said.take();
    assert!(said.iter().any(|said| said.contains("did not end within 2 s; going on")), "{said:?}");
}

#[test]
fn a_held_lock_is_named_and_a_name_that_does_not_resolve_too() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    let hold = "systemd-run --quiet --collect --unit=hold python3 -c \"import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); open('/run/held', 'w'); time.sleep(300)\"; \
                while [ ! -e /run/held ]; do sleep 0.1; done; systemctl show --property=MainPID --value hold.service";
    let remove = "dpkg --purge unzip tmux >/dev/null 2>&1";

    // It is waited for, by name, and the run goes on as soon as it ends.
    journey.inside(remove);
    let pid = journey.inside(hold);
    let owner = Owner::of(&journey);
    let waiting = format!("for process {pid} (/usr/bin/python3 -c import fcntl");
    let mut run = owner.start(&["--json", "apply", "host", "--yes"]);
    run.wait_for(&waiting);
    // Of 300 s, what was not yet over when it said so.
    let up_to = run.said().split("waiting up to ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    assert!(up_to.is_some_and(|seconds: u32| (200..=300).contains(&seconds)), "{}", run.said());
    journey.inside("systemctl stop hold.service; rm /run/held");
    let (code, said) = run.end();
    assert_eq!(code, 0, "{said}");
    let events: Vec<serde_json::Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let progress = |text: &str, done| {
        events
            .iter()
            .any(|e| e["event"] == "change-progress" && e["text"] == text && e["done"] == done && e["total"] == 2)
    };
    for verb in ["unpacking", "setting up"] {
        let each = ["unzip", "tmux"].map(|name| (1..=2).any(|done| progress(&format!("{verb} {name}"), done)));
        assert_eq!(each, [true, true], "{said}");
    }
    assert!(events.iter().any(|e| e["event"] == "busy" && e["text"].as_str().unwrap().contains(&waiting)), "{said}");

    // A run that is interrupted while it waits has installed nothing.
    journey.inside(remove);
    let pid = journey.inside(hold);
    let mut run = owner.apply();
    run.wait_for(&format!("for process {pid} ("));
    run.signal("INT");
    let (code, said) = run.end();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("after 0 of 1"), "{said}");
    assert_eq!(journey.inside("command -v unzip || true"), "");

    // The wait has a limit, and then the holder is named in the error, once.
    journey.inside("echo LOCK_WAIT=2 >>/etc/environment; echo 'Defaults env_keep += LOCK_WAIT' >/etc/sudoers.d/wait");
    let (code, said) = owner.apply().end();
    assert_eq!(code, i32::from(Kind::CannotWrite.exit_code()), "{said}");
    assert_eq!(said.matches("still has the lock /var/lib/dpkg/lock-frontend").count(), 1, "{said}");
    assert!(said.contains(&format!("process {pid} (")) && said.contains(&format!("ps -fp {pid}")), "{said}");
    journey.inside("systemctl stop hold.service; rm /run/held");

    // No DNS: with and without the lists of packages.
    journey.inside("echo nameserver 127.0.0.9 >/etc/resolv.conf; rm -f /etc/apt/apt.conf.d/01proxy; apt-get clean; sed -i 's,//[^/]*/,//mirror.example/,' /etc/apt/sources.list");
    for lists in ["true", "rm -rf /var/lib/apt/lists"] {
        journey.inside(lists);
        let (code, said) = owner.apply().end();
        assert_eq!(code, i32::from(Kind::CannotWrite.exit_code()), "{said}");
        assert_eq!(said.matches("the host cannot resolve mirror.example").count(), 1, "{said}");
        assert!(!said.contains("Failed to fetch") && said.contains("getent hosts mirror.example"), "{said}");
    }
}
