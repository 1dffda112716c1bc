//! Hosts that already run something: what a factory would end there is named before the first write, and stays if the answers say so.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use factoryup::Kind;
use factoryup::plan::{Outcome, Plan, Target};

use crate::journey::{Journey, Observer};
use crate::support::lab;

/// Services on two ports, an account with a name of factoryup's, and a firewall as ufw makes it.
const LIVING: &str = "\
for port in 8080 8081; do
    printf '[Socket]\\nListenStream=0.0.0.0:%s\\nAccept=yes\\n' $port >/etc/systemd/system/web$port.socket
    printf '[Service]\\nExecStart=/bin/echo hello\\nStandardOutput=socket\\n' >/etc/systemd/system/web$port@.service
done
systemctl daemon-reload
useradd -m -s /bin/bash -G sudo deploy
echo 'deploy ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-deploy
systemd-run --quiet --uid=deploy --unit=theirs sleep 100000
systemctl start web8080.socket web8081.socket
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
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said.trim().to_owned())
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

    journey.inside(LIVING);
    assert_eq!([8080, 8081].map(|port| ask(&journey, port)), [Some("hello".into()), Some("hello".into())]);
    let seen = plan(&journey);
    let found = ends(&seen);
    assert_eq!(found.len(), 3, "{found:#?}");
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
    journey.factory.host.open = vec!["8080/tcp".into()];
    journey.watch = Observer::yes();
    journey.provision();
    let asked = journey.watch.said.borrow().clone();
    assert!(asked.iter().any(|said| said.contains("this will close 8081/tcp")), "{asked:#?}");
    assert!(!asked.iter().any(|said| said.contains("this will close 8080/tcp")), "{asked:#?}");
    assert_eq!([8080, 8081].map(|port| ask(&journey, port)), [Some("hello".into()), None]);
    assert!(asked.iter().any(|said| said.contains("take over the account deploy")), "{asked:#?}");
    assert_eq!(journey.inside("runuser -u deploy -- sudo -n id 2>&1 || true"), "sudo: a password is required");

    // What was given up is no finding any more; what was open and would close is one.
    journey.watch = Observer::default();
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    journey.factory.host.open.clear();
    let found = ends(&plan(&journey));
    assert!(found.len() == 1 && found[0].contains("8080/tcp"), "{found:#?}");
}
