//! What a trusted host is made of: from `factory.toml` and what the host is like, all resources in the order in which they are
//! brought about.
//!
//! One file per subject. The profile is a function of the factory and of what was observed, since some of it depends on the
//! host: which algorithms its sshd knows, which resolver it uses. On the first probe nothing is observed yet; then the profile is
//! that of a plain Debian, and the target asks again in the rare case that the real one has other questions.

mod applications;
mod backup;
mod credentials;
mod firewall;
mod identities;
mod kernel;
mod machine;
mod packages;
mod renewal;
mod runners;
mod secure_shell;
mod services;
mod tunnel;
mod upkeep;

pub(crate) use credentials::{clone as agent_clone, of_agent, tools as agent_tools};
pub(crate) use firewall::gitlab as gitlab_address;
pub(crate) use identities::{LAST_SUDOERS, SUDOERS};
pub(crate) use kernel::VALUES as SETTINGS;
pub(crate) use machine::ask;
pub(crate) use secure_shell::lasting_host_key;
pub(crate) use upkeep::UPDATES;

use super::accounts::WORKERS;
use crate::error::{Error, Result};
use crate::factory::Factory;
use crate::hand_over::HandOver;
use crate::host::observed::Observed;
use crate::host::resources::{Directory, Resource, TrustedJobs};
use crate::secret::Secret;

/// What the profile depends on beside the host.
#[derive(Clone, Debug)]
pub(crate) struct Wishes<'a> {
    /// The factory.
    pub(crate) factory: &'a Factory,
    /// The operator's new password, once it is known.
    pub(crate) new_password: Option<Secret>,
    /// What the hand-off made for this host.
    pub(crate) hand_over: HandOver,
    /// What is to go wrong on purpose.
    pub(crate) drill: Drill,
    /// The control repo's `toolchain.lock`.
    pub(crate) lock: &'a str,
}

/// A drill: a change that locks everybody out, to see that the host takes it back by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drill {
    /// sshd lets nobody in, and the checks that would notice are left out.
    pub sshd: bool,
    /// The firewall drops what goes to sshd, also on connections that exist.
    pub firewall: bool,
}

/// All resources, in order.
///
/// # Errors
/// `Data` when the factory asks for what no host can be.
pub(crate) fn resources(wishes: &Wishes<'_>, seen: &Observed) -> Result<Vec<Box<dyn Resource>>> {
    let factory = wishes.factory;
    let operator = &factory.host.operator;
    if operator == "root" || WORKERS.contains(&operator.as_str()) {
        return Err(Error::data(format!("`operator = \"{operator}\"` under [host] is the name of another identity"))
            .hint("choose a name of your own, such as `operator`"));
    }
    let mut resources: Vec<Box<dyn Resource>> = Vec::new();
    packages::add(&mut resources, factory, seen);
    resources.push(Box::new(Directory::system("/etc/factory")));
    identities::add(&mut resources, wishes);
    credentials::add(&mut resources, wishes);
    renewal::add(&mut resources, factory);
    applications::add(&mut resources, factory);
    services::add(&mut resources, &factory.host);
    backup::add(&mut resources, factory)?;
    machine::add(&mut resources, &factory.host, seen);
    upkeep::add(&mut resources, &factory.host, seen);
    kernel::add(&mut resources);
    secure_shell::add(&mut resources, &factory.host, seen, wishes.drill.sshd);
    firewall::add(&mut resources, factory, seen, wishes.drill.firewall);
    resources.push(Box::new(TrustedJobs));
    runners::add(&mut resources, wishes, seen);
    tunnel::add(&mut resources, wishes);
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::factory::{RunnerKind, Sudo};
    use crate::hand_over::Token;
    use crate::host::resources::KINDS;

    /// What is on no list could not be undone. What a host is like changes texts and ports, and no kind.
    #[test]
    fn every_kind_that_a_host_is_made_of_is_on_the_list() {
        let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                    [gitlab]\ngroup = \"acme\"\n";
        let mut factory: Factory = toml::from_str(text).unwrap();
        factory.runner.kind = RunnerKind::Podman;
        factory.host.sudo = Sudo::Password;
        factory.host.hostname = "forge".into();
        factory.host.audit = true;
        factory.cloudflare.enabled = true;
        factory.host.authorized_keys = vec!["ssh-ed25519 AAAA ada".into()];
        let hand_over = HandOver { agent: Token::Coming, ..HandOver::default() };
        let wishes = Wishes { factory: &factory, new_password: None, hand_over, drill: Drill::default(), lock: "" };
        let made: BTreeSet<_> =
            resources(&wishes, &Observed::default()).unwrap().iter().map(|r| r.named().0.name).collect();
        let listed: BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(made, listed);
        assert_eq!(listed.len(), KINDS.len());
    }
}
