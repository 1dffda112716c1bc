//! Reads the probe's lines, section by section.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Account, Group, Listener, Observed, Password, PathState, Range, Setting, UnitState};

/// Longest text of a file in a home, as base64: 256 KiB.
const LONGEST: usize = 256 * 1024 / 3 * 4 + 4;

impl Observed {
    /// Takes in one line of a section. A line that does not have its section's form is passed over: then what it would have
    /// told is not known, which the resource that asked sees.
    pub(crate) fn take(&mut self, section: &str, line: &str) {
        match section {
            "os" => self.take_os(line),
            "fact" => {
                if let Some((key, value)) = line.split_once(' ') {
                    self.facts.insert(key.to_owned(), value.to_owned());
                }
            }
            "passwd" => self.take_account(line),
            "password" => self.take_password(line),
            "linger" => self.lingering.push(line.to_owned()),
            "subuid" => self.subordinate.0.extend(range(line)),
            "subgid" => self.subordinate.1.extend(range(line)),
            "group" => self.take_group(line),
            "path" => self.take_path(line),
            "hash" => {
                if let Some((hash, path)) = line.split_once("  ") {
                    self.hashes.insert(path.to_owned(), hash.to_owned());
                }
            }
            "text" => {
                if let Some((path, text)) = line.split_once('\t')
                    && let Ok(bytes) = BASE64.decode(text)
                {
                    self.texts.insert(path.to_owned(), bytes);
                }
            }
            "line" => {
                if let Some((path, line)) = line.split_once(':') {
                    let text = self.texts.entry(path.to_owned()).or_default();
                    text.extend_from_slice(line.as_bytes());
                    text.push(b'\n');
                }
            }
            "package" => {
                if let [name, version, status] = line.split('\t').collect::<Vec<_>>()[..]
                    && status.starts_with("ii")
                {
                    self.packages.insert(name.to_owned(), version.to_owned());
                }
            }
            "unit" => self.take_unit(line),
            "address" => {
                if let Some((place, address)) = line.split_once('\t') {
                    self.addresses.entry(place.to_owned()).or_default().extend(address.parse::<IpAddr>());
                }
            }
            "setting" => self.take_setting(line),
            "writable" => {
                if let Some(setting) = self.settings.get_mut(&dotted(line)) {
                    setting.writable = true;
                }
            }
            "sshd" | "sshd-operator" => {
                let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
                let settings = if section == "sshd" { &mut self.sshd } else { &mut self.sshd_for_operator };
                settings.push((keyword.to_owned(), value.to_owned()));
            }
            "firewall" => append(&mut self.firewall.0, line),
            "firewall-loaded" => append(&mut self.firewall.1, line),
            "audit" => append(&mut self.audit.0, line),
            "audit-loaded" => append(&mut self.audit.1, line),
            "firewall-own" => {
                self.own_rules.push_str(line);
                self.own_rules.push('\n');
            }
            "holding" => self.take_holding(line),
            "listening" => self.listening.extend(Listener::read(line)),
            "other-firewalls" => self.firewalls.push(line.to_owned()),
            "chains" => self.chains.push(line.to_owned()),
            "login" => self.logins.extend(line.split_once('\t').map(|(user, how)| (user.to_owned(), how.to_owned()))),
            "ssh-socket" => self.ssh_socket.push(line.to_owned()),
            "unfinished" => self.unfinished = serde_json::from_str(line).ok(),
            "firewall-fault" => self.firewall_fault = Some(line.to_owned()),
            "receipt" => {
                self.receipt.push_str(line);
                self.receipt.push('\n');
            }
            "later" => self.later.push(line.to_owned()),
            "sudoers" => self.sudo.entry(section.to_owned()).or_default().push(line.to_owned()),
            "end" => self.complete = true,
            _ => {
                if let Some(user) = section.strip_prefix("sudo:") {
                    self.sudo.entry(user.to_owned()).or_default().push(line.to_owned());
                } else if let Some(user) = section.strip_prefix("home:") {
                    self.take_of_home(user, line);
                } else if let Some(kind) = section.strip_prefix("algorithms-") {
                    self.algorithms.entry(kind.to_owned()).or_default().push(line.to_owned());
                }
            }
        }
    }

    fn take_os(&mut self, line: &str) {
        if let Some((key, value)) = line.split_once('=') {
            let value = value.trim();
            let bare =
                ['"', '\''].iter().find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
            self.os.insert(key.to_owned(), bare.to_owned());
        }
    }

    fn take_account(&mut self, line: &str) {
        if let [name, _, uid, gid, _, home, shell] = line.split(':').collect::<Vec<_>>()[..]
            && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
        {
            let account = Account { uid, gid, home: home.to_owned(), shell: shell.to_owned() };
            self.accounts.insert(name.to_owned(), account);
        }
    }

    fn take_password(&mut self, line: &str) {
        let mut fields = line.split('\t');
        if let (Some(user), Some(state)) = (fields.next(), fields.next()) {
            let password = match state {
                "set" => Password::Set,
                "empty" => Password::Empty,
                _ => Password::Locked,
            };
            self.passwords.insert(user.to_owned(), password);
            match fields.next() {
                Some("ended") => self.ended.push(user.to_owned()),
                Some(day) => drop(self.expires.insert(user.to_owned(), day.to_owned())),
                None => {}
            }
        }
    }

    fn take_holding(&mut self, line: &str) {
        if let [user, kind, name] = line.splitn(3, '\t').collect::<Vec<_>>()[..] {
            self.holdings.push((user.to_owned(), kind.to_owned(), name.to_owned()));
        }
    }

    fn take_group(&mut self, line: &str) {
        if let [name, _, gid, members] = line.split(':').collect::<Vec<_>>()[..]
            && let Ok(gid) = gid.parse()
        {
            let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
            self.groups.insert(name.to_owned(), Group { gid, members });
        }
    }

    fn take_path(&mut self, line: &str) {
        if let [kind, mode, owner, group, path, link] = line.splitn(6, '\t').collect::<Vec<_>>()[..]
            && let Some(first) = kind.chars().next()
        {
            let state = PathState {
                kind: first,
                leads_to: kind.chars().next_back().unwrap_or(first),
                mode: mode.to_owned(),
                owner: owner.to_owned(),
                group: group.to_owned(),
                link: link.to_owned(),
            };
            self.paths.insert(path.to_owned(), state);
        }
    }

    /// What a user says of the own home. It counts for the paths that were asked about, and as a text only if it is a short one.
    fn take_of_home(&mut self, user: &str, line: &str) {
        let Some((section, line)) = line.split_once('\t') else { return };
        let path = match section {
            "path" => line.split('\t').nth(4),
            "hash" => line.split_once("  ").map(|(_, path)| path),
            "text" => line.split_once('\t').filter(|(_, text)| text.len() <= LONGEST).map(|(path, _)| path),
            _ => None,
        };
        let was_asked = |path: &str| {
            self.homes.get(user).is_some_and(|asked| asked.iter().any(|one| one.on(self).as_deref() == Some(path)))
        };
        if path.is_some_and(was_asked) {
            self.take(section, line);
        }
    }

    /// `systemctl show` prints a block per unit; the probe asks for `Id` first, so that it opens the block.
    fn take_unit(&mut self, line: &str) {
        let Some((key, value)) = line.split_once('=') else { return };
        if let Some(unit) = key.strip_prefix("ActiveState:").and_then(|id| self.units.get_mut(id)) {
            value.clone_into(&mut unit.active);
            return;
        }
        if key == "Id" {
            self.units.insert(value.to_owned(), UnitState::default());
            self.unit = Some(value.to_owned());
            return;
        }
        let Some(unit) = self.unit.as_ref().and_then(|id| self.units.get_mut(id)) else { return };
        match key {
            "LoadState" => value.clone_into(&mut unit.load),
            "ActiveState" => value.clone_into(&mut unit.active),
            "UnitFileState" => value.clone_into(&mut unit.file),
            "NeedDaemonReload" => unit.stale = value == "yes",
            _ => {}
        }
    }

    /// `grep` prints `/proc/sys/kernel/sysrq:176`.
    fn take_setting(&mut self, line: &str) {
        if let Some((path, value)) = line.split_once(':') {
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            self.settings.insert(dotted(path), Setting { value, writable: false });
        }
    }
}

/// `/proc/sys/net/ipv4/tcp_syncookies` as sysctl names it: `net.ipv4.tcp_syncookies`.
fn dotted(path: &str) -> String {
    path.trim_start_matches("/proc/sys/").replace('/', ".")
}

/// A line of `subuid(5)`.
fn range(line: &str) -> Option<Range> {
    let [owner, first, count] = line.split(':').collect::<Vec<_>>()[..] else { return None };
    let (first, count): (u64, u64) = (first.parse().ok()?, count.parse().ok()?);
    Some((owner.to_owned(), format!("{first}-{}", first.checked_add(count)?.checked_sub(1)?)))
}

fn append(text: &mut Option<String>, line: &str) {
    let text = text.get_or_insert_default();
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::word::HostPath;

    fn read(lines: &[(&str, &str)]) -> Observed {
        let mut seen = Observed::default();
        for (section, line) in lines {
            seen.take(section, line);
        }
        seen
    }

    #[test]
    fn the_tools_own_formats_are_understood() {
        let seen = read(&[
            ("os", "ID=debian"),
            ("os", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\""),
            ("passwd", "agent:x:1001:1002:,,,:/home/agent:/bin/bash"),
            ("password", "agent\tlocked"),
            ("password", "deploy\tlocked\tended"),
            ("group", "sudo:x:27:admin,ops"),
            ("path", "f\t644\troot\troot\t/etc/motd\t"),
            ("path", "lf\t777\troot\troot\t/etc/x\tmotd"),
            ("path", "lN\t777\troot\troot\t/etc/y\tnothing"),
            ("hash", "aa  /etc/motd"),
            ("text", "/etc/motd\taGkK"),
            ("line", "/etc/resolv.conf:nameserver ::1"),
            ("line", "/etc/resolv.conf:"),
            ("package", "git\t1:2.39.5-0\tii "),
            ("package", "jq\t1.6\trc "),
            ("unit", "Id=ssh.service"),
            ("unit", "LoadState=loaded"),
            ("unit", "ActiveState=active"),
            ("unit", ""),
            ("unit", "Id=x.service"),
            ("unit", "LoadState=not-found"),
            ("unit", "ActiveState:x.service=stopped"),
            ("unit", "ActiveState:y.service=stopped"),
            ("setting", "/proc/sys/net/ipv4/tcp_rmem:4096\t131072\t6291456"),
            ("writable", "/proc/sys/net/ipv4/tcp_rmem"),
            ("sshd", "permitrootlogin no"),
            ("algorithms-kex", "curve25519-sha256"),
            ("subuid", "runner:100000:65536"),
            ("address", "gitlab.lan:443\t10.0.0.5"),
            ("address", "gitlab.lan:443\tfe80::1%eth0"),
            ("firewall", "table inet factoryup {"),
            ("firewall", "}"),
            ("unfinished", "\"file:/etc/motd\""),
            ("end", ""),
        ]);
        assert_eq!(seen.os["PRETTY_NAME"], "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(seen.accounts["agent"].uid, 1001);
        assert_eq!(seen.passwords["agent"], Password::Locked);
        assert_eq!(seen.addresses["gitlab.lan:443"], ["10.0.0.5".parse().unwrap()].into());
        assert_eq!(seen.ended, ["deploy"]);
        assert_eq!(seen.groups["sudo"].members, ["admin", "ops"]);
        assert_eq!(seen.paths["/etc/x"].link, "motd");
        let is_program = |path: &str| HostPath::new(path).is_program_on(&seen);
        assert!(is_program("/etc/x") && !is_program("/etc/y") && !is_program("/etc/motd"));
        assert_eq!(seen.text("/etc/motd").as_deref(), Some("hi\n"));
        assert_eq!(seen.text("/etc/resolv.conf").as_deref(), Some("nameserver ::1\n\n"));
        assert!(seen.packages.contains_key("git") && !seen.packages.contains_key("jq"));
        assert_eq!(seen.units["ssh.service"].active, "active");
        let stopped = &seen.units["x.service"];
        assert_eq!((stopped.load.as_str(), stopped.active.as_str()), ("not-found", "stopped"));
        assert!(!seen.units.contains_key("y.service"));
        let setting = Setting { value: "4096 131072 6291456".into(), writable: true };
        assert_eq!(seen.settings["net.ipv4.tcp_rmem"], setting);
        assert_eq!(seen.sshd, [("permitrootlogin".to_owned(), "no".to_owned())]);
        assert_eq!(seen.algorithms["kex"], ["curve25519-sha256"]);
        assert_eq!(seen.subordinate, (vec![("runner".to_owned(), "100000-165535".to_owned())], vec![]));
        assert_eq!(seen.firewall.0.as_deref(), Some("table inet factoryup {\n}\n"));
        assert_eq!(seen.unfinished.as_deref(), Some("file:/etc/motd"));
        assert!(seen.complete);
    }

    #[test]
    fn a_user_answers_for_what_was_asked_of_the_own_home_and_nothing_else() {
        let mut seen = Observed::default();
        seen.homes.insert("agent".into(), [HostPath::home("agent", "x")].into());
        seen.homes.insert("ops".into(), [HostPath::home("ops", "y")].into());
        seen.take("passwd", "agent:x:1001:1001::/home/agent:/bin/sh");
        seen.take("passwd", "ops:x:1002:1002::/home/ops:/bin/sh");
        for path in ["/home/agent/z", "/home/ops/y", "/etc/resolv.conf", "/home/agent/../ops/y"] {
            seen.take("home:agent", &format!("path\tf\t644\troot\troot\t{path}\t"));
            seen.take("home:agent", &format!("hash\taa  {path}"));
            seen.take("home:agent", &format!("text\t{path}\taGkK"));
        }
        for line in [
            "sshd\tport 4444",
            "fact\tdocker yes",
            "passwd\tagent:x:0:0::/:/bin/sh",
            "end",
            "end\t",
            "line\t/home/agent/x:a",
        ] {
            seen.take("home:agent", line);
        }
        assert_eq!((seen.paths.len(), seen.hashes.len(), seen.texts.len(), seen.facts.len()), (0, 0, 0, 0));
        assert_eq!((seen.sshd.len(), seen.accounts["agent"].uid, seen.complete), (0, 1001, false));
        seen.take("home:agent", "path\tf\t644\tagent\tagent\t/home/agent/x\t");
        seen.take("home:agent", &format!("text\t/home/agent/x\t{}", BASE64.encode(vec![b'x'; 256 * 1024 + 3])));
        assert_eq!((seen.paths["/home/agent/x"].owner.as_str(), seen.texts.len()), ("agent", 0));
        seen.take("home:agent", "text\t/home/agent/x\taGkK");
        assert_eq!(seen.text("/home/agent/x").as_deref(), Some("hi\n"));
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        let seen = read(&[
            ("passwd", "broken"),
            ("group", "a:b"),
            ("path", "f"),
            ("text", "/x\t***"),
            ("unit", "ActiveState=active"),
            ("setting", "no"),
            ("unfinished", "cut"),
            ("unheard-of", "x"),
        ]);
        assert_eq!(seen, Observed::default());
    }
}
