//! The machine itself, whoever works on it: its name, its time zone, what its console says, and what it does without.

use crate::digest::sha256;
use crate::factory::{Host, HostKind};
use crate::host::observed::Observed;
use crate::host::program::{Expect, Questions};
use crate::host::resources::{File, Hostname, Link, Packages, Resource, Swap};
use crate::host::word::HostPath;

/// Where cloud-init reads its settings. It would set the provider's name and rewrite `/etc/hosts` at each boot.
const CLOUD: &str = "/etc/cloud/cloud.cfg.d";
const CLOUD_KEEPS_NAME: &str = "\
# Written by factoryup. The name comes from factory.toml.
preserve_hostname: true
manage_etc_hosts: false
";

/// `localtime(5)`.
const CLOCK: &str = "/etc/localtime";

/// What a console shows before a login. sshd does not show it: it would be in the way of scripts.
const BANNER: &str = "\
This system is private property. Access is for authorized users only, and only for authorized work.
Activity is logged and may be monitored and audited. Unauthorized access is prohibited, and may be
prosecuted under the law.

";

/// A dump of a process has its secrets in it. `limits.conf(5)` is for logins, `coredump.conf(5)` for what systemd collects.
const NO_CORE_LIMIT: &str = "\
# Written by factoryup. A core dump has the secrets of its process in it.
* - core 0
";
const NO_CORE_STORED: &str = "\
# Written by factoryup. A core dump has the secrets of its process in it.
[Coredump]
Storage=none
ProcessSizeMax=0
";

/// Protocols that any user can have the kernel load, and that next to nothing uses. SCTP is not among them, since telephony does.
const NO_PROTOCOLS: &str = "\
# Written by factoryup. Any user could have the kernel load these protocols.
install dccp /bin/false
install rds /bin/false
install tipc /bin/false
";
/// A bus with access to all memory. Not on your own machine, which may have a device on it.
const NO_FIREWIRE: &str = "\
# A device on FireWire could read all memory.
install firewire-core /bin/false
install firewire-ohci /bin/false
";

/// Read where needrestart is installed, as on Ubuntu: a question would wait forever, and a job must not end because its runner restarts.
const NEEDRESTART: &str = "\
# Written by factoryup.
$nrconf{restart} = 'a';
$nrconf{kernelhints} = -1;
$nrconf{ucodehints} = 0;
$nrconf{override_rc}{qr(^factory-)} = 0;
1;
";
/// Where needrestart reads its settings.
const NEEDRESTART_SETTINGS: &str = "/etc/needrestart/conf.d";

/// Without a locale, programs such as tmux take text for ASCII. glibc has this one without a package.
const LOCALE: &str = "\
# Written by factoryup.
LANG=C.UTF-8
";
/// `locale.conf(5)`, and where Debian has it until 12. Later, the second is a link to the first.
const LOCALES: [&str; 2] = ["/etc/locale.conf", "/etc/default/locale"];

/// Asks for what decides which resources there are: the directories whose presence says that a program is installed, and a locale.
pub(crate) fn ask(questions: &mut Questions) {
    questions.paths.extend([CLOUD, NEEDRESTART_SETTINGS].map(HostPath::new));
    for path in LOCALES {
        questions.file(&HostPath::new(path), Expect::Hash(sha256(LOCALE.as_bytes())));
    }
}

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, host: &Host, seen: &Observed) {
    // Before the first look, as if all were there: what is then asked too much costs nothing, and a second look a round trip.
    let has = |sign: &str| seen.os.is_empty() || seen.paths.get(sign).is_some_and(|state| state.kind == 'd');
    if !host.hostname.is_empty() {
        resources.push(Box::new(Hostname(host.hostname.clone())));
        if has(CLOUD) {
            resources.push(Box::new(File::system(format!("{CLOUD}/zz-factoryup.cfg"), CLOUD_KEEPS_NAME)));
        }
    }
    if !host.timezone.is_empty() {
        add_time_zone(resources, &host.timezone, seen);
    }
    resources.extend(locale(seen).map(|path| Box::new(File::system(path, LOCALE)) as Box<dyn Resource>));
    for path in ["/etc/issue", "/etc/issue.net"] {
        resources.push(Box::new(File::system(path, BANNER)));
    }
    resources.push(Box::new(File::system("/etc/security/limits.d/60-factoryup.conf", NO_CORE_LIMIT)));
    resources.push(Box::new(File::system("/etc/systemd/coredump.conf.d/60-factoryup.conf", NO_CORE_STORED)));
    let firewire = if host.kind == HostKind::Local { "" } else { NO_FIREWIRE };
    resources.push(Box::new(File::system("/etc/modprobe.d/factoryup.conf", format!("{NO_PROTOCOLS}{firewire}"))));
    if host.swap {
        resources.push(Box::new(Swap));
    }
    if has(NEEDRESTART_SETTINGS) {
        resources.push(Box::new(File::system(format!("{NEEDRESTART_SETTINGS}/zz-factoryup.conf"), NEEDRESTART)));
    }
}

/// The file for the locale; none on a host that has a locale already.
fn locale(seen: &Observed) -> Option<&'static str> {
    let [newer, older] = LOCALES;
    let path = if seen.paths.get(older).is_some_and(|state| state.kind == 'l') { newer } else { older };
    let is_ours = seen.hashes.get(path).is_some_and(|hash| *hash == sha256(LOCALE.as_bytes()));
    (is_ours || !seen.paths.contains_key(path)).then_some(path)
}

fn add_time_zone(resources: &mut Vec<Box<dyn Resource>>, zone: &str, seen: &Observed) {
    resources.push(Box::new(Packages { purpose: "time zones", names: vec!["tzdata"] }));
    // `timedatectl` writes `../usr/share/zoneinfo/ZONE`, Debian's installer `/usr/share/zoneinfo/ZONE`.
    let is = seen.paths.get(CLOCK).map(|state| state.link.as_str());
    let target = format!("/usr/share/zoneinfo/{zone}");
    let target = is.filter(|link| link.trim_start_matches("..") == target).map_or(target.clone(), str::to_owned);
    resources.push(Box::new(Link { path: HostPath::new(CLOCK), target, then: None, stays: None }));
    // Programs that do not follow the link: Java, and Debian's own until 12.
    resources.push(Box::new(File::system("/etc/timezone", format!("{zone}\n"))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::PathState;

    #[test]
    fn a_locale_of_the_hosts_own_stays() {
        let mut seen = Observed::default();
        assert_eq!(locale(&seen), Some("/etc/default/locale"));
        seen.paths.insert("/etc/default/locale".into(), PathState::of('f', "644", "root"));
        assert_eq!(locale(&seen), None);
        seen.hashes.insert("/etc/default/locale".into(), sha256(LOCALE.as_bytes()));
        assert_eq!(locale(&seen), Some("/etc/default/locale"));
        seen.paths.insert("/etc/default/locale".into(), PathState::of('l', "777", "root"));
        assert_eq!(locale(&seen), Some("/etc/locale.conf"));
        seen.paths.insert("/etc/locale.conf".into(), PathState::of('f', "644", "root"));
        assert_eq!(locale(&seen), None);
    }
}
