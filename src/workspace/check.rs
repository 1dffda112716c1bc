//! The checks of `factoryup doctor` on every target.

use super::{AnyTarget, Workspace};
use crate::error::{Kind, Result};
use crate::factory::POSTGRES;
use crate::gitlab::token_life;
use crate::host::HostTarget;
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
            // GitLab's knows of a token that the host renewed.
            let of_target = self.check_target(name)?;
            if name == TargetName::Gitlab {
                checks.push(self.check_token()?);
            }
            checks.extend(of_target);
        }
        Ok(checks)
    }

    /// Checks what the host does by itself: that it renews the agent's tokens, copies databases, and makes its backups.
    fn check_services(&self, host: &mut HostTarget<'_>) -> Result<Vec<Check>> {
        let remedy = "on the host, `journalctl --unit factory-renew` says what failed; `factoryup apply` replaces a token that is lost";
        let fault = host.renewal_fault(self.watch)?;
        let mut checks = vec![Check::new("the host's last renewal of the agent's tokens succeeded", remedy, fault)];
        if self.factory.host.services.iter().any(|name| name == POSTGRES) {
            let remedy = "on the host, run `sudo systemctl start factory-postgres-copies`, and `journalctl --unit factory-postgres-copies` if it fails";
            let claim = "the host's last nightly copies of databases succeeded";
            checks.push(Check::new(claim, remedy, host.copies_fault(self.watch)?));
        }
        if let Some(backups) = host.backups(self.watch)? {
            let remedy = "on the host, run `sudo systemctl start factory-backup`, and `journalctl --unit factory-backup` if it fails";
            let claim = "the host's last backup is whole and not older than 36 hours";
            checks.push(Check::new(claim, remedy, backups.fault()));
        }
        Ok(checks)
    }

    /// Reads the current state of a target.
    pub(super) fn read(&self, target: &mut dyn Target) -> Result<Plan> {
        self.watch.busy(&format!("reading the current state of {}", target.subject()));
        let observed = target.observe(self.watch);
        self.watch.busy("");
        observed
    }

    fn check_target(&self, name: TargetName) -> Result<Vec<Check>> {
        let mut more = Vec::new();
        let observed = self.make(name).and_then(|mut made| {
            let plan = self.read(made.target())?;
            if let AnyTarget::Host(host) = &mut made {
                more = self.check_services(host)?;
            }
            Ok(plan)
        });
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
        let check = match observed {
            Ok(plan) => Check::new(claim, remedy, plan.changes.into_iter().map(|change| change.summary)),
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => Check::new(
                claim,
                "fix the access to it, or check only the control repo: factoryup doctor repo",
                [format!("cannot check: {error}")],
            ),
        };
        Ok([vec![check], more].concat())
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
