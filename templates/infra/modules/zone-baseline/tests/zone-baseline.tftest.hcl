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
    redirects = { www = "app.example.org" }
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

run "other_records_are_what_they_say" {
  variables {
    records = {
      status = { host = "status", type = "CNAME", content = "acme.status.example.net", ttl = 300 }
      mail   = { host = "@", type = "MX", content = "mx.example.net", priority = 10 }
      spf    = { host = "@", type = "TXT", content = "v=spf1 include:example.net -all" }
      long   = { host = "k1._domainkey", type = "TXT", content = "\"v=DKIM1; p=\" \"abc\"" }
      web    = { host = "old", type = "A", content = "192.0.2.7", proxied = true }
    }
  }

  assert {
    condition = (
      cloudflare_dns_record.other["status"].name == "status.example.org" && cloudflare_dns_record.other["status"].ttl == 300 &&
      !cloudflare_dns_record.other["status"].proxied
    )
    error_message = "A record keeps its ttl, and is not proxied unless it says so."
  }

  assert {
    condition     = cloudflare_dns_record.other["mail"].name == "example.org" && cloudflare_dns_record.other["mail"].priority == 10
    error_message = "@ is the domain itself."
  }

  assert {
    condition     = cloudflare_dns_record.other["spf"].content == "\"v=spf1 include:example.net -all\""
    error_message = "A text without quotes would be planned as a change for ever."
  }

  assert {
    condition     = cloudflare_dns_record.other["long"].content == "\"v=DKIM1; p=\" \"abc\""
    error_message = "A text in quotes stays as it is."
  }

  assert {
    condition     = cloudflare_dns_record.other["web"].proxied && cloudflare_dns_record.other["web"].ttl == 1
    error_message = "A proxied record has an automatic ttl."
  }
}

run "a_type_that_needs_more_is_refused" {
  command = plan

  variables {
    records = { wrong = { host = "@", type = "SRV", content = "0 5 5060 sip.example.net" } }
  }

  expect_failures = [var.records]
}

run "a_host_that_is_none_is_refused" {
  command = plan

  variables {
    records = { wrong = { host = "a b", type = "A", content = "192.0.2.7" } }
  }

  expect_failures = [var.records]
}

run "a_ttl_out_of_range_is_refused" {
  command = plan

  variables {
    records = { wrong = { host = "a", type = "A", content = "192.0.2.7", ttl = 30 } }
  }

  expect_failures = [var.records]
}

run "mail_without_a_priority_is_refused" {
  command = plan

  variables {
    records = { wrong = { host = "@", type = "MX", content = "mx.example.net" } }
  }

  expect_failures = [var.records]
}

run "a_text_is_not_proxied" {
  command = plan

  variables {
    records = { wrong = { host = "@", type = "TXT", content = "x", proxied = true } }
  }

  expect_failures = [var.records]
}

run "a_name_is_not_a_redirect_and_a_record" {
  command = plan

  variables {
    redirects = { www = "app.example.org" }
    records   = { wrong = { host = "www", type = "A", content = "192.0.2.7" } }
  }

  expect_failures = [cloudflare_dns_record.other]
}
