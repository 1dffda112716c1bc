//! Changes that lock everybody out take themselves back.

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::host::{Drill, HostTarget, Reach};
use factoryup::plan::Outcome;
use factoryup::transport::{ConfigFile, Ssh, SshOptions, Who};

use crate::journey::Journey;
use crate::support::lab;

#[test]
fn a_lockout_by_sshd_and_one_by_the_firewall_are_taken_back() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    let untouched = "ls /etc/ssh/sshd_config.d; ls -d /etc/factory/firewall* 2>/dev/null; sshd -T | sha256sum; nft list tables 2>/dev/null || true";
    let before = journey.inside(untouched);

    // sshd that lets nobody in: a session is left, and through it the change is taken back at once. It begins to do so a while after
    // the reload, as on a busy machine: until then it lets in by the old rules, and no such login may confirm the new ones.
    journey.inside(
        "mkdir /run/systemd/system/ssh.service.d; printf '[Service]\nExecReload=\nExecReload=systemd-run --quiet --on-active=3 \
         --timer-property=AccuracySec=100ms kill -HUP $MAINPID\n' >/run/systemd/system/ssh.service.d/slow.conf; systemctl daemon-reload",
    );
    let drill = Drill { sshd: true, firewall: false };
    let outcome = journey.run(journey.target().with_drill(drill, 60));
    let error = outcome.as_ref().unwrap_err();
    assert_eq!(error.kind(), Kind::Reverted, "{}", journey.explain(&outcome));
    assert!(error.to_string().contains("refused the login as operator"), "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("not allowed because none of user's groups")), "{error:?}");
    assert!(journey.lets_in("root") && journey.lets_in("operator") && journey.lets_in("admin"));
    assert_eq!(journey.inside(untouched), before);
    assert_eq!(journey.inside("systemctl list-units --all --plain --no-legend 'factoryup-revert*'"), "");
    assert_eq!(journey.watch.failures.borrow().len(), 2);

    journey.inside("rm -r /run/systemd/system/ssh.service.d; systemctl daemon-reload");

    // A firewall that drops all that goes to sshd: no session is left, and the timer does it.
    let drill = Drill { sshd: false, firewall: true };
    let outcome = journey.run(journey.target().with_drill(drill, 8));
    assert_eq!(outcome.as_ref().unwrap_err().kind(), Kind::Reverted, "{}", journey.explain(&outcome));
    assert!(journey.lets_in("operator"));
    assert_eq!(journey.inside(untouched), before);
    assert_eq!(journey.inside("find /etc -name '*factoryup-new*' -o -name 'factoryup-revert*'"), "");

    // Without the sabotage it goes through, and from then on a lockout is taken back to the hardened state.
    journey.provision();
    assert!(journey.lets_in("operator") && !journey.lets_in("root") && !journey.lets_in("admin"));
    let hardened = journey.inside("sshd -T; nft -s -t list ruleset; sha256sum /etc/ssh/sshd_config.d/*");
    let drill = Drill { sshd: true, firewall: true };
    let outcome = journey.run(journey.target().with_drill(drill, 8));
    assert_eq!(outcome.as_ref().unwrap_err().kind(), Kind::Reverted, "{}", journey.explain(&outcome));
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
    assert_eq!(journey.inside("sshd -T; nft -s -t list ruleset; sha256sum /etc/ssh/sshd_config.d/*"), hardened);

    // The owner at the provider's console does what the guide says, and factoryup mends it afterwards.
    by_hand(&journey);
    journey.provision();
    assert_eq!(journey.inside("sshd -T; nft -s -t list ruleset; sha256sum /etc/ssh/sshd_config.d/*"), hardened);
}

#[test]
fn a_host_that_is_known_by_its_small_rsa_key_alone_is_hardened() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    // As the user's own ssh wrote it.
    let (address, port) = (journey.host.address(), journey.host.port());
    let name = if port == 22 { address.to_string() } else { format!("[{address}]:{port}") };
    let rsa = journey.inside("ssh-keygen -lf /etc/ssh/ssh_host_rsa_key.pub; cat /etc/ssh/ssh_host_rsa_key.pub");
    let (size, public) = rsa.split_once('\n').unwrap();
    assert!(size.starts_with("3072 "), "{size}");
    let file = |name: &str| journey.state.path().join(name);
    std::fs::write(file("of-user"), format!("{name} {public}\n")).unwrap();
    std::fs::write(file("config"), format!("UserKnownHostsFile {}\n", file("of-user").display())).unwrap();

    let mut options = SshOptions::new(address.to_string(), file("known_hosts"));
    options.port = Some(port);
    options.identity = Some(journey.keys.path("id"));
    options.config = ConfigFile::Path(file("config"));
    let dial = move |who: &Who<'_>| Ok(Box::new(Ssh::new(options.clone().logging_in(who), &Silent)?) as Box<_>);
    let outcome = journey.run(HostTarget::new(&journey.factory, Reach::Remote(Box::new(dial)), None).unwrap());
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
    assert!(!journey.inside("sshd -T | grep ^hostkey").contains("ssh_host_rsa_key"));
    // The one key that the host still has, as root read it there, is on factoryup's own record.
    let ed25519 = journey.inside("cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub");
    assert_eq!(std::fs::read_to_string(file("known_hosts")).unwrap(), format!("{name} {}\n", ed25519.trim()));
    assert_eq!(std::fs::read_to_string(file("of-user")).unwrap(), format!("{name} {public}\n"));
}

/// What `docs/guide/locked-out.md` has typed, block by block, on a hardened host whose guard has come to its end.
fn by_hand(journey: &Journey) {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/locked-out.md")).unwrap();
    let blocks: Vec<&str> = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [look, now, sshd, firewall] = blocks[..] else { panic!("{blocks:?}") };
    let seen = journey.inside(look);
    assert!(seen.contains("0 timers listed") && seen.lines().any(|line| line == "reverted"), "{seen}");
    let before = journey.inside("sshd -T; nft -s -t list ruleset");
    assert_eq!(journey.inside(now), "");
    assert_eq!(journey.inside("sshd -T; nft -s -t list ruleset"), before);

    journey.inside(&format!("set -e\n{sshd}"));
    journey.inside(&format!("set -e\n{firewall}"));
    let left = journey.inside("nft list tables; systemctl is-enabled factory-firewall.service || true");
    assert!(!left.contains("inet factoryup") && left.contains("disabled"), "{left}");
    // sshd starts itself anew at a reload, which takes a moment.
    let lets_in = (0..120).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(250));
        journey.lets_in("root")
    });
    let why = || {
        let said = lab::ssh(&journey.host, &journey.keys, "root", "true");
        let log = journey.inside(
            "sshd -T | grep -iE 'root|allow|deny'; ls -l /etc/ssh/sshd_config.d; journalctl -n 20 -u ssh.service",
        );
        format!("root is still kept out: {said:?}\n{log}")
    };
    assert!(lets_in, "{}", why());

    for (path, _) in guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')) {
        let path = path.replace("RUN", "*").replace('…', "*");
        journey.inside(&format!("ls -d /var/lib/factoryup/{path}"));
    }
}
