//! `factoryup apply`

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::access::{Access, Name};
use crate::error::{Error, Result};
use crate::factory::{Factory, HostKind};
use crate::interrupt;
use crate::plan::{Options, Outcome, SavedPlan, TargetName};
use crate::ui::Ui;
use crate::workspace::{Compare, Purpose, What, Workspace, factory_in};

/// Apply pending changes after confirmation, then verify them
///
/// factoryup reads all targets before it changes any of them. If a run is interrupted, run the same command again: it continues from the
/// current state.
///
/// With a plan that `factoryup plan --out FILE` saved, `apply` applies exactly that plan, without a question. If anything changed since
/// the plan was saved, `apply` refuses it with exit code 65 and changes nothing.
///
/// `apply` also installs and starts the host's runners, and waits up to a minute until GitLab shows them online. If the host cannot
/// download something now, `apply` applies everything else and ends with exit code 75. Run it again to finish.
///
/// Without a target, `apply` then waits until the newest pipeline of the default branch passed, and shows the state of the factory as
/// `factoryup status` does. If a job fails, `apply` shows the end of its log and exits with 2. If no runner takes a job, there is no
/// pipeline, or the pipeline is not over in time, `apply` exits with 75. A job that a person starts is not waited for. Once the pipeline passed,
/// `apply` runs the policy checks that need a job, which take up to a minute, unless they passed since GitLab's last change.
///
/// If a change would stop what works on the host now, such as a service on a port that the firewall closes, `apply` asks even with `--yes`.
/// Without a terminal it then exits with 65, and changes nothing.
///
/// Ctrl-C stops the host between two changes: the change in progress is finished, and the same command applies the remaining changes.
/// SIGTERM and a closed terminal do the same. A second Ctrl-C exits at once. factoryup then shows what is still running, and which file
/// on the host shows its progress. A change to sshd or the firewall reverts by itself unless it is confirmed.
#[derive(Debug, Default, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(super) struct Apply {
    /// Apply only this target (repo, host or gitlab) or this saved plan [default: repo, host and gitlab, in that order, and the host
    /// again for the tokens that the GitLab setup created]
    #[arg(value_name = "TARGET|FILE")]
    what: Option<OsString>,

    /// Show a diff of each change
    #[arg(long)]
    pub(super) diff: bool,

    /// Apply without confirmation, unless something would stop working
    #[arg(long, short)]
    yes: bool,

    /// Run the policy checks again, even if nothing changed
    #[arg(long)]
    prove: bool,

    /// Create new tokens for the agent and bring them to the host; its old one for git works until you revoke it
    #[arg(long)]
    rotate_agent_token: bool,

    /// Do not wait for the pipeline
    #[arg(long)]
    no_wait: bool,

    /// How long to wait for the pipeline
    #[arg(long, value_name = "MINUTES", default_value_t = WAIT, value_parser = clap::value_parser!(u16).range(1..=1440))]
    #[arg(conflicts_with = "no_wait")]
    wait: u16,

    #[command(flatten)]
    access: Access,
}

/// Minutes that are waited for the pipeline.
const WAIT: u16 = 20;

/// Whether this applies the whole factory.
fn is_all(what: &What, factory: &Factory) -> bool {
    match what {
        What::All => true,
        What::Target(_) => false,
        What::Saved(saved) => {
            let has = |name| saved.targets().contains(&name);
            has(TargetName::Gitlab) && (has(TargetName::Host) || factory.host.kind == HostKind::None)
        }
    }
}

impl Apply {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let what = self.what(dir)?;
        if self.rotate_agent_token && !matches!(what, What::All | What::Target(TargetName::Gitlab)) {
            return Err(Error::usage("`--rotate-agent-token` changes GitLab, which this does not apply")
                .hint("factoryup apply --rotate-agent-token"));
        }
        let purpose = match &what {
            What::Target(TargetName::Repo | TargetName::Gitlab) => Purpose::Apply,
            What::Saved(saved) if !saved.targets().contains(&TargetName::Host) => Purpose::Apply,
            _ => Purpose::ApplyHost,
        };
        let options = Options { yes: self.yes, prove_again: self.prove };
        let workspace =
            Workspace::open(dir, self.access.keys(), purpose, ui)?.replacing_agent_token(self.rotate_agent_token);
        let mut changes = 0;
        workspace.apply(&what, options, &mut |_, outcome| {
            changes += if let Outcome::Applied { changes, .. } = outcome { *changes } else { 0 };
            Ok(())
        })?;
        if is_all(&what, workspace.factory()) { self.end(&workspace, changes > 0, ui) } else { Ok(()) }
    }

    /// Ends with the pipeline, and a card: a short one if nothing was changed and it passed.
    fn end(&self, workspace: &Workspace<'_>, changed: bool, ui: &Ui) -> Result<()> {
        let limit = Duration::from_mins(self.wait.into());
        let ended = if self.no_wait {
            Ok(())
        } else {
            workspace.see_pipeline(limit, changed).and_then(|()| workspace.see_job_checks())
        };
        if interrupt::pending() {
            return ended;
        }
        let is_short = !changed && ended.is_ok();
        if is_short {
            ui.say("\nEverything else is as it was: factoryup status");
        }
        ui.card(&if is_short { workspace.pipeline_card() } else { workspace.status(Compare::Done) }?)?;
        ended
    }

    fn what(&self, dir: &Path) -> Result<What> {
        use clap::ValueEnum as _;
        let Some(typed) = &self.what else { return Ok(What::All) };
        // A file with the name of a target is typed as ./host.
        if let Some(name) = typed.to_str().and_then(|word| Name::from_str(word, false).ok()) {
            return Ok(What::Target(name.into()));
        }
        let path = super::absolute(Path::new(typed)).map_err(Error::usage)?;
        if !path.exists() {
            return Err(Error::usage(format!("`{}` is neither a target nor a file", typed.to_string_lossy()))
                .hint("choose repo, host or gitlab, or save a plan first: factoryup plan --out FILE"));
        }
        SavedPlan::read(&path, &factory_in(dir)?.factory.name).map(What::Saved)
    }
}
