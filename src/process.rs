//! Starting other programs without handing them what they must not have.
//!
//! A secret may reach factoryup in its environment, since that is where CI and password managers put it; it must not travel on
//! from there. Every child process is therefore made by [`command`], which takes the known secret variables away.

use std::ffi::OsStr;
use std::process::Command;

/// Environment variables that may hold a secret for factoryup.
pub const SECRET_VARIABLES: [&str; 8] = [
    "FACTORYUP_GITLAB_TOKEN",
    "FACTORYUP_AGENT_TOKEN",
    "FACTORYUP_AGENT_PROOF_TOKEN",
    "GITLAB_TOKEN",
    "GITLAB_ACCESS_TOKEN",
    "OAUTH_TOKEN",
    "FACTORYUP_SUDO_PASSWORD",
    "FACTORYUP_CLOUDFLARE_API_TOKEN",
];

/// A command that does not inherit [`SECRET_VARIABLES`].
#[allow(clippy::disallowed_methods)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Has no core dump written of this process and its children, since their memory holds secrets: `setrlimit(2)`.
pub fn leave_no_core_dump() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Lowering a limit is always permitted; where it is not known, there are no core dumps either.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_variables_are_taken_away() {
        let command = command("true");
        for name in SECRET_VARIABLES {
            assert!(command.get_envs().any(|(k, v)| k == name && v.is_none()), "{name}");
        }
    }
}
