//! `factoryup doctor`

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::Ending;
use super::access::{Access, Site};
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
        let checks = Site::open(dir, &Access::default())?.check()?;
        for check in &checks {
            if ui.is_json() {
                ui.result(&json!({ "event": "check", "holds": check.holds(), "check": check }).to_string())?;
                continue;
            }
            let verdict = if check.holds() { "ok" } else { "FAILS" };
            let skipped = check.skipped.as_ref().map_or(String::new(), |why| format!(" (not checked: {why})"));
            ui.result(&format!("{verdict:<6}{}{skipped}", check.claim))?;
            for fault in &check.faults {
                ui.result(&format!("      - {fault}"))?;
            }
            if !check.holds() {
                ui.result(&format!("      {}", check.remedy))?;
            }
        }
        let sound = checks.iter().all(crate::repo::doctor::Check::holds);
        Ok(if sound { Ending::Done } else { Ending::Pending })
    }
}
