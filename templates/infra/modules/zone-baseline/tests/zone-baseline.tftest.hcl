mock_provider "cloudflare" {}

variables {
  zone_id = "00000000000000000000000000000002"
  zone    = "example.org"
}

run "traffic_is_encrypted_on_both_sides" {
  assert {
    condition     = cloudflare_zone_setting.this["ssl"].value == "strict" && cloudflare_zone_setting.this["always_use_https"].value == "on"
    error_message = "Neither the visitor's side nor the host's side may be plain."
  }
}

run "every_rule_has_a_stable_name" {
  variables {
    redirects = { www = "example.org" }
  }

  assert {
    condition = alltrue([
      for rule in concat(
        cloudflare_ruleset.firewall.rules,
        cloudflare_ruleset.rate_limit.rules,
        cloudflare_ruleset.redirect[0].rules,
      ) : startswith(rule.ref, "factory_")
    ])
    error_message = "A rule without ref is planned as a new one whenever its place changes."
  }

  assert {
    condition     = cloudflare_dns_record.redirect["www"].proxied
    error_message = "A redirect needs a proxied record."
  }
}

run "a_limit_that_blocks_everybody_is_refused" {
  command = plan

  variables {
    requests_per_10_seconds = 1
  }

  expect_failures = [var.requests_per_10_seconds]
}
