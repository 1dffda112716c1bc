//! What a host is like after `revert host`: as it was before, except for what the revert names.

use std::collections::BTreeSet;

use factoryup::plan::Outcome;

use crate::journey::{Journey, Observer};
use crate::revert::revert;
use crate::support::lab;

/// The packages of the profile, which stay and bring files of their own.
const PACKAGES: &str = "bubblewrap caddy curl dbus-user-session git jq logrotate nftables python3 shellcheck tmux unattended-upgrades unzip yamllint";

/// All that factoryup could leave, one thing a line.
fn look(journey: &Journey) -> BTreeSet<String> {
    let said = journey.inside(
        "places=$(find /etc /home /root /usr/local /srv /opt /var/lib/factory* /var/lib/systemd/linger /var/mail /var/spool -maxdepth 0 2>/dev/null)
         find $places -printf '%y %m %u:%g %p %l\n'
         find $places -type f -exec sha256sum {} +
         echo passwd; getent passwd; getent group; getent shadow
         grep -rs '' /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/tcp_syncookies /proc/sys/net/ipv4/ip_forward
         grep -s '' /proc/sys/kernel/hostname; readlink /etc/localtime
         systemctl --failed --plain --no-legend; systemctl list-unit-files --state=enabled,disabled,masked --plain --no-legend
         systemctl list-units --plain --no-legend --type=service,timer,slice --state=active | awk '{ print \"active\", $1 }'
         nft list ruleset; sshd -T; ls /run/user | sed 's/^/runs for /'; find / -xdev \\( -nouser -o -nogroup \\) -printf 'nobody owns %p\n'; true",
    );
    said.lines().map(str::to_owned).collect()
}

/// What lines tell of the time, or of work that any program of the system does.
fn is_of_the_system(line: &str) -> bool {
    let bookkeeping = [
        "/etc/passwd-",
        "/etc/group-",
        "/etc/shadow-",
        "/etc/gshadow-",
        "/etc/subuid-",
        "/etc/subgid-",
        "/etc/.pwd.lock",
    ];
    bookkeeping.iter().any(|path| line.contains(path))
        || line.starts_with("active user") && line.contains("0.s")
        || line == "runs for 0"
}

/// Homes, the data of applications, and the record of what was done.
fn is_named(line: &str) -> bool {
    !line.starts_with("nobody owns ")
        && [" /home/", " /var/lib/factoryup", " /srv/apps"].iter().any(|place| line.contains(place))
}

/// An application, as its build makes it: it says how often it was started.
const APPLICATION: &str = r#"
mkdir -p /root/shop/.factory
cat >/root/shop/.factory/app.conf <<CONF
name=shop
run=serve
health=/starts
health_seconds=60
port.production=8102
CONF
cat >/root/shop/serve <<'SERVE'
#!/bin/sh
echo started >>"$APP_DATA/starts"
exec python3 -m http.server --bind 127.0.0.1 --directory "$APP_DATA" "$PORT"
SERVE
chmod 755 /root/shop/serve
tar -C /root/shop -cz . >/root/shop.tar.gz
"#;

#[test]
fn a_revert_leaves_nothing_but_what_it_names() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.factory.host.hostname = "forge".into();
    journey.factory.host.timezone = "Europe/Vienna".into();
    journey.inside(&format!("apt-get -qq update; apt-get -qq -y install --no-install-recommends {PACKAGES} 2>&1"));
    // So slow that the end of the user's processes meets it.
    journey.inside(
        "mkdir /etc/systemd/system/user-runtime-dir@.service.d; systemctl cat user-runtime-dir@ | sed -n 's/^ExecStop=/&/p' >/tmp/stop
         { echo '[Service]'; printf 'ExecStop=\nExecStop=/bin/sleep 1\n'; cat /tmp/stop; } >/etc/systemd/system/user-runtime-dir@.service.d/slow.conf
         rm /tmp/stop; systemctl daemon-reload",
    );
    let before = look(&journey);
    journey.watch = Observer::yes();
    journey.provision();
    journey.inside(APPLICATION);
    let install = "factory-deploy install shop 1.0.0 </root/shop.tar.gz 2>&1 && curl -sS http://127.0.0.1:8102/starts";
    assert!(journey.inside(install).ends_with("8102\nstarted"));
    journey.inside("rm -r /root/shop; mv /root/shop.tar.gz /home/");
    journey.inside("su - agent -c 'echo mine >work/notes'; su - operator -c 'echo mine >notes'");
    // Processes that end one after another, as on a busy machine, while systemd empties the user's folder in /run.
    journey.inside(
        "number=$(id -u deploy); systemd-run --quiet sh -c \"
             while systemctl is-active --quiet user@$number; do sleep 0.02; done
             for i in 1 2 3 4 5 6 7 8 9; do setpriv --reuid=$number --clear-groups sleep 60 & sleep 0.05; done\"",
    );
    // The first as the operator, which keeps that account; the second as root.
    for _ in 0..2 {
        let outcome = revert(&journey);
        assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    }
    let after = look(&journey);
    let notes = journey.watch.plans.borrow().iter().flat_map(|plan| plan.notes.clone()).collect::<Vec<_>>().join("\n");
    let differs = |line: &&String| !is_of_the_system(line) && !is_named(line);
    let left: Vec<_> = after.difference(&before).filter(differs).collect();
    let lost: Vec<_> = before.difference(&after).filter(differs).collect();
    assert_eq!((left, lost), (vec![], vec![]), "{notes}");
    // What stays is named, closed and nobody's who comes later.
    let said: Vec<String> =
        journey.watch.plans.borrow().iter().flat_map(|plan| plan.changes.iter().map(|c| c.summary.clone())).collect();
    for user in ["agent", "deploy", "factory-build", "factory-ci", "operator"] {
        assert!(
            said.iter().any(|line| line == &format!("remove user {user}; its home stays, and belongs to root")),
            "{said:?}"
        );
        let state = journey.inside(&format!("stat -c '%a %U:%G' /home/{user}; find /home/{user} ! -user root"));
        assert_eq!(state, "700 root:root");
    }
    assert_eq!(journey.inside("cat /home/agent/work/notes /home/operator/notes"), "mine\nmine");
    assert!(notes.contains("stay on the host, in /var/lib/factoryup, for root only"), "{notes}");
    assert_eq!(journey.inside("stat -c '%a %U' /var/lib/factoryup; cat /var/lib/factoryup/made"), "700 root");

    assert_eq!(journey.inside("find /srv/apps ! -user root -o ! -group root; ls /srv/apps"), "shop");
    let stops =
        "remove /usr/local/sbin/factory-deploy, and stop all applications; their data stays, and belongs to root";
    assert!(said.iter().any(|line| line == stops), "{said:?}");

    // The accounts come back, and have their homes and data again.
    journey.watch = Observer::yes();
    journey.provision();
    let install = install.replace("/root/", "/home/");
    assert!(journey.inside(&install).ends_with("started\nstarted"));
    assert_eq!(journey.inside("su - agent -c 'cat work/notes; find ~ ! -user agent'"), "mine");
}
