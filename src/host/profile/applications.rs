//! Work and its fruit: the `factory` command, the commands that start the runners and that deploy, the home of applications' releases, and
//! the edge in front of them.

use crate::factory::{Factory, port_range};
use crate::host::accounts::DEPLOY;
use crate::host::resources::{DEPLOYER, Directory, File, Resource, Then};
use crate::host::word::HostPath;

/// The same file that the control repo has as `scripts/host/factory`.
const FACTORY: &str = include_str!("../../../templates/scripts/host/factory");
/// Likewise `scripts/host/factory-runner`.
pub(super) const RUNNER: &str = include_str!("../../../templates/scripts/host/factory-runner");

/// Likewise `scripts/host/factory-deploy`.
const DEPLOY_PROGRAM: &str = include_str!("../../../templates/scripts/host/factory-deploy");

/// The edge: Caddy. `factory-deploy` writes the parts of each application. `admin` is a socket in a folder that only its user enters.
const EDGE: &str = "\
# Written by factoryup. factory-deploy writes the parts of each application.
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
/// for each reload. It starts again at once when it was killed: the ports are its own, so all requests are refused until then. One that
/// ends by itself, as with a port that a program took, tries again every 2 s.
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
ExecStopPost=/bin/sh -c 'case $$SERVICE_RESULT in success | signal) ;; *) sleep 2 ;; esac'
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

/// Where the owner opened the ports of the web, and Cloudflare is not in front: what of the edge is otherwise. It serves domains too, with
/// certificates that Caddy gets by ACME and keeps in its state; so it may reach the network. UDP is not opened for HTTP/3.
const PUBLIC: [(&str, &str); 2] = [
    ("\tauto_https off\n", "\tservers {\n\t\tprotocols h1 h2\n\t}\n\timport /etc/factory/edge.d/*.caddy\n"),
    ("import /etc/factory/edge/*.caddy\n", "import /etc/factory/edge/*.caddy\nimport /etc/factory/domains/*.caddy\n"),
];

/// Likewise of its unit.
const PUBLIC_SERVICE: [(&str, &str); 3] = [
    (
        "XDG_DATA_HOME=%t/factory-edge\n",
        "XDG_DATA_HOME=%S/factory-edge\nStateDirectory=factory-edge\nStateDirectoryMode=700\n",
    ),
    ("IPAddressDeny=any\nIPAddressAllow=localhost\n", ""),
    (
        "CapabilityBoundingSet=\n",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n",
    ),
];

/// Whether the edge serves domains.
fn is_public(factory: &Factory) -> bool {
    let opens = |wanted: u16| {
        let mut ranges = factory.host.open.iter().filter_map(|entry| port_range(entry));
        ranges.any(|(first, last, protocol)| protocol == "tcp" && (first..=last).contains(&wanted))
    };
    !factory.cloudflare.enabled && opens(80) && opens(443)
}

fn with(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

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

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory) {
    let is_public = is_public(factory);
    let (config, service): (&[_], &[_]) = if is_public { (&PUBLIC, &PUBLIC_SERVICE) } else { (&[], &[]) };
    resources.push(Box::new(File::system("/usr/local/bin/factory", FACTORY).mode("755")));
    resources.push(Box::new(File::system("/usr/local/sbin/factory-runner", RUNNER).mode("755")));
    resources.push(Box::new(File::system("/etc/factory/Caddyfile", EDGE_OF_BEFORE)));
    resources.push(Box::new(File::system("/etc/systemd/user/factory-edge.service", EDGE_SERVICE_OF_BEFORE)));
    resources.push(Box::new(File::system("/etc/factory/edge.Caddyfile", with(EDGE, config))));
    let edge = File::system("/etc/systemd/system/factory-edge.service", with(EDGE_SERVICE, service));
    resources.push(Box::new(edge.then(Then::RestartIfRunning("factory-edge.service"))));
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
    use super::{DEPLOY_PROGRAM, EDGE, EDGE_SERVICE, Factory, PUBLIC, PUBLIC_SERVICE, RUNNER, is_public};
    use crate::host::accounts::APPLICATIONS;

    #[test]
    fn the_firewall_knows_the_numbers_of_applications() {
        let (first, last) = APPLICATIONS;
        assert!(DEPLOY_PROGRAM.contains(&format!("\nfirst_uid={first}\nlast_uid={last}\n")));
    }

    #[test]
    fn the_edge_is_public_where_its_owner_says_so() {
        let mut factory: Factory = toml::from_str(
            "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n[gitlab]\ngroup = \"acme\"\n",
        )
        .unwrap();
        for (open, expected) in [
            (&[][..], false),
            (&["443/tcp"], false),
            (&["80/tcp", "443/udp"], false),
            (&["80/tcp", "443/tcp"], true),
            (&["79-443/tcp"], true),
        ] {
            factory.host.open = open.iter().map(|&entry| entry.into()).collect();
            assert_eq!(is_public(&factory), expected, "{open:?}");
        }
        factory.cloudflare.enabled = true;
        assert!(!is_public(&factory));
        // Each change changes something.
        for (text, changes) in [(EDGE, &PUBLIC[..]), (EDGE_SERVICE, &PUBLIC_SERVICE[..])] {
            assert!(changes.iter().all(|(from, _)| text.matches(from).count() == 1), "{text}");
        }
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
