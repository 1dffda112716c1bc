//! A fresh machine becomes a trusted host, and stays one.

use factoryup::plan::Outcome;

use crate::journey::Journey;
use crate::support::lab;

#[test]
fn a_fresh_debian_is_provisioned_as_root_and_then_left_alone() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    let changes = journey.provision();
    eprintln!("{changes} changes, {} connections, {} execs", journey.connections(), journey.execs());

    let outcome = journey.run(journey.target()).unwrap();
    assert_eq!(outcome, Outcome::AlreadyRight { proofs: 0 });
    assert_eq!((journey.connections(), journey.execs()), (1, 1));
}
