//! `factoryup apply`

use std::path::Path;

use clap::Args;

use super::access::{Access, Name, Purpose, Site};
use crate::error::Result;
use crate::plan::{Options, converge};
use crate::ui::Ui;

/// Plan, confirm, apply and verify; run it again when it was cut
#[derive(Debug, Default, Args)]
pub(super) struct Apply {
    /// Which target [default: repo, host and gitlab, in that order, and the host again for the tokens that the hand-off made]
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
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let purpose = match self.target {
            None | Some(Name::Host) => Purpose::BringToHost(ui),
            Some(Name::Repo | Name::Gitlab) => Purpose::Bring(ui),
        };
        let site = Site::open(dir, &self.access, purpose)?;
        let options = Options { yes: self.yes, prove_again: self.prove };
        site.bring_about(self.target, ui, &mut |target| converge(target, ui, &site.state, options).map(drop))
    }
}
