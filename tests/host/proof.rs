//! What the host promises is tried on it: after an apply all of it holds, and each way around a promise is found.

use disposable_host::{Image, Recipe};
use factoryup::Kind;
use factoryup::factory::Sudo;
use factoryup::host::HostTarget;
use factoryup::plan::{Outcome, Proof, Target};
use factoryup::secret::Secret;

use crate::journey::Journey;
use crate::support::lab;

/// One that no other test looks for in all processes.
const PASSWORD: &str = "a password for the proofs";

/// What makes a promise untrue, what takes that back, and the promise.
type Way = (&'static str, &'static str, &'static str);

/// Ways around sshd's and the firewall's own settings, each of which a comparison with factoryup's files does not see.
const WAYS: [Way; 16] = [
    (
        "printf 'Match User root\\nPermitRootLogin yes\\nAuthenticationMethods password publickey\\nAllowGroups root\\n' >>/etc/ssh/sshd_config",
        "sed -i '/^Match/,$d' /etc/ssh/sshd_config",
        "sshd accepts root with a key only",
    ),
    (
        "printf 'Match LocalPort 2222\\nPasswordAuthentication yes\\n' >>/etc/ssh/sshd_config",
        "sed -i '/^Match/,$d' /etc/ssh/sshd_config",
        "sshd accepts agent with a key only",
    ),
    (
        "printf 'Match Address 10.99.0.0/16\\nAuthenticationMethods password\\nPasswordAuthentication yes\\n' >>/etc/ssh/sshd_config",
        "sed -i '/^Match/,$d' /etc/ssh/sshd_config",
        "sshd accepts operator with a key only",
    ),
    (
        "useradd bob; printf 'Match User bob\\nAllowGroups bob\\n' >>/etc/ssh/sshd_config",
        "userdel bob; sed -i '/^Match/,$d' /etc/ssh/sshd_config",
        "sshd accepts bob with a key only",
    ),
    (
        "echo 'SSHD_OPTS=\"-o PermitRootLogin=yes -o AllowGroups=root -o MaxAuthTries=4\"' >/etc/default/ssh",
        "rm /etc/default/ssh",
        "root cannot log in",
    ),
    (
        "systemd-run --quiet --unit=sshd-other /usr/sbin/sshd -D -p 2222 -o PasswordAuthentication=yes -o AuthenticationMethods=any \
         -o PidFile=none; timeout 120 sh -c 'until ss -Hltn sport = :2222 | grep -q .; do sleep 0.1; done'",
        "systemctl stop sshd-other",
        "sshd offers agent no password",
    ),
    ("echo 'agent ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/zzz", "rm /etc/sudoers.d/zzz", "agent cannot use sudo"),
    (
        "groupadd wheel; gpasswd -a deploy wheel; echo '%wheel ALL=(root) NOPASSWD: /usr/bin/id' >/etc/sudoers.d/zzz",
        "rm /etc/sudoers.d/zzz; groupdel wheel",
        "deploy cannot use sudo",
    ),
    ("chmod 755 /home/operator", "chmod 700 /home/operator", "the agent cannot read the files of others"),
    ("chmod 755 /home/deploy", "chmod 700 /home/deploy", "a build cannot read the files of others"),
    ("chmod 755 /home/factory-build", "chmod 700 /home/factory-build", "trusted CI cannot read the files of others"),
    ("chmod 755 /srv/apps", "chmod 751 /srv/apps", "a build cannot read the files of others"),
    (
        "python3 -c 'import socket,os; s=socket.socket(socket.AF_UNIX); s.bind(\"/run/docker.sock\"); s.listen(); \
         os.chmod(\"/run/docker.sock\", 0o666); __import__(\"time\").sleep(600)' >/dev/null 2>&1 & \
         timeout 120 sh -c 'until [ \"$(stat -c %a /run/docker.sock)\" = 666 ]; do sleep 0.1; done' 2>/dev/null",
        "rm /run/docker.sock",
        "the agent cannot command a service that runs as root",
    ),
    (
        "nft insert rule inet factoryup egress accept",
        "systemctl restart factory-firewall",
        "the agent cannot reach private networks",
    ),
    (
        "nft insert rule inet factoryup output meta skuid factory-ci accept",
        "systemctl restart factory-firewall",
        "trusted CI cannot reach private networks",
    ),
    (
        "nft 'add chain inet factoryup input { policy accept; }'",
        "systemctl restart factory-firewall",
        "the firewall drops what no rule accepts",
    ),
];

fn proofs(journey: &Journey) -> Vec<Proof> {
    let mut target = HostTarget::new(&journey.factory, journey.reach(), Some(Secret::new(PASSWORD))).unwrap();
    // A right by sudo is refused in the plan already; it can be tried all the same.
    let _ = target.observe(&journey.watch);
    target.prove(&journey.watch).unwrap()
}

fn broken(proofs: &[Proof]) -> Vec<&str> {
    proofs.iter().filter(|proof| !proof.held).map(|proof| proof.claim.as_str()).collect()
}

fn holds_but_for_each_way_around(journey: &Journey) {
    journey.provision();
    let first = journey.watch.proofs.take();
    assert!(first.len() >= 20 && broken(&first).is_empty(), "{first:#?}");
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    for (deed, undo, claim) in WAYS {
        let reload = "systemctl reset-failed ssh; systemctl restart ssh; sleep 0.3";
        journey.inside(&format!("{deed}\n{reload}"));
        let proofs = proofs(journey);
        assert!(broken(&proofs).iter().any(|one| one.starts_with(claim)), "{deed}: {proofs:#?}");
        journey.inside(&format!("{undo}\nsystemctl reset-failed ssh; systemctl restart ssh; sleep 0.3"));
    }
    let last = proofs(journey);
    assert_eq!(broken(&last), [""; 0], "{last:#?}");
}

#[test]
fn on_debian_12_each_promise_holds_and_can_be_broken() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    holds_but_for_each_way_around(&journey);

    // The outcome of an apply is what the proof says.
    journey.inside(
        "printf 'Match LocalPort 2222\\nPermitRootLogin yes\\n' >>/etc/ssh/sshd_config; rm /etc/profile.d/factoryup.sh",
    );
    let error = journey.run(journey.target()).unwrap_err();
    assert_eq!(error.kind(), Kind::Pending, "{error}");
    assert!(error.to_string().contains("sshd accepts root with a key only"), "{error}");
    let said = journey.watch.proofs.borrow().iter().find(|proof| !proof.held).unwrap().detail.clone();
    assert!(said.contains("/etc/ssh/sshd_config:"), "{said}");
    // It is tried again until it holds.
    assert_eq!(journey.run(journey.target()).unwrap_err().kind(), Kind::Pending);
    journey.inside("sed -i '/^Match/,$d' /etc/ssh/sshd_config");
    assert!(matches!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 20.. }));
}

#[test]
fn on_debian_13_each_promise_holds_and_can_be_broken() {
    if !lab::can_host() {
        return;
    }
    let recipe = Recipe { suite: "trixie".into(), ..Recipe::default() };
    let image = Image::ensure(&recipe, &mut |line| eprintln!("{line}")).unwrap();
    holds_but_for_each_way_around(&Journey::on(&image, None));
}

/// cloud-init's image user becomes the operator, and keeps a line that lets it be root unasked.
#[test]
fn a_line_of_cloud_inits_gives_no_way_around_the_password() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.factory.host.sudo = Sudo::Password;
    journey.factory.host.operator = "debian".into();
    journey.inside(
        "useradd -m -s /bin/bash debian; printf '%s\\n' 'debian ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users",
    );
    journey.inside(&format!("printf '%s\\n' 'debian:{PASSWORD}' | chpasswd"));
    let target = HostTarget::new(&journey.factory, journey.reach(), Some(Secret::new(PASSWORD))).unwrap();
    let outcome = journey.run(target);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert_eq!(journey.inside("runuser -u debian -- sudo -kn id 2>&1 || true"), "sudo: a password is required");
    // A rule that sudo reads later wins, and is named.
    journey.inside("echo 'debian ALL=(ALL) NOPASSWD: /usr/bin/id' >/etc/sudoers.d/zzz");
    let proofs = proofs(&journey);
    let found: Vec<_> = proofs.iter().filter(|proof| !proof.held).collect();
    assert!(found.len() == 1 && found[0].claim == "debian needs a password for sudo", "{found:#?}");
    assert!(found[0].detail.contains("/etc/sudoers.d/zzz:1:"), "{found:#?}");
}
