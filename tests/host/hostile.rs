//! The agent is the adversary: what it does in its home neither rewrites what a run sees, nor stops one.

use factoryup::hand_over::{HandOver, Token};
use factoryup::plan::{Outcome, Target};
use factoryup::secret::Secret;

use crate::journey::Journey;
use crate::revert::revert;
use crate::support::lab;

#[test]
fn what_the_agent_does_in_its_home_stays_there() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    a_link_forges_no_answer(&journey);
    a_pipe_holds_nothing_up_and_a_link_tells_nothing(&journey);
    a_folder_in_the_way_stops_nothing_else(&journey);
    no_way_back_is_stopped_half_way(&journey);
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

/// A run that brings what the hand-off made.
fn hand_over(journey: &Journey) -> factoryup::Result<Outcome> {
    let known = |text: &str| Token::Known(Secret::new(text));
    let runners = [("trusted".to_owned(), known("glrt-canary"))].into();
    let made = HandOver { agent: known("glpat-canary"), account: Some(7), runners };
    journey.run(journey.target().with_hand_over(made)?)
}

/// Pipes where the next file is written, which nobody reads; a link to what only root may read; what cannot be read to its end.
fn a_pipe_holds_nothing_up_and_a_link_tells_nothing(journey: &Journey) {
    as_agent(
        journey,
        "cd .config/factory && mkfifo gitconfig.factoryup-new gitlab-credential.factoryup-new gitconfig && echo x >gitlab-credential",
    );
    let outcome = hand_over(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert_eq!(hand_over(journey).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    let kept = "find /var/lib/factoryup/backups ! -type f ! -type d ! -type l";
    assert_eq!(journey.inside(kept), "");

    // The probe of a run with tokens, as it comes from the host: not even in a form that only the client would see.
    let token = journey
        .inside("base64 -w0 </etc/factory/runner-trusted-token; echo; cut -c 1-9 /etc/factory/runner-trusted-token");
    let (encoded, start) = token.split_once('\n').unwrap();
    assert_eq!(start, "glrt-cana");
    let made = HandOver { agent: Token::Known(Secret::new("glpat-canary")), account: Some(7), ..HandOver::default() };
    let scripts = journey.target().with_hand_over(made).unwrap().scripts(None);
    let probe = scripts.iter().find(|script| script.name == "probe").unwrap();
    std::fs::write(journey.host.rootfs().join("root/probe"), &probe.text).unwrap();
    as_agent(journey, "ln -sfT /etc/factory/runner-trusted-token .config/factory/gitconfig");
    let said = journey.inside("sh -s <~/probe");
    assert!(said.contains("/etc/factory/runner-trusted-token") && !said.contains(encoded), "{said}");
    as_agent(journey, "rm .config/factory/gitconfig");

    as_agent(journey, "truncate -s 300M .gitconfig");
    let outcome = hand_over(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 1, .. })), "{}", journey.explain(&outcome));
    assert!(notes(journey).contains("~agent/.gitconfig is no text that its user can read"), "{}", notes(journey));
}

/// What stands in the way in the agent's home is noted, and the rest is brought right.
fn a_folder_in_the_way_stops_nothing_else(journey: &Journey) {
    as_agent(
        journey,
        "rm .gitconfig; rm .config/factory/*; mkdir .config/factory/gitconfig .config/factory/gitlab-credential",
    );
    journey.inside("rm /etc/profile.d/factoryup.sh");
    let outcome = hand_over(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 2, .. })), "{}", journey.explain(&outcome));
    for path in ["gitconfig", "gitlab-credential"] {
        let note = format!("~agent/.config/factory/{path} is there and is a folder, and stays");
        assert!(notes(journey).contains(&note), "{}", notes(journey));
    }
    as_agent(journey, "rmdir .config/factory/*");
    assert!(matches!(hand_over(journey), Ok(Outcome::Applied { changes: 2, .. })));
}

fn notes(journey: &Journey) -> String {
    journey.watch.plans.borrow().last().unwrap().notes.join("\n")
}

/// A configuration that git does not read, a folder and a pipe in the way, and processes that live on and start others.
fn no_way_back_is_stopped_half_way(journey: &Journey) {
    as_agent(
        journey,
        "echo '[' >>.gitconfig; cd .config/factory && rm gitconfig && mkdir gitconfig && rm gitlab-credential && mkfifo gitlab-credential",
    );
    as_agent(
        journey,
        "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.05; done' >/dev/null 2>&1 </dev/null & done",
    );
    assert_ne!(journey.inside("pgrep -u agent -c sh || true"), "0");
    let outcome = revert(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    let said = journey.watch.said.borrow().join("\n");
    assert!(said.contains("could not take the factory's include out of ~agent/.gitconfig"), "{said}");
    assert_eq!(journey.inside("getent passwd agent deploy; getent group agent; ls /var/lib/systemd/linger"), "");
    assert_eq!(journey.inside("find /home/agent/.config/factory ! -type d; ls /etc/factory 2>/dev/null || true"), "");
    assert!(journey.lets_in("root"));
    assert_eq!(journey.inside("nft list tables"), "");
}
