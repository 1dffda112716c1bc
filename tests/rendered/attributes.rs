//! The infrastructure code of every combination against the providers' schemas, with no engine and no Python.

use factoryup::templating::tree::Mode;

use crate::combinations::{Combination, PAIRWISE};
use crate::hcl::{Schemas, faults};

fn code(combination: &Combination) -> Vec<(String, String)> {
    let infra = combination.tree.files.iter().filter(|f| f.path.starts_with("infra/") && f.mode != Mode::Link);
    infra.map(|f| (f.path.clone(), String::from_utf8(f.bytes.clone()).unwrap())).collect()
}

fn found(files: &[(String, String)], schemas: &Schemas) -> Vec<String> {
    faults(files.iter().map(|(path, text)| (path.as_str(), text.as_str())), schemas)
}

#[test]
fn every_attribute_block_and_reference_is_there() {
    let schemas = Schemas::vendored();
    for combination in PAIRWISE.iter() {
        assert_eq!(found(&code(combination), &schemas), Vec::<String>::new(), "{}", combination.name());
    }
}

#[test]
fn mistakes_are_found() {
    let schemas = Schemas::vendored();
    let combination = PAIRWISE.iter().find(|c| c.has("cloudflare") && c.has("premium") && c.has("one")).unwrap();
    let whole = code(combination);
    let edge = "infra/modules/edge/main.tf";
    let project = "infra/modules/gitlab-project/main.tf";
    let zone = "infra/modules/zone-baseline/main.tf";
    let root = "infra/environments/production/main.tf";
    let tfvars = "infra/environments/production/terraform.tfvars";
    let tests = "infra/modules/edge/tests/edge.tftest.hcl";
    for (path, from, to, expected) in [
        // As version 4 of the provider had it.
        (edge, "  content = ", "  value = ", "resource cloudflare_dns_record.route has no attribute value"),
        (
            edge,
            "\"cloudflare_dns_record\" \"route\"",
            "\"cloudflare_record\" \"route\"",
            "no provider has the resource cloudflare_record",
        ),
        (edge, "  ttl     = 1\n", "", "resource cloudflare_dns_record.route lacks ttl"),
        (edge, "  zone_id = var.zone_id\n", "", "resource cloudflare_dns_record.route lacks zone_id"),
        (
            edge,
            "config = {",
            "config {",
            "resource cloudflare_zero_trust_tunnel_cloudflared_config.this: config is an attribute, not a block",
        ),
        (edge, "hostname = route.hostname, service", "host = route.hostname, service", "has no attribute host"),
        (
            edge,
            "decision         = \"allow\"",
            "decision = \"permit\"",
            "decision is \"permit\", which is not one of its values",
        ),
        (edge, "proxied = true", "proxied = [true]", "proxied has to be of the type bool"),
        (edge, "var.session_duration", "var.session_time", "there is no variable session_time"),
        (
            edge,
            "cloudflare_zero_trust_access_policy.members.id",
            "cloudflare_zero_trust_access_policy.all.id",
            "there is no cloudflare_zero_trust_access_policy.all",
        ),
        (
            edge,
            "_cloudflared.this.id}.cf",
            "_cloudflared.this.uuid}.cf",
            "there is no cloudflare_zero_trust_tunnel_cloudflared.this.uuid",
        ),
        (edge, "for_each = local.guarded", "for_each = local.gaurded", "there is no local.gaurded"),
        (edge, "service = route.service }]", "service = rout.service }]", "nothing is called rout"),
        (zone, "rules = [", "rule {\n", "main.tf: "),
        (
            project,
            "push_access_level  = \"no one\"",
            "push_access_level = \"nobody\"",
            "push_access_level is \"nobody\", which is not one of its values",
        ),
        (
            project,
            "  branch             = var.default_branch\n",
            "",
            "resource gitlab_branch_protection.default lacks branch",
        ),
        (root, "  zone          = var.zone\n", "", "module edge lacks zone"),
        (root, "  access_emails = ", "  emails = ", "module edge has no attribute emails"),
        (root, "../../modules/edge", "../../modules/egde", "module edge: there is no folder infra/modules/egde"),
        (tfvars, "access_emails", "access_email", "there is no variable access_email"),
        (tests, "  zone          = \"example.org\"\n", "", "the variable zone is not given"),
    ] {
        let mut files = whole.clone();
        let (_, text) = files.iter_mut().find(|(p, _)| p == path).unwrap();
        assert!(text.contains(from), "{path} does not hold {from:?}");
        *text = text.replacen(from, to, 1);
        let found = found(&files, &schemas);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{to:?} is not found as {expected:?}: {found:#?}");
    }
}
