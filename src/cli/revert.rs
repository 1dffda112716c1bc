//! `factoryup revert`

use std::path::Path;

use clap::{Args, ValueEnum};

use super::Ending;
use super::access::Access;
use crate::error::Result;
use crate::plan::{Options, Target, converge};
use crate::ui::Ui;
use crate::workspace::{Purpose, Workspace};

/// Undo what factoryup did to the host, from the receipt there
///
/// Shows what will be undone, and what stays because somebody edited it since; asks; undoes it backwards; and looks again. The
/// workers are taken out of action first, then come sshd and the firewall, under a timer that takes that back unless a new login gets
/// in. Packages, home folders and the records in /var/lib/factoryup stay, and so does the account that this runs as: run it again as
/// the user of host.login, and that goes too.
///
/// Ctrl-C stops the host between two changes, as for apply.
///
/// When nobody gets in at all, docs/guide/locked-out.md says what the host takes back by itself, and what can be done as root in the
/// provider's console.
///
/// The control repo and GitLab are not covered. In the repo, revert the commit. In GitLab, change the settings by hand:
/// receipt-gitlab.json in the state folder has what was there before.
///
/// Exit codes: 0 undone, or nothing to undo; 2 with --dry-run when there is something to undo; 65 when a newer factoryup wrote the
/// receipt, and nothing was changed; 76 when nobody could log in under
/// the old settings of sshd and the firewall, so that the new ones stayed; the others as for apply.
#[derive(Debug, Args)]
pub(super) struct Revert {
    /// What to revert
    target: Revertible,

    /// Show what would be undone, and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Do not ask before undoing
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    access: Access,
}

/// A target that can be reverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Revertible {
    /// The trusted host
    Host,
}

impl Revert {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let Revertible::Host = self.target;
        let purpose = if self.dry_run { Purpose::Look } else { Purpose::Hold("revert") };
        let workspace = Workspace::open(dir, self.access.keys(), purpose, ui)?;
        let mut host = workspace.way_back()?;
        if self.dry_run {
            let plan = host.observe(ui)?;
            ui.plan(&plan)?;
            return Ok(if plan.is_empty() { Ending::Done } else { Ending::Pending });
        }
        converge(&mut host, ui, workspace.state(), Options { yes: self.yes, ..Options::default() })?;
        Ok(Ending::Done)
    }
}
