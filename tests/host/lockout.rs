//! Changes that lock everybody out take themselves back.

use factoryup::Kind;
use factoryup::host::Drill;

use crate::journey::Journey;
use crate::support::lab;

#[test]
fn a_lockout_by_sshd_and_one_by_the_firewall_are_taken_back() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    let untouched = "ls /etc/ssh/sshd_config.d; ls /etc/factory 2>/dev/null; sshd -T | sha256sum; nft list tables 2>/dev/null || true";
    let before = journey.inside(untouched);

    // sshd that lets nobody in: a session is left, and through it the change is taken back at once.
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
}
