//! The checks of `factoryup doctor` on every target.

use super::Workspace;
use crate::error::{Kind, Result};
use crate::gitlab::token_life;
use crate::plan::{Plan, Target, TargetName};
use crate::repo::doctor::{self, Check};

impl Workspace<'_> {
    /// Checks what factoryup promises: the files of the control repo, the end of the agent's token, and on each target that nothing
    /// differs from `factory.toml`.
    ///
    /// # Errors
    /// `Usage` if there is no control repo. A target that cannot be read is a check that fails, not an error.
    pub fn check(&self, only: Option<TargetName>) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for name in self.names(only) {
            if name == TargetName::Repo {
                checks.extend(doctor::check(&self.dir, &self.factory, &self.text)?);
                let skipped = self.factory.infra.engine.exposes().map(str::to_owned);
                let claim = "the infrastructure state is encrypted before it is sent to GitLab";
                checks.push(Check { skipped, ..Check::new(claim, "", None) });
                continue;
            }
            if name == TargetName::Gitlab {
                checks.push(self.check_token()?);
            }
            checks.push(self.check_target(name)?);
            if name == TargetName::Host && !self.factory.host.backup_to.is_empty() {
                checks.push(self.check_backups()?);
            }
        }
        Ok(checks)
    }

    /// Checks that the host makes its backups.
    fn check_backups(&self) -> Result<Check> {
        let fault = match self.host().and_then(|mut host| host.backups(self.watch)) {
            Ok(backups) => backups.and_then(|backups| backups.fault()),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => Some(format!("cannot check: {error}")),
        };
        let remedy = "on the host, run `sudo systemctl start factory-backup`, and `journalctl --unit factory-backup` if it fails";
        Ok(Check::new("the host's last backup is whole and not older than 36 hours", remedy, fault))
    }

    /// Reads the current state of a target.
    pub(super) fn read(&self, target: &mut dyn Target) -> Result<Plan> {
        self.watch.busy(&format!("reading the current state of {}", target.subject()));
        let observed = target.observe(self.watch);
        self.watch.busy("");
        observed
    }

    fn check_target(&self, name: TargetName) -> Result<Check> {
        let observed = self.make(name).and_then(|mut made| self.read(made.target()));
        let (claim, remedy) = match name {
            TargetName::Host => (
                "the host matches factory.toml",
                "review with `factoryup plan host --diff`, then run `factoryup apply host`",
            ),
            _ => (
                "GitLab matches factory.toml",
                "review with `factoryup plan gitlab --diff`, then run `factoryup apply gitlab`",
            ),
        };
        Ok(match observed {
            Ok(plan) => Check::new(claim, remedy, plan.changes.into_iter().map(|change| change.summary)),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => Check::new(
                claim,
                "fix the access to it, or check only the control repo: factoryup doctor repo",
                [format!("cannot check: {error}")],
            ),
        })
    }

    /// Checks that the agent's token is not about to expire.
    fn check_token(&self) -> Result<Check> {
        let life = token_life(&self.factory, &self.state)?;
        let username = &self.factory.agent.username;
        let fault =
            life.filter(|life| life.is_due).map(|life| format!("the token of {username} expires on {}", life.ends));
        let check = Check::new(
            "the agent's token is not about to expire",
            "renew it in GitLab and on the host: factoryup apply",
            fault,
        );
        Ok(Check { skipped: life.is_none().then(|| "GitLab was not set up from this machine".to_owned()), ..check })
    }
}
