//! The accounts of a factory's host, by name.

/// The agent's.
pub(crate) const AGENT: &str = "agent";
/// That of the control repo's trusted jobs: plan and apply, with the tokens of the control plane.
pub(crate) const CI: &str = "factory-ci";
/// That of the deployments of applications, which `factory-deploy` makes as root.
pub(crate) const DEPLOY: &str = "deploy";
/// That of the builds of applications: code of the application and of all that it depends on.
pub(crate) const BUILD: &str = "factory-build";
/// The numbers of the accounts that `factory-deploy` makes: one for each application, and the edge's. Neither `useradd` nor systemd gives
/// them to others.
pub(crate) const APPLICATIONS: (u32, u32) = (60706, 61183);
/// The account of the runner for what is not trusted.
pub(crate) const RUNNER: &str = "runner";
/// The accounts that work here and never log in from elsewhere.
pub(crate) const WORKERS: [&str; 5] = [AGENT, BUILD, CI, DEPLOY, RUNNER];
/// Whose members may log in over SSH.
pub(crate) const LOGIN_GROUP: &str = "factory-ssh";
