//! The nightly renewal of the agent's GitLab tokens: a program of root's that runs as the agent, and the timer that starts it.
//!
//! It runs as the agent because the agent has the tokens anyway: it has no other right, and reaches what the agent reaches.

use crate::factory::Factory;
use crate::host::accounts::AGENT;
use crate::host::resources::{File, RENEWER, Resource, Then, Unit};

/// The same file that the control repo has as `scripts/host/factory-renew`.
const PROGRAM: &str = include_str!("../../../templates/scripts/host/factory-renew");
/// Likewise `scripts/token.sh`, which the control repo's own `scripts/renew` uses too.
const LIBRARY: &str = include_str!("../../../templates/scripts/token.sh");

/// What runs the program.
const SERVICE: &str = "factory-renew.service";
/// What starts it: several times in the night, so that a GitLab that is down for an hour costs no night, and after a restart if the machine was
/// off at that time.
const TIMER: &str = "factory-renew.timer";

const TIMER_TEXT: &str = "\
# Written by factoryup.
[Unit]
Description=Nightly renewal of the agent's GitLab tokens

[Timer]
OnCalendar=*-*-* 01..05:20
RandomizedDelaySec=20min
Persistent=yes

[Install]
WantedBy=timers.target
";

/// The proxy is that of each login. What waits for GitLab's answer is not stopped before it came.
fn service(factory: &Factory) -> String {
    let api = format!("{}/api/v4", factory.gitlab.url.trim_end_matches('/')).replace('%', "%%").replace('$', "$$");
    let days = factory.agent.token_days.clamp(1, 30);
    format!(
        "\
# Written by factoryup.
[Unit]
Description=Renewal of the agent's GitLab tokens
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
User={AGENT}
EnvironmentFile=-/etc/environment
ExecStart={RENEWER} {api} {days}
TimeoutStartSec=20min
TimeoutStopSec=7min
Nice=10
MemorySwapMax=0
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=full
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
CapabilityBoundingSet=
NoNewPrivileges=yes
LockPersonality=yes
"
    )
}

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory) {
    let folder = RENEWER.rsplit_once('/').map_or("", |(folder, _)| folder);
    resources.push(Box::new(File::system(format!("{folder}/token.sh"), LIBRARY)));
    resources.push(Box::new(File::system(RENEWER, PROGRAM).mode("755")));
    let units = "/etc/systemd/system";
    resources.push(Box::new(File::system(format!("{units}/{SERVICE}"), service(factory)).then(Then::DaemonReload)));
    resources.push(Box::new(File::system(format!("{units}/{TIMER}"), TIMER_TEXT).then(Then::DaemonReload)));
    resources.push(Box::new(Unit { name: TIMER.into() }));
}
