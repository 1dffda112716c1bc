//! `factoryup upgrade`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Ending;
use crate::dialog::Dialog;
use crate::error::{Error, Kind, Result};
use crate::factory::answers::Answers;
use crate::factory::{AnswerFlags, FILE_NAME, Renewed, new_questions};
use crate::plan::{Deed, Options, Outcome, Target, converge};
use crate::repo::RepoTarget;
use crate::repo::earlier::{Earlier, earlier};
use crate::repo::propose::propose;
use crate::repo::report::Report;
use crate::secret::Secret;
use crate::ui::Ui;
use crate::ui::prompt::Terminal;
use crate::wizard::{CatchUp, answered_there, catch_up};
use crate::workspace::{Keys, Purpose, Workspace};

/// The warning about a half-written work tree of a killed run, if this run may not write.
pub(super) const CUT_SHORT: &str =
    "A run that updated the work tree was interrupted. The next run that may write finishes it.";
/// The next step after an upgrade in place. `git diff` alone shows no new file.
const IN_PLACE: &str = "The changes are in the work tree. Review them with `git add --all && git diff --cached`, then commit them with `git commit`.";
/// The note about a half-written work tree that this run finished.
pub(super) const ENDED: &str = "Finished an interrupted update of the work tree. Commit it.";

/// Merge new templates and settings into the control repo, on a branch
///
/// upgrade merges the changes of the templates with your edits. It commits the result to a new branch, pushes the branch and opens a
/// merge request. Your work tree stays as it is. If changes conflict, your version stays and the template version goes to
/// .factory/conflicts.
///
/// Settings: upgrade asks only for settings that are new since the last upgrade. Without a terminal, it takes them from flags,
/// variables and defaults, and lists the defaults. It writes the answers to factory.toml on the branch. It reuses the answers on an
/// upgrade branch that is not merged yet. To change other settings, edit factory.toml.
///
/// Token: the push needs a GitLab token. With --yes and without a token, upgrade changes nothing. If the push fails, the branch stays
/// in this repo. Run the command again to push it.
///
/// Exit code 2 if there are conflicts or, with --dry-run, pending changes. If the push fails, the exit code tells why.
#[derive(Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Upgrade {
    /// Show pending changes without applying them
    #[arg(long)]
    dry_run: bool,

    /// Show a diff of each change
    #[arg(long)]
    pub(super) diff: bool,

    /// Commit and push without confirmation
    #[arg(long, short)]
    yes: bool,

    /// Update the work tree instead of a branch; overwrites only files without uncommitted changes
    #[arg(long)]
    in_place: bool,

    /// Create the branch, but do not push it
    #[arg(long)]
    no_push: bool,

    /// Use the default for every new setting, without asking
    #[arg(long)]
    defaults: bool,

    /// Read the GitLab token from this file [env: FACTORYUP_GITLAB_TOKEN contains the token itself]
    #[arg(long, value_name = "FILE", value_parser = super::path())]
    gitlab_token_file: Option<PathBuf>,

    #[command(flatten)]
    answers: AnswerFlags,
}

impl Upgrade {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let keys = Keys { gitlab_token_file: self.gitlab_token_file.clone(), ..Keys::default() };
        let purpose = if self.dry_run { Purpose::Look } else { Purpose::Repo };
        let workspace = Workspace::renewed(dir, keys, purpose, ui, |text, lock| self.ask(dir, text, lock, ui))?;
        let deed = Deed::Upgrade { in_place: self.in_place };
        let mut target = workspace.repo()?.in_place(self.in_place).for_deed(deed);
        let cut_short = self.dry_run && target.is_cut_short()?;
        if cut_short {
            ui.tell(CUT_SHORT);
        } else if !self.dry_run && target.recover()? {
            ui.tell(ENDED);
        }
        let plan = target.observe(ui)?;
        let Some(report) = target.report().cloned() else {
            return Err(Error::usage(format!("{} has no control repo yet", target.subject()))
                .hint("create it: factoryup apply repo"));
        };
        if self.dry_run {
            ui.plan(&plan)?;
            self.show(&report, None, ui)?;
            let pending =
                cut_short || !plan.is_empty() || report.branch.is_some() || report.conflicts().next().is_some();
            return Ok(if pending { Ending::Pending } else { Ending::Done });
        }
        // With --yes nobody may be there to enter a token later, so require it before any change.
        let token = match report.branch.as_deref().filter(|_| self.yes && !self.no_push) {
            Some(branch) => Some(workspace.owner_token().map_err(|error| unpushed(error, branch, plan.is_empty()))?),
            None => None,
        };
        let outcome = converge(&mut target, ui, workspace.state(), Options { yes: self.yes, ..Options::default() })?;
        self.show(&report, Some(&target), ui)?;
        if let Some(branch) = report.branch.as_deref() {
            self.push(&target, &report, &workspace, token, ui).map_err(|error| unpushed(error, branch, true))?;
        } else if matches!(outcome, Outcome::Applied { .. }) && report.conflicts().next().is_none() {
            ui.say(IN_PLACE);
        }
        Ok(if report.conflicts().next().is_some() { Ending::Pending } else { Ending::Done })
    }

    fn ask(&self, dir: &Path, text: &str, lock: Option<&str>, ui: &Ui) -> Result<Renewed> {
        let variable = |name: &str| std::env::var_os(name);
        let new = lock.map(|lock| new_questions(text, lock, &Answers::default())).unwrap_or_default();
        let earlier = if new.is_empty() || self.defaults { None } else { earlier(dir)? };
        let can_ask = !self.defaults && !self.dry_run && ui.is_interactive();
        if let Some(Earlier { branch, text: on_branch }) = &earlier {
            let (given, there) = (self.answers.answers(variable)?, answered_there(text, on_branch, can_ask));
            let taken = new.iter().filter(|field| given.answer(field).is_none() && there.answer(field).is_some());
            let taken: Vec<&str> = taken.map(|field| field.key).collect();
            if !taken.is_empty() {
                let keys = taken.join(", ");
                ui.tell(&format!("Reused answers of the unmerged branch {branch}: {keys}"));
            }
        }
        let earlier = earlier.as_ref().map(|earlier| earlier.text.as_str());
        let request = CatchUp { text, called: FILE_NAME, lock, earlier, flags: &self.answers, variable };
        if can_ask { catch_up(&request, Some(&Terminal::open()?)) } else { catch_up(&request, None) }
    }

    /// Prints the report of each edited file as JSON. As text, it is part of the plan.
    fn show(&self, report: &Report, made: Option<&RepoTarget>, ui: &Ui) -> Result<()> {
        if ui.is_json() {
            return ui.json(json!({ "event": "upgrade", "report": report }));
        }
        if report.conflicts().next().is_some() {
            ui.say(&match (made, report.branch.as_deref()) {
                _ if self.in_place => {
                    "There are conflicts. Commit the changes with `git add --all && git commit`, then run `factoryup resolve`."
                        .to_owned()
                }
                (Some(target), Some(branch)) => format!(
                    "There are conflicts. Check out the branch with {}, then run `factoryup resolve`.",
                    over_an_edit(target, &format!("git switch {branch}"))
                ),
                _ => "There are conflicts. Check out the branch, then run `factoryup resolve`.".to_owned(),
            });
        }
        Ok(())
    }

    fn push(
        &self,
        target: &RepoTarget,
        report: &Report,
        workspace: &Workspace<'_>,
        token: Option<Secret>,
        ui: &Ui,
    ) -> Result<()> {
        let branch = report.branch.as_deref().unwrap_or_default();
        let waits = report.conflicts().next().is_some();
        if self.no_push {
            let merge = over_an_edit(target, &format!("git merge {branch}"));
            let next = if waits { String::new() } else { format!(" Merge it with {merge}.") };
            ui.say(&format!("Created the branch {branch}; did not push it.{next}"));
            return Ok(());
        }
        let token = token.map_or_else(|| workspace.owner_token(), Ok)?;
        let pushed = propose(target.dir(), workspace.factory(), report, ("oauth2", &token))?;
        if !pushed.accepted {
            return Err(Error::new(Kind::NotPermitted, format!("GitLab rejected {branch}: {}", pushed.reason))
                .hint("push the branch yourself, or merge it here"));
        }
        ui.say(&format!("Pushed {branch} with its merge request."));
        if let Some(restore) = target.restore().filter(|_| !waits) {
            ui.say(&format!(
                "Before you check it out, or pull after the merge, run `{restore}`. The branch contains your edit of {FILE_NAME}, and git \
                 does not overwrite the one here."
            ));
        }
        Ok(())
    }
}

/// Returns the command, preceded by a restore of `factory.toml` if the branch contains its edit.
fn over_an_edit(target: &RepoTarget, command: &str) -> String {
    match target.restore() {
        Some(restore) => format!("`{restore} && {command}` (the branch contains your edit of {FILE_NAME})"),
        None => format!("`{command}`"),
    }
}

/// Adds the hints for a branch that could not be pushed.
fn unpushed(error: Error, branch: &str, is_made: bool) -> Error {
    if is_made {
        error.hint(format!(
            "run the command again to push the branch {branch}, which exists in this repo, and to open its merge request"
        ))
    } else {
        error
            .hint("nothing was changed; run the command again with a token")
            .hint("or create the branch without pushing it: factoryup upgrade --no-push")
    }
}
