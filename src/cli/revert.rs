//! `factoryup revert`

use std::path::Path;

use clap::{Args, ValueEnum};

use super::Ending;
use super::access::Access;
use crate::error::Result;
use crate::plan::{Options, Target, converge};
use crate::ui::Ui;
use crate::workspace::{Purpose, Workspace};

/// Undo factoryup's changes to the host or GitLab, from the receipt
///
/// It shows what it will revert, and what stays because it was edited since. It asks, reverts in reverse order, and verifies the
/// result.
///
/// On the host, it first disables the users agent, deploy and runner. It then restores sshd and the firewall. If no new login works, a
/// timer rolls that step back. Packages, home directories and the records in /var/lib/factoryup stay. The account that runs the revert
/// stays too: to remove it, run the command again as the user of host.login. Ctrl-C stops the host between two changes, as in apply. The
/// receipt is on the host.
///
/// If you cannot log in to the host at all, see docs/guide/locked-out.md. It describes what the host reverts by itself, and what you can
/// do as root in the provider's console.
///
/// In GitLab, it first revokes the agent's token, removes the agent from the project and deletes the runners. In a project that was
/// there before factoryup, it then restores settings and rules, except those that changed since. In a project that factoryup created,
/// they stay, since the project stays: only you can delete that, with all that is in it. The agent's account stays too, as the author of
/// its work. Revert the host too: it has the runners and the agent's token. The receipt is receipt-gitlab.json in the state directory.
///
/// The control repo stays as it is: revert the commit.
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
    /// The GitLab project
    Gitlab,
}

impl Revert {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let purpose = if self.dry_run { Purpose::Look } else { Purpose::Hold("revert") };
        let workspace = Workspace::open(dir, self.access.keys(), purpose, ui)?;
        let mut target: Box<dyn Target> = match self.target {
            Revertible::Host => Box::new(workspace.host_way_back()?),
            Revertible::Gitlab => Box::new(workspace.gitlab_way_back()?),
        };
        if self.dry_run {
            let plan = target.observe(ui)?;
            ui.plan(&plan)?;
            return Ok(if plan.is_empty() { Ending::Done } else { Ending::Pending });
        }
        converge(target.as_mut(), ui, workspace.state(), Options { yes: self.yes, ..Options::default() })?;
        Ok(Ending::Done)
    }
}
