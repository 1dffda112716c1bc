//! `factoryup plan`

use std::path::Path;

use clap::Args;

use super::Ending;
use super::access::{Access, Name, Site};
use crate::error::Result;
use crate::plan::{Event, Watch};
use crate::ui::Ui;

/// Show what would change, and change nothing; exit code 2 when changes are pending
#[derive(Debug, Default, Args)]
pub(super) struct Plan {
    /// Which target [default: repo, host and gitlab, in that order]
    target: Option<Name>,

    /// Show the texts before and after
    #[arg(long)]
    pub(super) diff: bool,

    #[command(flatten)]
    access: Access,
}

impl Plan {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let site = Site::open(dir, &self.access)?;
        let mut pending = false;
        for name in site.names(self.target) {
            let mut target = site.target(name, ui)?;
            ui.event(&Event::Target { name, subject: &target.subject() });
            let plan = target.observe(ui)?;
            pending |= !plan.is_empty();
            ui.plan(&plan)?;
        }
        Ok(if pending { Ending::Pending } else { Ending::Done })
    }
}
