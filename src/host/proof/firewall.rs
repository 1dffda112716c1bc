//! The rules that the kernel has, from nftables' own JSON: `libnftables-json(5)`.

use serde_json::Value;

use super::{Said, cannot_tell, proof};
use crate::plan::Proof;

const CLAIM: &str = "the firewall drops what no rule accepts";

/// The base chains must be in force. With `forwards`, forwarded packets are left to others.
pub(super) fn judge(said: &Said, forwards: bool) -> Proof {
    let text = said.of("firewall").join("\n");
    let Ok(listing) = serde_json::from_str::<Value>(&text) else {
        return cannot_tell(CLAIM, "nft does not list the table inet factoryup: it is not loaded");
    };
    let objects = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let chain = |hook: &str, policy: &str| {
        objects
            .iter()
            .filter_map(|object| object.get("chain"))
            .any(|chain| chain["hook"] == hook && chain["policy"] == policy)
    };
    let egress = objects
        .iter()
        .filter_map(|object| object.get("rule"))
        .any(|rule| rule["chain"] == "output" && rule["expr"].to_string().contains(r#""jump":{"target":"egress"}"#));
    let mut missing = Vec::new();
    for (is_there, what) in [
        (chain("input", "drop"), "input with policy drop"),
        (forwards || chain("forward", "drop"), "forward with policy drop"),
        (chain("output", "accept") && egress, "output with a jump to egress"),
    ] {
        if !is_there {
            missing.push(what);
        }
    }
    let detail = if missing.is_empty() {
        "nft lists the table inet factoryup with its chains for input, forward and output".to_owned()
    } else {
        format!(
            "the loaded table inet factoryup has no chain {}; to reload it: systemctl restart factory-firewall",
            missing.join(", no chain ")
        )
    };
    proof(CLAIM, missing.is_empty(), detail)
}
