//! What works on a host now and ends with a change: a VPS is rarely empty.
//!
//! The firewall drops what no rule accepts. So each socket that listens for other machines, and each network that the host forwards
//! packets for, is compared with the rules that are loaded and with those that come. sshd lets only the operator in, so each other way to
//! log in is compared with the operator's keys. And an account of a name that factoryup uses may belong to another person.

use std::collections::{BTreeMap, BTreeSet};

use super::accounts::WORKERS;
use super::observed::{Listener, Observed, Password, tables_for_input};
use super::resources::{fingerprint, key_parts};
use super::word::HostPath;
use crate::dialog::plain;
use crate::factory::{Host, port_range};

/// Ports that Linux gives to clients: `ip_local_port_range` in ip(7), unless the host says otherwise.
const CLIENTS: (u16, u16) = (32768, 60999);

/// UDP ports of programs that ask others and serve nobody, with the start of the program's name: DHCP, NTP, names on the link. Their
/// answers come in on connections that exist, or by rules of the firewall's own.
const ASKING: [(u16, &str); 5] =
    [(68, ""), (546, ""), (123, "ntpd"), (5353, "systemd-resolve"), (5355, "systemd-resolve")];

/// Opened by rules of Docker's own, before a packet gets to the firewall.
const DOCKER_PROXY: &str = "docker-proxy";

/// A sentence for each port and each forwarding that the firewall would close, with what keeps it. `ports` are sshd's.
pub(super) fn by_firewall(host: &Host, seen: &Observed, ports: &[u16], drops_forwarded: bool) -> Vec<String> {
    let mut closing: BTreeMap<(&str, u16), Vec<&Listener>> = BTreeMap::new();
    for listener in &seen.listening {
        if is_served(listener, seen) && !stays_open(listener, host, seen, ports) && is_open(listener, seen) {
            closing.entry((&listener.protocol, listener.port)).or_default().push(listener);
        }
    }
    let mut ends: Vec<String> =
        closing.iter().map(|((protocol, port), all)| port_closes(protocol, *port, all)).collect();
    let live = seen.firewall.0.as_deref();
    let networks: Vec<&str> = seen.facts.get("forwards").map(|names| names.split(' ').collect()).unwrap_or_default();
    if drops_forwarded && networks.len() > 1 && !live.is_some_and(|live| live.contains("hook forward")) {
        ends.push(format!(
            "this will stop forwarding: the host forwards packets between {}, as containers, virtual machines and VPNs need it; \
             to keep that, set `forward = true` under [host] in factory.toml",
            plain(&networks.join(", "))
        ));
    }
    ends
}

/// A sentence for each account that can log in over SSH now, and not once only the operator can. The owner's own keys lead to the operator
/// then, so with them nothing ends, and neither does the password of an account that they open.
pub(super) fn by_sshd(host: &Host, seen: &Observed) -> Vec<String> {
    let says = |keyword: &str, value: &str| seen.sshd.iter().any(|(key, is)| key == keyword && is == value);
    let fingerprints = host.authorized_keys.iter().filter_map(|line| Some(fingerprint(key_parts(line)?.1)));
    let fingerprints: BTreeSet<String> = fingerprints.collect();
    let is_owners_key = |how: &str| how.split_whitespace().nth(1).is_some_and(|print| fingerprints.contains(print));
    let is_owners = |user: &str| {
        user == "root" || user == host.login || seen.logins.iter().any(|(of, how)| of == user && is_owners_key(how))
    };
    let mut ends: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (user, how) in &seen.logins {
        let is_told_elsewhere = *user == host.operator || WORKERS.contains(&user.as_str());
        if is_told_elsewhere || is_owners_key(how) || user == "root" && says("permitrootlogin", "no") {
            continue;
        }
        let what = match how.split_whitespace().collect::<Vec<_>>()[..] {
            ["password"] if !is_owners(user) && says("passwordauthentication", "yes") => "its password".to_owned(),
            [_, print, ref comment @ .., _] => format!("key {print} {}", comment.join(" ")).trim_end().to_owned(),
            _ => continue,
        };
        ends.entry(user).or_default().insert(what);
    }
    let sentence = |(user, all): (&str, BTreeSet<String>)| {
        let all = all.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!(
            "this will end logins as {user} with {all}: afterwards only {} logs in, with the keys in `authorized_keys` under [host] in \
             factory.toml",
            host.operator
        );
        plain(&text).replace('\n', " ")
    };
    ends.into_iter().map(sentence).collect()
}

/// What a reader of a plan that changes the firewall should know about others on the host.
pub(super) fn notes(seen: &Observed) -> Vec<String> {
    let mut notes = Vec::new();
    let tables = tables_for_input(&seen.chains).into_iter().map(|table| format!("table {table}"));
    let others: Vec<String> = seen.firewalls.iter().cloned().chain(tables).collect();
    if !others.is_empty() {
        notes.push(format!(
            "another firewall is active and stays: {}. A packet must pass both, so a port that it allows is closed unless `open` under [host] \
             in factory.toml names it too",
            others.join(", ")
        ));
    }
    if seen.facts.contains_key("no-ss") {
        notes.push(
            "`ss` is not on the host, so the plan cannot name ports in use that the firewall closes: apt-get install iproute2".into(),
        );
    }
    notes
}

/// A sentence about somebody else's account of this name: what it has and would lose, what runs as it, and what keeps it. None, if it
/// has nothing of its own. `not_in` are the groups that it loses.
pub(super) fn by_account(name: &str, comment: &str, not_in: &[&str], seen: &Observed) -> Vec<String> {
    let listed = seen.sudo.get(name).map(Vec::as_slice).unwrap_or_default().iter().map(|line| line.trim());
    let sudo: Vec<&str> = listed.filter(|line| line.starts_with('(') && !line.ends_with("!ALL")).collect();
    let own = |kind: &str| -> Vec<&str> {
        let all = seen.holdings.iter().filter(|(user, of, _)| user == name && of == kind);
        all.map(|(_, _, held)| held.as_str()).collect()
    };
    let groups: Vec<&str> = own("group").into_iter().filter(|group| not_in.contains(group)).collect();
    let runs: Vec<&str> =
        own("process").into_iter().filter(|program| !["systemd", "(sd-pam)"].contains(program)).collect();
    let mut loses = Vec::new();
    if !sudo.is_empty() {
        loses.push(format!("what sudo lets it do ({})", sudo.join("; ")));
    }
    if !groups.is_empty() {
        loses.push(format!("its groups {}", groups.join(", ")));
    }
    if seen.passwords.get(name) == Some(&Password::Set) {
        loses.push("its password".into());
    }
    if keys_of(name).on(seen).is_some_and(|path| seen.paths.contains_key(&path)) {
        loses.push("its logins by key".into());
    }
    if !seen.accounts.contains_key(name) || loses.is_empty() && runs.is_empty() {
        return Vec::new();
    }
    let part = |verb: &str, what: &[String]| match what {
        [] => String::new(),
        all => format!("; it {verb} {}", all.join(", ")),
    };
    let runs: Vec<String> = runs.into_iter().map(str::to_owned).collect();
    let text = format!(
        "this will take over the account {name} for the factory's {comment}{}{}; to keep the account, rename it on the host first: \
         `usermod --login NEW {name} && groupmod --new-name NEW {name}`",
        part("loses", &loses),
        part("runs", &runs)
    );
    vec![plain(&text).replace('\n', " ")]
}

/// Where a user's keys are.
pub(super) fn keys_of(user: &str) -> HostPath {
    HostPath::home(user, ".ssh/authorized_keys")
}

/// Whether others can be served by it.
fn is_served(listener: &Listener, seen: &Observed) -> bool {
    let Listener { protocol, port, program, .. } = listener;
    if protocol == "tcp" {
        return program != DOCKER_PROXY;
    }
    let range = seen.facts.get("client-ports").and_then(|range| range.split_once(' '));
    let range = range.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?))).unwrap_or(CLIENTS);
    // A client of UDP cannot be told from a server but by its port. The kernel has no clients: it is WireGuard, or VXLAN.
    let is_client = !program.is_empty() && (range.0..=range.1).contains(port);
    let asks = ASKING.iter().any(|(known, name)| known == port && program.starts_with(name));
    !is_client && !asks && program != DOCKER_PROXY
}

/// Whether a rule that comes accepts it: sshd's, one of `open`, or one in a file of the owner's.
fn stays_open(listener: &Listener, host: &Host, seen: &Observed, ports: &[u16]) -> bool {
    let Listener { protocol, port, .. } = listener;
    let opened = host.open.iter().filter_map(|entry| port_range(entry));
    protocol == "tcp" && ports.contains(port)
        || opened.into_iter().any(|(first, last, of)| of == protocol && (first..=last).contains(port))
        || accepts(&seen.own_rules, protocol, *port)
}

/// Whether it is open now: no table of factoryup's is loaded, or that accepts it.
fn is_open(listener: &Listener, seen: &Observed) -> bool {
    let Some(live) = &seen.firewall.0 else { return true };
    let input = live.split("\tchain input {").nth(1).and_then(|rest| rest.split("\n\t}").next()).unwrap_or_default();
    accepts(input, &listener.protocol, listener.port)
}

/// Whether one of these rules names the port and accepts it, from whomever.
fn accepts(rules: &str, protocol: &str, port: u16) -> bool {
    rules.lines().map(str::trim).filter(|rule| !rule.starts_with('#')).any(|rule| {
        let after = |of: &str| rule.split_once(&format!("{of} dport ")).map(|(_, rest)| rest);
        let Some(rest) = after(protocol).or_else(|| after("th")) else { return false };
        let ports = match rest.strip_prefix('{') {
            Some(set) => set.split('}').next().unwrap_or_default(),
            None => rest.split(' ').next().unwrap_or_default(),
        };
        let is_named = ports.split(',').any(|one| {
            let one = format!("{}/{protocol}", one.trim());
            port_range(&one).is_some_and(|(first, last, _)| (first..=last).contains(&port))
        });
        is_named && rule.split_whitespace().any(|word| word == "accept")
    })
}

fn port_closes(protocol: &str, port: u16, all: &[&Listener]) -> String {
    let names: BTreeSet<&str> = all.iter().map(|one| one.program.as_str()).filter(|name| !name.is_empty()).collect();
    let addresses: BTreeSet<&str> = all.iter().map(|one| one.address.as_str()).collect();
    let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
    let who = if names.is_empty() { "the kernel".to_owned() } else { list(&names) };
    let text = format!(
        "this will close {port}/{protocol} to other machines, where {who} listens ({}); to keep it open, add \"{port}/{protocol}\" to `open` \
         under [host] in factory.toml",
        list(&addresses)
    );
    plain(&text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(open: &[&str]) -> Host {
        Host { open: open.iter().map(|&entry| entry.to_owned()).collect(), ..Host::default() }
    }

    fn seen(lines: &[&str]) -> Observed {
        let mut seen = Observed::default();
        for line in lines {
            seen.take("listening", line);
        }
        seen
    }

    const WEB: &str = "tcp LISTEN 0 5 0.0.0.0:8080 0.0.0.0:* users:((\"python3\",pid=71,fd=3))";

    #[test]
    fn what_a_plain_host_listens_for_is_no_finding() {
        let quiet = seen(&[
            "tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:((\"sshd\",pid=1,fd=3))",
            "tcp LISTEN 0 128 [::]:22 [::]:* users:((\"sshd\",pid=1,fd=4))",
            "udp UNCONN 0 0 10.0.0.5%ens3:68 0.0.0.0:* users:((\"systemd-network\",pid=1,fd=4))",
            "udp UNCONN 0 0 [fe80::1]%ens3:546 [::]:* users:((\"systemd-network\",pid=1,fd=4))",
            "udp UNCONN 0 0 0.0.0.0:5355 0.0.0.0:* users:((\"systemd-resolve\",pid=1,fd=4))",
            "udp UNCONN 0 0 0.0.0.0:123 0.0.0.0:* users:((\"ntpd\",pid=1,fd=4))",
            "udp UNCONN 0 0 *:41641 *:* users:((\"cloudflared\",pid=1,fd=4))",
            "tcp LISTEN 0 4096 0.0.0.0:80 0.0.0.0:* users:((\"docker-proxy\",pid=1,fd=4))",
        ]);
        assert_eq!(by_firewall(&host(&[]), &quiet, &[22], true), [""; 0]);
    }

    #[test]
    fn each_port_in_use_is_named_once_with_its_answer() {
        let busy = seen(&[
            WEB,
            "tcp LISTEN 0 5 [::]:8080 [::]:* users:((\"python3\",pid=71,fd=4))",
            "udp UNCONN 0 0 0.0.0.0:51820 0.0.0.0:*",
            "udp UNCONN 0 0 0.0.0.0:123 0.0.0.0:* users:((\"chronyd\",pid=1,fd=4))",
        ]);
        let ends = by_firewall(&host(&[]), &busy, &[22], true);
        assert_eq!(ends.len(), 3, "{ends:#?}");
        assert!(
            ends[0].starts_with("this will close 8080/tcp to other machines, where python3 listens (0.0.0.0, [::]);")
        );
        assert!(ends[0].contains("add \"8080/tcp\" to `open` under [host]"), "{}", ends[0]);
        assert!(ends[2].contains("51820/udp") && ends[2].contains("the kernel"), "{}", ends[2]);
        assert_eq!(by_firewall(&host(&["8000-8100/tcp", "51820/udp", "123/udp"]), &busy, &[22], true), [""; 0]);
        assert_eq!(by_firewall(&host(&["8080/udp"]), &busy, &[22], true).len(), 3);
    }

    #[test]
    fn what_is_closed_already_or_opened_by_the_owners_rules_is_no_finding() {
        let mut up = seen(&[WEB]);
        up.firewall.0 = Some(
            "table inet factoryup {\n\tchain input {\n\t\ttcp dport 22 accept\n\t}\n\n\tchain egress {\n\t\ttcp dport { 22, 8080 } accept\n\t}\n}\n"
                .into(),
        );
        assert_eq!(by_firewall(&host(&[]), &up, &[22], true), [""; 0]);
        // One that was open and is not named any more.
        up.firewall.0 =
            Some("table inet factoryup {\n\tchain input {\n\t\ttcp dport 8000-8080 accept\n\t}\n}\n".into());
        assert_eq!(by_firewall(&host(&[]), &up, &[22], false).len(), 1);
        up.own_rules = "# tcp dport 8080 accept\nip saddr 10.0.0.0/8 tcp dport { 443, 8080 } accept\n".into();
        assert_eq!(by_firewall(&host(&[]), &up, &[22], false), [""; 0]);
    }

    #[test]
    fn each_way_to_log_in_that_ends_is_named_and_the_owners_own_move_on() {
        const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@laptop";
        let owner = Host { authorized_keys: vec![KEY.into()], login: "admin".into(), ..Host::default() };
        let own = format!("256 {} ada@laptop (ED25519)", fingerprint(key_parts(KEY).unwrap().1));
        let other = "3072 SHA256:other old laptop (RSA)";
        let mut seen = seen(&[]);
        seen.take("sshd", "passwordauthentication yes");
        let login = |seen: &mut Observed, user: &str, how: &str| seen.take("login", &format!("{user}\t{how}"));
        for user in ["root", "admin", "operator", "deploy", "ada"] {
            login(&mut seen, user, "password");
            login(&mut seen, user, &own);
        }
        for user in ["operator", "deploy"] {
            login(&mut seen, user, other);
        }
        assert_eq!(by_sshd(&owner, &seen), [""; 0], "the operator's are in, and a worker's are told with its account");
        for user in ["root", "ada", "backup"] {
            login(&mut seen, user, other);
        }
        login(&mut seen, "backup", "256 SHA256:second no comment (ED25519)");
        login(&mut seen, "eve", "password");
        let ends = by_sshd(&owner, &seen);
        assert_eq!(ends.len(), 4, "{ends:#?}");
        assert!(ends[0].starts_with("this will end logins as ada with key SHA256:other old laptop: afterwards only"));
        assert_eq!(ends[1].matches("key SHA256:").count(), 2, "{}", ends[1]);
        assert!(ends[2].starts_with("this will end logins as eve with its password: "), "{}", ends[2]);
        seen.sshd = vec![("permitrootlogin".into(), "no".into()), ("passwordauthentication".into(), "no".into())];
        assert_eq!(by_sshd(&owner, &seen).len(), 2);
    }

    #[test]
    fn forwarding_counts_between_two_networks() {
        let mut seen = Observed::default();
        seen.facts.insert("forwards".into(), "ens3".into());
        assert_eq!(by_firewall(&host(&[]), &seen, &[22], true), [""; 0]);
        seen.facts.insert("forwards".into(), "ens3 wg0".into());
        assert!(by_firewall(&host(&[]), &seen, &[22], true)[0].contains("between ens3, wg0"));
        assert_eq!(by_firewall(&host(&[]), &seen, &[22], false), [""; 0]);
        seen.firewall.0 =
            Some("\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n".into());
        assert_eq!(by_firewall(&host(&[]), &seen, &[22], true), [""; 0]);
    }
}
