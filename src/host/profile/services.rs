//! Services for applications: Postgres and Redis, from the system's own packages. None of it is there unless `services` names it.

use crate::factory::{Host, POSTGRES, REDIS};
use crate::host::resources::{DATABASES, File, Group, INSTANCES, Link, Packages, Resource, Then, Unit};
use crate::host::word::HostPath;

/// The same file that the control repo has as `scripts/host/factory-postgres`.
const PROGRAM: &str = include_str!("../../../templates/scripts/host/factory-postgres");

/// Whose members may enter the folder with the socket. Only units of applications that ask for Postgres have it.
const GROUP: &str = "factory-postgres";
const SERVICE: &str = "factory-postgres.service";
const TIMER: &str = "factory-postgres-copies.timer";

/// Read when the package is configured: a cluster that listens on TCP is not created.
const NO_MAIN: &str = "\
# Written by factoryup. The factory has a cluster for applications, which factory-postgres creates.
create_main_cluster = false
";

/// For a host of 512 MB on: `work_mem` stays at its 4 MB, and the compiler for queries would take some 50 MB per connection.
const SETTINGS: &str = "\
# Written by factoryup. What is in /etc/postgresql/VERSION/factory/conf.d/60-own.conf wins.
listen_addresses = ''
unix_socket_directories = '/run/factory-postgres'
port = 5432
max_connections = 100
shared_buffers = 64MB
maintenance_work_mem = 32MB
max_wal_size = 256MB
temp_file_limit = 1GB
jit = off
";

const FOLDER: &str = "\
# Written by factoryup.
d /run/factory-postgres 0750 postgres factory-postgres -
";

/// The cluster is a service of Debian's. This one creates it, and gives it its settings.
const SERVICE_TEXT: &str = "\
# Written by factoryup.
[Unit]
Description=Postgres for applications
After=postgresql.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/factory-postgres start

[Install]
WantedBy=multi-user.target
";

const COPIES_TEXT: &str = "\
# Written by factoryup.
[Unit]
Description=Copies of the databases of applications
After=factory-postgres.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/factory-postgres nightly
TimeoutStartSec=4h
MemorySwapMax=0
Nice=10
PrivateTmp=yes
PrivateNetwork=yes
PrivateDevices=yes
ProtectSystem=strict
ReadWritePaths=/srv/apps
ProtectHome=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
NoNewPrivileges=yes
LockPersonality=yes
";

/// Before the host's backup, which makes a copy of its own.
const TIMER_TEXT: &str = "\
# Written by factoryup.
[Unit]
Description=Nightly copies of the databases of applications

[Timer]
OnCalendar=*-*-* 01:20
RandomizedDelaySec=20min
Persistent=yes

[Install]
WantedBy=timers.target
";

/// factory-deploy writes a unit for each application, which runs while something wants it. This one starts those that should run and do not.
const REDIS_TEXT: &str = "\
# Written by factoryup.
[Unit]
Description=Redis for applications

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'systemctl list-units --plain --no-legend --state=inactive,failed \"app-*@redis.service\" | while read -r unit rest; do \
systemctl start \"$$unit\"; done'

[Install]
WantedBy=multi-user.target
";

fn file(path: &str, text: &str) -> File {
    File::system(path, text)
}

fn unit(name: &str, text: &str) -> File {
    file(&format!("/etc/systemd/system/{name}"), text).then(Then::DaemonReload)
}

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, host: &Host) {
    let has = |service: &str| host.services.iter().any(|name| name == service);
    if has(POSTGRES) {
        postgres(resources);
    }
    if has(REDIS) {
        redis(resources);
    }
}

/// The package starts an instance on a port, unless it may not.
fn redis(resources: &mut Vec<Box<dyn Resource>>) {
    resources.push(Box::new(Link {
        path: HostPath::new("/etc/systemd/system/redis-server.service"),
        target: "/dev/null".into(),
        then: Some(Then::DaemonReload),
        stays: None,
    }));
    resources.push(Box::new(Packages { purpose: "redis", names: vec!["redis-server"] }));
    resources.push(Box::new(file(INSTANCES, REDIS_TEXT).then(Then::DaemonReload)));
    resources.push(Box::new(Unit { name: "factory-redis.service".into() }));
}

fn postgres(resources: &mut Vec<Box<dyn Resource>>) {
    // One that has a cluster already keeps it.
    resources.push(Box::new(file("/etc/postgresql-common/createcluster.d/factory.conf", NO_MAIN)));
    resources.push(Box::new(Packages { purpose: "databases", names: vec!["postgresql"] }));
    resources.push(Box::new(Group { name: GROUP.into(), members: Vec::new() }));
    resources.push(Box::new(file("/etc/tmpfiles.d/factory-postgres.conf", FOLDER)));
    resources.push(Box::new(file(DATABASES, PROGRAM).mode("755")));
    resources.push(Box::new(unit(SERVICE, SERVICE_TEXT)));
    resources.push(Box::new(file("/etc/factory/postgres.conf", SETTINGS).then(Then::Restart(SERVICE))));
    resources.push(Box::new(Unit { name: SERVICE.into() }));
    resources.push(Box::new(unit("factory-postgres-copies.service", COPIES_TEXT)));
    resources.push(Box::new(unit(TIMER, TIMER_TEXT)));
    resources.push(Box::new(Unit { name: TIMER.into() }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::accounts::APPLICATIONS;

    #[test]
    fn only_a_host_that_should_have_it_gets_it_and_no_port() {
        let ids = |services: &[&str]| {
            let host = Host { services: services.iter().map(|&name| name.to_owned()).collect(), ..Host::default() };
            let mut made: Vec<Box<dyn Resource>> = Vec::new();
            add(&mut made, &host);
            made.iter().map(|resource| resource.id()).collect::<Vec<_>>()
        };
        assert!(ids(&[]).is_empty());
        let made = ids(&["postgres"]);
        let at = |id: &str| made.iter().position(|made| made == id).unwrap();
        assert!(at("file:/etc/postgresql-common/createcluster.d/factory.conf") < at("package:databases"));
        assert!(at("file:/etc/systemd/system/factory-postgres.service") < at("file:/etc/factory/postgres.conf"));
        assert!(SETTINGS.contains("\nlisten_addresses = ''\n"));
        let made = ids(&["redis"]);
        let at = |id: &str| made.iter().position(|made| made == id).unwrap();
        assert!(at("link:/etc/systemd/system/redis-server.service") < at("package:redis"));
        let (first, last) = APPLICATIONS;
        assert!(PROGRAM.contains(&format!("\nfirst_uid={first}\nlast_uid={last}\n")));
    }
}
