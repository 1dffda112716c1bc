//! A factory's directory with all that a command needs: settings, keys, state directory and dialog.
//!
//! A command opens a [`Workspace`] and calls one method. The workspace makes the targets and decides their order; it holds no
//! policy of any of them. All targets are looked at before the first write on any:
//!
//! ```text
//! survey   observe repo, host, gitlab; and the host as it will be once the hand-off made its tokens
//! confirm  one question about all of it
//! apply    one target after the other, verified and proved; then the host once more for the tokens
//! anchor   the head of the evidence log, in GitLab
//! online   GitLab has heard from the runners on the host
//! ```
//!
//! After an apply of everything the newest pipeline is watched to its end (`pipeline`). `status` reads all of it into a [`Card`], and
//! changes nothing. `publish` is apart: it makes what one application lacks in GitLab and on the host.

mod apply;
mod card;
mod check;
mod evidence;
mod keys;
mod online;
mod open;
mod pipeline;
mod publish;
mod status;
mod token;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

pub use apply::What;
pub use card::{Card, CardLine, State, Step};
pub use evidence::Compared;
pub use keys::{OwnerKey, Written, init_key};
pub use open::{Purpose, factory_in, refuse_new_name};
pub use publish::{Publish, Published};
pub use status::Compare;

use crate::error::{Kind, Result};
use crate::factory::{FILE_NAME, Factory, HostKind, Renewed, RunnerKind, parse};
use crate::gitlab::{GitlabTarget, RevertGitlab, hand_over};
use crate::hand_over::HandOver;
use crate::host::{HostTarget, Reach, RevertTarget};
use crate::plan::{StateDir, Target, TargetName, Watch};
use crate::repo::RepoTarget;
use crate::repo::resolve::Resolver;
use crate::secret::Secret;
use crate::transport::{Local, Passphrases, Ssh, SshOptions};
use open::{lock_in, text_in};

/// How to log in, in addition to what `factory.toml` says. Files rather than values: secrets are read when they are needed.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// A private SSH key, which is tried before all others.
    pub identity: Option<PathBuf>,
    /// The only host key to accept, `SHA256:…`; wins over `host.host_key`.
    pub host_key: Option<String>,
    /// A file with the password for sudo on the host.
    pub sudo_password_file: Option<PathBuf>,
    /// A file with the GitLab token.
    pub gitlab_token_file: Option<PathBuf>,
}

/// The order in which targets are applied: the hand-off pushes the repo and locks it for the agent, who is on the host by then.
const ORDER: [TargetName; 3] = [TargetName::Repo, TargetName::Host, TargetName::Gitlab];

/// See the [module](self).
pub struct Workspace<'w> {
    factory: Factory,
    dir: PathBuf,
    /// `factory.toml` as it is on disk, and with the newer answers.
    read: String,
    text: String,
    keys: Keys,
    state: StateDir,
    /// The owner's GitLab token, once it was found.
    token: OnceCell<Secret>,
    /// Whether the agent gets a new token although its own works.
    replace_agent_token: bool,
    watch: &'w dyn Watch,
}

impl std::fmt::Debug for Workspace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("dir", &self.dir).field("state", &self.state).finish_non_exhaustive()
    }
}

impl<'w> Workspace<'w> {
    /// Opens the control repo in `dir` and its state directory.
    ///
    /// # Errors
    /// `Usage` if there is no `factory.toml`; `Data` with all that is wrong in it, or if the state directory is another factory's;
    /// `CannotWrite` if another process uses the state directory.
    pub fn open(dir: &Path, keys: Keys, purpose: Purpose, watch: &'w dyn Watch) -> Result<Self> {
        let text = text_in(dir)?;
        let factory = parse(&text, &dir.join(FILE_NAME).display().to_string())?;
        let state = purpose.state(dir, &factory, watch)?;
        Ok(Self::with(Renewed { text, factory }, dir, keys, state, watch))
    }

    /// Opens a control repo of an older version: `ask` gets the text of its `factory.toml` with the answers last applied, and
    /// answers what is new.
    ///
    /// # Errors
    /// As [`open`](Self::open), and what `ask` returns.
    pub fn renewed(
        dir: &Path,
        keys: Keys,
        purpose: Purpose,
        watch: &'w dyn Watch,
        ask: impl FnOnce(&str, Option<&str>) -> Result<Renewed>,
    ) -> Result<Self> {
        let read = text_in(dir)?;
        let lock = crate::repo::answers_lock(dir)?;
        let renewed = ask(&read, lock.as_deref())?;
        let state = purpose.state(dir, &renewed.factory, watch)?;
        Ok(Self { read, ..Self::with(renewed, dir, keys, state, watch) })
    }

    /// A workspace of known answers, whose control repo in `dir` need not exist.
    ///
    /// # Errors
    /// `Internal` if the answers cannot be written as `factory.toml`.
    pub fn of(factory: Factory, dir: &Path, keys: Keys, state: StateDir, watch: &'w dyn Watch) -> Result<Self> {
        let text = crate::factory::to_toml(&factory)?;
        Ok(Self::with(Renewed { text, factory }, dir, keys, state, watch))
    }

    fn with(answers: Renewed, dir: &Path, keys: Keys, state: StateDir, watch: &'w dyn Watch) -> Self {
        let Renewed { text, factory } = answers;
        Self {
            factory,
            dir: dir.to_owned(),
            read: text.clone(),
            text,
            keys,
            state,
            token: OnceCell::new(),
            replace_agent_token: false,
            watch,
        }
    }

    /// With a new token for the agent, as [`GitlabTarget::replacing_agent_token`].
    #[must_use]
    pub fn replacing_agent_token(self, replace: bool) -> Self {
        Self { replace_agent_token: replace, ..self }
    }

    /// The answers.
    #[must_use]
    pub fn factory(&self) -> &Factory {
        &self.factory
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// The targets that this factory has, in the order in which they are applied, or the one that was named.
    fn names(&self, only: Option<TargetName>) -> Vec<TargetName> {
        let has = |name: &TargetName| *name != TargetName::Host || self.factory.host.kind != HostKind::None;
        only.map_or_else(|| ORDER.into_iter().filter(has).collect(), |only| vec![only])
    }

    /// The runners that `factoryup apply` starts on the host, if there is one.
    fn runners_on_host(&self) -> &'static [&'static str] {
        if self.factory.runner.kind == RunnerKind::Podman { &["trusted", "untrusted"] } else { &["trusted"] }
    }

    fn make(&self, name: TargetName) -> Result<AnyTarget<'_>> {
        Ok(match name {
            TargetName::Repo => AnyTarget::Repo(Box::new(self.repo()?)),
            TargetName::Host => AnyTarget::Host(Box::new(self.host()?)),
            TargetName::Gitlab => {
                let target = self.agent_of(self.gitlab()?)?.replacing_agent_token(self.replace_agent_token);
                self.take_back(&target)?;
                AnyTarget::Gitlab(Box::new(target))
            }
        })
    }

    /// If GitLab refuses stored tokens of the agent, stores those that the host has renewed since. What cannot be asked stays as it is: the
    /// comparison that follows says what is wrong.
    fn take_back(&self, gitlab: &GitlabTarget) -> Result<()> {
        if self.factory.host.kind == HostKind::None {
            return Ok(());
        }
        let over = match gitlab.refused() {
            Ok(over) if !over.is(&HandOver::default()) => over,
            _ => return Ok(()),
        };
        // A command that renews them now knows better.
        let Some(_held) = self.state.hold("plan") else { return Ok(()) };
        match self.host().and_then(|mut host| host.renewed(&over, self.watch)) {
            Ok(renewed) => gitlab.take_back(&renewed),
            Err(error) if error.kind() == Kind::Interrupted => Err(error),
            Err(error) => {
                self.watch
                    .warn(&format!("cannot ask the host for the agent's token, which GitLab refuses here: {error}"));
                Ok(())
            }
        }
    }

    /// The control repo.
    ///
    /// # Errors
    /// As [`RepoTarget::new`].
    pub fn repo(&self) -> Result<RepoTarget> {
        Ok(RepoTarget::new(&self.dir, &self.factory, &self.text)?.instead_of(&self.read))
    }

    /// The conflicts of the control repo.
    ///
    /// # Errors
    /// As [`Resolver::open`].
    pub fn resolver(&self) -> Result<Resolver> {
        Resolver::open(&self.dir, &self.factory, &self.text)
    }

    /// The host, for what only a host can do.
    ///
    /// # Errors
    /// `Data` if the factory has no host.
    pub fn host(&self) -> Result<HostTarget<'_>> {
        let host = HostTarget::new(&self.factory, self.reach(), self.sudo_password()?)?;
        host.with_lock(lock_in(&self.dir)?).with_hand_over(hand_over(&self.factory, &self.state)?)
    }

    /// The host on its way back.
    ///
    /// # Errors
    /// As [`host`](Self::host).
    pub fn host_way_back(&self) -> Result<RevertTarget<'_>> {
        RevertTarget::new(&self.factory, self.reach(), self.sudo_password()?)
    }

    fn gitlab(&self) -> Result<GitlabTarget> {
        GitlabTarget::new(&self.factory, self.owner_token()?, &self.dir, &self.state)
    }

    /// GitLab on its way back.
    ///
    /// # Errors
    /// As [`GitlabTarget::new`], and without the owner's token.
    pub fn gitlab_way_back(&self) -> Result<RevertGitlab> {
        let gitlab = self.gitlab()?;
        self.take_back(&gitlab)?;
        Ok(RevertGitlab::new(gitlab))
    }

    /// A way to the host for the first of the users that it lets in.
    fn reach(&self) -> Reach<'_> {
        let host = &self.factory.host;
        if host.kind == HostKind::Local {
            return Reach::Here(Box::new(Local));
        }
        let passphrases = Passphrases::default();
        Reach::Remote(Box::new(move |who| {
            let pinned = self.keys.host_key.as_deref().unwrap_or(&host.host_key);
            let mut options = SshOptions::new(&host.address, self.state.file("known_hosts"));
            options.port = Some(host.port).filter(|&port| port != 22);
            options.identity.clone_from(&self.keys.identity);
            options.authorized_keys.clone_from(&host.authorized_keys);
            options.last_login = Some(self.state.file("login.json"));
            options.host_key = if pinned.is_empty() { None } else { Some(pinned.parse()?) };
            Ok(Box::new(Ssh::new(options.logging_in(who), self.watch)?.knowing(&passphrases)))
        }))
    }

    fn sudo_password(&self) -> Result<Option<Secret>> {
        match &self.keys.sudo_password_file {
            Some(path) => Secret::from_file(path).map(Some),
            None => {
                Ok(std::env::var("FACTORYUP_SUDO_PASSWORD").ok().filter(|value| !value.is_empty()).map(Secret::new))
            }
        }
    }
}

/// A target of its own type, for what only that one can do.
enum AnyTarget<'w> {
    Repo(Box<RepoTarget>),
    Host(Box<HostTarget<'w>>),
    Gitlab(Box<GitlabTarget>),
}

impl AnyTarget<'_> {
    fn target(&mut self) -> &mut dyn Target {
        match self {
            Self::Repo(repo) => repo.as_mut(),
            Self::Host(host) => host.as_mut(),
            Self::Gitlab(gitlab) => gitlab.as_mut(),
        }
    }

    fn name(&self) -> TargetName {
        match self {
            Self::Repo(_) => TargetName::Repo,
            Self::Host(_) => TargetName::Host,
            Self::Gitlab(_) => TargetName::Gitlab,
        }
    }
}
