//! What the programs of auditors say of a host.

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

/// Lynis as this machine has it, run inside. Without the package, whose timer would stay.
fn hardening_index(journey: &Journey) -> (u32, String) {
    for path in ["/usr/sbin/lynis", "/usr/share/lynis", "/etc/lynis"] {
        let to = journey.host.rootfs().join(&path[1..]);
        assert!(Command::new("cp").args(["-aT", path]).arg(to).status().unwrap().success());
    }
    journey.inside("lynis audit system --quick --no-colors --quiet >/dev/null 2>&1 || true");
    let report =
        journey.inside("grep -E '^(hardening_index|suggestion\\[\\]|warning\\[\\])' /var/log/lynis-report.dat");
    let index = report.lines().find_map(|line| line.strip_prefix("hardening_index=")).unwrap().parse().unwrap();
    (index, report)
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
    // A container has the kernel settings of its machine, which costs 9 points of 281. docs/security.md says what else is not had.
    let (index, report) = hardening_index(&journey);
    assert!(index >= 74, "{report}");
}
