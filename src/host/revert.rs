//! The way back: a target whose desired state is the host as it was before factoryup.
//!
//! What to undo is in the host's own receipt, so it works from any machine that can log in. It goes backwards, and backs up what
//! it replaces or removes. Packages and home folders stay, and so does the account that this is done as.

use super::event::Line;
use super::follow::Follow;
use super::profile::{LOGIN_GROUP, SUDOERS};
use super::program::{Run, Show, Step, receipt, undo};
use super::target::{HostTarget, Reach};
use super::undo;
use crate::dialog::{Dialog, Silent, plain};
use crate::error::{Error, Result};
use crate::factory::Factory;
use crate::plan::{Entry, Log, Plan, Receipt, Target, TargetName, Undo, Watch};
use crate::secret::Secret;

/// A host on its way back.
pub struct RevertTarget<'d> {
    host: HostTarget<'d>,
    entries: Vec<Entry>,
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
        Ok(Self { host, entries: Vec::new() })
    }

    fn read(&mut self, dialog: &dyn Dialog) -> Result<()> {
        let mut text = String::new();
        self.host.root(dialog)?.run(&receipt(), dialog, &mut |line| {
            if let Line::Seen { line, .. } = line {
                text.push_str(&line);
                text.push('\n');
            }
        })?;
        if text.is_empty() {
            return Ok(());
        }
        let damaged = |why: String| {
            Error::data(format!("the receipt on {} cannot be used: {why}", self.host.subject))
                .hint("it is /var/lib/factoryup/receipt.json there")
        };
        let receipt: Receipt = serde_json::from_str(&text).map_err(|e| damaged(plain(&e.to_string())))?;
        if receipt.schema > 1 {
            return Err(damaged(format!("its schema is {}, and this factoryup knows 1", receipt.schema)));
        }
        self.entries = receipt.entries;
        Ok(())
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

impl Target for RevertTarget<'_> {
    fn name(&self) -> TargetName {
        TargetName::Host
    }

    fn subject(&self) -> String {
        self.host.subject.clone()
    }

    fn observe(&mut self, watch: &dyn Watch) -> Result<Plan> {
        self.entries.clear();
        self.read(watch)?;
        let user = self.host.root(watch)?.user().to_owned();
        let mut plan = Plan::new(TargetName::Host, &self.host.subject);
        let mut own = false;
        for entry in self.entries.iter().rev() {
            match undo::change(&entry.id, &entry.undo) {
                _ if self.is_own(&entry.id, &user) => own = true,
                Some(change) => plan.push(change),
                None => {
                    if let Undo::Never { reason } = &entry.undo {
                        plan.notes.push(format!("{} stays: {reason}", entry.id));
                    }
                }
            }
        }
        plan.notes.dedup();
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
        let mut steps = Vec::new();
        for change in &plan.changes {
            if let Some(entry) = self.entries.iter().find(|entry| entry.id == change.id) {
                let mut step = Step::new(&change.id, change.action, Show::Run);
                undo::write(&mut step, &entry.id, &entry.undo);
                steps.push(step);
            }
        }
        let mut follow = Follow::new(plan, log, &run);
        let result = self.host.root(&Silent)?.run(&undo(&run, &steps), &Silent, &mut |line| follow.take(&line));
        follow.outcome(result)
    }
}
