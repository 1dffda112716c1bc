//! Packages: what the host needs for itself, and what the agent's work needs.

use crate::factory::{Factory, RunnerKind};
use crate::host::observed::Observed;
use crate::host::resources::{Packages, Resource};

/// Packages that every factory's host has, and why.
const BASE: [&str; 14] = [
    "bubblewrap",          // the sandbox that coding agents put their tools in
    "ca-certificates",     // https
    "curl",                // downloads in scripts and CI
    "dbus-user-session",   // services of users who are not logged in
    "git",                 // the agent's work
    "jq",                  // JSON in scripts and CI
    "nftables",            // the firewall
    "python3",             // what an application starts with is written in it
    "shellcheck",          // the control repo's checks, which the agent runs before it pushes
    "sudo",                // the operator's way to root
    "tmux",                // the agent's terminal
    "unattended-upgrades", // security updates
    "unzip",               // downloads of scripts/tools
    "yamllint",            // the control repo's checks
];

/// From this release on, Podman 5 brings networking to rootless containers through `passt`, before through `slirp4netns`.
const FIRST_WITH_PASTA: [(&str, f64); 2] = [("debian", 13.0), ("ubuntu", 25.04)];

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory, seen: &Observed) {
    resources.push(Box::new(Packages { purpose: "base", names: BASE.to_vec() }));
    if factory.runner.kind == RunnerKind::Podman {
        let network = if has_pasta(seen) { "passt" } else { "slirp4netns" };
        let names = vec!["podman", "uidmap", network];
        resources.push(Box::new(Packages { purpose: "containers", names }));
    }
}

fn has_pasta(seen: &Observed) -> bool {
    let (id, version) = (seen.os.get("ID"), seen.os.get("VERSION_ID").and_then(|v| v.parse::<f64>().ok()));
    FIRST_WITH_PASTA.iter().any(|(name, first)| id.is_some_and(|id| id == name) && version.is_some_and(|v| v >= *first))
}
