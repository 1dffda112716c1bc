//! The host's own backup: a program of root's, its settings, and the timer that starts it each night. None of it is there while
//! `backup_to` is empty.

use crate::error::{Error, Result};
use crate::factory::Factory;
use crate::host::resources::{BACKUP, File, Packages, Resource, Then, Unit};

/// The same file that the control repo has as `scripts/host/factory-backup`.
const PROGRAM: &str = include_str!("../../../templates/scripts/host/factory-backup");

/// What starts the service: in the night, and after a restart if the machine was off at that time.
pub(crate) const TIMER: &str = "factory-backup.timer";
/// What runs the program.
pub(crate) const SERVICE: &str = "factory-backup.service";

const TIMER_TEXT: &str = "\
# Written by factoryup.
[Unit]
Description=Nightly backup of this host

[Timer]
OnCalendar=*-*-* 02:20
RandomizedDelaySec=20min
Persistent=yes

[Install]
WantedBy=timers.target
";

/// A place in fstab(5) is mounted first, or the service fails. Its disk access comes after that of others, but is not
/// idle: a paused application waits for it. What a killed run paused goes on, and one part that takes too much memory
/// ends alone.
fn service(to: &str) -> String {
    format!(
        "\
# Written by factoryup.
[Unit]
Description=Backup of what a rebuild of this host needs
RequiresMountsFor={to}

[Service]
Type=oneshot
ExecStart={BACKUP} run
ExecStopPost={BACKUP} resume
TimeoutStartSec=4h
OOMPolicy=continue
MemorySwapMax=0
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
PrivateTmp=yes
PrivateNetwork=yes
PrivateDevices=yes
ProtectSystem=strict
ReadWritePaths=-{to} /var/lib/factoryup
ProtectHome=read-only
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
NoNewPrivileges=yes
LockPersonality=yes
"
    )
}

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory) -> Result<()> {
    let (to, recipient) = (&factory.host.backup_to, &factory.secrets.owner_recipient);
    if to.is_empty() {
        return Ok(());
    }
    if recipient.is_empty() {
        return Err(Error::data(
            "`backup_to` under [host] needs a key to encrypt for: `owner_recipient` under [secrets] is empty",
        )
        .hint("create your age key on your own machine with `factoryup keys init`; it enters its public half there")
        .hint("or remove `backup_to`"));
    }
    resources.push(Box::new(Packages { purpose: "backup", names: vec!["age"] }));
    let operator = &factory.host.operator;
    let settings = format!("# Written by factoryup.\nto={to}\nrecipient={recipient}\noperator={operator}\n");
    resources.push(Box::new(File::system("/etc/factory/backup.conf", settings)));
    resources.push(Box::new(File::system(BACKUP, PROGRAM).mode("755")));
    let units = "/etc/systemd/system";
    resources.push(Box::new(File::system(format!("{units}/{SERVICE}"), service(to)).then(Then::DaemonReload)));
    resources.push(Box::new(File::system(format!("{units}/{TIMER}"), TIMER_TEXT).then(Then::DaemonReload)));
    resources.push(Box::new(Unit { name: TIMER.into() }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PROGRAM, add};
    use crate::factory::Factory;
    use crate::host::accounts::APPLICATIONS;

    #[test]
    fn the_program_knows_the_numbers_of_applications() {
        let (first, last) = APPLICATIONS;
        assert!(PROGRAM.contains(&format!("\nfirst_uid={first}\nlast_uid={last}\n")));
    }

    #[test]
    fn there_is_no_backup_without_a_place_and_none_without_a_key() {
        let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                    [gitlab]\ngroup = \"acme\"\n";
        let mut factory: Factory = toml::from_str(text).unwrap();
        let mut made = Vec::new();
        add(&mut made, &factory).unwrap();
        assert!(made.is_empty());
        factory.host.backup_to = "/mnt/backup".into();
        let error = add(&mut made, &factory).unwrap_err();
        assert!(error.to_string().contains("owner_recipient") && made.is_empty(), "{error}");
        factory.secrets.owner_recipient = "age1x".into();
        add(&mut made, &factory).unwrap();
        let ids: Vec<_> = made.iter().map(|resource| resource.id()).collect();
        assert_eq!(ids[0], "package:backup");
        assert_eq!(ids.last().map(String::as_str), Some("unit:factory-backup.timer"));
    }
}
