//! Cloudflare's tunnel: its program, a unit for each environment, and what starts that with the environment's token.

use super::Wishes;
use crate::dialog::Dialog;
use crate::error::Result;
use crate::factory::Factory;
use crate::host::program::Questions;
use crate::host::resources::{Download, File, Resource, TUNNEL, Then, Unit};
use crate::host::target::HostTarget;

/// The same file that the control repo has as `scripts/host/factory-tunnel@.service`.
const UNIT: &str = include_str!("../../../templates/scripts/host/factory-tunnel@.service");

/// Likewise `scripts/host/factory-tunnel`.
const CONNECT: &str = include_str!("../../../templates/scripts/host/factory-tunnel");

/// Where root and a job of trusted CI ask for it: only that runner's user opens the socket.
const SOCKET: &str = "\
# Written by factoryup.
[Unit]
Description=Where CI's jobs connect a tunnel

[Socket]
ListenStream=/run/factory-tunnel
SocketUser=factory-ci
SocketMode=0600
Accept=yes
MaxConnections=4
TriggerLimitIntervalSec=0
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
";

/// The name of the socket's unit, and of the next one.
const DOOR: &str = "factory-tunnel-token";

/// The service of a connection: what asks may go away, as through the tunnel itself. It starts what the factory has, and nothing else.
fn service(factory: &Factory) -> String {
    let (names, account) = (factory.environments.names.join(" "), &factory.cloudflare.account_id);
    format!(
        "\
# Written by factoryup.
[Unit]
Description=A tunnel gets its token
CollectMode=inactive-or-failed

[Service]
ExecStart=/usr/local/sbin/factory-tunnel answer
Environment=\"ENVIRONMENTS={names}\" \"CLOUDFLARE_ACCOUNT={account}\"
StandardInput=socket
StandardError=journal
RuntimeMaxSec=20min
MemoryMax=128M
MemorySwapMax=0
TasksMax=64
"
    )
}

/// The program comes first, so that it goes last: after what runs it was stopped.
pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, wishes: &Wishes<'_>) {
    if wishes.factory.cloudflare.enabled {
        resources.push(Box::new(Download { name: "cloudflared", lock: wishes.lock.to_owned() }));
        resources.push(Box::new(File::system(TUNNEL, UNIT).then(Then::DaemonReload)));
        resources.push(Box::new(File::system("/usr/local/sbin/factory-tunnel", CONNECT).mode("755")));
        for (kind, text) in [("@.service", service(wishes.factory)), (".socket", SOCKET.to_owned())] {
            let path = format!("/etc/systemd/system/{DOOR}{kind}");
            resources.push(Box::new(File::system(&path, text).then(Then::DaemonReload)));
        }
        resources.push(Box::new(Unit { name: format!("{DOOR}.socket") }));
    }
}

impl HostTarget<'_> {
    /// The environments whose tunnel does not run on the host; none without Cloudflare.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn tunnels_down(&mut self, dialog: &dyn Dialog) -> Result<Vec<String>> {
        let mut names = self.factory.environments.names.clone();
        if !self.factory.cloudflare.enabled {
            return Ok(Vec::new());
        }
        let unit = |name: &String| format!("factory-tunnel@{name}.service");
        let questions = Questions { units: names.iter().map(unit).collect(), ..Questions::default() };
        let seen = self.root(dialog)?.observe(&questions, dialog)?;
        names.retain(|name| seen.units.get(&unit(name)).is_none_or(|state| state.active != "active"));
        Ok(names)
    }
}
