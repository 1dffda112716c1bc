//! The firewall keeps its last good rules, and lets the workers reach GitLab and the host's proxies wherever they are.

use std::net::TcpListener;

use factoryup::plan::{Outcome, Target};

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

#[test]
fn gitlab_and_a_proxy_are_reached_by_name_on_a_private_network() {
    if !lab::can_host() {
        return;
    }
    let mut journey = Journey::new();
    let gateway = journey.inside("ip route show default | cut -d' ' -f3");
    let listeners = [(); 3].map(|()| TcpListener::bind("0.0.0.0:0").unwrap());
    let [gitlab, proxy, other] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    journey.factory.gitlab.url = format!("http://gitlab.lan:{gitlab}");
    journey.inside(&format!(
        "echo {gateway} gitlab.lan proxy.lan >>/etc/hosts
         echo 'https_proxy=http://me:canary@proxy.lan:{proxy}/' >>/etc/environment"
    ));
    let reached = |journey: &Journey| {
        [gitlab, proxy, other].map(|port| {
            let knock = format!(
                "runuser -u agent -- timeout 20 bash -c 'echo >/dev/tcp/{gateway}/{port}' && echo yes || echo no"
            );
            journey.inside(&format!("{{ {knock}; }} 2>/dev/null")) == "yes"
        })
    };
    journey.provision();
    assert_eq!(reached(&journey), [true, true, false], "{}", journey.inside("nft list chain inet factoryup egress"));
    assert!(!format!("{:?}", journey.watch.plans.borrow()).contains("canary"));
    // A resolver without an answer is no change; a proxy that is named no more is one.
    journey.inside("sed -i '/gitlab.lan/d' /etc/hosts");
    assert!(matches!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { .. }));
    journey.inside("sed -i '/_proxy=/d' /etc/environment");
    journey.provision();
    assert_eq!(reached(&journey), [true, false, false]);
}
