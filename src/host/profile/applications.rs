//! Work and its fruit: the `factory` command, the command that starts the runners, the home of applications' releases, and the edge in
//! front of them.

use crate::host::accounts::DEPLOY;
use crate::host::resources::{Directory, File, Resource};
use crate::host::word::HostPath;

/// The same file that the control repo has as `scripts/host/factory`.
const FACTORY: &str = include_str!("../../../templates/scripts/host/factory");
/// Likewise `scripts/host/factory-runner`.
pub(super) const RUNNER: &str = include_str!("../../../templates/scripts/host/factory-runner");

/// The edge: Caddy, as a service of the user that runs the applications. Each application's `.factory/deploy` writes its part, and that
/// alone: `admin` is a socket in a folder that only this user enters.
const EDGE: &str = "\
# Written by factoryup. .factory/deploy of each application writes the part of that application.
{
\tadmin unix/{$XDG_RUNTIME_DIR}/factory-edge/admin.sock
\tauto_https off
\tgrace_period 10s
\tlog {
\t\tlevel WARN
\t}
}
import /srv/apps/*/Caddyfile
";

/// A user unit that nothing enables: the services of applications start it.
const EDGE_SERVICE: &str = "\
# Written by factoryup.
[Unit]
Description=The edge in front of applications
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/usr/bin/caddy run --adapter caddyfile --config /etc/factory/Caddyfile
ExecReload=/usr/bin/caddy reload --adapter caddyfile --config /etc/factory/Caddyfile
Environment=XDG_CONFIG_HOME=%t/factory-edge XDG_DATA_HOME=%t/factory-edge
RuntimeDirectory=factory-edge
LimitNOFILE=infinity
Restart=always
RestartSec=1
NoNewPrivileges=yes
";

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>) {
    resources.push(Box::new(File::system("/usr/local/bin/factory", FACTORY).mode("755")));
    resources.push(Box::new(File::system("/usr/local/sbin/factory-runner", RUNNER).mode("755")));
    resources.push(Box::new(File::system("/etc/factory/Caddyfile", EDGE)));
    resources.push(Box::new(File::system("/etc/systemd/user/factory-edge.service", EDGE_SERVICE)));
    // Settings of applications lie beside their releases, so only their own user comes in.
    resources.push(Box::new(Directory {
        path: HostPath::new("/srv/apps"),
        mode: "750",
        owner: DEPLOY.into(),
        group: DEPLOY.into(),
    }));
}
