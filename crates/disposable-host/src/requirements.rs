//! What this machine must have before a disposable host can run on it.

use std::path::Path;

/// One thing that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What it is, such as `systemd-nspawn` or `root`.
    pub what: &'static str,
    /// What it is for.
    pub why: &'static str,
    /// The Debian or Ubuntu package that brings it; none when no package can.
    pub package: Option<&'static str>,
}

/// The list of what is needed, compared with what is here.
#[derive(Clone, Copy, Debug)]
pub struct Requirements;

/// File or program, what for, Debian package.
const TOOLS: [(&str, &str, &str); 9] = [
    ("mmdebstrap", "builds the host's root file system", "mmdebstrap"),
    ("systemd-nspawn", "runs the host", "systemd-container"),
    ("ip", "gives the host a network of its own", "iproute2"),
    ("nft", "lets the host reach package mirrors", "nftables"),
    ("nsenter", "looks into the host", "util-linux"),
    ("flock", "keeps parallel hosts apart", "util-linux"),
    ("mount", "lays the host's disk over the image", "mount"),
    ("find", "cleans up", "findutils"),
    (KEYRING, "checks Debian's signatures", "debian-archive-keyring"),
];

/// Debian's own keys, which other distributions package too.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Requirements {
    /// What is missing on this machine, in the order in which to get it; empty when a disposable host can run.
    #[must_use]
    pub fn check() -> Vec<Missing> {
        let mut missing = Vec::new();
        if !cfg!(target_os = "linux") {
            missing.push(Missing { what: "Linux", why: "a container shares the kernel", package: None });
        }
        if !rustix::process::geteuid().is_root() {
            missing.push(Missing { what: "root", why: "a network namespace and mounts are made", package: None });
        }
        if !Path::new("/sys/fs/cgroup").is_dir() {
            missing.push(Missing { what: "/sys/fs/cgroup", why: "systemd needs control groups", package: None });
        }
        for (what, why, package) in TOOLS {
            let found = if what.starts_with('/') { Path::new(what).exists() } else { which::which(what).is_ok() };
            if !found {
                missing.push(Missing { what, why, package: Some(package) });
            }
        }
        missing
    }

    /// The packages that bring what is missing, each once.
    #[must_use]
    pub fn packages(missing: &[Missing]) -> Vec<&'static str> {
        let mut packages: Vec<_> = missing.iter().filter_map(|m| m.package).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }
}

#[cfg(test)]
mod tests {
    use super::{Missing, Requirements};

    #[test]
    fn each_package_is_named_once_and_root_is_no_package() {
        let of = |what, package| Missing { what, why: "", package };
        let missing = [
            of("root", None),
            of("nsenter", Some("util-linux")),
            of("flock", Some("util-linux")),
            of("ip", Some("iproute2")),
        ];
        assert_eq!(Requirements::packages(&missing), ["iproute2", "util-linux"]);
    }
}
