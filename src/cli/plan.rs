//! `factoryup plan`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Ending;
use super::access::{Access, Name};
use crate::error::{Error, Kind, Result};
use crate::plan::{SavedPlan, Target};
use crate::ui::Ui;
use crate::workspace::{Purpose, Workspace};

/// Show pending changes without applying them
///
/// Exit code 2 if changes are pending.
#[derive(Debug, Default, Args)]
pub(super) struct Plan {
    /// Plan only this target [default: repo, host and gitlab, in that order]
    target: Option<Name>,

    /// Show a diff of each change
    #[arg(long)]
    pub(super) diff: bool,

    /// Print the shell scripts that would run on the host, without secrets (`plan host` only)
    #[arg(long, conflicts_with = "out")]
    script: bool,

    /// Save the plan to this file, for `factoryup apply FILE`
    #[arg(long, value_name = "FILE", value_parser = super::path())]
    out: Option<PathBuf>,

    #[command(flatten)]
    access: Access,
}

impl Plan {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        if let Some(path) = &self.out {
            SavedPlan::may_be_at(path)?;
        }
        let workspace = Workspace::open(dir, self.access.keys(), Purpose::Look, ui)?;
        if self.script {
            return self.print_script(&workspace, ui);
        }
        let saved = workspace.plan(self.target.map(Into::into), &mut |plan| ui.plan(plan))?;
        if let Some(path) = &self.out {
            saved.write(path)?;
            ui.tell(&format!("saved the plan as {} (digest {})", path.display(), saved.digest()));
        }
        Ok(if saved.plans().iter().all(crate::plan::Plan::is_empty) { Ending::Done } else { Ending::Pending })
    }

    /// Prints the scripts for the host in its current state. If it is unreachable, prints only those that run before it is observed.
    fn print_script(&self, workspace: &Workspace<'_>, ui: &Ui) -> Result<Ending> {
        if self.target != Some(Name::Host) {
            return Err(Error::usage("--script works only with `plan host`").hint("run `factoryup plan host --script`"));
        }
        let mut host = workspace.host()?;
        let mut unreachable = None;
        let plan = match host.observe(ui) {
            Ok(plan) => Some(plan),
            Err(error) if error.kind() == Kind::Unreachable => {
                unreachable = Some(error.hint("only the scripts that do not depend on the host's state were printed"));
                None
            }
            Err(error) => return Err(error),
        };
        for script in host.scripts(plan.as_ref()) {
            if ui.is_json() {
                let value =
                    json!({ "event": "script", "name": script.name, "about": script.about, "text": script.text });
                ui.json(value)?;
            } else {
                ui.result(&format!("# === {}: {}\n{}\n", script.name, script.about, script.text.trim_end()))?;
            }
        }
        if let Some(error) = unreachable {
            return Err(error);
        }
        Ok(if plan.is_some_and(|plan| !plan.is_empty()) { Ending::Pending } else { Ending::Done })
    }
}
