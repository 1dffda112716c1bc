//! `factoryup init`

use std::path::{Path, PathBuf};

use clap::Args;

use serde_json::json;

use super::Ending;
use crate::dialog::Dialog;
use crate::error::Result;
use crate::factory::AnswerFlags;
use crate::plan::{Options, StateDir, Watch, converge};
use crate::repo::RepoTarget;
use crate::repo::report::Report;
use crate::ui::Ui;
use crate::wizard::{Request, Settled, Taken, settle};
use crate::workspace::refuse_new_name;

/// Ask what cannot be found out, write factory.toml and generate the control repo. Works offline, touches nothing else
///
/// In the top folder of a git repo with commits of your own, the files come on a branch of their own: your work tree stays as it is, a
/// file that you have already stays yours, and the one from the templates waits under .factory/conflicts for factoryup resolve.
///
/// DIR cannot be a home folder, in a dot folder of one such as ~/.ssh, or a folder of the system.
///
/// Exit code 2 when such files wait.
#[derive(Debug, Default, Args)]
pub(super) struct Init {
    /// The folder to make, an empty one, or a repo of yours [default: --dir, or the current folder]
    #[arg(value_name = "DIR", value_parser = super::path())]
    folder: Option<PathBuf>,

    /// Take what is found on this machine, else the default, for everything that has one, without asking
    #[arg(long)]
    defaults: bool,

    /// Write and commit without a last confirmation
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    answers: AnswerFlags,
}

impl Init {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        if let Some(report) = self.make(dir, ui)? {
            return Self::adopted(&report, ui);
        }
        let folder = self.folder.as_deref().unwrap_or(dir);
        let enter = match super::typed(folder) {
            here if here.is_empty() => here,
            there => format!("cd {}, then ", crate::shell::word(&there)),
        };
        ui.say(&format!("\nNext: {enter}factoryup plan --diff to read what would change on the host and GitLab, and factoryup apply to change it."));
        Ok(Ending::Done)
    }

    /// A repo that was there has its files on a branch, which is the user's to merge.
    fn adopted(report: &Report, ui: &Ui) -> Result<Ending> {
        let waits = report.conflicts().next().is_some();
        if ui.is_json() {
            ui.json(json!({ "event": "adoption", "report": report }))?;
        } else if let Some(branch) = &report.branch {
            let settle = if waits { ", then settle what you both have with factoryup resolve" } else { "" };
            ui.say(&format!(
                "\nNext: read the branch with git diff HEAD...{branch}, bring it in with git merge {branch}{settle}."
            ));
        }
        Ok(if waits { Ending::Pending } else { Ending::Done })
    }

    /// The same, without a word about what comes next. The report is of what stands on a branch of a repo that was there before.
    pub(super) fn make(&self, dir: &Path, ui: &Ui) -> Result<Option<Report>> {
        let folder = self.folder.as_deref().unwrap_or(dir);
        crate::repo::refuse_unfit(folder)?;
        let settled = settle(&Request {
            folder,
            flags: &self.answers,
            defaults: self.defaults,
            interactive: ui.is_interactive(),
            review: !self.yes,
        })?;
        say_taken(&settled.taken, ui)?;
        generate(folder, &settled, ui)
    }
}

/// What nobody was asked, and how to say otherwise.
fn say_taken(taken: &[Taken], ui: &Ui) -> Result<()> {
    if ui.is_json() {
        for Taken { flag, value, source } in taken {
            ui.json(json!({ "event": "taken", "flag": flag, "value": value, "source": source }))?;
        }
    } else if !taken.is_empty() {
        let width = taken.iter().map(|one| one.flag.len()).max().unwrap_or_default();
        let lines = taken.iter().map(|one| format!("\n  --{:width$}  {} ({})", one.flag, one.value, one.source));
        ui.say(&format!("Taken without asking; give the flag to say otherwise:{}", lines.collect::<String>()));
    }
    Ok(())
}

/// Makes the control repo of a new factory in `dir`.
fn generate(dir: &Path, settled: &Settled, ui: &dyn Watch) -> Result<Option<Report>> {
    refuse_new_name(dir, &settled.factory.factory.name)?;
    let mut state = StateDir::open(&settled.factory.factory.name)?;
    state.lock("init")?;
    state.claim_if_new(dir, &settled.factory.gitlab.project_url())?;
    let mut target = RepoTarget::new(dir, &settled.factory, &settled.text)?.adopting(true);
    converge(&mut target, ui, &state, Options { yes: true, ..Options::default() })?;
    Ok(target.report().filter(|report| report.branch.is_some()).cloned())
}
