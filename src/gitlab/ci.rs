//! What the control repo's pipelines need in GitLab: the variables, each in the environment of a root, that `docs/secrets.md` of the control
//! repo lists.

use std::fmt;

use crate::factory::{Engine, Factory};

/// The root that every control repo has.
const CONTROL_PLANE: &str = "control-plane";
/// The variable with the passphrase of a root's state.
pub(super) const PASSPHRASE: &str = "STATE_PASSPHRASE";

/// A CI/CD variable of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub key: &'static str,
    /// The environment whose jobs get it.
    pub environment: String,
}

impl Place {
    /// The variable `key` of an environment.
    pub fn new(key: &'static str, environment: impl Into<String>) -> Self {
        Self { key, environment: environment.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.environment)
    }
}

/// The roots of the infrastructure code, which are environments in GitLab.
#[must_use]
pub fn roots(factory: &Factory) -> Vec<String> {
    let names = factory.environments.names.iter().filter(|_| factory.cloudflare.enabled);
    std::iter::once(CONTROL_PLANE.to_owned()).chain(names.cloned()).collect()
}

/// What factoryup makes for pipelines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ci {
    roots: Vec<String>,
    /// Whether the engine encrypts its state.
    encrypted: bool,
}

impl Ci {
    pub(super) fn new(factory: &Factory) -> Self {
        Self { roots: roots(factory), encrypted: factory.infra.engine == Engine::Opentofu }
    }

    /// Where passphrases of states are needed.
    pub(super) fn passphrases(&self) -> impl Iterator<Item = Place> + '_ {
        self.everywhere(PASSPHRASE).filter(|_| self.encrypted)
    }

    fn everywhere(&self, key: &'static str) -> impl Iterator<Item = Place> + '_ {
        self.roots.iter().map(move |root| Place::new(key, root))
    }
}
