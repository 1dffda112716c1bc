//! `factoryup upgrade`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Ending;
use super::access::{Access, Purpose, Site};
use crate::dialog::Dialog;
use crate::error::{Error, Kind, Result};
use crate::factory::answers::Answers;
use crate::factory::{AnswerFlags, FILE_NAME, Renewed, new_questions};
use crate::plan::{Event, Options, Target, TargetName, Watch, converge};
use crate::repo::RepoTarget;
use crate::repo::earlier::{Earlier, earlier};
use crate::repo::propose::propose;
use crate::repo::report::Report;
use crate::ui::Ui;
use crate::ui::prompt::Terminal;
use crate::wizard::{CatchUp, answered_there, catch_up};

/// What is said of a work tree that a killed run left half written, where nothing may be written now.
pub(super) const CUT_SHORT: &str =
    "A run that wrote into the work tree was cut short; the rest of it is written by the next run that may write.";
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
/// Exit code 2 when conflicts wait, or, with --dry-run, when there is anything to do.
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
    #[arg(long, value_name = "FILE")]
    gitlab_token_file: Option<PathBuf>,

    #[command(flatten)]
    answers: AnswerFlags,
}

impl Upgrade {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let access = Access::with_token(self.gitlab_token_file.clone());
        let purpose = if self.dry_run { Purpose::Look } else { Purpose::Repo };
        let site = Site::renewed(dir, &access, purpose, |text, lock| self.ask(dir, text, lock, ui))?;
        let mut target = site.repo()?.in_place(self.in_place);
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
            ui.event(&Event::Target { name: TargetName::Repo, subject: &target.subject() });
            ui.plan(&plan)?;
            self.show(&report, ui)?;
            let pending =
                cut_short || !plan.is_empty() || report.branch.is_some() || report.conflicts().next().is_some();
            return Ok(if pending { Ending::Pending } else { Ending::Done });
        }
        converge(&mut target, ui, &site.state, Options { yes: self.yes, ..Options::default() })?;
        self.show(&report, ui)?;
        if report.branch.is_some() {
            self.push(&target, &report, &site, ui)?;
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
    fn show(&self, report: &Report, ui: &Ui) -> Result<()> {
        if ui.is_json() {
            return ui.result(&json!({ "event": "upgrade", "report": report }).to_string());
        }
        if report.conflicts().next().is_some() {
            ui.say(if self.in_place {
                "Conflicts wait: commit what was written, with `git add --all && git commit`, and run `factoryup resolve`."
            } else {
                "Conflicts wait: check the branch out and run `factoryup resolve`."
            });
        }
        Ok(())
    }

    fn push(&self, target: &RepoTarget, report: &Report, site: &Site, ui: &Ui) -> Result<()> {
        let branch = report.branch.as_deref().unwrap_or_default();
        if self.no_push {
            ui.say(&format!("The branch is {branch}; nothing was pushed."));
            return Ok(());
        }
        let token = site.gitlab_token(ui)?;
        let pushed = propose(target.dir(), &site.factory, report, ("oauth2", &token))?;
        if !pushed.accepted {
            return Err(Error::new(Kind::NotPermitted, format!("GitLab does not take {branch}: {}", pushed.reason))
                .hint("the branch is in this repo; push it yourself, or merge it here")
                .hint("to make it without pushing: factoryup upgrade --no-push"));
        }
        ui.say(&format!("{branch} is on GitLab, with its merge request."));
        Ok(())
    }
}
