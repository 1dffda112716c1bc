//! `factoryup upgrade`

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::Ending;
use super::access::{Access, Site};
use crate::error::{Error, Kind, Result};
use crate::plan::{Event, Options, Target, TargetName, Watch, converge};
use crate::repo::RepoTarget;
use crate::repo::propose::propose;
use crate::repo::report::Report;
use crate::ui::Ui;

/// Bring the control repo to this factoryup's templates and to the answers in factory.toml, without losing an edit
///
/// Your edits and the templates' are merged into one commit on a branch of its own; your work tree stays as it is. What cannot be
/// merged stays as you have it, and the proposal waits under .factory/conflicts. The branch is pushed and a merge request opened.
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

    #[command(flatten)]
    access: Access,
}

impl Upgrade {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let site = Site::open(dir, &self.access)?;
        let mut target = site.repo()?.in_place(self.in_place);
        if target.recover()? {
            ui.say("An upgrade that was cut short is written now; commit it.");
        }
        let plan = target.observe(ui)?;
        let Some(report) = target.report().cloned() else {
            return Err(Error::usage(format!("{} holds no control repo yet", target.subject()))
                .hint("make it with: factoryup apply repo"));
        };
        if self.dry_run {
            ui.event(&Event::Target { name: TargetName::Repo, subject: &target.subject() });
            ui.plan(&plan)?;
            Self::show(&report, ui)?;
            let pending = !plan.is_empty() || report.branch.is_some() || report.conflicts().next().is_some();
            return Ok(if pending { Ending::Pending } else { Ending::Done });
        }
        converge(&mut target, ui, &site.state, Options { yes: self.yes, ..Options::default() })?;
        Self::show(&report, ui)?;
        if report.branch.is_some() {
            self.push(&target, &report, &site, ui)?;
        }
        Ok(if report.conflicts().next().is_some() { Ending::Pending } else { Ending::Done })
    }

    /// For machines: what became of each edited file. People read it in the plan.
    fn show(report: &Report, ui: &Ui) -> Result<()> {
        if ui.is_json() {
            return ui.result(&json!({ "event": "upgrade", "report": report }).to_string());
        }
        if report.conflicts().next().is_some() {
            ui.say("Conflicts wait: check the branch out and run `factoryup resolve`.");
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
