//! Follows a program that changes things, and passes on to the engine what it says.

use super::apt::{self, Apt, Said};
use super::event::{Event, Line};
use super::program::Run;
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::interrupt::Work;
use crate::plan::{Change, Log, Plan, Undo};

/// How a program ended by itself.
enum End {
    /// All of it was done.
    Whole,
    /// It stopped between two changes, as it was asked to.
    Stopped,
}

/// A change that could not be made, and did not keep the rest from being made.
pub(super) struct Skipped {
    sort: Sort,
    need: Need,
    said: String,
}

/// Why it could not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Something is in the way in a worker's home.
    InHome,
    /// What it needs from another server is not available now.
    Deferred,
    /// What came from there is not what it must be.
    Refused,
    /// It failed on the host.
    Failed,
}

/// What it needs from another server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// GitLab Runner, or GitLab's word on its token.
    Runner,
    /// A clone of a repo in GitLab.
    Clone,
    /// A download that `toolchain.lock` names.
    Tool,
    /// Nothing.
    Nothing,
}

impl Need {
    fn of(change: &Change) -> Self {
        match change.kind() {
            "clone" => Self::Clone,
            "download" | "tool" => Self::Tool,
            kind if kind.starts_with("runner_") => Self::Runner,
            _ => Self::Nothing,
        }
    }
}

impl Skipped {
    fn new(change: &Change, code: i32, said: &str) -> Self {
        let need = Need::of(change);
        let sort = match (need, code) {
            (Need::Nothing, _) => Sort::InHome,
            (_, 69) => Sort::Deferred,
            (Need::Runner | Need::Tool, 65) => Sort::Refused,
            (Need::Runner, _) => Sort::Failed,
            (Need::Clone | Need::Tool, _) => Sort::InHome,
        };
        // factory-runner says last why it gave up; what it calls says much more.
        let why = match sort {
            Sort::InHome => said.trim_end(),
            _ => said.trim_end().lines().last().unwrap_or_default().trim_start_matches("factory-runner: "),
        };
        Self { sort, need, said: format!("{} (exit code {code}): {why}", change.summary) }
    }

    /// The error of a run that made all changes except these.
    pub(super) fn error(run: &Run, skipped: &[Self]) -> Error {
        let count = |sort| skipped.iter().filter(|one| one.sort == sort).count();
        let words = |sort, one: &str, many: &str| match count(sort) {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        };
        let parts: Vec<_> = [
            words(Sort::Refused, "download was refused", "downloads were refused"),
            words(Sort::Failed, "change failed", "changes failed"),
            words(Sort::Deferred, "change was deferred", "changes were deferred"),
            words(
                Sort::InHome,
                "change in the home of a worker could not be made",
                "changes in the homes of workers could not be made",
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        let made = if count(Sort::InHome) == skipped.len() { "" } else { " made" };
        let all: Vec<_> = skipped.iter().map(|one| one.said.as_str()).collect();
        // The list is on lines of its own: what goes on to the next target warns without it, and the error at the end has it.
        let message =
            format!("on {}, {}, and all else was{made}:\n- {}", run.subject, parts.join(", "), all.join("\n- "));
        // Only what is deferred is finished by the same command alone.
        let kind = if count(Sort::Deferred) == skipped.len() { Kind::CutShort } else { Kind::CannotWrite };
        let mut error = Error::new(kind, message)
            .partial()
            .hint(format!("everything that the host said is in {} there", run.log()));
        if count(Sort::InHome) > 0 {
            error = error.hint("if nobody else did, the worker itself put something in the way: look at what it names, mend it, then run the same command again");
        }
        let has = |sort, need| skipped.iter().any(|one| one.sort == sort && one.need == need);
        if has(Sort::Deferred, Need::Runner) {
            error = error.hint("let the host reach the address that the message names, or write the address of a mirror of packages.gitlab.com to /etc/factory/runner-mirror there");
        }
        if has(Sort::Deferred, Need::Clone) {
            error = error.hint("make sure that GitLab answers on the host and accepts the agent's token; a repo that takes longer than 10 minutes is cloned by hand there: sudo -iu agent git clone URL work/PROJECT");
        }
        if has(Sort::Deferred, Need::Tool) && !has(Sort::Deferred, Need::Clone) {
            error = error.hint("if the host cannot download: run `scripts/tools download TOOL PLATFORM FOLDER` in your own clone on another machine, then copy TOOL to /usr/local/bin and TOOL.lock to /usr/local/lib/toolchain on the host");
        }
        if count(Sort::Deferred) > 0 {
            error = error
                .hint("if the host needs a proxy, name it in /etc/environment there, as https_proxy=http://HOST:PORT");
            error = error.hint("then run the same command again: it makes the changes that are left");
        }
        if has(Sort::Refused, Need::Tool) {
            error = error.hint("a download is not the file that toolchain.lock names: do not install it; if its maker replaced it, change the checksum by merge request, then run the same command again");
        }
        if has(Sort::Refused, Need::Runner) {
            error = error.hint("if the key is not the one that GitLab publishes, do not install from that address: https://docs.gitlab.com/omnibus/update/package_signatures/");
        }
        error
    }
}

/// What came of a program, beside the changes that were passed on.
pub(super) struct Follow<'a, 'l> {
    plan: &'a Plan,
    log: &'a mut Log<'l>,
    run: &'a Run,
    work: &'a Work,
    /// Whether a change that is done takes one back.
    backwards: bool,
    failure: Option<Error>,
    /// The change that is being made, and how far apt has come with it.
    current: Option<(Change, Apt)>,
    /// What could not be made, while the rest was.
    pub(super) left: Vec<Skipped>,
    /// The guarded changes are in place, and the clock is running.
    pub(super) armed: bool,
    /// Seconds from then until they are taken back.
    reverts_within: Option<u32>,
    /// They were taken back; what the host says about it.
    pub(super) reverted: Option<String>,
    end: Option<End>,
}

impl<'a, 'l> Follow<'a, 'l> {
    /// Follows one program that makes changes of `plan`.
    pub(super) fn new(plan: &'a Plan, log: &'a mut Log<'l>, run: &'a Run, work: &'a Work) -> Self {
        Self {
            plan,
            log,
            run,
            work,
            backwards: false,
            failure: None,
            current: None,
            left: Vec::new(),
            armed: false,
            reverts_within: None,
            reverted: None,
            end: None,
        }
    }

    /// The same for a program that takes changes back.
    pub(super) fn backwards(self) -> Self {
        Self { backwards: true, ..self }
    }

    /// The same for a program that arms a revert after so many seconds.
    pub(super) fn reverting_within(self, seconds: u32) -> Self {
        Self { reverts_within: Some(seconds), ..self }
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
            Event::Done { .. } | Event::Left { code: Some(_), .. } | Event::Failed { .. } | Event::Stopped { .. } => {
                self.current = None;
                self.work.is_at(None);
            }
            _ => {}
        }
        match event {
            Event::Started { id } => {
                let change = self.change(id)?;
                self.log.started(&change)?;
                // From here on a guarded program stops nowhere before the clock runs.
                self.reverts_within.into_iter().for_each(|seconds| self.work.reverts_within(seconds));
                self.work.is_at(Some(&plain(&change.summary)));
                if Need::of(&change) != Need::Nothing {
                    self.busy(&format!("{}; this can take up to 10 minutes", plain(&change.summary)));
                }
                self.current = Some((change, Apt::default()));
            }
            Event::Apt { line } => self.apt(line),
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
                self.left.push(Skipped::new(&change, *code, &said));
            }
            Event::Failed { id, code, log } => {
                let change = self.change(id)?;
                let error = self.failed(&change, *code, &plain(log));
                self.log.failed(&change, &error.to_string())?;
                return Err(error);
            }
            Event::Refused { id, log } => return Err(self.refused(id.as_deref(), &plain(log))),
            Event::Waiting { seconds } => self.busy(&format!(
                "another run is still at work on the host; waiting up to {seconds} s for it to end"
            )),
            Event::CloudInit { seconds } => {
                self.busy(&format!("cloud-init is still at work on the host; waiting up to {seconds} s for it to end"));
            }
            Event::NoCloudInit { seconds } => self.log.watch().warn(&format!(
                "cloud-init on the host did not end within {seconds} s; going on without it (`cloud-init status --long` there shows why)"
            )),
            Event::Stopped { id } => {
                self.end = Some(End::Stopped);
                if let Some(id) = id {
                    let change = self.change(id)?;
                    self.log.failed(&change, "stopped before it changed anything")?;
                }
            }
            Event::Busy => {
                return Err(Error::new(Kind::CutShort, format!("another run still holds {}", self.run.subject)).hint(
                    "wait until it ends, then run this again; as root there, this shows its processes: `find /proc/[0-9]*/fd -lname /var/lib/factoryup/lock 2>/dev/null | cut -d / -f 3 | xargs -r ps -o pid,lstart,args -p`",
                ));
            }
            Event::Armed => {
                self.armed = true;
                self.reverts_within.into_iter().for_each(|seconds| self.work.reverts_within(seconds));
            }
            Event::Reverted { log } => self.reverted = Some(plain(log)),
            Event::End => self.end = Some(End::Whole),
        }
        Ok(())
    }

    fn busy(&self, text: &str) {
        self.log.watch().busy(text);
    }

    /// What apt says of its progress; of a change that has ended, it is too late.
    fn apt(&mut self, line: &str) {
        let Some((change, apt)) = &mut self.current else { return };
        match apt.take(line) {
            Some(Said::Busy(text)) => self.log.watch().busy(&text),
            Some(Said::Step { text, done, total }) => {
                self.log.watch().event(&crate::plan::Event::Progress { change, text: &text, done, total });
            }
            None => {}
        }
    }

    fn failed(&self, change: &Change, code: i32, said: &str) -> Error {
        let what = format!("on {}, could not {}", self.run.subject, change.summary);
        let log = format!("everything that the host said is in {} there", self.run.log());
        match apt::fault(said).filter(|_| change.kind() == "package") {
            Some(fault) => Error::new(Kind::CannotWrite, format!("{what}: {}", fault.reason))
                .hint(fault.remedy)
                .hint("then run the same command again: it makes the changes that are left")
                .hint(log),
            None => Error::new(Kind::CannotWrite, format!("{what} (exit code {code}): {}", said.trim_end()))
                .hint(log)
                .hint("fix the cause, then run the same command again: it makes the changes that are left"),
        }
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
        match self.end {
            Some(End::Stopped) => return Err(self.log.interrupted()),
            Some(End::Whole) => return result,
            None => result?,
        }
        Err(Error::new(Kind::CutShort, format!("the program on {} ended before it was done", self.run.subject))
            .hint("run the same command again: it resumes where it was cut"))
    }
}
