//! What on a host a firewall could close: listening sockets, as `ss -H -tulpn` prints them, and other firewalls.

use std::net::IpAddr;

/// A listening socket that is reachable from outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listener {
    /// `tcp` or `udp`.
    pub(crate) protocol: String,
    /// Port.
    pub(crate) port: u16,
    /// The address that it is bound to, as `ss` prints it.
    pub(crate) address: String,
    /// The program's name; empty for the kernel's own, such as a VPN's.
    pub(crate) program: String,
}

impl Listener {
    /// Reads a line of `ss -H -tulpn`; none for one that only the host itself reaches.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [protocol, _, _, _, local, ..] = fields[..] else { return None };
        let (address, port) = local.rsplit_once(':')?;
        let (bare, interface) = address.split_once('%').unwrap_or((address, ""));
        let bare = bare.trim_matches(['[', ']']);
        let is_loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        if is_loopback || interface.trim_end_matches(']') == "lo" || !["tcp", "udp"].contains(&protocol) {
            return None;
        }
        // A program's name can have blanks in it.
        let program = line.split_once("users:((\"").and_then(|(_, rest)| rest.split_once("\",pid="));
        Some(Self {
            protocol: protocol.to_owned(),
            port: port.parse().ok()?,
            address: address.to_owned(),
            program: program.map_or_else(String::new, |(name, _)| name.to_owned()),
        })
    }
}

/// The tables of others in which a packet to the host can be dropped, from `nft list chains`: those with a chain for input that drops
/// by default, or that jumps to chains of its own, as ufw's does.
pub(crate) fn tables_for_input(lines: &[String]) -> Vec<String> {
    let mut tables: Vec<(String, bool, bool)> = Vec::new();
    let mut is_base = true;
    let mut chain_open = false;
    for line in lines.iter().map(|line| line.trim()) {
        if let Some(name) = line.strip_prefix("table ") {
            tables.push((name.trim_end_matches(" {").to_owned(), false, false));
        } else if line.starts_with("chain ") {
            (chain_open, is_base) = (true, false);
        } else if let Some(table) = tables.last_mut() {
            if line.starts_with("type ") {
                is_base = true;
                table.1 |= line.contains(" hook input ") && line.contains("policy drop");
                table.2 |= line.contains(" hook input ");
            } else if line == "}" && chain_open {
                chain_open = false;
                if !is_base {
                    // A chain of its own: what comes in can be sent there.
                    table.0.push('\n');
                }
            }
        }
    }
    tables
        .into_iter()
        .filter(|(name, drops, has_input)| *drops || *has_input && name.ends_with('\n'))
        .map(|(name, ..)| name.trim_end().to_owned())
        .filter(|name| name != "inet factoryup")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_can_reach_is_a_listener() {
        let read = |line: &str| Listener::read(line).map(|l| (l.protocol, l.port, l.address, l.program));
        let web = "tcp   LISTEN 0      5            0.0.0.0:8080      0.0.0.0:*    users:((\"my web\",pid=71,fd=3))";
        assert_eq!(read(web), Some(("tcp".into(), 8080, "0.0.0.0".into(), "my web".into())));
        let guard = "udp   UNCONN 0      0               [::]:51820        [::]:*";
        assert_eq!(read(guard), Some(("udp".into(), 51820, "[::]".into(), String::new())));
        let bridge = "udp UNCONN 0 0 0.0.0.0%lxdbr0:67 0.0.0.0:* users:((\"dnsmasq\",pid=9,fd=4))";
        assert_eq!(read(bridge).map(|l| l.2).as_deref(), Some("0.0.0.0%lxdbr0"));
        for own in [
            "tcp LISTEN 0 128 127.0.0.1:37507 0.0.0.0:* users:((\"x\",pid=1,fd=5))",
            "udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:((\"systemd-resolve\",pid=1,fd=5))",
            "tcp LISTEN 0 128 [::1]:25 [::]:*",
            "tcp LISTEN 0 128 [::ffff:127.0.0.1]:25 *:*",
            "",
            "tcp LISTEN 0 128 nonsense",
        ] {
            assert_eq!(read(own), None, "{own}");
        }
    }

    #[test]
    fn tables_that_decide_about_input_are_told_from_others() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let tables = lines(
            "table inet factoryup {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}\n\
             table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n\
             table ip filter {\n\tchain ufw-user-input {\n\t}\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n\
             table ip nat {\n\tchain DOCKER {\n\t}\n\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}\n}\n\
             table ip6 mine {\n\tchain in {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n}",
        );
        assert_eq!(tables_for_input(&tables), ["ip filter", "ip6 mine"]);
    }
}
