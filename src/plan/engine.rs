//! The steps of every target: observe → plan → confirm → apply → verify → receipt + evidence → prove.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::change::{Change, Plan, TargetName};
use super::deed::Deed;
use super::evidence::Evidence;
use super::journal::{Journal, Mark};
use super::receipt::Receipt;
use super::state::StateDir;
use crate::dialog::Dialog;
use crate::error::{Error, Kind, Result};
use crate::interrupt;

/// A target with a desired state.
pub trait Target {
    /// Which of the three it is.
    fn name(&self) -> TargetName;

    /// Which target of its kind: a URL or path that the user recognizes.
    fn subject(&self) -> String;

    /// What is done to it.
    fn deed(&self) -> Deed {
        Deed::Apply
    }

    /// Compares the current state with the desired state. Writes nothing.
    ///
    /// # Errors
    /// When the target cannot be reached or read.
    fn observe(&mut self, watch: &dyn Watch) -> Result<Plan>;

    /// Applies a plan from [`observe`](Self::observe) in order, and reports each change to `log` before and after.
    /// A change that was applied already counts as done.
    ///
    /// # Errors
    /// At the first change that fails. Earlier changes stay and are in the receipt.
    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()>;

    /// Runs the policy checks, after the state was verified. The default has none.
    ///
    /// # Errors
    /// If a check cannot run. A failed check is a [`Proof`], not an error.
    fn prove(&mut self, _watch: &dyn Watch) -> Result<Vec<Proof>> {
        Ok(Vec::new())
    }
}

/// One promise, and whether it held when it was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What is promised, such as `the agent cannot push to main`.
    pub claim: String,
    /// Whether it held.
    pub held: bool,
    /// What was tried and what came back.
    pub detail: String,
}

/// An event of a run on a target.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A target is taken up.
    Target {
        /// Which.
        name: TargetName,
        /// Which one.
        subject: &'a str,
    },
    /// The last run on it was cut.
    Resuming {
        /// When that run began.
        at: &'a str,
        /// The id of the change it was at.
        change: Option<&'a str>,
        /// What that change does, in words for people, where the journal has them.
        summary: Option<&'a str>,
    },
    /// It was observed; this is what would change.
    Planned(&'a Plan),
    /// A change begins.
    Started {
        /// Which.
        change: &'a Change,
        /// Its place, from 1.
        index: usize,
        /// How many there are.
        total: usize,
    },
    /// A change that takes long has come so far.
    Progress {
        /// Which.
        change: &'a Change,
        /// What is done now.
        text: &'a str,
        /// The place of that among its steps, from 1.
        done: usize,
        /// How many steps there are.
        total: usize,
    },
    /// A change ended.
    Ended {
        /// Which.
        change: &'a Change,
        /// Why it failed, if it did.
        failure: Option<&'a str>,
        /// How long it took.
        took: Duration,
    },
    /// Observed again: no changes are left.
    Verified,
    /// A promise was tried.
    Proved(&'a Proof),
    /// The target is done with.
    Finished {
        /// How.
        outcome: &'a Outcome,
        /// How long all of it took.
        took: Duration,
    },
}

/// Follows a run and answers its questions.
pub trait Watch: Dialog {
    /// Told at each step.
    fn event(&self, event: &Event<'_>);
}

impl Watch for crate::dialog::Silent {
    fn event(&self, _event: &Event<'_>) {}
}

/// How a run is to behave.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Apply without asking.
    pub yes: bool,
    /// Run the policy checks even if nothing changed and all passed the last time.
    pub prove_again: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// There were no changes.
    AlreadyRight {
        /// Promises that were tried and held.
        proofs: usize,
    },
    /// Changes were applied and verified.
    Applied {
        /// How many.
        changes: usize,
        /// Promises that were tried and held.
        proofs: usize,
    },
}

/// Runs all steps on `target`. See the [module](super) for their order.
///
/// # Errors
/// What the target's steps return; `Interrupted` when the plan is declined; `CutShort` when changes are left after applying;
/// `Pending` when a promise does not hold.
pub fn converge(target: &mut dyn Target, watch: &dyn Watch, state: &StateDir, options: Options) -> Result<Outcome> {
    let Some(plan) = prepare(target, watch, state, options)? else { return Ok(Outcome::AlreadyRight { proofs: 0 }) };
    confirm(&[&plan], target.deed(), watch, options)?;
    carry_out(target, &plan, watch, state, options)
}

/// Observes a target and shows the plan. Changes nothing. `None` if there are no changes and no policy checks to run.
///
/// # Errors
/// As [`Target::observe`]; `CannotWrite` when the journal cannot be written.
pub(crate) fn prepare(
    target: &mut dyn Target,
    watch: &dyn Watch,
    state: &StateDir,
    options: Options,
) -> Result<Option<Plan>> {
    let since = Instant::now();
    let subject = target.subject();
    watch.event(&Event::Target { name: target.name(), subject: &subject });
    let mut journal = Journal::open(&state.file("journal.jsonl"))?;
    let cut = journal.unfinished(target.name())?;
    if let Some(cut) = &cut {
        watch.event(&Event::Resuming { at: &cut.at, change: cut.change.as_deref(), summary: cut.summary.as_deref() });
    }
    let plan = target.observe(watch)?;
    watch.event(&Event::Planned(&plan));
    if !plan.is_empty() || options.prove_again || journal.proof_due(target.name())? {
        return Ok(Some(plan));
    }
    // Where nothing was begun and nothing is done, there is nothing to record.
    if cut.is_some() {
        journal.append(target.name(), Mark::Ended, None, None)?;
    }
    watch.event(&Event::Finished { outcome: &Outcome::AlreadyRight { proofs: 0 }, took: since.elapsed() });
    Ok(None)
}

/// Applies a confirmed plan, verifies it, and runs the target's policy checks.
///
/// # Errors
/// As [`converge`].
pub(crate) fn carry_out(
    target: &mut dyn Target,
    plan: &Plan,
    watch: &dyn Watch,
    state: &StateDir,
    options: Options,
) -> Result<Outcome> {
    let since = Instant::now();
    let mut journal = Journal::open(&state.file("journal.jsonl"))?;
    if !plan.is_empty() {
        match apply(target, plan, watch, &mut journal, state) {
            // What could not be made keeps no promise from being tried. A later run tries them again.
            Err(left) if left.is_partial() => {
                let proved = target.observe(watch).and_then(|_| prove(target, plan, watch, state));
                return Err(match proved {
                    Ok(_) => left,
                    Err(broken) => broken.hint(format!("this was not made either: {left}")),
                });
            }
            made => made?,
        }
    } else if journal.unfinished(target.name())?.is_some() {
        journal.append(target.name(), Mark::Ended, None, None)?;
    }
    let proofs = if !plan.is_empty() || options.prove_again || journal.proof_due(target.name())? {
        let proofs = prove(target, plan, watch, state)?;
        journal.append(target.name(), Mark::Proved, None, None)?;
        proofs
    } else {
        0
    };
    let outcome = match plan.changes.len() {
        0 => Outcome::AlreadyRight { proofs },
        changes => Outcome::Applied { changes, proofs },
    };
    watch.event(&Event::Finished { outcome: &outcome, took: since.elapsed() });
    Ok(outcome)
}

fn apply(
    target: &mut dyn Target,
    plan: &Plan,
    watch: &dyn Watch,
    journal: &mut Journal,
    state: &StateDir,
) -> Result<()> {
    let path = state.file(&format!("receipt-{}.json", target.name()));
    let mut receipt = match Receipt::read(&path)? {
        Some(known) if known.is_about(&plan.subject) => known,
        _ => Receipt::new(target.name(), &plan.subject),
    };
    receipt.generator = env!("CARGO_PKG_VERSION").into();
    receipt.plan = Some(plan.digest());
    journal.append(target.name(), Mark::Begun, None, Some(plan.digest()))?;
    let (run, deed) = (journal.run().to_owned(), target.deed());
    let evidence = |outcome: &str, why: Option<String>| {
        let value = json!({
            "actor": { "kind": "owner", "tool": concat!("factoryup ", env!("CARGO_PKG_VERSION")) },
            "target": plan.target, "run": run, "changes": ids(plan), "outcome": outcome, "why": why,
        });
        Evidence::at(state.file("evidence/log.jsonl")).append(&plan.subject, &plan.digest(), deed.as_str(), value)
    };
    // Log the start now: a killed run cannot, and its program on the host keeps running.
    evidence("begun", None)?;
    let mut log = Log {
        watch,
        journal,
        receipt: &mut receipt,
        receipt_path: &path,
        target: target.name(),
        subject: &plan.subject,
        total: plan.changes.len(),
        index: 0,
        made: 0,
        since: Instant::now(),
    };
    let mut result = target.apply(plan, &mut log);
    if result.is_ok() && interrupt::pending() {
        result = Err(log.interrupted());
    }
    let result = result.and_then(|()| receipt.write(&path));
    if let Err(error) = result {
        let mut record = evidence("failed", Some(error.to_string()));
        if error.kind() != Kind::CutShort || error.is_partial() {
            record = record.and(journal.append(target.name(), Mark::Ended, None, Some(error.to_string())));
        }
        // Return the original error; a failure to log it is only a hint.
        return Err(match record {
            Ok(()) => error,
            Err(unwritten) => error.hint(format!("the failure could not be logged either: {unwritten}")),
        });
    }
    let left = target.observe(watch)?;
    if !left.is_empty() {
        evidence("incomplete", Some(ids(&left).join(", ")))?;
        let what: Vec<_> = left.changes.iter().map(|c| c.summary.as_str()).collect();
        let (subject, count, what) = (&plan.subject, left.changes.len(), what.join("; "));
        let error =
            Error::new(Kind::CutShort, format!("{subject} still has {count} pending changes after apply: {what}"));
        return Err(error.hint(match deed.show(Some(plan.target)) {
            Some(show) => format!("run `{show}` to list them; another program may be changing them back"),
            None => "another program may be changing them back".into(),
        }));
    }
    watch.event(&Event::Verified);
    evidence("applied", None)?;
    journal.append(target.name(), Mark::Ended, None, None)
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.changes.iter().map(|c| c.id.as_str()).collect()
}

fn prove(target: &mut dyn Target, plan: &Plan, watch: &dyn Watch, state: &StateDir) -> Result<usize> {
    let proofs = target.prove(watch)?;
    for proof in &proofs {
        watch.event(&Event::Proved(proof));
    }
    if proofs.is_empty() {
        return Ok(0);
    }
    let value = json!({ "target": target.name(), "proofs": proofs });
    Evidence::at(state.file("evidence/log.jsonl")).append(&plan.subject, &plan.digest(), "proof", value)?;
    let broken: Vec<_> = proofs.iter().filter(|p| !p.held).map(|p| p.claim.as_str()).collect();
    if broken.is_empty() {
        return Ok(proofs.len());
    }
    Err(Error::new(
        Kind::Pending,
        format!("{} of {} policy checks failed on {}: {}", broken.len(), proofs.len(), plan.subject, broken.join("; ")),
    )
    .hint("do not let the agent work on this factory until they pass"))
}

mod confirm;
mod log;
pub(crate) use confirm::confirm;
pub use log::Log;
#[cfg(test)]
mod tests;
