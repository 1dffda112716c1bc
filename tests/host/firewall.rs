//! The firewall keeps its last good rules.

use factoryup::plan::Target;

use crate::journey::Journey;
use crate::support::lab;

const TYPO: &str = "/etc/factory/firewall.d/input-web.nft";

#[test]
fn a_typo_in_a_file_of_the_owners_leaves_the_last_good_rules_in_force() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    let rules = "nft -s -t list table inet factoryup";
    journey.inside(&format!(
        "mkdir -p /etc/factory/firewall.d; echo 'tcp dport 443 accept' >{TYPO}; systemctl restart factory-firewall"
    ));
    let good = journey.inside(rules);
    assert!(good.contains("tcp dport 443 accept") && good.contains("policy drop"), "{good}");
    journey.inside(&format!("echo 'tcp dprot 443 accept' >{TYPO}"));
    for deed in [
        "systemctl restart factory-firewall",
        "systemctl reload factory-firewall",
        "systemctl enable --now nftables",
        "systemctl restart nftables",
        "systemctl reload nftables",
        "systemctl stop nftables; systemctl start nftables",
        // As a boot does: nothing is loaded, and the unit starts.
        "systemctl stop factory-firewall; nft flush ruleset; systemctl start sysinit.target factory-firewall",
    ] {
        journey.inside(&format!("{{ {deed}; }} 2>&1 || true"));
        assert_eq!(journey.inside(&format!("sleep 0.5; {rules} 2>&1 || true")), good, "{deed}");
    }
    assert!(journey.lets_in("operator"));
    assert!(journey.inside("journalctl -b --quiet -u factory-firewall").contains("the last good ones stay in force"));
    let plan = journey.target().observe(&journey.watch).unwrap();
    let note = plan.notes.iter().find(|note| note.contains("last good ones")).unwrap_or_else(|| panic!("{plan:#?}"));
    assert!(note.contains(&format!("{TYPO}:1:")), "{note}");
    journey.inside(&format!("rm {TYPO}; systemctl restart factory-firewall"));
    let after = journey.inside(rules);
    assert!(after.contains("policy drop") && !after.contains("tcp dport 443 accept"), "{after}");
}
