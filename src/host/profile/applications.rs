//! Work and its fruit: the `factory` command, the commands that start the runners and that deploy, the home of applications' releases, and
//! the edge in front of them.

use crate::host::accounts::DEPLOY;
use crate::host::resources::{DEPLOYER, Directory, File, Resource, Then};
use crate::host::word::HostPath;

/// The same file that the control repo has as `scripts/host/factory`.
const FACTORY: &str = include_str!("../../../templates/scripts/host/factory");
/// Likewise `scripts/host/factory-runner`.
pub(super) const RUNNER: &str = include_str!("../../../templates/scripts/host/factory-runner");

/// Likewise `scripts/host/factory-deploy`.
const DEPLOY_PROGRAM: &str = include_str!("../../../templates/scripts/host/factory-deploy");

/// The edge: Caddy. `factory-deploy` writes the part of each application. `admin` is a socket in a folder that only its user enters.
const EDGE: &str = "\
# Written by factoryup. factory-deploy writes the part of each application.
{
\tadmin unix//run/factory-edge/admin.sock
\tauto_https off
\tgrace_period 10s
\tlog {
\t\tlevel WARN
\t}
}
import /etc/factory/edge/*.caddy
";

/// Nothing enables it: the services of applications start it. `factory-deploy` makes its account. It serves the loopback alone, and
/// connects to sockets of files. An application names the socket that the edge connects to: the folder of the edge's control socket is
/// root's as soon as the edge listens there, so that it is not that one. As a `RuntimeDirectory`, systemd would give it back to the user
/// for each reload. It starts again at once when it was killed: the ports are its own, so all requests are refused until then.
const EDGE_SERVICE: &str = "\
# Written by factoryup.
[Unit]
Description=The edge in front of applications
StartLimitIntervalSec=0

[Service]
Type=notify
User=factory-edge
ExecStartPre=+/usr/bin/install -d -o factory-edge -m 700 /run/factory-edge
ExecStartPre=+/bin/rm -f /run/factory-edge/admin.sock
ExecStart=/usr/bin/caddy run --adapter caddyfile --config /etc/factory/edge.Caddyfile
ExecStartPost=+/bin/chown root:root /run/factory-edge
ExecReload=+/usr/bin/caddy reload --adapter caddyfile --config /etc/factory/edge.Caddyfile
Environment=HOME=%t/factory-edge XDG_CONFIG_HOME=%t/factory-edge XDG_DATA_HOME=%t/factory-edge
ReadWritePaths=-/run/factory-edge
LimitNOFILE=infinity
MemorySwapMax=0
Restart=always
RestartSec=100ms
IPAddressDeny=any
IPAddressAllow=localhost
NoNewPrivileges=yes
CapabilityBoundingSet=
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
";

/// The edge of earlier versions, a service of the user that ran the applications. It serves those that their owner has not moved
/// to `factory-deploy`.
const EDGE_OF_BEFORE: &str = "\
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

/// Likewise.
const EDGE_SERVICE_OF_BEFORE: &str = "\
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
    resources.push(Box::new(File::system("/etc/factory/Caddyfile", EDGE_OF_BEFORE)));
    resources.push(Box::new(File::system("/etc/systemd/user/factory-edge.service", EDGE_SERVICE_OF_BEFORE)));
    resources.push(Box::new(File::system("/etc/factory/edge.Caddyfile", EDGE)));
    let edge = File::system("/etc/systemd/system/factory-edge.service", EDGE_SERVICE);
    resources.push(Box::new(edge.then(Then::DaemonReload)));
    // Directories of applications are closed. The edge of earlier versions looks for its parts here.
    resources.push(Box::new(Directory {
        path: HostPath::new("/srv/apps"),
        mode: "751",
        owner: "root".into(),
        group: DEPLOY.into(),
    }));
    resources.push(Box::new(File::system(DEPLOYER, DEPLOY_PROGRAM).mode("755")));
}

#[cfg(test)]
mod tests {
    use super::{DEPLOY_PROGRAM, EDGE_SERVICE, RUNNER};
    use crate::host::accounts::APPLICATIONS;

    #[test]
    fn the_firewall_knows_the_numbers_of_applications() {
        let (first, last) = APPLICATIONS;
        assert!(DEPLOY_PROGRAM.contains(&format!("\nfirst_uid={first}\nlast_uid={last}\n")));
    }

    #[test]
    fn of_what_has_secrets_in_memory_nothing_reaches_the_disk() {
        assert!(EDGE_SERVICE.contains("\nMemorySwapMax=0\n"));
        assert!(DEPLOY_PROGRAM.contains("\nMemoryMax=$(of \"$2\" memory 512M)\nMemorySwapMax=0\n"));
        let folder = tempfile::tempdir().unwrap();
        let function = |name: &str| {
            let begin = RUNNER.find(&format!("\n{name}() {{\n")).unwrap();
            let end = begin + RUNNER[begin..].find("\n}\n").unwrap();
            RUNNER[begin..end + 3].replace("systemd-run", "echo")
        };
        let run = |runner: &str, call: &str| {
            let functions = ["names", "service", "sandbox"].map(function).concat();
            let step = format!(
                "id() {{ :; }}\ngetent() {{ echo x:x:1:1:x:/home/x; }}\n{runner} command= proxies= work= job= unit=\n\
                 {functions}\nnames\n{call}"
            );
            String::from_utf8(crate::host::program::try_step(folder.path(), &step).stdout).unwrap()
        };
        for (runner, swap) in [("kind=trusted name=", "0"), ("kind=build name=blog", "infinity")] {
            let said = run(runner, "sandbox");
            assert!(said.contains(&format!(" -p MemorySwapMax={swap} ")), "{runner}: {said}");
        }
        for runner in ["kind=trusted name=", "kind=trusted name=blog", "kind=build name=blog", "kind=untrusted name="] {
            let said = run(runner, "service");
            assert!(said.contains("\nMemorySwapMax=0\n"), "{runner}: {said}");
        }
    }
}
