//! What was changed on a host, on both sides: what left `factory.toml`, and what undoes factoryup's settings. Each is in the plan.

use std::fs;

use factoryup::Kind;
use factoryup::factory::RunnerKind;
use factoryup::plan::{Action, Outcome, Plan, Risk, Target};

use crate::journey::Journey;
use crate::support::lab;

/// A drift, and the change or the words of a note that the plan has for it.
const DRIFTS: [(&str, &str); 24] = [
    (
        "echo '# mine' >>/etc/systemd/journald.conf.d/60-factoryup.conf",
        "file:/etc/systemd/journald.conf.d/60-factoryup.conf",
    ),
    ("rm /etc/profile.d/factoryup.sh", "file:/etc/profile.d/factoryup.sh"),
    ("chmod 755 /home/agent", "directory:~agent"),
    ("chmod 755 /home/operator", "directory:~operator"),
    ("chmod 777 /srv/apps", "directory:/srv/apps"),
    ("groupadd -f docker; usermod -aG docker agent", "user:agent"),
    ("usermod --shell /bin/sh deploy", "user:deploy"),
    ("echo 0 >/proc/sys/net/ipv4/tcp_syncookies", "sysctl:zz-factoryup"),
    ("systemctl stop apt-daily.timer", "unit:apt-daily.timer"),
    ("systemctl disable --now apt-daily-upgrade.timer", "unit:apt-daily-upgrade.timer"),
    ("apt-get -y remove unzip", "package:base"),
    (
        "echo 'PermitRootLogin yes' >/etc/ssh/sshd_config.d/00-factoryup.conf",
        "sshd:/etc/ssh/sshd_config.d/00-factoryup.conf",
    ),
    ("nft add rule inet factoryup input accept", "nftables:inet factoryup"),
    (
        "sed -i 's/Automatic-Reboot \"false\"/Automatic-Reboot \"true\"/' /etc/apt/apt.conf.d/zz-factoryup-updates",
        "file:/etc/apt/apt.conf.d/zz-factoryup-updates",
    ),
    (
        "ln -sfn /lib/systemd/system/reboot.target /etc/systemd/system/ctrl-alt-del.target",
        "link:/etc/systemd/system/ctrl-alt-del.target",
    ),
    ("chmod 644 /etc/sudoers.d/90-factoryup-operator; true", "file:/etc/sudoers.d/90-factoryup-operator"),
    ("rm /etc/sudoers.d/zz-factoryup", "file:/etc/sudoers.d/zz-factoryup"),
    ("usermod -aG factory-ssh admin", "group:factory-ssh"),
    ("chmod 777 /home/agent/work", "directory:~agent/work"),
    ("rm -f /usr/local/bin/factory", "file:/usr/local/bin/factory"),
    ("cat /root/another.pub >>/home/operator/.ssh/authorized_keys", "authorized_keys in factory.toml does not name it"),
    ("printf 'kernel.kptr_restrict = 0\\n' >/etc/sysctl.d/zzz.conf", "/etc/sysctl.d/zzz.conf:1 overrides"),
    (
        "printf 'APT::Periodic::Unattended-Upgrade \"0\";\\n' >/etc/apt/apt.conf.d/zzz",
        "/etc/apt/apt.conf.d/zzz:1 overrides",
    ),
    (
        "groupadd wheel; gpasswd -a agent wheel; echo '%wheel ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/wheel",
        "/etc/sudoers.d/wheel:1:",
    ),
];

fn plan(journey: &Journey) -> Plan {
    journey.target().observe(&journey.watch).unwrap()
}

fn is_in(plan: &Plan, wanted: &str) -> bool {
    plan.changes.iter().any(|change| change.id.starts_with(wanted))
        || plan.notes.iter().any(|note| note.contains(wanted))
}

#[test]
fn each_drift_has_its_line_in_the_plan() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    let quiet = plan(&journey);
    assert!(quiet.is_empty(), "{quiet:#?}");
    journey.keys.make("another", "ed25519", "");
    fs::write(journey.host.rootfs().join("root/another.pub"), journey.keys.public("another")).unwrap();
    for (_, wanted) in DRIFTS {
        assert!(!is_in(&quiet, wanted), "{wanted} before: {:#?}", quiet.notes);
    }
    for (deed, _) in DRIFTS {
        journey.inside(&format!("{{ {deed}; }} >/dev/null 2>&1 || true"));
    }
    let seen = plan(&journey);
    let missed: Vec<_> = DRIFTS.iter().filter(|(_, wanted)| !is_in(&seen, wanted)).collect();
    assert!(missed.is_empty(), "{} of {} seen; not: {missed:#?}\n{seen:#?}", DRIFTS.len() - missed.len(), DRIFTS.len());

    // All that can be mended is, and what is somebody's own stays.
    journey.provision();
    let after = plan(&journey);
    assert!(after.is_empty() && is_in(&after, "does not name it"), "{after:#?}");
    assert_eq!(
        journey.inside("id -nG admin | tr ' ' '\\n' | grep -c factory-ssh || true; getent passwd deploy | cut -d: -f7"),
        "0\n/bin/bash"
    );
    assert_eq!(journey.inside("runuser -u agent -- sudo -n id 2>&1 || true"), "sudo: a password is required");

    // A rule of sudo's that comes after factoryup's is refused, with its place; an expiry is a change again.
    journey.inside("chage -E 2020-01-01 agent; rm /etc/sysctl.d/zzz.conf /etc/apt/apt.conf.d/zzz");
    assert!(is_in(&plan(&journey), "user:agent"));
    journey.provision();
    assert_eq!(journey.inside("getent shadow agent | cut -d: -f8"), "");
    journey.inside("echo '%wheel ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/zzz");
    let error = journey.target().observe(&journey.watch).unwrap_err();
    assert!(error.kind() == Kind::Data && error.to_string().contains("/etc/sudoers.d/zzz:1:"), "{error}");
    journey.inside("rm /etc/sudoers.d/zzz");
}

#[test]
fn what_left_factory_toml_leaves_the_host() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.keys.make("member", "ed25519", "");
    journey.factory.host.authorized_keys.push(journey.keys.public("member").trim().to_owned());
    journey.provision();
    let member = |journey: &Journey| {
        let swap = || {
            for end in ["", ".pub"] {
                let [id, other, spare] =
                    ["id", "member", "spare"].map(|name| journey.keys.path(&format!("{name}{end}")));
                fs::rename(&id, &spare).unwrap();
                fs::rename(&other, &id).unwrap();
                fs::rename(&spare, &other).unwrap();
            }
        };
        swap();
        let is_let_in = journey.lets_in("operator");
        swap();
        is_let_in
    };
    assert!(member(&journey));
    // Lines of a receipt that an earlier release wrote.
    journey.inside(
        "printf 'old\\n' >/etc/apt/apt.conf.d/52factoryup-updates; sed -i 's|^]}$|,{\"id\":\"file:/etc/apt/apt.conf.d/52factoryup-updates\",\"action\":\"create\",\"at\":\"2026-11-28T13:56:33Z\",\"undo\":{\"how\":\"remove\"}}\\n\
         ,{\"id\":\"package:containers\",\"action\":\"create\",\"at\":\"2026-11-28T13:56:33Z\",\"undo\":{\"how\":\"never\",\"reason\":\"other things may need it by now\"}}\\n\
         ,{\"id\":\"user:runner\",\"action\":\"create\",\"at\":\"2026-11-28T13:56:33Z\",\"undo\":{\"how\":\"remove\"}}\\n]}|' /var/lib/factoryup/receipt.json; useradd -m runner",
    );
    assert_eq!(journey.factory.runner.kind, RunnerKind::Shared);
    journey.factory.host.authorized_keys.pop();
    let seen = plan(&journey);
    let key = seen.changes.iter().find(|change| change.id.starts_with("authorized_key:operator/")).unwrap();
    assert_eq!((key.action, key.risk), (Action::Delete, Risk::Access), "{seen:#?}");
    assert!(is_in(&seen, "file:/etc/apt/apt.conf.d/52factoryup-updates") && seen.changes.len() == 2, "{seen:#?}");
    assert!(
        is_in(&seen, "the account runner is not in factory.toml any more") && is_in(&seen, "containers"),
        "{seen:#?}"
    );
    assert_eq!(journey.provision(), 2);
    assert!(!member(&journey) && journey.lets_in("operator"));
    assert_eq!(
        journey.inside(
            "stat -c '%U %a' /home/operator/.ssh/authorized_keys; ls /etc/apt/apt.conf.d/52* 2>/dev/null || true"
        ),
        "operator 600"
    );
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });

    // The key that this machine logs in with goes only if another one gets in: here none does, and it comes back.
    journey.factory.host.authorized_keys = vec![journey.keys.public("member").trim().to_owned()];
    let outcome = journey.run(journey.target());
    assert_eq!(outcome.as_ref().unwrap_err().kind(), Kind::Reverted, "{}", journey.explain(&outcome));
    assert!(journey.lets_in("operator"));
    // What was said to be done before stays, and the receipt knows it.
    assert!(member(&journey));

    // Of an operator who was renamed, the keys go and the account is named.
    journey.factory.host.authorized_keys = vec![journey.keys.public("id").trim().to_owned()];
    journey.provision();
    assert!(!member(&journey));
    journey.factory.host.operator = "ada".into();
    journey.factory.host.login = "operator".into();
    let seen = plan(&journey);
    assert!(
        is_in(&seen, "authorized_key:operator/") && is_in(&seen, "the account operator is not in factory.toml"),
        "{seen:#?}"
    );
    journey.provision();
    assert!(journey.lets_in("ada") && !journey.lets_in("operator"));
    // A file without a key says nothing.
    assert_eq!(journey.inside("ls -A /home/operator/.ssh"), "");
}
