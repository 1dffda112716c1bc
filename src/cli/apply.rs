//! `factoryup apply`

use std::path::Path;

use clap::Args;

use super::Ending;
use super::access::{Access, Name, Site};
use crate::dialog::Dialog;
use crate::error::Result;
use crate::plan::{Options, TargetName, converge};
use crate::ui::Ui;

/// Plan, confirm, apply and verify; run it again when it was cut
#[derive(Debug, Default, Args)]
pub(super) struct Apply {
    /// Which target [default: repo, host and gitlab, in that order]
    target: Option<Name>,

    /// Show the texts before and after
    #[arg(long)]
    pub(super) diff: bool,

    /// Do not ask before applying
    #[arg(long, short)]
    yes: bool,

    /// Try the forbidden actions again, even when nothing was changed and all were refused the last time
    #[arg(long)]
    prove: bool,

    #[command(flatten)]
    access: Access,
}

impl Apply {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let site = Site::open(dir, &self.access)?;
        let options = Options { yes: self.yes, prove_again: self.prove };
        let mut ending = Ending::Done;
        for name in site.names(self.target) {
            if name == TargetName::Repo {
                let mut repo = site.repo()?;
                converge(&mut repo, ui, &site.state, options)?;
                if repo.report().is_some_and(|report| report.conflicts().next().is_some()) {
                    ui.warn("conflicts wait on that branch: check it out and run `factoryup resolve`");
                    ending = Ending::Pending;
                }
            } else {
                converge(&mut *site.target(name, ui)?, ui, &site.state, options)?;
            }
        }
        Ok(ending)
    }
}
