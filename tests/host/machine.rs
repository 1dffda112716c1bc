//! The machine itself: what it is called, what time it is there, and what it shows on its console.

use factoryup::plan::{Outcome, Target};

use crate::journey::Journey;
use crate::support::lab;

/// All that a name consists of, and whether sudo can resolve it.
fn names(journey: &Journey) -> String {
    journey.inside(
        "hostname; cat /etc/hostname; stat -c '%a %U:%G' /etc/hostname /etc/hosts; sed '$a\\' /etc/hosts; getent ahosts \"$(hostname)\" | wc -l; \
         sudo -u admin sudo -n true 2>&1 | grep -v 'password is required' || true",
    )
}

#[test]
fn a_host_gets_its_name_and_time_zone_and_loses_them_again() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.factory.host.hostname = "forge".into();
    journey.factory.host.timezone = "Europe/Vienna".into();
    journey.factory.host.audit = true;
    // As cloud images have it. The last line of a file that a person wrote may not end.
    journey.inside("mkdir -p /etc/cloud/cloud.cfg.d; printf '10.0.0.9 store' >>/etc/hosts; chmod 640 /etc/hosts");
    let clock = "readlink /etc/localtime; cat /etc/timezone; TZ= date +%Z";
    let (before, clock_before) = (names(&journey), journey.inside(clock));
    journey.provision();
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    let now = names(&journey);
    assert!(now.starts_with("forge\nforge\n644 root:root\n640 root:root\n"), "{now}");
    assert!(now.contains("\n10.0.0.9 store\n127.0.1.1\tforge # factoryup\n"), "{now}");
    for line in before.lines().skip(4) {
        assert!(now.contains(line), "{line} is missing in {now}");
    }
    // The first name is the whole name, and a new login sees it.
    assert_eq!(journey.inside("hostname -f; date +%Z | tr -d T | tr S E"), "forge\nCE");
    let said = lab::stdout(&lab::ssh(&journey.host, &journey.keys, "operator", "sudo -n uname -n 2>&1"));
    assert_eq!(said, "forge");
    assert!(journey.read("/etc/cloud/cloud.cfg.d/zz-factoryup.cfg").contains("preserve_hostname: true"));
    assert!(journey.read("/etc/issue").contains("authorized users only"));
    assert_eq!(journey.inside("su - agent -c 'locale charmap'"), "UTF-8");
    assert_eq!(journey.inside("systemctl is-active logrotate.timer"), "active");
    // What only the kernel's own machine can have is named, and neither tried nor prepared.
    let notes = journey.watch.plans.borrow().last().unwrap().notes.join("\n");
    assert!(notes.contains("no audit rules added: in a container (systemd-nspawn)"), "{notes}");
    assert_eq!(journey.inside("ls -d /etc/audit /var/lib/factoryup/swap* 2>/dev/null || true"), "");
    // The library that keeps limits reads the file: no login can dump core, even one that asks for it.
    assert_eq!(
        journey.inside("su - operator -c 'ulimit -c; ulimit -c unlimited 2>/dev/null || echo refused'"),
        "0\nrefused"
    );

    // Somebody renames it, and takes the line away.
    journey.inside("hostname other; sed -i '/# factoryup$/d' /etc/hosts");
    let plan = journey.target().observe(&journey.watch).unwrap();
    assert_eq!(plan.changes.iter().map(|c| c.summary.as_str()).collect::<Vec<_>>(), ["rename the host to forge"]);
    let diff = plan.changes[0].diff.clone().unwrap();
    assert_eq!(diff.before.unwrap(), "in force: other\n/etc/hostname: forge\n/etc/hosts: unknown\n");
    assert_eq!(journey.provision(), 1);
    assert_eq!(names(&journey), now);

    // Another answer leaves one line, and none where the owner has one.
    journey.factory.host.hostname = "anvil".into();
    assert_eq!(journey.provision(), 1);
    assert_eq!(names(&journey), now.replace("forge", "anvil"));
    journey.inside("sed -i 's/store/store anvil/' /etc/hosts; hostname other");
    assert_eq!(journey.provision(), 1);
    assert_eq!(journey.inside("grep -c anvil /etc/hosts"), "1");

    // Without the answers, the host has its own name and time zone back.
    journey.inside("sed -i 's/store anvil/store/' /etc/hosts");
    journey.factory.host.hostname = String::new();
    journey.factory.host.timezone = String::new();
    journey.provision();
    assert_eq!(names(&journey), before);
    assert_eq!(journey.inside(clock), clock_before);
    assert_eq!(journey.inside("ls -A /etc/cloud/cloud.cfg.d"), "");
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
}
