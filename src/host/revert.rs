//! The way back: a target whose desired state is the host as it was before factoryup.
//!
//! What to undo is in the host's own receipt, so it works from any machine that can log in. It goes backwards, and backs up what
//! it replaces or removes. A file that somebody edited since stays as it is. Packages and home folders stay, and so does the
//! account that this is done as.
//!
//! Before anything else the workers are taken out of action, so that none can stop it half-way, and secrets go. Then come sshd and
//! the firewall, under the same [guard](super::guard) as on the way there: what they were before stays only if a new login gets in
//! under it. All else follows, the accounts too, which the firewall's rules name. What a worker has put in the way in its home
//! stays, with a warning.

use std::collections::BTreeSet;
use std::time::Instant;

use super::accounts::{AGENT, LOGIN_GROUP, WORKERS};
use super::event::Line;
use super::follow::Follow;
use super::observed::Observed;
use super::profile::SUDOERS;
use super::program::{HostPath, Run, receipt, stop, undo};
use super::receipt::entries;
use super::resources::{Back, ways_back};
use super::target::{HostTarget, Reach};
use crate::dialog::{Dialog, Silent};
use crate::error::Result;
use crate::factory::Factory;
use crate::interrupt::Work;
use crate::plan::{Action, Deed, Entry, Log, Plan, Target, TargetName, Undo, Watch};
use crate::secret::Secret;

/// A host on its way back.
pub struct RevertTarget<'d> {
    host: HostTarget<'d>,
    entries: Vec<Entry>,
    /// Those of the changes in the plan.
    ways_back: Vec<Back>,
    /// Paths of files that are not any more what factoryup wrote.
    edited: BTreeSet<String>,
    /// The accounts that paths depend on.
    seen: Observed,
}

impl<'d> RevertTarget<'d> {
    /// The host of this factory, as for [`HostTarget::new`]. It is logged in to as the user that the provider gave, if that one
    /// is let in, and else as the operator.
    ///
    /// # Errors
    /// `Data` when the factory has no host.
    pub fn new(factory: &Factory, reach: Reach<'d>, password: Option<Secret>) -> Result<Self> {
        let mut host = HostTarget::new(factory, reach, password)?;
        host.provider_first = true;
        Ok(Self {
            host,
            entries: Vec::new(),
            ways_back: Vec::new(),
            edited: BTreeSet::new(),
            seen: Observed::default(),
        })
    }

    /// Has the state before sshd and the firewall were changed be taken back after so many seconds, if nobody gets in under it.
    #[must_use]
    pub fn with_revert_after(mut self, seconds: u32) -> Self {
        self.host.revert_after = seconds;
        self
    }

    fn read(&mut self, dialog: &dyn Dialog) -> Result<()> {
        let operator = self.host.factory.host.operator.clone();
        let program = receipt(&[&WORKERS[..], &[&operator]].concat());
        let since = Instant::now();
        let (mut text, mut runners);
        // What a run that is still at work has not written yet could not be undone.
        loop {
            (text, runners) = (String::new(), Vec::new());
            let (mut edited, mut seen) = (BTreeSet::new(), Observed::default());
            self.host.root(dialog)?.run(&program, dialog, &mut |line| {
                let Line::Seen { section, line } = line else { return };
                match section.as_str() {
                    "receipt" => {
                        text.push_str(&line);
                        text.push('\n');
                    }
                    "edited" => drop(edited.insert(line)),
                    "runner" => runners.push(line),
                    section => seen.take(section, &line),
                }
            })?;
            let waited = self.host.waited(&seen, since, dialog)?;
            (self.edited, self.seen) = (edited, seen);
            if !waited {
                break;
            }
        }
        if !text.is_empty() {
            self.entries = entries(&text, &self.host.subject)?;
        }
        add_runners(&mut self.entries, &runners);
        Ok(())
    }

    /// Runs a program that undoes changes.
    fn run(&mut self, program: &str, plan: &Plan, run: &Run, log: &mut Log<'_>) -> Result<()> {
        let work = Work::begin(&run.subject, &run.log()).map_err(|_| log.interrupted())?;
        let mut follow = Follow::new(plan, log, run, &work).backwards();
        let stop = stop(run);
        let root = self.host.root(&Silent)?;
        let result = root.run_until(program, Some((&stop, &work)), &Silent, &mut |line| follow.take(&line));
        follow.outcome(result)
    }

    /// The first file that it is about and that somebody edited.
    fn edited(&self, back: &Back) -> Option<String> {
        back.files.iter().filter_map(|path| path.on(&self.seen)).find(|path| self.edited.contains(path))
    }

    /// Whether a path depends on the account of a worker that is not there any more.
    fn is_gone(&self, path: &HostPath) -> bool {
        path.accounts().into_iter().any(|user| WORKERS.contains(&user) && !self.seen.accounts.contains_key(user))
    }

    /// What is said of workers whose accounts were there before factoryup. They are somebody's own, with what runs as them, so they
    /// are not taken out of action.
    fn stay(&self) -> Vec<String> {
        let made_here = |user: &str| {
            let id = format!("user:{user}");
            self.entries.iter().any(|entry| entry.id == id && matches!(entry.undo, Undo::Remove))
        };
        WORKERS
            .into_iter()
            .filter(|user| !self.entries.is_empty() && self.seen.accounts.contains_key(*user) && !made_here(user))
            .map(|user| {
                format!(
                    "the account {user} was there before factoryup: it stays, with its password, its groups and what runs as it; what factoryup gave it goes"
                )
            })
            .collect()
    }

    /// Whether undoing this would take away the ground that this run stands on.
    fn is_own(&self, id: &str, user: &str) -> bool {
        user == self.host.factory.host.operator
            && (id == format!("user:{user}")
                || id == format!("group:{LOGIN_GROUP}")
                || id == format!("file:{SUDOERS}")
                || id.starts_with(&format!("authorized_key:{user}/"))
                || id.starts_with(&format!("directory:~{user}/")))
    }
}

/// Adds the runners that `factory-runner` was called for by hand: their services run as root, with tokens that work in GitLab.
fn add_runners(entries: &mut Vec<Entry>, found: &[String]) {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    for (what, name) in found.iter().filter_map(|line| line.split_once(' ')).filter(|(_, name)| is_name(name)) {
        let id = format!("runner_service:{name}");
        let secret = format!("secret:/etc/factory/runner-{name}-token");
        // A token alone goes with its own entry.
        let is_known = |entry: &Entry| entry.id == id || (what == "token" && entry.id == secret);
        if !entries.iter().any(is_known) {
            entries.push(Entry { id, action: Action::Create, at: String::new(), undo: Undo::Remove });
        }
    }
}

impl Target for RevertTarget<'_> {
    fn name(&self) -> TargetName {
        TargetName::Host
    }

    fn subject(&self) -> String {
        self.host.subject.clone()
    }

    fn deed(&self) -> Deed {
        Deed::Revert
    }

    fn observe(&mut self, watch: &dyn Watch) -> Result<Plan> {
        self.entries.clear();
        self.read(watch)?;
        self.ways_back.clear();
        let user = self.host.root(watch)?.user().to_owned();
        let mut plan = Plan::new(TargetName::Host, &self.host.subject);
        let mut own = false;
        for (entry, back) in self.entries.iter().zip(ways_back(&self.entries)?).rev() {
            let mut back = match back {
                _ if self.is_own(&entry.id, &user) => {
                    own = true;
                    continue;
                }
                Ok(back) => back,
                Err(stays) => {
                    plan.notes.push(stays);
                    continue;
                }
            };
            // What was kept in a home went out of reach with its account.
            if !back.files.is_empty() && back.files.iter().all(|path| self.is_gone(path)) {
                continue;
            }
            if let Some(path) = self.edited(&back) {
                // The state before of one part does not depend on that of another, but everybody's way in depends on all.
                if back.staged.is_none() {
                    plan.notes.push(format!(
                        "{path} was edited since, and stays as it is: remove it yourself if you do not need it"
                    ));
                    continue;
                }
                back.change.summary += &format!("; {path} was edited since, and a copy of it is kept");
            }
            plan.push(back.change.clone());
            self.ways_back.push(back);
        }
        plan.notes.dedup();
        plan.notes.extend(self.stay());
        let of_agent = [format!("user:{AGENT}"), format!("secret:~{AGENT}/")];
        if plan.changes.iter().any(|change| of_agent.iter().any(|id| change.id.starts_with(id.as_str()))) {
            plan.notes.push("the agent's token works in GitLab until it ends or is revoked: see docs/runbooks/revoke-agent.md in the control repo".into());
        }
        if !plan.changes.is_empty() {
            plan.notes.push(
                "the record of all runs and the backups stay on the host, in /var/lib/factoryup, for root only".into(),
            );
        }
        if own {
            plan.notes.push(format!(
                "the account {user} stays, since this runs as it; run it again when {} can log in, and it goes too",
                self.host.factory.host.login
            ));
        }
        Ok(plan)
    }

    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        let run = Run { id: log.run().to_owned(), subject: self.host.subject.clone() };
        let (mut first, mut steps, mut staged) = (Vec::new(), Vec::new(), Vec::new());
        for back in self.ways_back.drain(..) {
            let list = if back.comes_first { &mut first } else { &mut steps };
            list.push(back.step);
            staged.extend(back.staged);
        }
        if !staged.is_empty() {
            self.host.can_guard(log.watch())?;
        }
        let goes = |user: &&str| {
            let id = format!("user:{user}");
            plan.changes.iter().any(|change| change.id == id && change.action == Action::Delete)
        };
        let workers: Vec<&str> = WORKERS.into_iter().filter(goes).collect();
        self.run(&undo(&run, &workers, &first), plan, &run, log)?;
        if !staged.is_empty() {
            self.host.confirm_as = Some(self.host.root(log.watch())?.user().to_owned());
            self.host.put_back_guarded(&run, plan, &staged, log)?;
        }
        self.run(&undo(&run, &[], &steps), plan, &run, log)
    }
}
