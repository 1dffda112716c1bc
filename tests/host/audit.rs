//! What the programs of auditors say of a host.

use std::collections::BTreeSet;
use std::process::Command;

use crate::journey::Journey;
use crate::support::{self, lab};

/// What ssh-audit has against a host's sshd under one of its own policies, one fault a line.
pub fn faults(journey: &Journey, policy: &str) -> Vec<String> {
    let tool = support::tool("ssh-audit").unwrap();
    let mut command = Command::new(tool);
    command.args(["--json", "--policy", policy, "--port", &journey.host.port().to_string()]);
    let output = command.arg(journey.host.address().to_string()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(said["policy"], policy, "{text}");
    let list = |value: &serde_json::Value| {
        let words = value.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        words.collect::<Vec<_>>().join(" ")
    };
    let faults: Vec<String> = said["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| format!("{}: {}", error["mismatched_field"].as_str().unwrap(), list(&error["actual"])))
        .collect();
    assert_eq!(said["passed"], faults.is_empty(), "{text}");
    faults
}

/// The tests of Lynis that still find something on a provisioned host; docs/security.md says why. `LYNIS` is its own age.
const FOUND: [&str; 31] = [
    "ACCT-9622",
    "ACCT-9626",
    "ACCT-9628",
    "AUTH-9230",
    "AUTH-9262",
    "AUTH-9282",
    "AUTH-9284",
    "AUTH-9286",
    "AUTH-9328",
    "BOOT-5264",
    "DEB-0280",
    "DEB-0810",
    "DEB-0811",
    "DEB-0831",
    "DEB-0880",
    "FILE-6310",
    "FILE-7524",
    "FINT-4350",
    "HOME-9304",
    "HRDN-7230",
    "LOGG-2154",
    "LYNIS",
    "NAME-4028",
    "NETW-3200",
    "PKGS-7370",
    "PKGS-7394",
    "SSH-7408 AllowTcpForwarding",
    "SSH-7408 MaxSessions",
    "SSH-7408 Port",
    "TOOL-5002",
    "USB-1000",
];

/// The tests of Lynis that find something, but for those of the kernel, which in a container is that of the machine below. It is Lynis as
/// this machine has it, run inside: without the package, whose timer would stay.
fn findings(journey: &Journey) -> (BTreeSet<String>, String) {
    for path in ["/usr/sbin/lynis", "/usr/share/lynis", "/etc/lynis"] {
        let to = journey.host.rootfs().join(&path[1..]);
        assert!(Command::new("cp").args(["-aT", path]).arg(to).status().unwrap().success());
    }
    // Updates that came out since the image was made are not what is tested.
    journey.inside("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y upgrade >/dev/null 2>&1");
    journey.inside("lynis audit system --quick --no-colors --quiet >/dev/null 2>&1 || true");
    let report =
        journey.inside("grep -E '^(hardening_index|suggestion\\[\\]|warning\\[\\])' /var/log/lynis-report.dat");
    assert!(report.lines().any(|line| line.starts_with("hardening_index=")), "{report}");
    let found = report.lines().filter_map(|line| {
        let (level, finding) = line.split_once("[]=")?;
        let fields: Vec<&str> = finding.split('|').collect();
        let id = match fields[0] {
            id if id.starts_with("KRNL-") => return None,
            // One for each of sshd's settings.
            "SSH-7408" => format!("SSH-7408 {}", fields[2].split(' ').next().unwrap()),
            id => id.to_owned(),
        };
        Some(if level == "suggestion" { id } else { format!("{level} {id}") })
    });
    (found.collect(), report)
}

#[test]
fn auditors_pass_a_provisioned_debian_12() {
    if !lab::can_host() || !support::available(&["ssh-audit", "lynis"]) {
        return;
    }
    let journey = Journey::new();
    assert!(!faults(&journey, "Hardened Debian 12 (version 3)").is_empty(), "it has something against a fresh host");
    journey.provision();
    assert_eq!(faults(&journey, "Hardened Debian 12 (version 3)"), [""; 0]);
    let (found, report) = findings(&journey);
    let known: BTreeSet<String> = FOUND.map(str::to_owned).into();
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "{new:?}\n{report}");
}
