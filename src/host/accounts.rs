//! The accounts of a factory's host, by name.

/// The agent's.
pub(crate) const AGENT: &str = "agent";
/// The protected runner's.
pub(crate) const DEPLOY: &str = "deploy";
/// The account of the runner for what is not trusted.
pub(crate) const RUNNER: &str = "runner";
/// The accounts that work here and never log in from elsewhere.
pub(crate) const WORKERS: [&str; 3] = [AGENT, DEPLOY, RUNNER];
/// Whose members may log in over SSH.
pub(crate) const LOGIN_GROUP: &str = "factory-ssh";
