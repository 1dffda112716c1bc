//! What a probe saw, typed: the answers to the [questions](crate::host::program::Questions) that the resources asked.
//!
//! The probe program sends raw lines of the host's own tools, each wrapped as `{"section":…,"line":…}`; here they are read, with
//! the tool's manual page as the format. Nothing here knows what the host should be like.

mod in_use;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::host::word::{HostPath, Part};

pub(crate) use in_use::{Listener, tables_for_input};

/// A user, from `passwd(5)` and, reduced to one word on the host, `shadow(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// User number.
    pub(crate) uid: u32,
    /// Number of the primary group.
    pub(crate) gid: u32,
    /// Home folder.
    pub(crate) home: String,
    /// Login shell.
    pub(crate) shell: String,
}

/// What is known of a password. The hash itself never leaves the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Password {
    /// No password opens the account: `*`, `!`, or a hash behind `!`.
    #[default]
    Locked,
    /// There is one.
    Set,
    /// The empty password opens the account.
    Empty,
}

/// A group, from `group(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Group number.
    pub(crate) gid: u32,
    /// Members beside those that have it as their primary group.
    pub(crate) members: Vec<String>,
}

/// What `find -printf` says of a path; a link is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathState {
    /// `f`, `d`, `l` or another letter of `find -printf %y`.
    pub(crate) kind: char,
    /// The same of what a link leads to at last; `N` where nothing is.
    pub(crate) leads_to: char,
    /// Permission bits in octal, without leading zeros: `644`.
    pub(crate) mode: String,
    /// Owner, by name where there is one.
    pub(crate) owner: String,
    /// Group, by name where there is one.
    pub(crate) group: String,
    /// Where a link points.
    pub(crate) link: String,
}

#[cfg(test)]
impl PathState {
    /// One of an owner with a group of the same name.
    pub(crate) fn of(kind: char, mode: &str, owner: &str) -> Self {
        Self { kind, leads_to: kind, mode: mode.into(), owner: owner.into(), group: owner.into(), link: String::new() }
    }
}

/// What `systemctl show` says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnitState {
    /// `loaded`, `not-found`, `masked`…
    pub(crate) load: String,
    /// `active`, `inactive`, `failed`…
    pub(crate) active: String,
    /// `enabled`, `disabled`, `static`…
    pub(crate) file: String,
    /// Whether its files changed since systemd read them.
    pub(crate) stale: bool,
}

/// One kernel setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Its value, fields separated by one space.
    pub(crate) value: String,
    /// Whether root may write it here; in a container mostly not.
    pub(crate) writable: bool,
}

/// A range of subordinate ids, `subuid(5)`: whose it is, by name or number, and `FIRST-LAST`.
pub(crate) type Range = (String, String);

/// Everything a probe saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// `os-release(5)`.
    pub(crate) os: BTreeMap<String, String>,
    /// Single words about the system, such as `systemd` and `docker`.
    pub(crate) facts: BTreeMap<String, String>,
    /// Users that were asked for and exist.
    pub(crate) accounts: BTreeMap<String, Account>,
    /// Their passwords.
    pub(crate) passwords: BTreeMap<String, Password>,
    /// Users whose accounts a `revert host` ended that did not come to its own end.
    pub(crate) ended: Vec<String>,
    /// Users who linger.
    pub(crate) lingering: Vec<String>,
    /// Ranges of subordinate user numbers, and of group numbers.
    pub(crate) subordinate: (Vec<Range>, Vec<Range>),
    /// Groups that were asked for and exist.
    pub(crate) groups: BTreeMap<String, Group>,
    /// Paths that were asked for and exist.
    pub(crate) paths: BTreeMap<String, PathState>,
    /// SHA-256 of files.
    pub(crate) hashes: BTreeMap<String, String>,
    /// Texts of files that differ or were asked for.
    pub(crate) texts: BTreeMap<String, Vec<u8>>,
    /// Installed packages and their versions.
    pub(crate) packages: BTreeMap<String, String>,
    /// Units that were asked for.
    pub(crate) units: BTreeMap<String, UnitState>,
    /// Kernel settings by dotted name.
    pub(crate) settings: BTreeMap<String, Setting>,
    /// `sshd -T`: keyword in small letters, value; a keyword can come more than once.
    pub(crate) sshd: Vec<(String, String)>,
    /// The same for the operator.
    pub(crate) sshd_for_operator: Vec<(String, String)>,
    /// What the host's OpenSSH knows: `kex`, `cipher`, `mac`, `key` and their algorithms.
    pub(crate) algorithms: BTreeMap<String, Vec<String>>,
    /// Addresses of GitLab and of the host's proxies, by `HOST:PORT`.
    pub(crate) addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The live firewall table, as `nft -n -s -t` lists it, and how it was listed right after it was loaded.
    pub(crate) firewall: (Option<String>, Option<String>),
    /// factoryup's audit rules, as `auditctl -l` lists them now, and as it did right after they were loaded.
    pub(crate) audit: (Option<String>, Option<String>),
    /// The rules in files of the owner's about what may come in.
    pub(crate) own_rules: String,
    /// Sockets that listen for other machines.
    pub(crate) listening: Vec<Listener>,
    /// Other firewalls that are active, by the names of their programs.
    pub(crate) firewalls: Vec<String>,
    /// All chains, as `nft list chains` prints them.
    pub(crate) chains: Vec<String>,
    /// How accounts can log in: account, and `password` or a key as `ssh-keygen -l` lists it.
    pub(crate) logins: Vec<(String, String)>,
    /// `Listen=` lines of `ssh.socket`, if that is what sshd is started by.
    pub(crate) ssh_socket: Vec<String>,
    /// The change that a cut run was at.
    pub(crate) unfinished: Option<String>,
    /// Why the firewall's rules cannot be loaded again.
    pub(crate) firewall_fault: Option<String>,
    /// The receipt's text.
    pub(crate) receipt: String,
    /// Settings of others that are read after factoryup's: `FILE:LINE:TEXT`.
    pub(crate) later: Vec<String>,
    /// What sudo lists of each user that was asked about, and the lines of its files, under `sudoers`.
    pub(crate) sudo: BTreeMap<String, Vec<String>>,
    /// What accounts that were asked about have: account, `group` or `process`, and its name.
    pub(crate) holdings: Vec<(String, String, String)>,
    /// When accounts expire, in days since 1970.
    pub(crate) expires: BTreeMap<String, String>,
    /// What was asked about homes: the only paths about which their users' answers count.
    pub(crate) homes: BTreeMap<String, BTreeSet<HostPath>>,
    /// Whether the probe came to its end.
    pub(crate) complete: bool,
    /// The unit whose block is being read.
    unit: Option<String>,
}

impl Observed {
    /// Nothing yet; users will answer for these paths in their homes.
    pub(crate) fn about(homes: BTreeMap<String, BTreeSet<HostPath>>) -> Self {
        Self { homes, ..Self::default() }
    }

    /// The groups that a user is in, as far as they were asked for.
    pub(crate) fn groups_of(&self, user: &str) -> Vec<&str> {
        let primary = self.accounts.get(user).map(|a| a.gid);
        self.groups
            .iter()
            .filter(|(_, group)| Some(group.gid) == primary || group.members.iter().any(|m| m == user))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// The numbers of the ports that sshd listens on, each once; empty where sshd could not be asked. Where systemd listens for it, sshd's
    /// own setting does not count, but is true again once the socket is off: so both.
    pub(crate) fn sshd_ports(&self) -> Vec<u16> {
        let own = self.sshd.iter().filter(|(keyword, _)| keyword == "port").map(|(_, port)| port.as_str());
        // Listen=0.0.0.0:2222 (Stream)
        let address =
            |line: &str| line.strip_prefix("Listen=").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        let of_socket: Vec<String> = self.ssh_socket.iter().filter_map(|line| address(line)).collect();
        let of_socket = of_socket.iter().filter_map(|address| address.rsplit(':').next());
        let mut ports: Vec<u16> = own.chain(of_socket).filter_map(|port| port.parse().ok()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// The text of a file, if the probe sent it and it is text.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.texts.get(path).and_then(|bytes| String::from_utf8(bytes.clone()).ok())
    }

    /// The version of an installed package without epoch and Debian revision, as two numbers: `1:9.2p1-2` is 9.2.
    pub(crate) fn version(&self, package: &str) -> Option<(u32, u32)> {
        let version = self.packages.get(package)?;
        let upstream = version.split_once(':').map_or(version.as_str(), |(_, rest)| rest);
        let mut numbers = upstream.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
        Some((numbers.next()?, numbers.next().unwrap_or(0)))
    }
}

impl HostPath {
    /// The path on a host that was observed; none while an account that it needs is not there.
    pub(crate) fn on(&self, seen: &Observed) -> Option<String> {
        self.parts().into_iter().try_fold(String::new(), |path, part| {
            Some(match part {
                Part::Text(text) => path + text,
                Part::Home(user) => path + &seen.accounts.get(user)?.home,
                Part::Uid(user) => path + &seen.accounts.get(user)?.uid.to_string(),
            })
        })
    }

    /// Whether a file is there. It must have been asked for.
    pub(crate) fn is_file_on(&self, seen: &Observed) -> bool {
        self.on(seen).and_then(|path| seen.paths.get(&path)).is_some_and(|state| state.kind == 'f')
    }

    /// Whether a program is there, or a link to one.
    pub(crate) fn is_program_on(&self, seen: &Observed) -> bool {
        let state = self.on(seen).and_then(|path| seen.paths.get(&path));
        state.is_some_and(|state| match state.kind {
            'f' => u32::from_str_radix(&state.mode, 8).is_ok_and(|mode| mode & 0o100 != 0),
            _ => state.leads_to == 'f',
        })
    }

    /// Whether something is there. It must have been asked for.
    pub(crate) fn is_on(&self, seen: &Observed) -> bool {
        self.on(seen).is_some_and(|path| seen.paths.contains_key(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_lose_epoch_and_revision() {
        let mut seen = Observed::default();
        for (version, numbers) in [("1:9.2p1-2+deb12u3", (9, 2)), ("1.0.6-2", (1, 0)), ("1:10.0p1-7", (10, 0))] {
            seen.packages.insert("x".into(), version.into());
            assert_eq!(seen.version("x"), Some(numbers));
        }
        assert_eq!(seen.version("y"), None);
    }

    #[test]
    fn a_primary_group_counts_as_membership() {
        let mut seen = Observed::default();
        let account = Account { uid: 1001, gid: 7, home: "/home/a".into(), shell: "/bin/sh".into() };
        seen.accounts.insert("a".into(), account);
        seen.groups.insert("own".into(), Group { gid: 7, members: vec![] });
        seen.groups.insert("other".into(), Group { gid: 8, members: vec!["a".into(), "b".into()] });
        seen.groups.insert("third".into(), Group { gid: 9, members: vec!["b".into()] });
        assert_eq!(seen.groups_of("a"), ["other", "own"]);
    }
}
