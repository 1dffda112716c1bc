//! `factoryup evidence`

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::error::Result;
use crate::plan::{Evidence as Log, StateDir};
use crate::ui::Ui;
use crate::workspace::{factory_in, refuse_new_name};

/// Work with the evidence of what was done
#[derive(Debug, Args)]
pub(super) struct Evidence {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that each statement follows from the one before; the head that it prints shows, if noted, that none is missing since
    Verify {
        /// The log to check [default: this factory's, in the state folder]
        #[arg(value_parser = super::path())]
        file: Option<std::path::PathBuf>,
    },
}

impl Evidence {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let Command::Verify { file } = &self.command;
        let path = if let Some(path) = file {
            path.clone()
        } else {
            let factory = factory_in(dir)?;
            refuse_new_name(dir, &factory.factory.name)?;
            let state = StateDir::locate(&factory.factory.name)?;
            state.look(dir, &factory.gitlab.project_url())?;
            state.file("evidence/log.jsonl")
        };
        let (count, head) = Log::at(&path).verify()?;
        if ui.is_json() {
            return ui.json(json!({ "event": "evidence", "statements": count, "head": head }));
        }
        ui.show(&format!(
            "{count} statements in {}, each follows from the one before; head {head}\nThat none is missing at the end, only a head that you noted earlier or keep elsewhere can show.",
            path.display()
        ))
    }
}
