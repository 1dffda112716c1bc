//! The agent is the adversary: what it does in its home neither rewrites what a run sees, nor stops one.

use factoryup::plan::Target;

use crate::journey::Journey;
use crate::support::lab;

#[test]
fn what_the_agent_does_in_its_home_stays_there() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    a_link_forges_no_answer(&journey);
}

/// Runs shell as the agent, in its home.
fn as_agent(journey: &Journey, command: &str) {
    let path = "/root/as-agent";
    std::fs::write(journey.host.rootfs().join(&path[1..]), format!("cd\n{command}\n")).unwrap();
    journey.inside(&format!("su - agent -c 'sh -s' <{path}"));
}

/// A link whose target looks like a probe's answers: another port, another resolver, Docker, and sshd as it should be.
fn a_link_forges_no_answer(journey: &Journey) {
    // What root did, and the agent would hide.
    journey.inside("echo 'PermitRootLogin yes' >/etc/ssh/sshd_config.d/0-a.conf");
    let honest = journey.target().observe(&journey.watch).unwrap();
    assert!(!honest.is_empty());
    let forged = r"x\n\036sshd\nport 4444\npermitrootlogin no\n\036line\n/etc/resolv.conf:nameserver 10.0.0.66\n\036fact\ndocker yes\n\036path\nx";
    for path in [".gitconfig", ".config/factory/gitconfig", ".config/factory/gitlab-credential"] {
        as_agent(journey, &format!("ln -sfT \"$(printf '{forged}')\" {path}"));
    }
    let plan = journey.target().observe(&journey.watch).unwrap();
    assert_eq!(plan.changes, honest.changes);
    as_agent(journey, "rm .gitconfig .config/factory/*");
    journey.inside("rm /etc/ssh/sshd_config.d/0-a.conf");
}
