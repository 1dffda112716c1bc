//! What keeps the host in order without anybody looking: security updates, a log that survives a restart, logs that do not grow without
//! end, no restart by three keys at the console, and, if wanted, a record of changes.

use crate::factory::Host;
use crate::host::observed::Observed;
use crate::host::resources::{Audit, File, Link, Packages, Resource, Then, Unit};
use crate::host::word::HostPath;

/// `unattended-upgrades` takes security updates as the system's own `50unattended-upgrades` says; here it is switched on, and
/// kept from restarting the machine under a working agent.
pub(crate) const UPDATES: &str = "\
// Written by factoryup.
APT::Periodic::Update-Package-Lists \"1\";
APT::Periodic::Unattended-Upgrade \"1\";
Unattended-Upgrade::Automatic-Reboot \"false\";
";

/// `journald.conf(5)`.
const JOURNAL: &str = "\
# Written by factoryup.
[Journal]
Storage=persistent
SystemMaxUse=1G
";

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, host: &Host, seen: &Observed) {
    resources.push(Box::new(File::system("/etc/apt/apt.conf.d/zz-factoryup-updates", UPDATES)));
    for timer in ["apt-daily.timer", "apt-daily-upgrade.timer"] {
        resources.push(Box::new(Unit { name: timer.into() }));
    }
    let journal = File::system("/etc/systemd/journald.conf.d/60-factoryup.conf", JOURNAL);
    resources.push(Box::new(journal.then(Then::Restart("systemd-journald.service"))));
    resources.push(Box::new(Link {
        path: HostPath::new("/etc/systemd/system/ctrl-alt-del.target"),
        target: "/dev/null".into(),
        then: Some(Then::DaemonReload),
        stays: None,
    }));
    if host.audit {
        if Audit::obstacle(seen).is_none() {
            resources.push(Box::new(Packages { purpose: "audit", names: vec!["auditd"] }));
            resources.push(Box::new(Unit { name: "auditd.service".into() }));
        }
        let keys_of = (!host.authorized_keys.is_empty()).then(|| host.operator.clone());
        resources.push(Box::new(Audit { keys_of }));
    }
}
