//! Work and its fruit: the `factory` command, the command that starts the runners, and the home of applications' releases.

use crate::host::accounts::DEPLOY;
use crate::host::resources::{Directory, File, Resource};
use crate::host::word::HostPath;

/// The same file that the control repo has as `scripts/host/factory`.
const FACTORY: &str = include_str!("../../../templates/scripts/host/factory");
/// Likewise `scripts/host/factory-runner`.
pub(super) const RUNNER: &str = include_str!("../../../templates/scripts/host/factory-runner");

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>) {
    resources.push(Box::new(File::system("/usr/local/bin/factory", FACTORY).mode("755")));
    resources.push(Box::new(File::system("/usr/local/sbin/factory-runner", RUNNER).mode("755")));
    // Settings of applications lie beside their releases, so only their own user comes in.
    resources.push(Box::new(Directory {
        path: HostPath::new("/srv/apps"),
        mode: "750",
        owner: DEPLOY.into(),
        group: DEPLOY.into(),
    }));
}
