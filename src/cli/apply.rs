//! `factoryup apply`

use std::path::Path;

use clap::Args;

use super::access::{Access, Name};
use crate::error::Result;
use crate::plan::Options;
use crate::ui::Ui;
use crate::workspace::{Purpose, Workspace};

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
            None | Some(Name::Host) => Purpose::ApplyHost,
            Some(Name::Repo | Name::Gitlab) => Purpose::Apply,
        };
        let options = Options { yes: self.yes, prove_again: self.prove };
        let workspace = Workspace::open(dir, self.access.keys(), purpose, ui)?;
        workspace.apply(self.target.map(Into::into), options, &mut |_, _| Ok(()))
    }
}
