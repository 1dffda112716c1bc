//! The proof: what the host promises is tried on it, and must hold.
//!
//! The probe compares the host with what factoryup wrote. Another rule can undo that: a `Match` block, an option on sshd's command
//! line, a line in `sudoers`. So each promise is tried:
//!
//! - as root from outside, over a new connection, with every key at hand;
//! - on the host, in one program: what each running sshd offers to each identity, its rules for each `Match` block, what sudo allows,
//!   the firewall that the kernel has, and what the agent, a build and trusted CI can read and reach, as them.
//!
//! A promise that cannot be tried fails as "cannot tell". The proof changes nothing on the host.

mod agent;
mod firewall;
mod sshd;
mod sudo;

use std::collections::BTreeMap;

use super::accounts::WORKERS;
use super::event::Line;
use super::program::{Word, prove};
use super::target::{HostTarget, Reach};
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::factory::Sudo;
use crate::plan::{Proof, Watch};
use crate::transport::{Attempt, Who};

const LIBRARY: &str = include_str!("proof.sh");

/// The longest answers that are taken, in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// What the host said, by section.
#[derive(Debug, Default)]
struct Said(BTreeMap<String, Vec<String>>);

impl Said {
    fn of(&self, section: &str) -> &[String] {
        self.0.get(section).map_or(&[], Vec::as_slice)
    }
}

/// The promises about sudo that do not hold, from what a probe heard.
pub(super) fn of_sudo(
    heard: &BTreeMap<String, Vec<String>>,
    operator: &str,
    sudo: Sudo,
    workers: &[&str],
) -> Vec<Proof> {
    let mut broken = sudo::judge(&sudo::said(heard), operator, sudo, workers);
    broken.retain(|proof| !proof.held && !proof.detail.starts_with("cannot tell"));
    broken
}

/// Rules that would give these users sudo, were it not for factoryup's own, in words.
pub(super) fn without_effect(heard: &BTreeMap<String, Vec<String>>, workers: &[&str]) -> Vec<String> {
    sudo::without_effect(&sudo::said(heard), workers)
}

/// A promise about the host.
fn proof(claim: impl Into<String>, held: bool, detail: impl AsRef<str>) -> Proof {
    Proof { claim: claim.into(), held, detail: plain(detail.as_ref()).replace('\n', " ") }
}

/// A promise that could not be tried.
fn cannot_tell(claim: impl Into<String>, why: impl AsRef<str>) -> Proof {
    proof(claim, false, format!("cannot tell: {}", why.as_ref()))
}

impl HostTarget<'_> {
    /// Tries every promise.
    pub(super) fn try_all(&mut self, watch: &dyn Watch) -> Result<Vec<Proof>> {
        watch.busy("testing what the host must refuse");
        let workers = self.workers();
        let operator = self.factory.host.operator.clone();
        let views = agent::Views::of(&self.factory, &self.seen, &workers);
        let said = self.ask_all(watch)?;
        let mut proofs = Vec::new();
        proofs.extend(self.root_is_refused());
        let known: Vec<&str> = ["root", &operator].into_iter().chain(workers.iter().copied()).collect();
        proofs.extend(sshd::judge(&said, &known, matches!(self.reach, Reach::Here(_))));
        proofs.extend(sudo::judge(&said, &operator, self.factory.host.sudo, &workers));
        proofs.push(firewall::judge(&said, self.factory.host.forward || self.seen.facts.contains_key("docker")));
        let (tried, notes) = views.judge(&said);
        proofs.extend(tried);
        watch.busy("");
        for note in notes {
            watch.warn(&note);
        }
        Ok(proofs)
    }

    /// The service users that the host has.
    fn workers(&self) -> Vec<&'static str> {
        WORKERS.into_iter().filter(|user| self.seen.accounts.contains_key(*user)).collect()
    }

    /// The program that tries all promises that root on the host can try.
    pub(super) fn proof_program(&self) -> String {
        let workers = self.workers();
        let operator = self.factory.host.operator.as_str();
        let users: Vec<&str> = [operator].into_iter().chain(workers.iter().copied()).collect();
        let views = agent::Views::of(&self.factory, &self.seen, &workers);
        prove(LIBRARY, &users, &calls(&users, &views))
    }

    fn ask_all(&mut self, watch: &dyn Watch) -> Result<Said> {
        let program = self.proof_program();
        let (mut said, mut size) = (Said::default(), 0);
        self.root(watch)?.run(&program, watch, &mut |line| {
            let Line::Seen { section, line } = line else { return };
            size += line.len();
            if size <= LONGEST {
                said.0.entry(section).or_default().push(line);
            }
        })?;
        if said.of("end").is_empty() {
            return Err(Error::internal(format!("the policy checks on {} did not finish", self.subject)));
        }
        Ok(said)
    }

    /// A login as root over a new connection; none on this very machine, which nobody logs in to.
    fn root_is_refused(&self) -> Option<Proof> {
        let Reach::Remote(dial) = &self.reach else { return None };
        let claim = "root cannot log in";
        let attempt = dial(&Who::Only("root")).and_then(|mut transport| transport.attempt());
        Some(match attempt {
            Ok(Attempt::LoggedIn) => proof(claim, false, "a new connection logged in as root with one of your keys"),
            Ok(Attempt::Refused { offered, tried }) if offered == "nothing" => {
                cannot_tell(claim, format!("the host closed the connection: {}", tried.join("; ")))
            }
            Ok(Attempt::Refused { offered, tried }) => {
                let only_keys = offered.trim() == "publickey";
                let keys = if tried.is_empty() { "no key".into() } else { tried.join("; ") };
                proof(claim, only_keys, format!("refused; the host offers {offered}; tried: {keys}"))
            }
            Err(error) if error.kind() == Kind::Interrupted => cannot_tell(claim, "interrupted"),
            Err(error) => cannot_tell(claim, error.to_string()),
        })
    }
}

/// The shell that asks all of it.
fn calls(users: &[&str], views: &agent::Views) -> String {
    let words = |list: &[&str]| list.iter().fold(String::new(), |line, user| line + " " + Word::text(user).as_str());
    let all = words(&[&["root"], users].concat());
    let mut shell = format!("connection\nsection rules\ntry_rules{all}\nsection methods\ntry_methods{all}\n");
    shell.push_str(&format!("sudo_rights{}\ntry_firewall\nsection gateway\ngateway\n", words(users)));
    shell + &views.calls()
}
