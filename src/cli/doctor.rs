//! `factoryup doctor`

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::Ending;
use super::access::{Access, Name};
use crate::dialog::plain;
use crate::error::Result;
use crate::ui::Ui;
use crate::workspace::{Purpose, Workspace};

/// Check the control repo, the host and GitLab against factory.toml
///
/// doctor changes nothing. Each failed check comes with a remedy. A target that cannot be read is a failed check too. `factoryup doctor
/// repo` reads only the checked-out commit and needs no network and no token, so that it can run in a pipeline.
///
/// Exit code 2 if a check fails.
#[derive(Debug, Default, Args)]
pub(super) struct Doctor {
    /// Check only this target [default: all of them]
    target: Option<Name>,

    #[command(flatten)]
    access: Access,
}

impl Doctor {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let workspace = Workspace::open(dir, self.access.keys(), Purpose::Look, ui)?;
        let checks = workspace.check(self.target.map(Into::into))?;
        for check in &checks {
            if ui.is_json() {
                ui.json(json!({ "event": "check", "holds": check.holds(), "check": check }))?;
                continue;
            }
            let verdict = match (check.holds(), &check.skipped) {
                (false, _) => "FAILS",
                (true, Some(_)) => "skip",
                (true, None) => "ok",
            };
            let skipped = check.skipped.as_ref().map_or(String::new(), |why| format!(" (not checked: {why})"));
            ui.show(&plain(&format!("{verdict:<6}{}{skipped}", check.claim)))?;
            for fault in &check.faults {
                // A fault names paths, and a commit can hold any: no line ends, and nothing that acts on a terminal.
                ui.show(&plain(&format!("      - {}", fault.replace(['\n', '\t'], " "))))?;
            }
            if !check.holds() {
                ui.show(&format!("      {}", check.remedy))?;
            }
        }
        let sound = checks.iter().all(crate::repo::doctor::Check::holds);
        Ok(if sound { Ending::Done } else { Ending::Pending })
    }
}
