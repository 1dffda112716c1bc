//! Changes to sshd and the firewall, which could shut everybody out.
//!
//! They are made last, as one group: staged and checked on the host, put in place under a timer that takes them back by itself,
//! and confirmed only by a *new* login (a new connection, a new authentication) that becomes root under the new rules. Whoever
//! loses the connection, the power or the key on the way finds the host as it was.
//!
//! ```text
//! log in as operator, become root     or stop: nothing was changed
//! stage, check, arm, install, reload  or stop: nothing was changed, or it was taken back
//! log in anew, become root, confirm   or it is taken back: now where a session is left, else by the timer
//! ```

use std::time::{Duration, Instant};

use super::follow::Follow;
use super::profile::lasting_host_key;
use super::program::guard::{Staged, confirm, confirm_back, guard, hello, take_back};
use super::program::{Run, stop};
use super::root::Root;
use super::target::{HostTarget, Reach};
use crate::dialog::{Dialog, Silent};
use crate::error::{Error, Kind, Result};
use crate::factory::Sudo;
use crate::interrupt::Work;
use crate::plan::{Log, Plan};
use crate::transport::Who;

/// The part of that time in which logins are tried: what is left is for the confirmation to arrive.
const TRY_FOR: f32 = 0.8;
/// Between two tries to log in: a reload closes sshd's port for a moment.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after the timer the host may take to be back.
const GRACE: Duration = Duration::from_secs(30);

impl HostTarget<'_> {
    /// Whether guarded changes can be made here at all. Asked before anything is changed.
    pub(super) fn can_guard(&self, dialog: &dyn Dialog) -> Result<()> {
        if matches!(self.reach, Reach::Here(_)) && !dialog.is_interactive() {
            return Err(Error::usage(
                "changes to sshd and the firewall of this machine need somebody who logs in from elsewhere to confirm them, and there is no terminal",
            )
            .hint("run this in a terminal, or from another machine with `kind = \"ssh\"` under [host]"));
        }
        Ok(())
    }

    /// Makes the guarded changes. They are the `first` of the run where no others come before them.
    pub(super) fn make_guarded(
        &mut self,
        run: &Run,
        plan: &Plan,
        staged: &[Staged],
        first: bool,
        log: &mut Log<'_>,
    ) -> Result<()> {
        let programs = [guard(run, staged, self.revert_after, true, first), confirm(run, staged)];
        let failed = self.under_guard(run, plan, &programs, log);
        if let Err((error, true)) = &failed {
            for change in staged {
                if let Some(change) = plan.changes.iter().find(|c| c.id == change.step.id()) {
                    log.failed(change, &error.to_string())?;
                }
            }
        }
        failed.map_err(|(error, _)| error)
    }

    /// Puts back, under the same guard, what guarded changes there were. What is left to do then, such as the receipt, is for the
    /// program that undoes the rest.
    pub(super) fn put_back_guarded(
        &mut self,
        run: &Run,
        plan: &Plan,
        staged: &[Staged],
        log: &mut Log<'_>,
    ) -> Result<()> {
        let programs = [guard(run, staged, self.revert_after, false, false), confirm_back(run)];
        self.under_guard(run, plan, &programs, log).map_err(|(error, _)| error)
    }

    /// Runs the first program, which changes something under the timer, and the second over a new login, which makes it stay. With
    /// an error comes whether the change had been made.
    fn under_guard(
        &mut self,
        run: &Run,
        plan: &Plan,
        [change, confirm]: &[String; 2],
        log: &mut Log<'_>,
    ) -> std::result::Result<(), (Error, bool)> {
        let not_made = |error| (error, false);
        self.prove_login(log.watch()).map_err(not_made)?;
        let work = Work::begin(&self.subject, &run.log()).map_err(|_| not_made(log.interrupted()))?;
        let since = Instant::now();
        let mut follow = Follow::new(plan, log, run, &work).reverting_within(self.revert_after);
        let stop = stop(run);
        let root = self.root(&Silent).map_err(not_made)?;
        let result = root.run_until(change, Some((&stop, &work)), &Silent, &mut |line| follow.take(&line));
        let (armed, reverted) = (follow.armed, follow.reverted.take());
        if let Some(why) = reverted {
            return Err(not_made(self.was_reverted("the host could not put them in place", Some(why))));
        }
        let outcome = follow.outcome(result);
        let cut = outcome.as_ref().is_err_and(|error| error.kind() == Kind::CutShort);
        if !armed && !cut {
            return outcome.map_err(not_made);
        }
        self.confirm_by_login(run, plan, confirm, log, since, &work)
            .map_err(|reason| (self.see_to_revert(run, &reason, since, log.watch()), true))
    }

    /// Who has to get in anew: the operator, unless somebody else was said.
    fn confirmer(&self) -> String {
        self.confirm_as.clone().unwrap_or_else(|| self.factory.host.operator.clone())
    }

    /// That the operator gets in and becomes root *before* the other ways are closed.
    pub(super) fn prove_login(&mut self, dialog: &dyn Dialog) -> Result<()> {
        let operator = self.confirmer();
        let root = self.root(dialog)?;
        if root.user() == operator {
            let password = root.password().cloned();
            self.operator_password = self.operator_password.take().or(password);
            return Ok(());
        }
        if let Reach::Here(_) = &self.reach {
            return Ok(());
        }
        dialog.busy(&format!("logging in as {operator}, before other logins are closed"));
        let attempt = self.dial_operator().and_then(|mut root| {
            root.run(&hello(), dialog, &mut |_| ())?;
            Ok(root)
        });
        let error = match attempt {
            Ok(root) => {
                self.operator_password = root.password().cloned();
                // An earlier operator lost sudo in this run.
                if self.root.as_ref().is_some_and(|before| before.user() != "root") {
                    self.root = Some(root);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let message = format!(
            "{operator} cannot log in to {} and become root yet, so sshd and the firewall were left as they are: {error}",
            self.subject
        );
        Err(error.hints().iter().fold(Error::new(Kind::NotPermitted, message), |to, hint| to.hint(hint.clone())))
    }

    /// A new login that confirms.
    fn confirm_by_login(
        &mut self,
        run: &Run,
        plan: &Plan,
        program: &str,
        log: &mut Log<'_>,
        since: Instant,
        work: &Work,
    ) -> Result<()> {
        let operator = self.confirmer();
        let window = Duration::from_secs(self.revert_after.into()).mul_f32(TRY_FOR);
        if let Reach::Here(_) = &self.reach {
            let question = format!(
                "sshd and the firewall have changed. Open a second terminal, log in from elsewhere as {operator} and run `sudo true`. Did that work? Without a yes within {} s all of it is taken back.",
                self.revert_after
            );
            if !log.watch().confirm(&question, false)? {
                return Err(Error::new(Kind::Interrupted, "the second login was not confirmed"));
            }
            let mut follow = Follow::new(plan, log, run, work);
            let result = self.root(&Silent)?.run(program, &Silent, &mut |line| follow.take(&line));
            return confirmed(follow, result);
        }
        loop {
            log.watch().busy(&format!("testing a new login as {operator}"));
            let error = match self.dial_operator() {
                Ok(mut root) => {
                    let mut follow = Follow::new(plan, log, run, work);
                    let result = root.run(program, &Silent, &mut |line| follow.take(&line));
                    confirmed(follow, result)?;
                    // The user of the other session may be locked out now, and not every session is one connection.
                    self.root = Some(root);
                    return Ok(());
                }
                Err(error) => error,
            };
            // A refused login stays refused; a closed port may be a reload.
            if error.kind() != Kind::Unreachable || since.elapsed() + PAUSE > window {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn dial_operator(&self) -> Result<Root> {
        let Reach::Remote(dial) = &self.reach else { return Err(Error::internal("no way to log in anew")) };
        let mut transport = dial(&Who::Only(&self.confirmer()))?;
        // The key that the host was known by so far may be gone under the new rules.
        if let Some(key) = lasting_host_key(&self.seen) {
            transport.vouch(&key)?;
        }
        let session = transport.connect()?;
        let password = self.operator_password.clone().or_else(|| self.password.clone());
        let host = &self.factory.host;
        let asks = host.sudo == Sudo::Password && session.user() == host.operator;
        Ok(Root::new(session, &self.subject, password).asking(asks))
    }

    /// Has the changes taken back where a session is left, else waits for the timer; then says what the host says.
    fn see_to_revert(&mut self, run: &Run, reason: &Error, since: Instant, dialog: &dyn Dialog) -> Error {
        let what = format!("nobody could log in under them: {reason}");
        let program = take_back(run);
        let ask = |root: &mut Root| {
            let mut said = None;
            root.run(&program, &Silent, &mut |line| {
                if let super::event::Line::Event(super::event::Event::Reverted { log }) = line {
                    said = Some(crate::dialog::plain(&log));
                }
            })
            .map(|()| said)
        };
        if let Some(Ok(Some(said))) = self.root.as_mut().map(ask) {
            return self.was_reverted(&what, Some(said));
        }
        self.root = None;
        let deadline = Duration::from_secs(self.revert_after.into());
        let left = deadline.saturating_sub(since.elapsed()) + PAUSE;
        dialog.busy(&format!(
            "no new login works ({reason}); waiting {} s for the host to revert sshd and the firewall by itself",
            left.as_secs()
        ));
        std::thread::sleep(left);
        loop {
            match self.root(&Silent).and_then(ask) {
                Ok(Some(said)) => return self.was_reverted(&what, Some(said)),
                Ok(None) => {
                    return Error::new(
                        Kind::CutShort,
                        format!("the connection to {} was lost while its changes were confirmed", self.subject),
                    )
                    .hint("run the same command again: it looks what is left to do");
                }
                Err(error) if since.elapsed() > deadline + GRACE => {
                    return Error::new(
                        Kind::Unreachable,
                        format!("{} cannot be reached after a change to sshd and the firewall: {error}", self.subject),
                    )
                    .hint(format!(
                        "the host takes the change back by itself {} s after it was made; try again",
                        self.revert_after
                    ))
                    .hint("from the provider's console: sh /var/lib/factoryup/guard/revert.sh");
                }
                Err(_) => {
                    self.root = None;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn was_reverted(&self, why: &str, said: Option<String>) -> Error {
        let error = Error::new(
            Kind::Reverted,
            format!("the changes to sshd and the firewall of {} were taken back: {why}", self.subject),
        )
        .hint("the host is as it was before them; changes made before them stay");
        match said.filter(|said| !said.trim().is_empty()) {
            Some(said) => error.hint(format!("what the host says:\n{said}")),
            None => error,
        }
    }
}

/// Whether the confirmation was in time.
fn confirmed(mut follow: Follow<'_, '_>, result: Result<()>) -> Result<()> {
    if follow.reverted.take().is_some() {
        return Err(Error::new(Kind::Reverted, "the new login came too late"));
    }
    follow.outcome(result)
}
