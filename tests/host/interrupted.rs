//! Power cuts and killed runs while a change to sshd and the firewall waits for its confirmation.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use factoryup::host::{Drill, HostTarget, Reach};
use factoryup::plan::{Action, Outcome, Target};
use factoryup::transport::Who;

use crate::journey::Journey;
use crate::support::lab;

/// All that a guarded change touches.
const GUARDED: &str = "ls /etc/ssh/sshd_config.d; ls -d /etc/factory/firewall* 2>/dev/null; sshd -T | sha256sum; nft -s -t list ruleset 2>/dev/null; \
     find /etc -name '*factoryup-new*' -o -name 'factoryup-revert*'";

impl Journey {
    /// A run that is killed when it wants to log in for the time after `logins`.
    fn kill_after(&self, logins: usize, revert_after: u32) {
        let Reach::Remote(dial) = self.reach() else { unreachable!() };
        let made = AtomicUsize::new(0);
        let reach = Reach::Remote(Box::new(move |who: &Who<'_>| {
            if made.fetch_add(1, Ordering::Relaxed) >= logins {
                resume_unwind(Box::new("killed"));
            }
            dial(who)
        }));
        let target = HostTarget::new(&self.factory, reach, None).unwrap().with_drill(Drill::default(), revert_after);
        if let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| self.run(target))) {
            panic!("the run should have been killed: {}", self.explain(&outcome));
        }
        assert_eq!(self.inside("ls /var/lib/factoryup/guard/armed"), "/var/lib/factoryup/guard/armed");
    }
}

#[test]
fn what_a_killed_run_left_unconfirmed_is_taken_back_at_boot_by_the_timer_or_by_the_next_run() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    let before = journey.inside(GUARDED);

    // The host loses its power before the timer fires: at boot, before anybody could be locked out.
    journey.kill_after(2, 600);
    journey.host.cut_power().unwrap();
    assert!(journey.lets_in("root") && journey.lets_in("operator"));
    let done = journey.inside(
        "systemctl is-system-running --wait; ls /var/lib/factoryup/guard/reverted; systemctl list-jobs --no-legend --quiet",
    );
    assert_eq!(done, "running\n/var/lib/factoryup/guard/reverted");
    assert_eq!(journey.inside(GUARDED), before);

    // The next run comes at once: what it finds in place is no state to be content with. On a busy machine the change itself can
    // take 20 s, and the timer must not fire before the run is killed.
    journey.kill_after(1, 40);
    assert!(journey.lets_in("operator"));
    let outcome = journey.run(journey.target());
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 2, .. })), "{}", journey.explain(&outcome));
    assert!(journey.watch.said.borrow().iter().any(|said| said.contains("waits to be confirmed")));
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
    let hardened = journey.inside(GUARDED);

    // The timer is gone too: the next run sees to it.
    journey.inside("echo 'MaxSessions 9' >>/etc/ssh/sshd_config.d/00-factoryup.conf");
    journey.kill_after(1, 600);
    journey.inside("systemctl stop factoryup-revert.timer");
    let plan = journey.target().observe(&journey.watch).unwrap();
    assert!(
        plan.changes.iter().any(|change| change.action == Action::Run && change.id.starts_with("sshd:")),
        "{plan:?}"
    );
    let outcome = journey.run(journey.target());
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert_eq!(journey.inside(GUARDED), hardened);

    // A revert that lost its power half-way is done again at the next start, and the firewall comes up after it.
    journey.inside("echo 'MaxSessions 9' >>/etc/ssh/sshd_config.d/00-factoryup.conf");
    let drifted = journey.inside(GUARDED);
    journey.kill_after(1, 600);
    journey.inside("cd /var/lib/factoryup/guard && mv armed firing");
    journey.host.cut_power().unwrap();
    assert!(journey.lets_in("operator") && !journey.lets_in("root"));
    assert_eq!(
        journey.inside("systemctl is-system-running --wait; ls /var/lib/factoryup/guard/reverted"),
        "running\n/var/lib/factoryup/guard/reverted"
    );
    assert_eq!(journey.inside(GUARDED), drifted);
    journey.provision();
    assert_eq!(journey.inside(GUARDED), hardened);
}
