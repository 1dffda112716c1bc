//! `factoryup doctor`

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::Ending;
use super::access::{Access, Purpose, Site};
use crate::dialog::plain;
use crate::error::Result;
use crate::ui::Ui;

/// Check that the control repo is sound and the agent's token is not about to end; exit code 2 when a check fails
///
/// Reads the commit that is checked out and what the last hand-off from this machine left, changes nothing, and needs neither host
/// nor GitLab, so that it can run in a pipeline.
#[derive(Debug, Default, Args)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) fn run(dir: &Path, ui: &Ui) -> Result<Ending> {
        let checks = Site::open(dir, &Access::default(), Purpose::Look)?.check()?;
        for check in &checks {
            if ui.is_json() {
                ui.result(&json!({ "event": "check", "holds": check.holds(), "check": check }).to_string())?;
                continue;
            }
            let verdict = match (check.holds(), &check.skipped) {
                (false, _) => "FAILS",
                (true, Some(_)) => "skip",
                (true, None) => "ok",
            };
            let skipped = check.skipped.as_ref().map_or(String::new(), |why| format!(" (not checked: {why})"));
            ui.result(&plain(&format!("{verdict:<6}{}{skipped}", check.claim)))?;
            for fault in &check.faults {
                // A fault names paths, and a commit can hold any: no line ends, and nothing that acts on a terminal.
                ui.result(&plain(&format!("      - {}", fault.replace(['\n', '\t'], " "))))?;
            }
            if !check.holds() {
                ui.result(&format!("      {}", check.remedy))?;
            }
        }
        let sound = checks.iter().all(crate::repo::doctor::Check::holds);
        Ok(if sound { Ending::Done } else { Ending::Pending })
    }
}
