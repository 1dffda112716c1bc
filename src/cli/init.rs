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

/// Create a control repo: ask for settings, generate files, commit them
///
/// init works offline and changes nothing outside of DIR, except the factory's state directory.
///
/// In the root of an existing git repo, init commits the files to a new branch and leaves your work tree alone. Where you already
/// have a file, yours stays and the template's goes to .factory/conflicts. Merge the branch, then run `factoryup resolve`.
///
/// DIR cannot be a home directory, a system directory, or inside a hidden directory of a home such as ~/.ssh.
///
/// Exit code 2 if there are conflicts to resolve.
#[derive(Debug, Default, Args)]
pub(super) struct Init {
    /// A new or empty directory, or an existing git repo [default: --dir, or the current directory]
    #[arg(value_name = "DIR", value_parser = super::path())]
    folder: Option<PathBuf>,

    /// Use detected values and defaults, and ask only for what is still missing
    #[arg(long)]
    defaults: bool,

    /// Write and commit without confirmation
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
            there => format!("`cd {}`, then ", crate::shell::word(&there)),
        };
        ui.say(&format!("\nNext: {enter}review the changes to the host and GitLab with `factoryup plan --diff`, then apply them with `factoryup apply`."));
        Ok(Ending::Done)
    }

    /// Reports the branch with the files in an existing repo. The user merges it.
    fn adopted(report: &Report, ui: &Ui) -> Result<Ending> {
        let waits = report.conflicts().next().is_some();
        if ui.is_json() {
            ui.json(json!({ "event": "adoption", "report": report }))?;
        } else if let Some(branch) = &report.branch {
            let settle = if waits { ". Resolve the conflicts with `factoryup resolve`" } else { "" };
            ui.say(&format!(
                "\nNext: review the branch with `git diff HEAD...{branch}`, then merge it with `git merge {branch}`{settle}."
            ));
        }
        Ok(if waits { Ending::Pending } else { Ending::Done })
    }

    /// Creates the control repo without telling the next step. Returns the report of the branch if the repo existed before.
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

/// Lists the settings that were not asked for, with the flags that override them.
fn say_taken(taken: &[Taken], ui: &Ui) -> Result<()> {
    if ui.is_json() {
        for Taken { flag, value, source } in taken {
            ui.json(json!({ "event": "taken", "flag": flag, "value": value, "source": source }))?;
        }
    } else if !taken.is_empty() {
        let width = taken.iter().map(|one| one.flag.len()).max().unwrap_or_default();
        let lines = taken.iter().map(|one| format!("\n  --{:width$}  {} ({})", one.flag, one.value, one.source));
        ui.say(&format!("Detected or derived; override with the flag shown:{}", lines.collect::<String>()));
    }
    Ok(())
}

/// Creates the control repo of a new factory in `dir`.
fn generate(dir: &Path, settled: &Settled, ui: &dyn Watch) -> Result<Option<Report>> {
    refuse_new_name(dir, &settled.factory.factory.name)?;
    let mut state = StateDir::open(&settled.factory.factory.name)?;
    state.lock("init")?;
    state.claim_if_new(dir, &settled.factory.gitlab.project_url())?;
    let mut target = RepoTarget::new(dir, &settled.factory, &settled.text)?.adopting(true);
    converge(&mut target, ui, &state, Options { yes: true, ..Options::default() })?;
    Ok(target.report().filter(|report| report.branch.is_some()).cloned())
}
