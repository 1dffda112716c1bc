//! Accounts whose sudo asks for a password, and where passwords never show.

use std::collections::VecDeque;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use factoryup::Kind;
use factoryup::factory::Sudo;
use factoryup::host::HostTarget;
use factoryup::plan::{Outcome, Target as _};
use factoryup::secret::Secret;

use crate::journey::{Journey, Observer};
use crate::support::lab::{self, ADMIN_PASSWORD};

const OPERATOR_PASSWORD: &str = "a password that is chosen now";
const WRONG_PASSWORD: &str = "a password that is not right";

#[test]
fn doas_does_where_there_is_no_sudo() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.factory.host.login = "admin".into();
    journey.inside("mv /usr/bin/sudo /usr/bin/sudo.away");
    let plan = |journey: &Journey| journey.target().observe(&journey.watch);
    let refused = plan(&journey).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotPermitted);
    assert!(refused.to_string().ends_with("and there is neither sudo nor doas"), "{refused}");

    journey.inside("(apt-get update && apt-get install -y doas) >/dev/null 2>&1; echo permit root >/etc/doas.conf");
    let refused = plan(&journey).unwrap_err();
    assert!(
        refused.to_string().contains("doas on ") && refused.hints()[0].contains("permit nopass admin"),
        "{refused:?}"
    );
    journey.inside("echo permit nopass admin >/etc/doas.conf");
    assert!(!plan(&journey).unwrap().changes.is_empty());
}

#[test]
fn an_account_with_passworded_sudo_leads_to_an_operator_with_one() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    journey.factory.host.login = "admin".into();
    journey.factory.host.sudo = Sudo::Password;

    nobody_to_ask(&journey);

    // A person mistypes, then gives admin's password, chooses the operator's, mistypes the repetition, and repeats both.
    let typed = [
        WRONG_PASSWORD,
        ADMIN_PASSWORD,
        "short",
        OPERATOR_PASSWORD,
        WRONG_PASSWORD,
        OPERATOR_PASSWORD,
        OPERATOR_PASSWORD,
    ];
    journey.watch = Observer { secrets: VecDeque::from(typed).into(), interactive: true, ..Observer::default() };
    let spy = Spy::start();
    journey.provision();
    let seen = spy.stop();
    assert_eq!(seen, [""; 0]);
    assert!(journey.watch.secrets.borrow().is_empty());

    // The operator's password is the one for sudo now, and a run with it asks for nothing.
    let check = format!("printf '%s\\n' '{OPERATOR_PASSWORD}' | runuser -u operator -- sudo -k -S -p '' id -un 2>&1");
    assert_eq!(journey.inside(&check), "root");
    assert_eq!(
        journey.inside("runuser -u operator -- sudo -k -n true 2>&1 || echo no"),
        "sudo: a password is required\nno"
    );
    journey.connections();
    journey.execs();
    journey.watch = Observer::default();
    let target = HostTarget::new(&journey.factory, journey.reach(), Some(Secret::new(OPERATOR_PASSWORD))).unwrap();
    let outcome = journey.run(target);
    assert_eq!(outcome.as_ref().ok(), Some(&Outcome::AlreadyRight { proofs: 0 }), "{}", journey.explain(&outcome));
    assert_eq!((journey.connections(), journey.execs()), (1, 1));

    nothing_holds_a_password(&journey);

    // The owner changes their mind: the key is enough from now on, and the password stays as it is. Two files of sudo say so.
    journey.factory.host.sudo = Sudo::Key;
    let target = HostTarget::new(&journey.factory, journey.reach(), Some(Secret::new(OPERATOR_PASSWORD))).unwrap();
    let outcome = journey.run(target);
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 2, .. })), "{}", journey.explain(&outcome));
    assert_eq!(journey.inside("runuser -u operator -- sudo -k -n id -un"), "root");
    assert_eq!(journey.inside(&check), "root");
    what_sudo_runs_has_a_terminal_of_its_own(&journey);
}

/// Without a terminal: what is missing is said, nothing is tried blindly, and no line of a program counts as a password.
fn nobody_to_ask(journey: &Journey) {
    let error = journey.run(journey.target()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted);
    assert!(error.hints().iter().any(|hint| hint.contains("FACTORYUP_SUDO_PASSWORD")), "{error:?}");

    let target = HostTarget::new(&journey.factory, journey.reach(), Some(Secret::new(WRONG_PASSWORD))).unwrap();
    let error = journey.run(target).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted);
    assert!(error.to_string().contains("does not take the password of admin"), "{error}");
    // sudo counts one wrong password, not one and two lines of a program.
    let log = journey.inside(
        "journalctl --quiet --output=cat _COMM=sudo | grep -o '[0-9]* incorrect password attempt.*;' | sort -u",
    );
    assert_eq!(log.lines().filter(|line| !line.starts_with('1')).count(), 0, "{log}");
}

/// `sudoers(5)`, `use_pty`: what sudo runs as another user sees a terminal, and not the one that it was started on. That is so without
/// the distribution's own line.
fn what_sudo_runs_has_a_terminal_of_its_own(journey: &Journey) {
    journey.inside("sed -i '/use_pty/d' /etc/sudoers && visudo -cq");
    let listed = journey.inside("sudo -l -U operator");
    assert!(listed.split(['\n', ',']).any(|setting| setting.trim() == "use_pty"), "{listed}");
    let seen = journey.inside("runuser -u operator -- script -qec 'tty; sudo -n -u agent tty' /dev/null </dev/null");
    let terminals: Vec<&str> = seen.split("/dev/pts/").skip(1).filter_map(|rest| rest.lines().next()).collect();
    assert!(terminals.len() == 2 && terminals[0].trim() != terminals[1].trim(), "{seen}");
}

fn nothing_holds_a_password(journey: &Journey) {
    let journal = journey.inside("journalctl --quiet --output=export --all");
    for secret in [ADMIN_PASSWORD, OPERATOR_PASSWORD, WRONG_PASSWORD] {
        assert!(!journal.contains(secret));
        for folder in [&journey.host.rootfs(), journey.state.path()] {
            let mut grep = Command::new("grep");
            // A package's description quotes admin's password.
            grep.args(["-rlF", "--exclude-dir=proc", "--exclude-dir=sys", "--exclude-dir=lists", secret]).arg(folder);
            assert_eq!(String::from_utf8(grep.output().unwrap().stdout).unwrap(), "", "{}", folder.display());
        }
        for plan in journey.watch.plans.borrow().iter() {
            assert!(!serde_json::to_string(plan).unwrap().contains(secret));
        }
    }
}

/// Reads what every process of this machine shows of itself, those of the host included, over and over.
struct Spy {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Spy {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut found = Vec::new();
            while !flag.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
                    for what in ["cmdline", "environ"] {
                        let text = fs::read(process.path().join(what)).unwrap_or_default();
                        let text = String::from_utf8_lossy(&text);
                        if [ADMIN_PASSWORD, OPERATOR_PASSWORD, WRONG_PASSWORD]
                            .iter()
                            .any(|secret| text.contains(secret))
                        {
                            found.push(text.into_owned());
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            found
        });
        Self { stop, thread }
    }

    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
