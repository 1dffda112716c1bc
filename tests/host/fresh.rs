//! A fresh machine becomes a trusted host, stays one, and comes back when somebody has changed it.

use std::collections::BTreeMap;

use factoryup::Kind;
use factoryup::hand_over::{HandOver, Token};
use factoryup::plan::{Action, Outcome, Target, Undo};
use factoryup::secret::Secret;

use crate::journey::Journey;
use crate::support::lab;

#[test]
fn a_fresh_debian_is_provisioned_as_root_and_then_left_alone() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    // One as root, where the operator is not known yet; one before and one after sshd changed, which may knock more than once;
    // and one that tries to log in as root. All promises on the host are tried by one program.
    assert!((4..=10).contains(&journey.connections()));
    assert_eq!(journey.execs(), 7);

    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    assert_eq!((journey.connections(), journey.execs()), (1, 1));

    // What is never read to its end, in a home that is the agent's, holds nobody up.
    let pipe = "~agent/.config/factory/gitlab-credential";
    journey.inside(&format!("runuser -u agent -- sh -c 'mkfifo {pipe}'"));
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    journey.inside(&format!("rm {pipe}"));

    only_the_operator_gets_in(&journey);
    the_agent_stays_in_its_place(&journey);
    everything_is_on_record(&journey);
    drift_is_shown_and_mended(&journey);
    tokens_come_once_and_leave_nothing_behind(&journey);
    crate::full_disk::leaves_every_record_whole(&journey);
}

fn only_the_operator_gets_in(journey: &Journey) {
    assert!(journey.lets_in("operator"));
    for user in ["root", "admin", "agent", "deploy", "factory-build", "factory-ci"] {
        assert!(!journey.lets_in(user), "{user}");
    }
    // The drop-in wins over cloud-init's, which is read after it and says yes.
    assert!(journey.read("/etc/ssh/sshd_config.d/50-cloud-init.conf").contains("PasswordAuthentication yes"));
    let effective = journey.inside("sshd -T");
    for line in ["passwordauthentication no", "permitrootlogin no", "allowgroups factory-ssh", "requiredrsasize 3072"] {
        assert!(effective.lines().any(|l| l == line), "{line}");
    }
    assert_eq!(journey.inside("sudo -u operator sudo -n id -un"), "root");
    // What was up before the firewall was is still up; the port is open, others are not.
    let table = journey.inside("nft list table inet factoryup");
    assert!(table.contains("tcp dport 22 accept") && table.contains("policy drop"), "{table}");
    assert_eq!(journey.inside("systemctl is-enabled factory-firewall.service"), "enabled");
    // The package of the edge would have started a web server of its own.
    assert_eq!(journey.inside("systemctl is-enabled caddy.service; ss -Hltn 'sport = :80'"), "masked");
    assert_eq!(
        journey.inside("caddy validate --adapter caddyfile --config /etc/factory/Caddyfile 2>&1 | tail -n 1"),
        "Valid configuration"
    );
}

fn the_agent_stays_in_its_place(journey: &Journey) {
    let as_agent =
        |command: &str| journey.inside(&format!("runuser -u agent -- sh -c '{command}' 2>&1 || echo refused"));
    assert!(as_agent("sudo -n true").ends_with("refused"));
    assert!(as_agent("ls /var/lib/factoryup").ends_with("refused"));
    assert!(as_agent("ls /home/operator/.ssh").ends_with("refused"));
    assert_eq!(as_agent("id -nG"), "agent");
    assert_eq!(as_agent("cd && stat -c \"%a %U\" . work"), "700 agent\n750 agent");
    assert_eq!(journey.inside("su - agent -c umask"), "0027");
    assert_eq!(journey.inside("getent shadow agent | cut -d: -f2"), "!");
    assert_eq!(journey.inside("systemctl show --property=TasksMax --value user-$(id -u agent).slice"), "4096");
    for (slice, swap) in [("user-$(id -u agent)", "1073741824"), ("factory-apps", "0")] {
        assert_eq!(journey.inside(&format!("systemctl show -P MemorySwapMax {slice}.slice")), swap, "{slice}");
    }
    assert_eq!(journey.inside("ls /var/lib/systemd/linger"), "agent\ndeploy");
    // The machine that runs the tests is on a private network: out of reach for the agent, not for others.
    let knock = "timeout 20 bash -c 'echo >/dev/tcp/$(ip route show default | cut -d\" \" -f3)/9' 2>&1 | tail -n 1";
    assert!(journey.inside(knock).contains("Connection refused"), "{}", journey.inside(knock));
    let knock = format!("runuser -u agent -- {knock}");
    assert!(!journey.inside(&knock).contains("Connection refused"), "{}", journey.inside(&knock));
    // Its sandbox still works.
    assert_eq!(as_agent("bwrap --unshare-all --ro-bind / / true && echo yes"), "yes");
}

fn everything_is_on_record(journey: &Journey) {
    let receipt: factoryup::plan::Receipt =
        serde_json::from_str(&journey.read("/var/lib/factoryup/receipt.json")).unwrap();
    let of_host: Vec<&str> = receipt.entries.iter().map(|entry| entry.id.as_str()).collect();
    let here = factoryup::plan::Receipt::read(&journey.state.path().join("receipt-host.json")).unwrap().unwrap();
    let of_client: Vec<&str> = here.entries.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(of_host, of_client);
    // What is not undone was planned as such.
    let planned = &journey.watch.plans.borrow()[0].changes;
    let stay = |id: &str| planned.iter().any(|change| change.id == id && change.stays.is_some());
    for entry in &receipt.entries {
        assert_eq!(stay(&entry.id), matches!(entry.undo, Undo::Never { .. }), "{entry:?}");
    }
    assert!(stay("package:base"));
    assert_eq!(journey.inside("find /var/lib/factoryup -maxdepth 1 '(' ! -user root -o -perm /077 ')'"), "");
    let mut last = BTreeMap::new();
    for line in journey.read("/var/lib/factoryup/journal.jsonl").lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        last.insert(line["change"].to_string(), line["event"].as_str().unwrap().to_owned());
    }
    assert!(last.len() >= of_host.len() && last.values().all(|event| event == "done"), "{last:?}");
}

/// What a person could do to a host, and what the plan then says.
const DRIFT: [(&str, &str, &str); 9] = [
    (
        "echo '# mine' >>/etc/systemd/journald.conf.d/60-factoryup.conf",
        "file:/etc/systemd/journald.conf.d/60-factoryup.conf",
        "+# mine",
    ),
    ("rm /etc/profile.d/factoryup.sh", "file:/etc/profile.d/factoryup.sh", ""),
    ("chmod 755 /home/agent", "directory:~agent", ""),
    ("groupadd docker; usermod -aG docker agent", "user:agent", ""),
    ("echo 0 >/proc/sys/net/ipv4/tcp_syncookies", "sysctl:zz-factoryup", ""),
    ("systemctl disable --now apt-daily-upgrade.timer", "unit:apt-daily-upgrade.timer", ""),
    ("apt-get -y remove jq", "package:base", ""),
    (
        "echo 'PermitRootLogin yes' >/etc/ssh/sshd_config.d/00-factoryup.conf",
        "sshd:/etc/ssh/sshd_config.d/00-factoryup.conf",
        "+PermitRootLogin yes",
    ),
    ("nft add rule inet factoryup input accept", "nftables:inet factoryup", "+\t\taccept"),
];

fn drift_is_shown_and_mended(journey: &Journey) {
    for (deed, _, _) in DRIFT {
        journey.inside(&format!("{{ {deed}; }} >/dev/null 2>&1"));
    }
    let mut target = journey.target();
    let plan = target.observe(&journey.watch).unwrap();
    let mut expected: Vec<&str> = DRIFT.iter().map(|(_, id, _)| *id).collect();
    let mut found: Vec<&str> = plan.changes.iter().map(|change| change.id.as_str()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    for (_, id, line) in DRIFT.iter().filter(|(_, _, line)| !line.is_empty()) {
        let diff = plan.changes.iter().find(|change| change.id == *id).unwrap().diff.as_ref().unwrap();
        let is_there = |text: &Option<String>| text.as_ref().unwrap().lines().any(|l| l == &line[1..]);
        assert!(is_there(&diff.before) && !is_there(&diff.after), "{id}: {diff:?}");
    }
    drop(target);
    assert_eq!(journey.provision(), DRIFT.len());
    assert_eq!(
        journey.inside("stat -c %a /home/agent; id -nG agent; cat /proc/sys/net/ipv4/tcp_syncookies"),
        "700\nagent\n1"
    );
    assert!(!journey.lets_in("root") && journey.lets_in("operator"));
    // The edit is not lost, and the receipt still leads back to the time before factoryup.
    let kept = "cat /var/lib/factoryup/backups/*/etc/systemd/journald.conf.d/60-factoryup.conf | tail -n 1";
    assert_eq!(journey.inside(kept), "# mine");
    let receipt = journey.read("/var/lib/factoryup/receipt.json");
    assert!(
        receipt.contains(r#"{"id":"file:/etc/systemd/journald.conf.d/60-factoryup.conf","action":"create""#),
        "{receipt}"
    );
    let plan = journey.target().observe(&journey.watch).unwrap();
    assert!(plan.is_empty() && plan.changes.iter().all(|change| change.action != Action::Run));
}

/// What the hand-off made, with the agent's own settings around it.
fn tokens_come_once_and_leave_nothing_behind(journey: &Journey) {
    let known = |text: &str| Token::Known(Secret::new(text));
    let run = |agent: &str| {
        let runners = [("trusted".to_owned(), known("glrt-canary-of-a-runner"))].into();
        let made = HandOver { agent: known(agent), desk: known("glpat-of-the-desk"), account: Some(7), runners };
        journey.run(journey.target().with_hand_over(made).unwrap())
    };
    journey.inside(
        "runuser -u agent -- sh -c 'cd && HOME=$PWD git config --global alias.st status && chmod 600 .gitconfig'",
    );
    // Containers were chosen once: their runner's token is not wanted any more, and is not kept.
    journey.inside("echo glrt-over >/etc/factory/runner-untrusted-token");
    crate::runners::put_runner(journey);
    crate::support::put_tools(journey.host.rootfs());
    // Nothing answers at the address of this factory's GitLab, or does not accept the token: all else is done.
    let deferred = run("glpat-canary-1").unwrap_err();
    let said = deferred.to_string();
    assert!(deferred.kind() == Kind::CutShort && said.contains("clone https://gitlab.com/"), "{said}");
    assert_eq!(journey.watch.failures.borrow().len(), 1, "{said}");
    assert_eq!(journey.inside("ls -A ~agent/work"), "");
    journey.put_clone();
    // A run that left something has the next one prove all again.
    assert!(matches!(run("glpat-canary-1"), Ok(Outcome::AlreadyRight { proofs: 1.. })));
    let _ = (journey.connections(), journey.execs());
    assert_eq!(run("glpat-canary-1").unwrap(), Outcome::AlreadyRight { proofs: 0 });
    assert_eq!((journey.connections(), journey.execs()), (1, 1));
    assert!(matches!(run("glpat-canary-2"), Ok(Outcome::Applied { changes: 1, .. })));

    let as_agent = |command: &str| journey.inside(&format!("su - agent -c '{command}'"));
    assert_eq!(as_agent("git config alias.st; git config user.name; stat -c %a .gitconfig"), "status\nacme agent\n600");
    let ask = "printf \"protocol=https\\nhost=gitlab.com\\n\\n\" | GIT_TERMINAL_PROMPT=0 git credential fill";
    assert!(as_agent(ask).contains("password=glpat-canary-2"), "{}", as_agent(ask));
    let left = journey.inside("grep -rlE 'glpat-canary-1|glrt-over' /etc /home /var /root /tmp 2>/dev/null || true");
    assert_eq!(left, "");
    // A machine that did not make the hand-off leaves it as it is.
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    assert!(as_agent(ask).contains("password=glpat-canary-2"));
    // Only the scripts of the control repo know the one of the desk, and where it may go.
    assert_eq!(
        as_agent("cd .config/factory; stat -c %a desk-credential; cat desk-credential"),
        "600\ngitlab=https://gitlab.com\npassword=glpat-of-the-desk"
    );
}
