//! Packages: what the host needs for itself, and what the agent's work needs.

use crate::factory::{Factory, RunnerKind};
use crate::host::observed::Observed;
use crate::host::resources::{Link, Packages, Resource, Then};
use crate::host::word::HostPath;

/// Packages that every factory's host has, and why.
const BASE: [&str; 16] = [
    "bubblewrap",          // the sandbox that coding agents put their tools in
    "ca-certificates",     // https
    EDGE,                  // the edge in front of applications
    "curl",                // downloads in scripts and CI
    "dbus-user-session",   // services of users who are not logged in
    "git",                 // the agent's work
    "jq",                  // JSON in scripts and CI
    "logrotate",           // logs of apt, dpkg and others that write files
    "nftables",            // the firewall
    "python3",             // what an application starts with is written in it
    "shellcheck",          // the control repo's checks, which the agent runs before it pushes
    "sudo",                // the operator's way to root
    "tmux",                // the agent's terminal
    "unattended-upgrades", // security updates
    "unzip",               // downloads of scripts/tools
    "yamllint",            // the control repo's checks
];

/// What the edge is made of.
const EDGE: &str = "caddy";

/// The service of the package, which would serve a default page on port 80.
const EDGE_SERVICE: &str = "/etc/systemd/system/caddy.service";

/// From this release on, Podman 5 brings networking to rootless containers through `passt`, before through `slirp4netns`.
const FIRST_WITH_PASTA: [(&str, f64); 2] = [("debian", 13.0), ("ubuntu", 25.04)];

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory, seen: &Observed) {
    // A web server that was here before stays as it is.
    let is_ours = match seen.paths.get(EDGE_SERVICE) {
        Some(state) => state.link == "/dev/null",
        None => !seen.packages.contains_key(EDGE),
    };
    if is_ours {
        resources.push(Box::new(Link {
            path: HostPath::new(EDGE_SERVICE),
            target: "/dev/null".into(),
            then: Some(Then::DaemonReload),
            stays: Some("caddy.service stays masked, since the package stays and would start it"),
        }));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::PathState;

    #[test]
    fn a_web_server_of_somebody_else_is_left_alone() {
        let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                    [gitlab]\ngroup = \"acme\"\n";
        let factory: Factory = toml::from_str(text).unwrap();
        let masks = |seen: &Observed| {
            let mut made = Vec::new();
            add(&mut made, &factory, seen);
            made.iter().any(|resource| resource.id() == format!("link:{EDGE_SERVICE}"))
        };
        let mut seen = Observed::default();
        assert!(masks(&seen), "the package would start it");
        let state = |kind, link: &str| PathState { link: link.into(), ..PathState::of(kind, "777", "root") };
        seen.paths.insert(EDGE_SERVICE.into(), state('f', ""));
        assert!(!masks(&seen), "a unit file of its own");
        seen.paths.insert(EDGE_SERVICE.into(), state('l', "/dev/null"));
        seen.packages.insert(EDGE.into(), "2.6.2".into());
        assert!(masks(&seen), "an earlier run's");
        seen.paths.clear();
        assert!(!masks(&seen), "it was there before");
    }
}
