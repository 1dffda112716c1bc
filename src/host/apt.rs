//! What apt says while it installs packages, and why it failed, in words for people.

use std::collections::BTreeSet;

use crate::dialog::plain;

/// How far one change that installs packages has come.
#[derive(Debug, Default)]
pub(super) struct Apt {
    total: usize,
    downloading: usize,
    unpacked: BTreeSet<String>,
    set_up: BTreeSet<String>,
}

/// A line of it, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// What is going on.
    Busy(String),
    /// A step of so many.
    Step {
        /// What is done, such as `unpacking curl`.
        text: String,
        /// Its place, from 1.
        done: usize,
        /// How many there are.
        total: usize,
    },
}

impl Apt {
    /// Takes a line of apt's `APT::Status-Fd`, or of `lib/system.sh`.
    pub(super) fn take(&mut self, line: &str) -> Option<Said> {
        let line = plain(line);
        let (kind, rest) = line.split_once(':')?;
        match kind {
            "lock" => {
                let mut parts = rest.splitn(3, ':');
                let (pid, seconds, command) = (parts.next()?, parts.next()?, parts.next()?);
                Some(Said::Busy(format!(
                    "waiting up to {seconds} s for process {pid} ({command}), which has the lock of apt and dpkg"
                )))
            }
            "total" => {
                self.total = self.total.saturating_add(rest.parse().ok()?);
                None
            }
            "lists" => Some(Said::Busy("updating the package lists".into())),
            "dlstatus" => {
                let text = rest.splitn(3, ':').nth(2)?;
                let (done, total) = text.strip_prefix("Retrieving file ")?.split_once(" of ")?;
                let (done, total) = (done.parse().ok()?, total.split(' ').next()?.parse().ok()?);
                // apt says it again with each part of the file.
                let new = std::mem::replace(&mut self.downloading, done) != done;
                new.then(|| Said::Step { text: "downloading packages".into(), done, total })
            }
            "pmstatus" => {
                let text = rest.splitn(3, ':').nth(2)?;
                let (verb, package) = text.split_once(' ')?;
                let (verb, seen) = match verb {
                    "Unpacking" => ("unpacking", &mut self.unpacked),
                    "Configuring" => ("setting up", &mut self.set_up),
                    _ => return None,
                };
                let package = package.split(' ').next()?;
                let new = seen.insert(package.to_owned());
                let done = seen.len();
                let total = self.total.max(done);
                new.then(|| Said::Step { text: format!("{verb} {package}"), done, total })
            }
            _ => None,
        }
    }
}

/// Why packages could not be installed, in one line, and what helps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AptFault {
    /// What is wrong.
    pub(super) reason: String,
    /// What to do.
    pub(super) remedy: String,
}

/// The fault in what apt said, where it is one of those that people meet; the one that explains the others comes first.
pub(super) fn fault(said: &str) -> Option<AptFault> {
    let fault = |reason: String, remedy: String| Some(AptFault { reason, remedy });
    let line_with = |word: &str| said.lines().rev().find(|line| line.contains(word));
    if let Some(line) = line_with(" still has the lock ") {
        let pid = line.split(' ').nth(1).unwrap_or_default();
        return fault(
            line.to_owned(),
            format!(
                "wait until that process ends, or look at it on the host: `ps -fp {pid}`; do not delete the lock file"
            ),
        );
    }
    if let Some(name) = line_with("resolv").and_then(resolved) {
        return fault(
            format!("the host cannot resolve {name}"),
            format!("fix the DNS resolver of the host (/etc/resolv.conf), until this works there: getent hosts {name}"),
        );
    }
    let url = |line: &str| line.split_whitespace().find(|word| word.contains("://")).map(str::to_owned);
    let of_host = |url: &str| url.split("://").nth(1).and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let unreachable = ["onnect", "timed out", "unreachable"];
    if let Some(line) =
        said.lines().rev().find(|line| url(line).is_some() && unreachable.iter().any(|w| line.contains(w)))
        && let Some(host) = url(line).as_deref().and_then(of_host)
    {
        return fault(
            format!("the host cannot connect to {host}"),
            format!(
                "open the way from the host to {host}: check its network, its proxy (/etc/environment or /etc/apt/apt.conf.d), and the provider's firewall"
            ),
        );
    }
    if let Some(url) = line_with("404 ").and_then(url) {
        return fault(
            format!("the mirror does not have {url}"),
            "check the sources of the host in /etc/apt: the release may have moved to an archive".into(),
        );
    }
    if let Some(line) = line_with("not valid yet") {
        return fault(line.to_owned(), "set the clock of the host: timedatectl".into());
    }
    if let Some(line) = line_with("not signed").or_else(|| line_with("NO_PUBKEY")) {
        return fault(line.to_owned(), "fix that source in /etc/apt on the host: its key is missing or expired".into());
    }
    if let Some(line) = line_with("enough free space").or_else(|| line_with("No space left")) {
        return fault(line.to_owned(), "make room on the host: df -h /var /usr".into());
    }
    let missing = |line: &str| {
        let rest = line.strip_prefix("E: ")?;
        let named = rest
            .strip_prefix("Unable to locate package ")
            .or_else(|| rest.strip_suffix(" has no installation candidate")?.strip_prefix("Package "))?;
        Some(named.trim_matches('\'').to_owned())
    };
    let names: BTreeSet<String> = said.lines().filter_map(missing).collect();
    if !names.is_empty() {
        let names = names.into_iter().collect::<Vec<_>>().join(" ");
        return fault(
            format!("no source of the host has: {names}"),
            "check the sources of the host in /etc/apt: they need `main`, and on Ubuntu `universe`; then run `apt-get update` there".into(),
        );
    }
    None
}

/// The name in `Temporary failure resolving 'deb.debian.org'` or `Could not resolve 'deb.debian.org'`.
fn resolved(line: &str) -> Option<String> {
    let name = line.rsplit_once("resolving '").or_else(|| line.rsplit_once("resolve '"))?.1.split('\'').next()?;
    Some(name.split(':').next().unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_each_package_once() {
        let mut apt = Apt::default();
        let step = |text: &str, done, total| Some(Said::Step { text: text.into(), done, total });
        for (line, said) in [
            ("lists:", Some(Said::Busy("updating the package lists".into()))),
            ("dlstatus:1:0.5:Retrieving file 1 of 2 (3s remaining)", step("downloading packages", 1, 2)),
            ("dlstatus:1:9.5:Retrieving file 1 of 2 (2s remaining)", None),
            ("dlstatus:2:50:Retrieving file 2 of 2", step("downloading packages", 2, 2)),
            ("total:2", None),
            ("pmstatus:dpkg-exec:0.0:Running dpkg", None),
            ("pmstatus:curl:10.0:Preparing curl (amd64)", None),
            ("pmstatus:curl:20.0:Unpacking curl (amd64)", step("unpacking curl", 1, 2)),
            ("pmstatus:libcurl4:30.0:Unpacking libcurl4 (amd64)", step("unpacking libcurl4", 2, 2)),
            ("pmstatus:curl:40.0:Unpacking curl (amd64)", None),
            ("pmstatus:curl:60.0:Configuring curl (amd64)", step("setting up curl", 1, 2)),
            ("pmstatus:x:60.0:\u{1b}[31m", None),
        ] {
            assert_eq!(apt.take(line), said, "{line}");
        }
        let Some(Said::Busy(text)) = apt.take("lock:12:300:/usr/bin/python3 /usr/bin/unattended-upgrade") else {
            panic!()
        };
        assert!(text.contains("process 12 (/usr/bin/python3 /usr/bin/unattended-upgrade)") && text.contains("300 s"));
    }

    #[test]
    fn a_fault_names_what_the_owner_has_to_look_at() {
        let first = |said: &str| fault(said).map(|fault| fault.reason);
        let unlocated = "E: Unable to locate package jq\nE: Package 'git' has no installation candidate";
        let dns = "W: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Temporary failure resolving 'deb.debian.org'";
        for (said, reason) in [
            (format!("{unlocated}\n{dns}"), "the host cannot resolve deb.debian.org"),
            ("E: Failed to fetch http://m/p.deb  Something wicked happened resolving 'm.example:http' (-5)".into(), "the host cannot resolve m.example"),
            ("E: Failed to fetch http://10.0.0.1/debian/p.deb  Could not connect to 10.0.0.1:80 (10.0.0.1), connection timed out".into(), "the host cannot connect to 10.0.0.1"),
            ("E: Failed to fetch http://m.example/p.deb  404  Not Found [IP: 10.0.0.1 80]".into(), "the mirror does not have http://m.example/p.deb"),
            (unlocated.into(), "no source of the host has: git jq"),
            ("process 12 (apt) still has the lock /var/lib/dpkg/lock-frontend".into(), "process 12 (apt) still has the lock /var/lib/dpkg/lock-frontend"),
        ] {
            assert_eq!(first(&said).as_deref(), Some(reason));
        }
        assert_eq!(first("E: Sub-process /usr/bin/dpkg returned an error code (1)"), None);
    }
}
