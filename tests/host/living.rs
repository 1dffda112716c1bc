//! Hosts that already run something: what a factory would end there is named before the first write, and stays if the answers say so.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use factoryup::Kind;
use factoryup::host::Drill;
use factoryup::plan::{Outcome, Plan, Target};

use crate::journey::{Journey, Observer};
use crate::support::lab;

/// Services on two ports, sshd started by systemd on a third, an account with a name of factoryup's, one with another name that logs in,
/// and a firewall as ufw makes it.
const LIVING: &str = "\
for port in 8080 8081; do
    printf '[Socket]\\nListenStream=0.0.0.0:%s\\nAccept=yes\\n' $port >/etc/systemd/system/web$port.socket
    printf '[Service]\\nExecStart=/bin/echo hello\\nStandardOutput=socket\\n' >/etc/systemd/system/web$port@.service
done
systemctl daemon-reload
useradd -m -s /bin/bash -G sudo deploy
echo 'deploy ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-deploy
useradd -m guest
echo guest:secret | chpasswd
install -d -o guest ~guest/.ssh
ssh-keygen -q -t ed25519 -N '' -C theirs -f /root/theirs
mv /root/theirs.pub ~guest/.ssh/authorized_keys
systemd-run --quiet --uid=deploy --unit=theirs sleep 100000
systemctl start web8080.socket web8081.socket
mkdir /etc/systemd/system/ssh.socket.d
printf '[Socket]\\nListenStream=\\nListenStream=2222\\n' >/etc/systemd/system/ssh.socket.d/override.conf
printf 'Match LocalPort 2222\\n  PasswordAuthentication no\\nMatch RDomain other\\n  X11Forwarding no\\n' >>/etc/ssh/sshd_config
systemctl daemon-reload
systemctl disable --now ssh.service >/dev/null 2>&1
systemctl enable --now ssh.socket >/dev/null 2>&1
{ apt-get -q update && apt-get -q -y --no-install-recommends install nftables; } >/dev/null 2>&1
nft -f - <<'END'
table ip filter {
    chain ufw-user-input { tcp dport 8080 accept; }
    chain INPUT { type filter hook input priority filter; policy accept; jump ufw-user-input; }
}
END
";

fn plan(journey: &Journey) -> Plan {
    journey.target().observe(&journey.watch).unwrap()
}

fn ends(plan: &Plan) -> Vec<String> {
    plan.changes.iter().flat_map(|change| change.ends.clone()).collect()
}

/// What the service on a port of the host says to another machine.
fn ask(journey: &Journey, port: u16) -> Option<String> {
    let address = SocketAddr::new(journey.host.address(), port);
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).ok()?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said.trim().to_owned())
}

/// Whether the system's own client gets in as this user on the moved port.
fn ask_sshd(journey: &Journey, user: &str) -> bool {
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-p",
        "2222",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "StrictHostKeyChecking=no",
    ]);
    ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60", "-i"]).arg(journey.keys.path("id"));
    ssh.args([&format!("{user}@{}", journey.host.address()), "true"]).output().unwrap().status.success()
}

#[test]
fn what_a_host_already_does_is_named_and_stays_where_the_answers_say_so() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    // A plain Debian has nothing to name.
    let clean = plan(&journey);
    assert!(!clean.is_empty() && ends(&clean).is_empty(), "{clean:#?}");
    assert!(!clean.notes.iter().any(|note| note.contains("firewall") || note.contains("`ss`")), "{:#?}", clean.notes);

    // As cloud images keep root out: what the host says is the error.
    journey.inside("cp /root/.ssh/authorized_keys /root/keys; sed -i 's/^/command=\"echo Please login as the user debian;exit 142\" /' /root/.ssh/authorized_keys");
    let kept_out = journey.target().observe(&journey.watch).unwrap_err();
    assert_eq!(kept_out.kind(), Kind::NotPermitted, "{kept_out}");
    assert!(kept_out.to_string().ends_with("(exit code 142): Please login as the user debian"), "{kept_out}");
    journey.inside("mv /root/keys /root/.ssh/authorized_keys");

    // Settings of sshd under which the operator could never log in are refused before anything is written.
    for setting in ["AllowUsers root", "AuthorizedKeysFile /etc/ssh/keys/%u"] {
        journey.inside(&format!("echo '{setting}' >/etc/ssh/sshd_config.d/10-mine.conf"));
        let refused = journey.target().observe(&journey.watch).unwrap_err();
        assert!(refused.kind() == Kind::Data && refused.to_string().ends_with(setting), "{refused}");
    }
    journey.inside("rm /etc/ssh/sshd_config.d/10-mine.conf");

    journey.inside(LIVING);
    journey.factory.host.port = 2222;
    assert_eq!([8080, 8081].map(|port| ask(&journey, port)), [Some("hello".into()), Some("hello".into())]);
    let seen = plan(&journey);
    let found = ends(&seen);
    assert_eq!(found.len(), 4, "{found:#?}");
    let logins =
        found.iter().find(|end| end.starts_with("this will end logins as guest with its password, key SHA256:"));
    assert!(logins.is_some_and(|end| end.contains(" theirs: afterwards only operator logs in")), "{found:#?}");
    let account = found.iter().find(|end| end.contains("take over the account deploy")).unwrap();
    for part in ["(ALL) NOPASSWD: ALL", "its groups sudo", "it runs sleep", "usermod --login NEW deploy"] {
        assert!(account.contains(part), "{part}: {account}");
    }
    for port in ["8080/tcp", "8081/tcp"] {
        let remedy = format!("add \"{port}\" to `open` under [host]");
        assert!(found.iter().any(|end| end.contains(&format!("close {port}")) && end.contains(&remedy)), "{found:#?}");
    }
    assert!(
        seen.notes.iter().any(|note| note.contains("another firewall is active and stays: table ip filter.")),
        "{seen:#?}"
    );

    // `--yes` confirms none of that, and nothing is written.
    let refused = journey.run(journey.target()).unwrap_err();
    assert_eq!(refused.kind(), Kind::Data, "{refused}");
    assert!(refused.hints().iter().any(|hint| hint.contains("8080/tcp")), "{:?}", refused.hints());
    assert_eq!(journey.inside("ls -d /etc/factory /var/lib/factoryup 2>/dev/null || true"), "");

    // One port has its answer, the other one is given up in a terminal.
    // First with an sshd that lets nobody in: the way back leads to an sshd that answers on that port.
    journey.factory.host.open = vec!["8080/tcp".into()];
    journey.watch = Observer::yes();
    let outcome = journey.run(journey.target().with_drill(Drill { sshd: true, firewall: false }, 60));
    assert_eq!(outcome.as_ref().unwrap_err().kind(), Kind::Reverted, "{}", journey.explain(&outcome));
    let asked = journey.watch.said.borrow().clone();
    assert!(asked.iter().any(|said| said.contains("take over the account deploy")), "{asked:#?}");
    assert!(ask_sshd(&journey, "root") && ask_sshd(&journey, "operator"));
    assert_eq!([8080, 8081].map(|port| ask(&journey, port).is_some()), [true, true]);

    journey.watch = Observer::yes();
    journey.provision();
    let asked = journey.watch.said.borrow().clone();
    assert!(asked.iter().any(|said| said.contains("this will close 8081/tcp")), "{asked:#?}");
    assert!(!asked.iter().any(|said| said.contains("this will close 8080/tcp")), "{asked:#?}");
    assert_eq!([8080, 8081].map(|port| ask(&journey, port)), [Some("hello".into()), None]);
    assert!(!asked.iter().any(|said| said.contains("take over the account")), "{asked:#?}");
    assert_eq!(journey.inside("runuser -u deploy -- sudo -n id 2>&1 || true"), "sudo: a password is required");

    // sshd is the one that systemd starts, on its port, and goes by the new settings.
    assert!(ask_sshd(&journey, "operator") && !ask_sshd(&journey, "root"));
    assert_eq!(journey.inside("systemctl is-active ssh.socket"), "active");

    // What was given up is no finding any more; what was open and would close is one.
    journey.watch = Observer::default();
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    journey.factory.host.open.clear();
    let found = ends(&plan(&journey));
    assert!(found.len() == 1 && found[0].contains("8080/tcp"), "{found:#?}");
}
