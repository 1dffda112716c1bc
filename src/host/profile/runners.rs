//! The control repo's runners on this host: the program that takes the jobs, and a service for each.

use super::Wishes;
use super::applications::RUNNER;
use crate::factory::RunnerKind;
use crate::host::observed::Observed;
use crate::host::resources::{Resource, RunnerProgram, RunnerService};

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, wishes: &Wishes<'_>, seen: &Observed) {
    let factory = wishes.factory;
    let podman = factory.runner.kind == RunnerKind::Podman;
    let services: Vec<_> = ["trusted", "untrusted"]
        .into_iter()
        .filter(|name| podman || *name == "trusted")
        .map(|name| RunnerService {
            name,
            url: factory.gitlab.url.clone(),
            token: wishes.hand_over.runner(name),
            settings: pinned("settings"),
        })
        .collect();
    resources.push(Box::new(RunnerProgram {
        is_wanted: services.iter().any(|service| service.is_wanted(seen)),
        packages: pinned("packages"),
        fingerprint: pinned("fingerprint"),
    }));
    resources.extend(services.into_iter().map(|service| Box::new(service) as Box<dyn Resource>));
}

/// What `factory-runner` itself has under this name, so that it is pinned once.
fn pinned(name: &str) -> String {
    let value = RUNNER.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::pinned;

    #[test]
    fn the_plan_names_what_factory_runner_checks() {
        assert_eq!(pinned("packages"), "https://packages.gitlab.com/runner/gitlab-runner");
        assert!(pinned("settings").parse::<u8>().is_ok());
        assert!(pinned("fingerprint").len() == 40 && pinned("fingerprint").chars().all(|c| c.is_ascii_hexdigit()));
    }
}
