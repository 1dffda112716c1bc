//! `infra/policy/resources.json` against real plans: as they are they pass, and each way to weaken the policy is refused by name.

use std::process::Output;

use crate::control_repo::{ControlRepo, passed, text};
use crate::infra::{ready, story};

const PROJECT: &str = ".type == \"gitlab_project\"";

/// The root, which resource, how it would be instead, and what is said of it.
const WEAKENED: &[(&str, &str, &str, &str)] = &[
    (
        "control-plane",
        PROJECT,
        ".visibility_level = \"public\"",
        "visibility_level is \"public\"; it must be \"private\"",
    ),
    ("control-plane", PROJECT, ".visibility_level = \"internal\"", "visibility_level is \"internal\""),
    (
        "control-plane",
        PROJECT,
        ".ci_config_path = \"ci.yml@elsewhere/else\"",
        "ci_config_path is \"ci.yml@elsewhere/else\"",
    ),
    ("control-plane", PROJECT, ".group_runners_enabled = true", "group_runners_enabled is true"),
    ("control-plane", PROJECT, ".shared_runners_enabled = true", "shared_runners_enabled is true"),
    ("control-plane", PROJECT, ".archive_on_destroy = false", "archive_on_destroy is false"),
    ("control-plane", PROJECT, "del(.public_jobs)", "public_jobs is not set, or not known before the apply"),
    (
        "control-plane",
        PROJECT,
        ".only_allow_merge_if_pipeline_succeeds = false",
        "only_allow_merge_if_pipeline_succeeds is false",
    ),
    (
        "control-plane",
        ".type == \"gitlab_branch_protection\"",
        ".push_access_level = \"developer\"",
        "push_access_level is \"developer\"; it must be \"no one\"",
    ),
    ("control-plane", ".type == \"gitlab_branch_protection\"", ".allow_force_push = true", "allow_force_push is true"),
    (
        "control-plane",
        ".type == \"gitlab_tag_protection\"",
        ".create_access_level = \"developer\"",
        "create_access_level",
    ),
    (
        "control-plane",
        ".type == \"gitlab_project_job_token_scopes\"",
        ".target_project_ids = [42]",
        "target_project_ids is [42]; it must be []",
    ),
    (
        "control-plane",
        ".type == \"gitlab_pipeline_schedule\"",
        ".ref = \"refs/heads/agent/1\"",
        "ref is \"refs/heads/agent/1\"",
    ),
    (
        "control-plane",
        ".type == \"gitlab_branch_protection\"",
        ".allowed_to_push = [{access_level: \"developer\"}]",
        "allowed_to_push is [{",
    ),
    (
        "control-plane",
        ".type == \"gitlab_project_job_token_scopes\"",
        ".target_group_ids = [42]",
        "target_group_ids is [42]",
    ),
    // What is known only after the apply.
    (
        "production",
        ".type == \"cloudflare_zero_trust_access_policy\"",
        "del(.include)",
        "include[].email.email is not set, or not known before the apply",
    ),
    ("production", ".address | test(\"route\")", "del(.name)", "it moves the site or the mail of the whole domain"),
    ("production", ".address | test(\"route\")", ".name = \"@\"", "it moves the site or the mail of the whole domain"),
    (
        "production",
        ".type == \"cloudflare_zero_trust_access_application\"",
        ".policies = [{decision: \"bypass\"}]",
        "policies[].decision is \"bypass\"",
    ),
    (
        "production",
        ".type == \"cloudflare_zero_trust_access_policy\"",
        ".include += [{everyone: {}}]",
        "include[].everyone is {}",
    ),
    (
        "production",
        ".type == \"cloudflare_zero_trust_access_policy\"",
        ".decision = \"bypass\"",
        "decision is \"bypass\"",
    ),
    (
        "production",
        ".type == \"cloudflare_zero_trust_access_application\"",
        ".policies = []",
        "policies is []; it must be at least 1",
    ),
    (
        "production",
        ".type == \"cloudflare_zero_trust_tunnel_cloudflared_config\"",
        ".config.ingress[0].service = \"http://169.254.169.254\"",
        "config.ingress[].service is \"http://169.254.169.254\"",
    ),
    (
        "production",
        ".address | test(\"zone_setting.*ssl\")",
        ".value = \"flexible\"",
        "value is \"flexible\"; it must be \"strict\"",
    ),
    (
        "production",
        ".address | test(\"route\")",
        ".name = \"example.org\"",
        "it moves the site or the mail of the whole domain",
    ),
    ("production", ".type == \"cloudflare_ruleset\"", ".rules[0].action = \"skip\"", "rules[].action is \"skip\""),
];

#[test]
fn what_weakens_the_policy_is_refused_attribute_by_attribute() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    repo.write(
        "infra/apps/shop.json",
        r#"{"description": "The shop", "environments": {"production": {"tier": "production", "port": 8100, "public": false}}}"#,
    );
    // The plan as the check gets it, of each root.
    let keep = "cp scripts/plan-policy real; printf '#!/bin/sh\\ncat >\"$0.$2.json\"\\n' >scripts/plan-policy
         for root in control-plane production; do scripts/infra plan $root; done; cp real scripts/plan-policy";
    passed(&story(&repo, keep, ""));
    let check = |root: &str, filter: &str| -> Output {
        let plan = format!(
            "jq '{filter}' scripts/plan-policy.{root}.json >edited.json; scripts/plan-policy edited.json {root}"
        );
        repo.run(&["sh", "-euc", &plan])
    };
    for root in ["control-plane", "production"] {
        passed(&check(root, "."));
    }
    for (root, which, how, why) in WEAKENED {
        let found = repo.run(&[
            "jq",
            "-e",
            &format!("any(.resource_changes[]; {which})"),
            &format!("scripts/plan-policy.{root}.json"),
        ]);
        assert!(found.status.success(), "{root} has no {which}");
        let output = check(root, &format!("(.resource_changes[] | select({which}) | .change.after) |= ({how})"));
        assert_eq!(output.status.code(), Some(1), "{which} {how}: {}", text(&output));
        assert!(text(&output).contains(why), "{which} {how}: {}", text(&output));
        // The same change of something that is there, and one that the owner allowed by name.
        let update = format!(
            "(.resource_changes[] | select({which}) | .change) |= (.actions = [\"update\"] | .after |= ({how}))"
        );
        assert!(text(&check(root, &update)).contains("refused: update of "), "{which} {how}");
    }
    // Two actions that no one has seen yet are no permission.
    let forget = r#"(.resource_changes[0].change.actions) = ["forget", "create"]"#;
    assert!(text(&check("production", forget)).contains("refused: replace of "));
    // A type without rules, such as one that would put a secret into the state.
    let token = r#".resource_changes += [{address: "gitlab_project_access_token.x", type: "gitlab_project_access_token", change: {actions: ["create"], after: {}}}]"#;
    let refused = check("control-plane", token);
    assert_eq!(refused.status.code(), Some(1));
    let why = "refused: create of gitlab_project_access_token.x: infra/policy/resources.json has no rules for the type";
    assert!(text(&refused).contains(why), "{}", text(&refused));
    repo.edit(
        "infra/policy/allowed-changes.json",
        "\"exceptions\": []",
        r#""exceptions": [{"root": "control-plane", "address": "gitlab_project_access_token.x", "action": "create", "reason": "r", "until": "2999-12-31"}]"#,
    );
    passed(&check("control-plane", token));
    // No rules are no permission.
    repo.write("infra/policy/resources.json", "{}");
    assert!(!check("control-plane", ".").status.success());
}
