//! The packet filter: nobody comes in but to sshd, and neither the agent nor CI reaches the private network around the host.

use std::net::IpAddr;

use crate::factory::{Factory, RunnerKind, port_range};
use crate::host::accounts::{AGENT, APPLICATIONS, BUILD, CI, DEPLOY, RUNNER};
use crate::host::closing;
use crate::host::observed::Observed;
use crate::host::resources::{File, Nftables, Resource, Then};

/// Networks that a host on the Internet shares with machines that trust it: RFC 1918, RFC 6598 (carriers and cloud providers),
/// RFC 3927 with the cloud's metadata address.
const PRIVATE_4: &str = "10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16";
/// RFC 4193 and RFC 4291 link-local; a cloud's metadata address is in the first.
const PRIVATE_6: &str = "fc00::/7, fe80::/10";

/// Where clouds hand a machine's own credentials to any process on it.
const METADATA_4: &str = "169.254.169.254";
const METADATA_6: &str = "fd00:ec2::254";

/// The first number that useradd gives out as a subordinate id; see `SUB_UID_MIN` in `login.defs(5)`. A process in a user namespace
/// has such a number for a user's, and a program that is set to run as one keeps it when the range is taken away. So all above are
/// held to the rules, and not only the ranges of the moment.
const FIRST_SUBORDINATE: u32 = 100_000;

/// New connections to sshd from one address that are let through; a person or a tool makes far fewer.
const LOGIN_RATE: &str = "60/minute burst 30 packets";

/// Debian's unit flushes all tables when it starts, this host's own too, whose unit is active already.
const AFTER_FLUSH: &str = "\
# Written by factoryup: this unit flushes all tables, so the factory's firewall is loaded again.
[Service]
ExecStartPost=/bin/systemctl --no-block try-reload-or-restart factory-firewall.service
";

/// `closed` lets nobody in, not even on connections that exist: for a drill.
pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory, seen: &Observed, closed: bool) {
    let docker = seen.facts.contains_key("docker");
    let forwards = docker || factory.host.forward;
    let ports = ports(factory, seen);
    let note = docker.then(|| {
        "Docker runs here: forwarded packets are left to it, and ports that it publishes are open to all, whatever the firewall says"
            .to_owned()
    });
    let after = File::system("/etc/systemd/system/nftables.service.d/50-factoryup.conf", AFTER_FLUSH);
    resources.push(Box::new(after.then(Then::DaemonReload)));
    let ends = if closed { Vec::new() } else { closing::by_firewall(&factory.host, seen, &ports, !forwards) };
    let rules = rules(factory, seen, &ports, forwards, closed);
    let reached = place(&factory.gitlab.url);
    resources.push(Box::new(Nftables { rules, reached, checked: !closed, note, ends }));
}

/// Where sshd listens.
fn ports(factory: &Factory, seen: &Observed) -> Vec<u16> {
    let ports = seen.sshd_ports();
    if ports.is_empty() { vec![factory.host.port] } else { ports }
}

/// With `forwards`, forwarded packets are left to others.
fn rules(factory: &Factory, seen: &Observed, ports: &[u16], forwards: bool, closed: bool) -> String {
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let logins = if closed {
        format!("\t\ttcp dport {{ {ports} }} drop\n")
    } else {
        format!(
            "\t\ttcp dport {{ {ports} }} ct state new update @visitors4 {{ ip saddr limit rate over {LOGIN_RATE} }} drop\n\
             \t\ttcp dport {{ {ports} }} ct state new update @visitors6 {{ ip6 saddr limit rate over {LOGIN_RATE} }} drop\n\
             \t\ttcp dport {{ {ports} }} accept\n"
        )
    };
    let established = if closed { "" } else { "\t\tct state established,related accept\n" };
    let forward = if forwards {
        ""
    } else {
        "\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\tct state established,related accept\n\t}\n"
    };
    let mut open = String::new();
    for (first, last, protocol) in factory.host.open.iter().filter_map(|entry| port_range(entry)) {
        let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
        open.push_str(&format!("\t\t{protocol} dport {ports} accept\n"));
    }
    let mut watched = vec![AGENT, BUILD, CI];
    if factory.runner.kind == RunnerKind::Podman {
        watched.push(RUNNER);
    }
    let watched = watched.join(", ");
    // The operator may be an account of a domain, whose numbers are high.
    let operator = seen.accounts.get(&factory.host.operator).filter(|account| account.uid >= FIRST_SUBORDINATE);
    let but = operator.map_or_else(String::new, |account| format!(" meta skuid != {}", account.uid));
    let exceptions = exceptions(factory, seen);
    let (first, last) = APPLICATIONS;
    format!(
        "\
#!/usr/sbin/nft -f
# Written by factoryup, loaded by factory-firewall.service. It makes its own table anew and touches no other.
# Rules of your own: /etc/factory/firewall.d/input-*.nft (who may come in), /etc/factory/firewall.d/egress-*.nft (where the
# agent and CI may go); each holds rules as they stand in a chain, such as: tcp dport 443 accept. To let one user go somewhere:
# meta skuid {CI} ip daddr 10.0.0.5 tcp dport 443 accept
table inet factoryup
delete table inet factoryup
table inet factoryup {{
	set visitors4 {{
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 1m
	}}

	set visitors6 {{
		type ipv6_addr
		size 65535
		flags dynamic,timeout
		timeout 1m
	}}

	chain input {{
		type filter hook input priority filter; policy drop;
{established}\t\tct state invalid drop
		iifname \"lo\" accept
		# ICMP and ICMPv6 by number: their names are in a file that small systems do not have.
		meta l4proto {{ 1, 58 }} accept
		# Answers of DHCP servers.
		udp sport 67 udp dport 68 accept
		ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
{logins}{open}\t\tinclude \"/etc/factory/firewall.d/input-*.nft\"
	}}
{forward}
	chain output {{
		type filter hook output priority filter; policy accept;
		ct state new meta skuid {{ {watched} }} jump egress
		# Subordinate ids: whose they are, and whose they were, is not asked.
		ct state new meta skuid >= {FIRST_SUBORDINATE}{but} jump egress
		# Applications may need machines nearby, and never the rights that a cloud gives to this one. DNS and time have their ports there.
		meta skuid {{ {DEPLOY}, {first}-{last} }} ip daddr {METADATA_4} tcp dport != 53 reject with icmpx admin-prohibited
		meta skuid {{ {DEPLOY}, {first}-{last} }} ip6 daddr {METADATA_6} tcp dport != 53 reject with icmpx admin-prohibited
	}}

	# For those who run what others wrote: the agent, builds, and CI with its providers and modules.
	chain egress {{
		oifname \"lo\" accept
{exceptions}\t\tinclude \"/etc/factory/firewall.d/egress-*.nft\"
		ip daddr {{ {PRIVATE_4} }} limit rate 10/minute log prefix \"factory egress refused: \"
		ip daddr {{ {PRIVATE_4} }} reject with icmpx admin-prohibited
		ip6 daddr {{ {PRIVATE_6} }} reject with icmpx admin-prohibited
		tcp dport {{ 22, 80, 443 }} accept
		udp dport {{ 53, 123, 443 }} accept
		tcp dport 53 accept
		limit rate 10/minute log prefix \"factory egress: \"
	}}
}}
"
    )
}

/// What all of these must reach although it is on a private network: the resolver, GitLab, and the proxies of `/etc/environment`.
fn exceptions(factory: &Factory, seen: &Observed) -> String {
    let mut rules = String::new();
    for address in resolvers(seen).into_iter().filter(is_private) {
        rules.push_str(&format!("\t\t{} meta l4proto {{ 6, 17 }} th dport 53 accept\n", destination(address)));
    }
    let gitlab = place(&factory.gitlab.url);
    for (place, addresses) in &seen.addresses {
        let Some(port) = place.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()) else { continue };
        let ports = if *place == gitlab { format!("{{ 22, {port} }}") } else { port.to_string() };
        let metadata = [METADATA_4, METADATA_6];
        for address in addresses.iter().filter(|a| is_private(a) && !metadata.contains(&a.to_string().as_str())) {
            // The probe reads the comment.
            rules.push_str(&format!("\t\t{} tcp dport {ports} accept # {place}\n", destination(*address)));
        }
    }
    rules
}

/// Host and port of GitLab, as the probe is asked for its addresses.
fn place(url: &str) -> String {
    let (host, port) = gitlab(url);
    format!("{}:{port}", host.trim_matches(['[', ']']))
}

fn destination(address: IpAddr) -> String {
    if address.is_ipv4() { format!("ip daddr {address}") } else { format!("ip6 daddr {address}") }
}

/// `nameserver` lines of `resolv.conf(5)`.
fn resolvers(seen: &Observed) -> Vec<IpAddr> {
    let text = seen.text("/etc/resolv.conf").unwrap_or_default();
    let mut addresses: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next()?.parse().ok())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, ..] = four.octets();
            four.is_private() || four.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(six) => six.is_unique_local() || six.is_unicast_link_local(),
    }
}

/// Host and port of a base URL.
pub(crate) fn gitlab(url: &str) -> (&str, u16) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or(rest);
    let usual = if scheme == "http" { 80 } else { 443 };
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(usual)),
        _ => (authority, usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gitlab_url_is_taken_apart() {
        assert_eq!(gitlab("https://gitlab.com"), ("gitlab.com", 443));
        assert_eq!(gitlab("http://127.0.0.1:8080/gitlab"), ("127.0.0.1", 8080));
        assert_eq!(gitlab("https://[fd00::1]"), ("[fd00::1]", 443));
        assert_eq!(gitlab("https://[fd00::1]:8443"), ("[fd00::1]", 8443));
    }
    #[test]
    fn rules_follow_names_but_never_to_the_metadata_address() {
        let factory =
            crate::factory::parse(include_str!("../../../tests/fixtures/formats/factory-2.toml"), "").unwrap();
        let gitlab = place(&factory.gitlab.url);
        let mut seen = Observed::default();
        let mut told = |place: &str, addresses: &[&str]| {
            seen.addresses.insert(place.into(), addresses.iter().map(|address| address.parse().unwrap()).collect());
            exceptions(&factory, &seen)
        };
        assert_eq!(told(&gitlab, &["1.2.3.4", "169.254.169.254", "fd00:ec2::254"]), "");
        let rules = told(&gitlab, &["10.0.0.5", "fd00::5"]);
        let of_gitlab = format!(
            "\t\tip daddr 10.0.0.5 tcp dport {{ 22, 443 }} accept # {gitlab}\n\t\tip6 daddr fd00::5 tcp dport {{ 22, 443 }} accept # {gitlab}\n"
        );
        assert_eq!(rules, of_gitlab);
        // Of a proxy, its port alone; and what is no port makes no rule.
        told("odd:1 accept", &["10.0.0.7"]);
        let both = told("proxy.lan:3128", &["10.0.0.6"]);
        assert_eq!(both, of_gitlab + "\t\tip daddr 10.0.0.6 tcp dport 3128 accept # proxy.lan:3128\n");
    }
}
