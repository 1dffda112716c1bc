//! Flags of the commands that reach a host or GitLab, and the targets they lead to.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::factory;
use crate::error::Result;
use crate::factory::{Factory, HostKind, Renewed};
use crate::host::{HostTarget, RevertTarget};
use crate::plan::{Plan, StateDir, Target, TargetName};
use crate::repo::RepoTarget;
use crate::repo::doctor::Check;
use crate::repo::resolve::Resolver;
use crate::secret::Secret;
use crate::targets::{self, Keys};
use crate::ui::Ui;

/// One of the three targets, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// The control repo
    Repo,
    /// The trusted host
    Host,
    /// The control plane
    Gitlab,
}

impl Name {
    fn target(self) -> TargetName {
        match self {
            Self::Repo => TargetName::Repo,
            Self::Host => TargetName::Host,
            Self::Gitlab => TargetName::Gitlab,
        }
    }
}

/// How to get in. Secrets come from files, the environment or a prompt, never from a flag.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Access {
    /// Log into the host with this private key, besides the agent's and the usual ones
    #[arg(long, value_name = "FILE", env = "FACTORYUP_IDENTITY", value_parser = super::path())]
    identity: Option<PathBuf>,

    /// Accept only this host key, such as SHA256:…, whatever known hosts say
    #[arg(long, value_name = "FINGERPRINT", env = "FACTORYUP_HOST_KEY")]
    host_key: Option<String>,

    /// Read the password for sudo on the host from this file [env: FACTORYUP_SUDO_PASSWORD holds the password itself]
    #[arg(long, value_name = "FILE", value_parser = super::path())]
    sudo_password_file: Option<PathBuf>,

    /// Read the GitLab token from this file [env: FACTORYUP_GITLAB_TOKEN holds the token itself]
    #[arg(long, value_name = "FILE", value_parser = super::path())]
    gitlab_token_file: Option<PathBuf>,
}

impl Access {
    /// Only a file with the GitLab token.
    pub(super) fn with_token(file: Option<PathBuf>) -> Self {
        Self { gitlab_token_file: file, ..Self::default() }
    }

    fn keys(&self) -> Keys {
        Keys {
            identity: self.identity.clone(),
            host_key: self.host_key.clone(),
            sudo_password_file: self.sudo_password_file.clone(),
            gitlab_token_file: self.gitlab_token_file.clone(),
        }
    }
}

/// What a command is about to do with a factory's state folder.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// Nothing that outlasts it.
    Look,
    /// Work on this control repo, with nothing that the folder keeps. A folder that is nobody's yet becomes the factory's.
    Repo,
    /// Bring targets about. Who has a changed factory is asked whether it is theirs.
    Bring(&'a Ui),
    /// The host as well, so that the factory's tokens may go there.
    BringToHost(&'a Ui),
}

impl Purpose<'_> {
    fn state(self, dir: &Path, factory: &Factory) -> Result<StateDir> {
        factory::refuse_new_name(dir, &factory.factory.name)?;
        let mut state = StateDir::open(&factory.factory.name)?;
        state.lock()?;
        let project = factory.gitlab.project_url();
        match self {
            Self::Look => state.look(dir, &project)?,
            Self::Repo => state.claim_if_new(dir, &project)?,
            Self::Bring(ui) => state.claim(dir, &project, None, ui)?,
            Self::BringToHost(ui) => state.claim(dir, &project, host_of(factory).as_deref(), ui)?,
        }
        Ok(state)
    }
}

/// The host as the answers name it: address, port, and the key that is pinned.
fn host_of(factory: &Factory) -> Option<String> {
    let host = &factory.host;
    match host.kind {
        HostKind::None => None,
        HostKind::Local => Some("this machine".into()),
        _ if host.host_key.is_empty() => Some(format!("{}:{}", host.address, host.port)),
        HostKind::Ssh => Some(format!("{}:{} with the key {}", host.address, host.port, host.host_key)),
    }
}

/// A control repo with everything that is needed to work on its targets.
pub(super) struct Site {
    pub(super) factory: Factory,
    pub(super) state: StateDir,
    dir: PathBuf,
    keys: Keys,
    /// The text of `factory.toml` as it was read, and with what was answered since.
    renewed: Option<(String, String)>,
}

impl Site {
    /// Reads the factory in `dir` and takes its state folder for this process.
    pub(super) fn open(dir: &Path, access: &Access, purpose: Purpose<'_>) -> Result<Self> {
        let factory = factory::read(dir)?;
        let state = purpose.state(dir, &factory)?;
        Ok(Self { factory, state, dir: dir.to_owned(), keys: access.keys(), renewed: None })
    }

    /// The same for a factory of an older version: `ask` is handed the text of its `factory.toml` with the answers last applied, and
    /// answers what is new.
    pub(super) fn renewed(
        dir: &Path,
        access: &Access,
        purpose: Purpose<'_>,
        ask: impl FnOnce(&str, Option<&str>) -> Result<Renewed>,
    ) -> Result<Self> {
        let text = factory::read_text(dir)?;
        let lock = crate::repo::answers_lock(dir)?;
        let Renewed { factory, text: new } = ask(&text, lock.as_deref())?;
        let state = purpose.state(dir, &factory)?;
        Ok(Self { factory, state, dir: dir.to_owned(), keys: access.keys(), renewed: Some((text, new)) })
    }

    /// The targets to work on: the one that was named, or all that this factory has.
    fn names(&self, name: Option<Name>) -> Vec<TargetName> {
        match name {
            Some(name) => vec![name.target()],
            None => targets::of(&self.factory),
        }
    }

    /// Does this with one target after the other, each made when its turn comes; see [`targets::bring_about`].
    pub(super) fn bring_about(
        &self,
        name: Option<Name>,
        ui: &Ui,
        work: &mut dyn FnMut(&mut dyn Target) -> Result<()>,
    ) -> Result<()> {
        targets::bring_about(&self.names(name), &self.factory, &self.dir, &self.keys, &self.state, ui, work)
    }

    /// Observes one target after the other; see [`targets::look`].
    pub(super) fn look(&self, name: Option<Name>, ui: &Ui, show: &mut dyn FnMut(&Plan) -> Result<()>) -> Result<bool> {
        targets::look(&self.names(name), &self.factory, &self.dir, &self.keys, &self.state, ui, show)
    }

    /// The control repo.
    pub(super) fn repo(&self) -> Result<RepoTarget> {
        match &self.renewed {
            Some((read, text)) => Ok(RepoTarget::new(&self.dir, &self.factory, text)?.instead_of(read)),
            None => targets::repo(&self.factory, &self.dir),
        }
    }

    /// What should hold, and whether it does.
    pub(super) fn check(&self) -> Result<Vec<Check>> {
        targets::check(&self.factory, &self.dir, &self.state)
    }

    /// The conflicts of the control repo.
    pub(super) fn resolver(&self) -> Result<Resolver> {
        targets::resolver(&self.factory, &self.dir)
    }

    /// The owner's token for GitLab.
    pub(super) fn gitlab_token(&self, ui: &Ui) -> Result<Secret> {
        targets::owner_token(&self.factory.gitlab.url, &self.dir, &self.keys, ui)
    }

    /// The host on its way back.
    pub(super) fn way_back<'a>(&'a self, ui: &'a Ui) -> Result<RevertTarget<'a>> {
        targets::way_back(&self.factory, &self.keys, &self.state, ui)
    }

    /// The host, for what only a host can do.
    pub(super) fn host<'a>(&'a self, ui: &'a Ui) -> Result<HostTarget<'a>> {
        targets::host(&self.factory, &self.keys, &self.state, ui)
    }
}
