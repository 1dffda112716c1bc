//! The agent is the adversary: what it does in its home neither rewrites what a run sees, nor stops one.

use factoryup::Kind;
use factoryup::hand_over::{HandOver, Token};
use factoryup::plan::{Outcome, Target};
use factoryup::secret::Secret;

use crate::journey::Journey;
use crate::revert::revert;
use crate::support::{lab, put_tools};

#[test]
fn what_the_agent_does_in_its_home_stays_there() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    crate::runners::put_runner(&journey);
    journey.put_clone();
    put_tools(journey.host.rootfs());
    a_link_forges_no_answer(&journey);
    a_pipe_holds_nothing_up_and_a_link_tells_nothing(&journey);
    a_folder_in_the_way_stops_nothing_else(&journey);
    what_cannot_be_made_there_is_left_and_said(&journey);
    no_process_of_the_agents_stops_the_rest(&journey);
    no_swapped_link_leads_out_of_its_home(&journey);
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
    let runners = [("trusted".to_owned(), known("glrt-canary-of-a-runner"))].into();
    let made = HandOver { agent: known("glpat-canary"), account: Some(7), runners, ..HandOver::default() };
    journey.run(journey.target().with_hand_over(made)?)
}

/// Nothing is in the way any more.
fn assert_goes_through(journey: &Journey) {
    let outcome = hand_over(journey);
    assert!(outcome.is_ok(), "{}", journey.explain(&outcome));
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
    as_agent(journey, "rmdir .config/factory/git*");
    assert!(matches!(hand_over(journey), Ok(Outcome::Applied { changes: 2, .. })));
}

fn notes(journey: &Journey) -> String {
    journey.watch.plans.borrow().last().unwrap().notes.join("\n")
}

/// Undoes what the agent would have undone, so that a run has something to do for everybody's safety.
fn weaken(journey: &Journey) {
    journey.inside(
        "rm /etc/profile.d/factoryup.sh; echo 'PermitRootLogin yes' >/etc/ssh/sshd_config.d/00-factoryup.conf; \
         nft add rule inet factoryup input accept",
    );
}

/// All that `weaken` undid is as it should be.
fn assert_hardened(journey: &Journey) {
    assert!(journey.host.rootfs().join("etc/profile.d/factoryup.sh").exists());
    assert!(journey.inside("sshd -T").contains("permitrootlogin no"));
    assert!(!journey.lets_in("root") && journey.lets_in("operator"));
    let table = journey.inside("nft list table inet factoryup");
    assert!(!table.lines().any(|line| line.trim() == "accept"), "{table}");
}

/// A folder that its owner may not write, and a configuration that git does not read.
fn what_cannot_be_made_there_is_left_and_said(journey: &Journey) {
    as_agent(journey, "rm -r .config/factory; chmod 500 .config; echo '[' >.gitconfig");
    weaken(journey);
    let error = hand_over(journey).unwrap_err();
    assert!(error.kind() == Kind::CannotWrite && error.is_partial(), "{error}");
    assert_hardened(journey);
    let said = error.to_string();
    assert!(said.contains("4 changes in the homes of workers could not be made, and all else was:"), "{said}");
    for what in [
        "create folder ~agent/.config/factory",
        "put the agent's GitLab token into ~agent/.config/factory/gitlab-credential",
        "create ~agent/.config/factory/gitconfig",
        "have ~agent/.gitconfig include",
        "Permission denied",
        "bad config",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }
    assert!(error.hints().iter().any(|hint| hint.contains("the worker itself put something in the way")), "{error:?}");
    // On record as failed, and with nothing that a later run would take for its own.
    let journal = journey.read("/var/lib/factoryup/journal.jsonl");
    let of_include = journal.lines().rfind(|line| line.contains("git_include:agent")).unwrap();
    assert!(of_include.contains(r#""event":"failed""#), "{of_include}");
    assert_eq!(journey.inside("ls /var/lib/factoryup/unfinished 2>/dev/null || true"), "");
    assert!(!said.contains("glpat-canary"));

    // A link in place of the folder leads nowhere that the agent could not write itself.
    as_agent(journey, "chmod 700 .config; mv .config .config.mine; ln -s /etc .config");
    weaken(journey);
    assert!(hand_over(journey).unwrap_err().to_string().contains("changes in the homes of workers could not be made"));
    assert_hardened(journey);
    assert_eq!(journey.inside("find /etc -name gitconfig -o -name gitlab-credential"), "");

    as_agent(journey, "rm .config .gitconfig; mv .config.mine .config");
    let outcome = hand_over(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 4, .. })), "{}", journey.explain(&outcome));
}

/// Has the agent do something over and over, for at most two minutes, until `until` is done.
fn meanwhile(journey: &Journey, command: &str, until: impl FnOnce()) {
    let start = format!(
        "cat >loop.sh <<'END'\ntrap '' TERM HUP\nuntil [ -e .go ]; do sleep 0.05; done\ntouch .on\nend=$(($(date +%s) + 120))\n\
         while [ -e .go ] && [ $(date +%s) -lt $end ]; do\n{command}\ndone\ntouch .over\nEND\n\
         setsid sh loop.sh >/dev/null 2>&1 </dev/null &"
    );
    as_agent(journey, &start);
    // Not before the shell that started it has ended: what the agent does may end that too.
    journey.inside("touch /home/agent/.go");
    journey.wait_until("[ -e /home/agent/.on ]");
    until();
    journey.inside("rm /home/agent/.go /home/agent/.on");
    journey.wait_until("rm /home/agent/.over");
}

/// Whatever root starts as the agent's user is the agent's to kill.
fn no_process_of_the_agents_stops_the_rest(journey: &Journey) {
    meanwhile(journey, "kill -s KILL -- -1; sleep 0.01", || {
        // All that is to be made there may be made between two kills, so once is not enough.
        let run = |_| {
            journey.inside("rm -rf /home/agent/.config/factory/* /home/agent/.gitconfig");
            weaken(journey);
            hand_over(journey).err()
        };
        let error = (0..10).find_map(run).unwrap();
        // What was made in a moment of peace may be out of sight when it is looked at again, and a promise cannot be tried.
        let said = match error.kind() {
            Kind::CutShort => "pending changes after apply",
            Kind::Pending => "policy checks failed on ",
            _ => "could not be made, and all else was:",
        };
        assert!(error.to_string().contains(said), "{error}");
        assert_hardened(journey);
    });
    // A git that was killed leaves its lock behind. Only the agent knows whether it is still needed.
    as_agent(journey, "rm -f .gitconfig; touch .gitconfig.lock");
    let error = hand_over(journey).unwrap_err();
    assert_eq!(error.kind(), Kind::CannotWrite, "{error}");
    assert!(error.to_string().contains(".gitconfig.lock is in the way"), "{error}");
    as_agent(journey, "rm .gitconfig.lock");
    assert_goes_through(journey);
}

/// The folder and files that a run writes change places with links to what is root's, thousands of times a second.
fn no_swapped_link_leads_out_of_its_home(journey: &Journey) {
    // renameat2(2) with RENAME_EXCHANGE: at no moment is there none of the two.
    let swap = format!(
        r#"perl -e 'for (1..2000) {{ for my $pair ([".config/factory", ".config/trap"], [".config/factory/gitconfig", ".trap"], [".gitconfig", ".trap2"]) {{ syscall({}, -100, $pair->[0], -100, $pair->[1], 2) == 0 and $swapped++ }} }} open F, ">>swaps"; print F "$swapped
"'"#,
        if cfg!(target_arch = "aarch64") { 276 } else { 316 }
    );
    journey.inside("mkdir /etc/trap; echo 'a secret of root' >/etc/trap/gitconfig; cp /etc/trap/gitconfig /etc/trap/gitlab-credential; chmod -R go= /etc/trap");
    as_agent(
        journey,
        "touch .config/factory/gitconfig .gitconfig; ln -s /etc/trap .config/trap; ln -s /etc/trap/gitconfig .trap; ln -s /etc/trap/gitconfig .trap2",
    );
    let look = "find /etc /root /usr/local /opt /srv ! -name as-agent -type f -exec sha256sum {} + -o -printf '%p %m %u %l\n' | sort; \
                find /etc /root /usr /opt /srv /var/lib /home -path /home/agent -prune -o -user agent -print";
    let before = journey.inside(look);
    meanwhile(journey, &swap, || {
        for round in 0..4 {
            journey.inside("rm /etc/profile.d/factoryup.sh");
            let known = Token::Known(Secret::new(format!("glpat-canary-{round}")));
            let made = HandOver { agent: known, account: Some(7), ..HandOver::default() };
            let outcome = journey.run(journey.target().with_hand_over(made).unwrap());
            // What the agent swaps away after it was written differs again.
            let is_told =
                outcome.as_ref().err().is_none_or(|e| [Kind::CannotWrite, Kind::CutShort].contains(&e.kind()));
            assert!(is_told, "{}", journey.explain(&outcome));
            assert!(journey.host.rootfs().join("etc/profile.d/factoryup.sh").exists());
        }
    });
    let after = journey.inside(look);
    let gone: Vec<_> = before.lines().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!((gone, new), (vec![], vec![]));
    let swaps = journey.inside("awk '{ sum += $1 } END { print sum }' /home/agent/swaps");
    assert!(swaps.parse::<u64>().unwrap() > 10_000, "{swaps} swaps");
    let stray = "grep -rlE 'a secret of root|glpat-canary-[0-9]' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=trap \
                 --exclude-dir=agent --exclude-dir=run 2>/dev/null || true";
    assert_eq!(journey.inside(stray), "");
    assert_eq!(journey.inside("grep -rl 'a secret of root' /home/agent || true"), "");
    journey.inside(
        "rm -r /etc/trap; cd /home/agent && rm -rf .config/trap .config/factory .trap .trap2 .gitconfig swaps loop.sh",
    );
    assert_goes_through(journey);
}

/// A configuration that git does not read, a folder and a pipe in the way, and processes that live on and start others.
fn no_way_back_is_stopped_half_way(journey: &Journey) {
    as_agent(
        journey,
        "echo '[' >>.gitconfig; echo >>.claude.json; cd .config/factory && rm gitconfig && mkdir gitconfig && rm gitlab-credential && mkfifo gitlab-credential",
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
    assert_eq!(
        journey.inside(
            "getent passwd agent deploy factory-build factory-ci; getent group agent; ls /var/lib/systemd/linger"
        ),
        ""
    );
    assert_eq!(journey.inside("find /home/agent/.config/factory ! -type d; ls /etc/factory 2>/dev/null || true"), "");
    assert!(journey.lets_in("root"));
    assert_eq!(journey.inside("nft list tables"), "");
}
