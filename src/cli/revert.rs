//! `factoryup revert`

use std::path::Path;

use clap::{Args, ValueEnum};

use super::Ending;
use super::access::Access;
use crate::error::Result;
use crate::plan::{Options, Target, converge};
use crate::ui::Ui;
use crate::workspace::{Purpose, Workspace};

/// Undo factoryup's changes to the host, from the receipt stored there
///
/// It shows what it will revert, and what stays because it was edited since. It asks, reverts in reverse order, and verifies the
/// result. It first disables the users agent, deploy and runner. It then restores sshd and the firewall. If no new login works, a timer
/// rolls that step back. Packages, home directories and the records in /var/lib/factoryup stay. The account that runs the revert stays
/// too: to remove it, run the command again as the user of host.login.
///
/// Ctrl-C stops the host between two changes, as in apply.
///
/// If you cannot log in to the host at all, see docs/guide/locked-out.md. It describes what the host reverts by itself, and what you can
/// do as root in the provider's console.
///
/// The control repo and GitLab stay as they are. In the repo, revert the commit. In GitLab, change the settings by hand:
/// receipt-gitlab.json in the state directory contains the previous values.
///
/// Exit codes: 0 reverted, or nothing to revert; 2 with --dry-run if there are changes to revert; 65 if a newer factoryup wrote the
/// receipt, and nothing was changed; 76 if no login worked under the old settings of sshd and the firewall, so that the new ones
/// stayed; the others as for apply.
#[derive(Debug, Args)]
pub(super) struct Revert {
    /// The target to revert
    target: Revertible,

    /// Show what would be reverted, without reverting it
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Revert without confirmation
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
