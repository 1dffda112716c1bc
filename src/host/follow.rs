//! Follows a program that changes things, and passes on to the engine what it says.

use super::event::{Event, Line};
use super::program::Run;
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::plan::{Change, Log, Plan, Undo};

/// What came of a program, beside the changes that were passed on.
pub(super) struct Follow<'a, 'l> {
    plan: &'a Plan,
    log: &'a mut Log<'l>,
    run: &'a Run,
    /// Whether a change that is done takes one back.
    backwards: bool,
    failure: Option<Error>,
    /// What could not be made in a worker's home: the change, and what was said.
    pub(super) left: Vec<String>,
    /// The guarded changes are in place, and the clock is running.
    pub(super) armed: bool,
    /// They were taken back; what the host says about it.
    pub(super) reverted: Option<String>,
    /// It came to its end.
    ended: bool,
}

impl<'a, 'l> Follow<'a, 'l> {
    /// Follows one program that makes changes of `plan`.
    pub(super) fn new(plan: &'a Plan, log: &'a mut Log<'l>, run: &'a Run) -> Self {
        Self {
            plan,
            log,
            run,
            backwards: false,
            failure: None,
            left: Vec::new(),
            armed: false,
            reverted: None,
            ended: false,
        }
    }

    /// The same for a program that takes changes back.
    pub(super) fn backwards(self) -> Self {
        Self { backwards: true, ..self }
    }

    /// Takes one line.
    pub(super) fn take(&mut self, line: &Line) {
        let Line::Event(event) = line else { return };
        if let Err(error) = self.event(event) {
            self.failure.get_or_insert(error);
        }
    }

    fn change(&self, id: &str) -> Result<Change> {
        self.plan.changes.iter().find(|change| change.id == id).cloned().ok_or_else(|| {
            Error::internal(format!("{} reports a change that is not in the plan: {}", self.run.subject, plain(id)))
        })
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started { id } => {
                let change = self.change(id)?;
                self.log.started(&change)?;
            }
            Event::Done { id, undo } => {
                let change = self.change(id)?;
                if self.backwards {
                    return self.log.undone(&change);
                }
                let never = || Undo::Never { reason: "it only finished what was begun".into() };
                self.log.done(&change, undo.clone().unwrap_or_else(never))?;
            }
            Event::Left { id, code: None, log } => {
                let change = self.change(id)?;
                self.log.watch().warn(&format!("could not {}: {}", change.summary, plain(log)));
            }
            Event::Left { id, code: Some(code), log } => {
                let (change, said) = (self.change(id)?, plain(log));
                self.log.failed(&change, &said)?;
                self.left.push(format!("{} (exit code {code}): {}", change.summary, said.trim_end()));
            }
            Event::Failed { id, code, log } => {
                let change = self.change(id)?;
                self.log.failed(&change, &plain(log))?;
                return Err(self.failed(&change, *code, &plain(log)));
            }
            Event::Refused { id, log } => return Err(self.refused(id.as_deref(), &plain(log))),
            Event::Waiting => self.log.watch().busy("another run is still at work on the host; waiting for it to end"),
            Event::Busy => {
                return Err(Error::new(Kind::CutShort, format!("another run still holds {}", self.run.subject)).hint(
                    "wait until it ends, then run this again; as root there, this shows its processes: `find /proc/[0-9]*/fd -lname /var/lib/factoryup/lock 2>/dev/null | cut -d / -f 3 | xargs -r ps -o pid,lstart,args -p`",
                ));
            }
            Event::Armed => self.armed = true,
            Event::Reverted { log } => self.reverted = Some(plain(log)),
            Event::End => self.ended = true,
        }
        Ok(())
    }

    fn failed(&self, change: &Change, code: i32, said: &str) -> Error {
        let subject = &self.run.subject;
        Error::new(Kind::CannotWrite, format!("on {subject}, could not {} (exit code {code}): {said}", change.summary))
            .hint(format!("all that the host said is there in /var/lib/factoryup/log/{}.log", self.run.id))
            .hint("mend the cause, then run the same command again; it goes on with what is left")
    }

    fn refused(&self, id: Option<&str>, said: &str) -> Error {
        let subject = &self.run.subject;
        let Some(id) = id else {
            return Error::new(
                Kind::CannotWrite,
                format!(
                    "{subject} could not make the revert ready, so sshd and the firewall were left as they are: {said}"
                ),
            );
        };
        let what = self.change(id).map(|change| change.summary).unwrap_or_default();
        Error::new(Kind::Data, format!("on {subject}, a check refused to {what}; nothing of it was changed: {said}"))
            .hint("mend what it names on the host, then run the same command again")
    }

    /// How it ended, given how the session saw it end.
    ///
    /// # Errors
    /// The first failure; `CutShort` when the program was cut.
    pub(super) fn outcome(self, result: Result<()>) -> Result<()> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        result?;
        if self.ended {
            return Ok(());
        }
        Err(Error::new(Kind::CutShort, format!("the program on {} ended before it was done", self.run.subject))
            .hint("run the same command again: it resumes where it was cut"))
    }
}
