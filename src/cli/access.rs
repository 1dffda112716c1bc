//! Flags of the commands that reach a host or GitLab.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::plan::TargetName;
use crate::workspace::Keys;

/// One of the three targets, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    /// The control repo
    Repo,
    /// The trusted host
    Host,
    /// The GitLab group and project
    Gitlab,
}

impl From<Name> for TargetName {
    fn from(name: Name) -> Self {
        match name {
            Name::Repo => Self::Repo,
            Name::Host => Self::Host,
            Name::Gitlab => Self::Gitlab,
        }
    }
}

/// Credentials for the host and GitLab. Secrets come from a file, the environment or a prompt, never from a flag.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Access {
    /// Log in to the host with this private key first, before ssh-agent's and the default keys
    #[arg(long, value_name = "FILE", env = "FACTORYUP_IDENTITY", value_parser = super::path())]
    identity: Option<PathBuf>,

    /// Accept only the host key with this fingerprint (SHA256:…), regardless of known_hosts
    #[arg(long, value_name = "FINGERPRINT", env = "FACTORYUP_HOST_KEY")]
    host_key: Option<String>,

    /// Read the password for sudo on the host from this file [env: FACTORYUP_SUDO_PASSWORD contains the password itself]
    #[arg(long, value_name = "FILE", value_parser = super::path())]
    sudo_password_file: Option<PathBuf>,

    #[command(flatten)]
    token: Token,
}

/// Credentials for GitLab.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Token {
    /// Read the GitLab token from this file [env: FACTORYUP_GITLAB_TOKEN contains the token itself]
    #[arg(long, value_name = "FILE", value_parser = super::path())]
    gitlab_token_file: Option<PathBuf>,
}

impl Token {
    pub(super) fn keys(&self) -> Keys {
        Keys { gitlab_token_file: self.gitlab_token_file.clone(), ..Keys::default() }
    }
}

impl Access {
    pub(super) fn keys(&self) -> Keys {
        Keys {
            identity: self.identity.clone(),
            host_key: self.host_key.clone(),
            sudo_password_file: self.sudo_password_file.clone(),
            ..self.token.keys()
        }
    }
}
