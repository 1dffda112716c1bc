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

/// What is said of a work tree that a killed run left half written, where nothing may be written now.
pub(super) const CUT_SHORT: &str =
    "A run that wrote into the work tree was cut short; the rest of it is written by the next run that may write.";
/// What comes after an upgrade in place. `git diff` alone shows no new file.
const IN_PLACE: &str =
    "It is in the work tree. Look at it with `git add --all && git diff --cached`, then `git commit`.";
/// And where something may.
pub(super) const ENDED: &str = "What a run that was cut short began in the work tree is written now; commit it.";

/// Bring the control repo to this factoryup's templates and to the answers in factory.toml, without losing an edit
///
/// Your edits and the templates' are merged into one commit on a branch of its own; your work tree stays as it is. What cannot be
/// merged stays as you have it, and the proposal waits under .factory/conflicts. The branch is pushed and a merge request opened.
///
/// You are asked only what is new since the last upgrade. Without a terminal, flags and variables answer, and then the defaults, which
/// are listed; the answers are written into factory.toml of the branch. What an upgrade's branch that is not merged yet answers is taken
/// from there. Everything else is changed in factory.toml itself.
///
/// The token for the push has to be there from the start: with --yes and without one, nothing is changed. Where the push fails later, the
/// branch is in this repo, and the same command again pushes it.
///
/// Exit code 2 when conflicts wait, or, with --dry-run, when there is anything to do. Where the push failed, the exit code says why.
#[derive(Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Upgrade {
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Show the texts before and after
    #[arg(long)]
    pub(super) diff: bool,

    /// Do not ask before committing and pushing
    #[arg(long, short)]
    yes: bool,

    /// Write into the work tree instead of making a branch: for repos without a remote, and only over what is committed
    #[arg(long)]
    in_place: bool,

    /// Make the branch, but do not push it
    #[arg(long)]
    no_push: bool,

    /// Take the default of every new question, without asking
    #[arg(long)]
    defaults: bool,

    /// Read the GitLab token from this file [env: FACTORYUP_GITLAB_TOKEN holds the token itself]
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
        let deed = Deed::Upgrade { in_place: self.in_place, push: !self.no_push };
        let mut target = workspace.repo()?.in_place(self.in_place).for_deed(deed);
        let cut_short = self.dry_run && target.is_cut_short()?;
        if cut_short {
            ui.tell(CUT_SHORT);
        } else if !self.dry_run && target.recover()? {
            ui.tell(ENDED);
        }
        let plan = target.observe(ui)?;
        let Some(report) = target.report().cloned() else {
            return Err(Error::usage(format!("{} holds no control repo yet", target.subject()))
                .hint("make it with: factoryup apply repo"));
        };
        if self.dry_run {
            ui.plan(&plan)?;
            self.show(&report, None, ui)?;
            let pending =
                cut_short || !plan.is_empty() || report.branch.is_some() || report.conflicts().next().is_some();
            return Ok(if pending { Ending::Pending } else { Ending::Done });
        }
        // Who says yes beforehand may not be there to be asked for a token later; now, nothing is half done.
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
                ui.tell(&format!("Answered on the branch {branch}, which is not merged yet: {keys}"));
            }
        }
        let earlier = earlier.as_ref().map(|earlier| earlier.text.as_str());
        let request = CatchUp { text, called: FILE_NAME, lock, earlier, flags: &self.answers, variable };
        if can_ask { catch_up(&request, Some(&Terminal::open()?)) } else { catch_up(&request, None) }
    }

    /// For machines: what became of each edited file. People read it in the plan.
    fn show(&self, report: &Report, made: Option<&RepoTarget>, ui: &Ui) -> Result<()> {
        if ui.is_json() {
            return ui.json(json!({ "event": "upgrade", "report": report }));
        }
        if report.conflicts().next().is_some() {
            ui.say(&match (made, report.branch.as_deref()) {
                _ if self.in_place => {
                    "Conflicts wait: commit what was written, with `git add --all && git commit`, and run `factoryup resolve`."
                        .to_owned()
                }
                (Some(target), Some(branch)) => format!(
                    "Conflicts wait: check the branch out with {}, and run `factoryup resolve`.",
                    over_an_edit(target, &format!("git switch {branch}"))
                ),
                _ => "Conflicts wait: check the branch out and run `factoryup resolve`.".to_owned(),
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
            ui.say(&format!("The branch is {branch}; nothing was pushed.{next}"));
            return Ok(());
        }
        let token = token.map_or_else(|| workspace.owner_token(), Ok)?;
        let pushed = propose(target.dir(), workspace.factory(), report, ("oauth2", &token))?;
        if !pushed.accepted {
            return Err(Error::new(Kind::NotPermitted, format!("GitLab does not take {branch}: {}", pushed.reason))
                .hint("push it yourself, or merge it here"));
        }
        ui.say(&format!("{branch} is on GitLab, with its merge request."));
        if let Some(restore) = target.restore().filter(|_| !waits) {
            ui.say(&format!(
                "Before you check it out, or pull once it is merged: `{restore}`. The branch holds your edit of {FILE_NAME}, and git does not \
                 write over the one here."
            ));
        }
        Ok(())
    }
}

/// The command, after what takes an edit of `factory.toml` out of its way that the branch holds as well.
fn over_an_edit(target: &RepoTarget, command: &str) -> String {
    match target.restore() {
        Some(restore) => format!("`{restore} && {command}` (the branch holds your edit of {FILE_NAME})"),
        None => format!("`{command}`"),
    }
}

/// What is there when the branch could not be pushed, and how to go on.
fn unpushed(error: Error, branch: &str, is_made: bool) -> Error {
    if is_made {
        error.hint(format!(
            "the branch {branch} is in this repo; only its push and its merge request are missing: run the same again for these"
        ))
    } else {
        error
            .hint("nothing was changed; run the same again with the token")
            .hint("to make the branch without pushing it: factoryup upgrade --no-push")
    }
}
