//! What left `factory.toml` or the profile: the receipt on the host still names it, and no resource is for it any more.
//!
//! It is removed by the way back of its kind, as `revert host` does it. A key of the operator goes under the guard: it can be the
//! one that you log in with. An account stays, since it has a home; the plan names it. Packages stay, too.

use std::collections::BTreeSet;

use super::event::Line;
use super::follow::Follow;
use super::observed::Observed;
use super::program::{HostPath, Run, receipt, stop, undo};
use super::receipt::{Left, entries};
use super::resources::{Back, remove_under_guard, ways_back};
use super::target::HostTarget;
use crate::dialog::{Dialog, Silent};
use crate::error::Result;
use crate::hand_over::{HandOver, Token};
use crate::interrupt::Work;
use crate::plan::{Action, Log, Plan};

impl HostTarget<'_> {
    /// Compares the receipt with the resources. Asks the host once more if something is to be removed.
    pub(super) fn see_what_left(&mut self, dialog: &dyn Dialog) -> Result<()> {
        self.left = Left::default();
        if self.seen.receipt.is_empty() {
            return Ok(());
        }
        // A machine without the hand-off's tokens leaves what the hand-off made.
        let made = HandOver { agent: Token::Coming, desk: Token::Coming, ..HandOver::default() };
        let known = std::mem::replace(&mut self.hand_over, made);
        let all = self.profile(&self.seen);
        self.hand_over = known;
        let wanted: BTreeSet<String> = all?.iter().chain(&self.resources).map(|resource| resource.id()).collect();
        let mut left = entries(&self.seen.receipt, &self.subject)?;
        left.retain(|entry| !wanted.contains(&entry.id));
        if left.is_empty() {
            return Ok(());
        }
        let operator = self.factory.host.operator.clone();
        let mut users: BTreeSet<&str> = left.iter().filter_map(|entry| user_of(&entry.id)).collect();
        users.insert(&operator);
        let users: Vec<&str> = users.into_iter().collect();
        let (mut edited, mut seen) = (BTreeSet::new(), Observed::default());
        self.root(dialog)?.run(&receipt(&users), dialog, &mut |line| match line {
            Line::Seen { section, line } if section == "edited" => drop(edited.insert(line)),
            Line::Seen { section, line } if section == "passwd" => seen.take(&section, &line),
            _ => {}
        })?;
        self.left = Left { entries: left, edited, seen };
        Ok(())
    }

    /// The ways back, last first; and what stays, in words.
    fn removals(&self) -> Result<(Vec<Back>, Vec<String>)> {
        let (mut backs, mut notes) = (Vec::new(), Vec::new());
        let left = &self.left;
        let accounts: Vec<&str> = left.entries.iter().filter_map(|entry| entry.id.strip_prefix("user:")).collect();
        for (entry, back) in left.entries.iter().zip(ways_back(&left.entries)?).rev() {
            let (kind, name) = entry.id.split_once(':').unwrap_or((&entry.id, ""));
            if kind == "user" {
                if left.seen.accounts.contains_key(name) {
                    notes.push(format!(
                        "the account {name} is not in factory.toml any more; it stays, with its home and its groups: \
                         to delete it, run `userdel --remove {name}` on the host"
                    ));
                }
                continue;
            }
            // With its account, a home stays as it is.
            let of_account = user_of(&entry.id).is_some_and(|user| accounts.contains(&user));
            if of_account && !["authorized_key", "secret", "git_include"].contains(&kind) {
                continue;
            }
            let mut back = match back {
                Ok(back) => back,
                Err(stays) => {
                    notes.push(format!("{stays}; factory.toml does not ask for it any more"));
                    continue;
                }
            };
            if kind == "authorized_key" {
                // The file was there before the key, so its undo is an update of that.
                back.change.action = Action::Delete;
                let (user, fingerprint) = name.split_once('/').unwrap_or((name, ""));
                if user == self.factory.host.operator {
                    if self.factory.host.authorized_keys.is_empty() {
                        notes.push(format!("key {fingerprint} of {user} stays: factory.toml names no other key"));
                        continue;
                    }
                    remove_under_guard(&mut back, user, fingerprint);
                }
                back.change.summary = format!("remove key {fingerprint} of {user}, which left factory.toml");
            }
            let edited = back
                .files
                .iter()
                .filter_map(|path: &HostPath| path.on(&left.seen))
                .find(|path| left.edited.contains(path));
            if let Some(path) = edited {
                notes.push(format!("{path} is not needed any more, and was edited: remove it yourself"));
                continue;
            }
            backs.push(back);
        }
        Ok((backs, notes))
    }

    /// Adds the removals to a plan.
    pub(super) fn plan_removals(&self, plan: &mut Plan) -> Result<()> {
        let (backs, notes) = self.removals()?;
        for back in backs {
            plan.push(back.change);
        }
        plan.notes.extend(notes);
        Ok(())
    }

    /// Makes the removals that are in the plan.
    pub(super) fn remove_what_left(&mut self, run: &Run, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        let (mut backs, _) = self.removals()?;
        backs.retain(|back| plan.changes.iter().any(|change| change.id == back.change.id));
        if backs.is_empty() {
            return Ok(());
        }
        // An earlier operator may have lost sudo by now, and its keys go next.
        self.prove_login(log.watch())?;
        let staged: Vec<_> = backs.iter_mut().filter_map(|back| back.staged.take()).collect();
        if !staged.is_empty() {
            self.put_back_guarded(run, plan, &staged, log)?;
        }
        let steps: Vec<_> = backs.into_iter().map(|back| back.step).collect();
        let work = Work::begin(&run.subject, &run.log()).map_err(|_| log.interrupted())?;
        let mut follow = Follow::new(plan, log, run, &work).backwards();
        let (program, stop) = (undo(run, &[], &steps), stop(run));
        let result =
            self.root(&Silent)?.run_until(&program, Some((&stop, &work)), &Silent, &mut |line| follow.take(&line));
        follow.outcome(result)
    }
}

/// The user whose home, key or secret an entry is about.
fn user_of(id: &str) -> Option<&str> {
    let (kind, name) = id.split_once(':')?;
    match kind {
        "user" | "git_include" => Some(name),
        "authorized_key" => name.split_once('/').map(|(user, _)| user),
        _ => name.strip_prefix('~').map(|rest| rest.split_once('/').map_or(rest, |(user, _)| user)),
    }
}
