//! Reads, confirms and applies all targets in order.

use super::{AnyTarget, ORDER, Workspace};
use crate::error::{Error, Kind, Result};
use crate::factory::HostKind;
use crate::gitlab::hand_over;
use crate::interrupt;
use crate::plan::{
    Change, Deed, Event, Journal, Options, Outcome, Plan, SavedPlan, Target, TargetName, carry_out, confirm, prepare,
};

/// What to apply.
#[derive(Debug)]
pub enum What {
    /// All targets that the factory has.
    All,
    /// One target.
    Target(TargetName),
    /// This plan exactly, or nothing.
    Saved(SavedPlan),
}

impl Workspace<'_> {
    /// Makes and observes targets in order, with `look`, and then the host as it will be after the hand-off, whose changes are in the
    /// result as well. A target that cannot be looked at does not keep the others from being looked at.
    ///
    /// # Errors
    /// Of the first target that could not be looked at.
    fn survey(&self, names: &[TargetName], look: &mut Look<'_>) -> Result<Vec<Surveyed<'_>>> {
        let (mut surveyed, mut failure) = (Vec::<Surveyed<'_>>::new(), None::<Error>);
        for &name in names {
            let looked = self.make(name).and_then(|mut made| {
                if let (AnyTarget::Gitlab(gitlab), true) = (&mut made, names.len() > 1) {
                    gitlab.leave_jobs();
                }
                let plan = look(made.target())?;
                if let (AnyTarget::Gitlab(gitlab), Some(plan)) = (&made, &plan)
                    && let Some(Surveyed { made: AnyTarget::Host(host), plan: now, then }) =
                        surveyed.iter_mut().find(|one| matches!(one.made, AnyTarget::Host(_)))
                {
                    let now = now.clone().unwrap_or_else(|| Plan::new(TargetName::Host, host.subject()));
                    *then = Some(host.after(gitlab.coming(plan)?, &now)?).filter(|then| !then.is_empty());
                }
                surveyed.push(Surveyed { made, plan, then: None });
                Ok(())
            });
            let Err(error) = looked else { continue };
            // What ends the process, or cannot be shown, ends the survey as well.
            if names.len() == 1 || matches!(error.kind(), Kind::Interrupted | Kind::CannotWrite) {
                // That was to come at the end.
                if let Some(earlier) = failure {
                    self.watch.warn(&earlier.to_string());
                }
                return Err(error);
            }
            if failure.is_some() {
                self.watch.warn(&format!("cannot read {name}: {error}"));
            } else if Some(&name) != names.last() {
                self.watch.warn(&format!("cannot read {name}; see the error at the end"));
            }
            failure.get_or_insert(error);
        }
        failure.map_or(Ok(surveyed), Err)
    }

    /// Shows what would change with `show`. Returns the plans, in order.
    ///
    /// # Errors
    /// As [`Target::observe`], of the first target that could not be looked at; and what `show` returns.
    pub fn plan(&self, only: Option<TargetName>, show: &mut dyn FnMut(&Plan) -> Result<()>) -> Result<SavedPlan> {
        let surveyed = self.survey(&self.names(only), &mut |target| {
            let plan = self.read(target)?;
            show(&plan)?;
            Ok(Some(plan))
        })?;
        surveyed.iter().filter_map(|one| one.then.as_ref()).try_for_each(show)?;
        let plans = surveyed.into_iter().flat_map(|one| [one.plan, one.then]).flatten();
        Ok(SavedPlan::new(&self.factory.factory.name, plans.collect()))
    }

    /// Applies targets: all of them are looked at first, then one question is asked, then one after the other is changed, verified
    /// and proved. `done` is told of each. If the hand-off made tokens, the host is applied once more.
    ///
    /// A change that fails in the home of a service user does not stop the targets that follow, since the service user itself can
    /// cause it; nor does a download that is not available. The error comes at the end. After an apply of GitLab, the evidence log is
    /// anchored there.
    ///
    /// # Errors
    /// If a target cannot be looked at, with nothing changed; `Interrupted` if the plan is declined; what a target's steps return;
    /// `Pending` if the evidence log does not fit its anchors.
    pub fn apply(
        &self,
        what: &What,
        options: Options,
        done: &mut dyn FnMut(TargetName, &Outcome) -> Result<()>,
    ) -> Result<()> {
        let (names, saved) = match what {
            What::All => (self.names(None), None),
            What::Target(name) => (vec![*name], None),
            What::Saved(saved) => {
                (ORDER.into_iter().filter(|name| saved.targets().contains(name)).collect(), Some(saved))
            }
        };
        let result = self.apply_in_order(&names, saved, options, done);
        self.anchored(&names, result)
    }

    fn apply_in_order(
        &self,
        names: &[TargetName],
        saved: Option<&SavedPlan>,
        options: Options,
        done: &mut dyn FnMut(TargetName, &Outcome) -> Result<()>,
    ) -> Result<()> {
        if names.len() > 1 && names.contains(&TargetName::Gitlab) {
            // Asked for now, and not while something waits for it.
            self.owner_token()?;
        }
        let surveyed = self.survey(names, &mut |target| prepare(target, self.watch, &self.state, options));
        let surveyed = surveyed.inspect_err(|_| self.watch.note("nothing was changed on any target"))?;
        let plans: Vec<&Plan> = surveyed.iter().flat_map(|one| [&one.plan, &one.then]).flatten().collect();
        for then in surveyed.iter().filter_map(|one| one.then.as_ref()) {
            self.watch.event(&Event::Target { name: then.target, subject: &then.subject });
            self.watch.event(&Event::Planned(then));
        }
        if let Some(saved) = saved {
            let journal = Journal::open(&self.state.file("journal.jsonl"))?;
            saved.require_same(&plans, &|plan| journal.began(plan.target, &plan.digest()))?;
        }
        // Who saved the plan has confirmed it.
        if saved.is_none() {
            confirm(&plans, Deed::Apply, self.watch, options)?;
        }
        let now = surveyed.iter().filter_map(|one| Some((one.plan.clone()?, false)));
        let then = surveyed.iter().filter_map(|one| Some((one.then.clone()?, true)));
        let confirmed = now.chain(then).collect();
        let waited = !options.yes || saved.is_some();
        let mut run = Run { confirmed, is_exact: saved.is_some(), waited, changed: false, left: None };
        let several = surveyed.len() > 1;
        let (before, has_host) = (hand_over(&self.factory, &self.state)?, names.contains(&TargetName::Host));
        let mut rest = surveyed.into_iter();
        while let Some(Surveyed { mut made, plan, .. }) = rest.next() {
            interrupt::check()?;
            let target = made.target();
            let Some(plan) = plan else {
                done(target.name(), &Outcome::AlreadyRight { proofs: 0 })?;
                continue;
            };
            if several {
                self.watch.event(&Event::Target { name: target.name(), subject: &target.subject() });
            }
            let outcome = self.bring(target, plan, options, &mut run)?;
            if let (Some((_, left)), true) = (&run.left, rest.len() > 0) {
                // The error at the end has the list, of what is left by then.
                let said = left.to_string();
                let short = said.split_once(":\n").map_or(said.as_str(), |(short, _)| short);
                self.watch.warn(&format!("{short}; continuing with the next target"));
            }
            done(made.name(), &outcome)?;
        }
        let is_new = !hand_over(&self.factory, &self.state)?.is(&before);
        if is_new && has_host {
            // The host is applied again. What GitLab refused stays left.
            let by_gitlab = run.left.take().filter(|(by, _)| *by == TargetName::Gitlab);
            let mut host = self.host()?;
            if let Some(plan) = prepare(&mut host, self.watch, &self.state, options)? {
                let outcome = self.bring(&mut host, plan, options, &mut run)?;
                done(TargetName::Host, &outcome)?;
            }
            run.left = run.left.or(by_gitlab);
        } else if is_new && self.factory.host.kind != HostKind::None {
            self.watch.warn("the host does not have the new tokens yet; copy them: factoryup apply host");
        }
        if let Some((_, left)) = run.left {
            return Err(left);
        }
        if has_host && names.contains(&TargetName::Gitlab) { self.see_online() } else { Ok(()) }
    }

    /// Carries out one plan. After a question or a change on an earlier target, the plan is made again: what is new or different needs
    /// a confirmation too.
    fn bring(&self, target: &mut dyn Target, plan: Plan, options: Options, run: &mut Run) -> Result<Outcome> {
        let now = if run.changed || run.waited { target.observe(self.watch)? } else { plan.clone() };
        // The digest of what was confirmed, wherever that is what is applied.
        let plan = if now.changes == plan.changes { plan } else { now };
        if !plan.changes.iter().all(|change| run.covers(plan.target, change)) {
            if run.is_exact {
                let what = format!("{} needs changes that are not in the saved plan", plan.subject);
                return Err(Error::new(Kind::CutShort, what)
                    .hint(format!("review them with `factoryup plan {}`, then apply them", plan.target)));
            }
            self.watch.event(&Event::Planned(&plan));
            confirm(&[&plan], target.deed(), self.watch, options)?;
        }
        match carry_out(target, &plan, self.watch, &self.state, options) {
            Err(error) if error.is_partial() => {
                run.left = Some((target.name(), error));
                run.changed = true;
                Ok(Outcome::Applied { changes: plan.changes.len(), proofs: 0 })
            }
            outcome => {
                let outcome = outcome?;
                run.changed |= matches!(outcome, Outcome::Applied { .. });
                Ok(outcome)
            }
        }
    }
}

/// A look at one target, which says what differs; nothing if the target is done with.
type Look<'l> = dyn FnMut(&mut dyn Target) -> Result<Option<Plan>> + 'l;

/// A target that was looked at: what differs, and what else will once the hand-off was made.
struct Surveyed<'w> {
    made: AnyTarget<'w>,
    plan: Option<Plan>,
    then: Option<Plan>,
}

/// How far an apply of several targets is.
struct Run {
    /// The plans that were confirmed, and whether each is for after the hand-off.
    confirmed: Vec<(Plan, bool)>,
    /// Whether nothing else may be changed, since they come from a saved plan.
    is_exact: bool,
    /// Whether time passed since the plans were made: for an answer, or in a file.
    waited: bool,
    /// Whether anything was changed.
    changed: bool,
    /// What could not be done in the homes of service users, or for want of another server.
    left: Option<(TargetName, Error)>,
}

impl Run {
    /// Whether this change was confirmed as it is. What an earlier target of the same run makes could not be in the plan yet: the tokens
    /// of the hand-off, and the first commit of a new repo. Such a change has no text in the plan, and its id is enough.
    fn covers(&self, target: TargetName, change: &Change) -> bool {
        self.confirmed.iter().filter(|(plan, _)| plan.target == target).any(|(plan, is_later)| {
            let may_differ = self.changed && (*is_later || change.kind() == "seed");
            let covers = |known: &Change| {
                known == change
                    || may_differ && known.diff.is_none() && known.id == change.id && known.action == change.action
            };
            plan.changes.iter().any(covers)
        })
    }
}
