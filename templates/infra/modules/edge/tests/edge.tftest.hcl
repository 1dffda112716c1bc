mock_provider "cloudflare" {
  mock_resource "cloudflare_zero_trust_tunnel_cloudflared" {
    defaults = { id = "11111111-1111-4111-8111-111111111111" }
  }
}

variables {
  account_id    = "00000000000000000000000000000001"
  zone_id       = "00000000000000000000000000000002"
  zone          = "example.org"
  name          = "factory-test"
  access_emails = ["owner@example.org"]
  ssh           = "ssh://127.0.0.1:22"
  routes = {
    app   = { service = "http://127.0.0.1:8080", public = true }
    admin = { service = "http://127.0.0.1:8081" }
  }
}

run "every_record_goes_through_the_proxy_to_the_tunnel" {
  assert {
    condition     = alltrue([for record in cloudflare_dns_record.route : record.proxied && endswith(record.content, ".cfargotunnel.com")])
    error_message = "A record that is not proxied would show where the host is."
  }

  assert {
    condition     = cloudflare_dns_record.route["app"].name == "app.example.org"
    error_message = "Unexpected host name."
  }
}

run "what_matches_no_route_is_not_found" {
  assert {
    condition     = reverse(cloudflare_zero_trust_tunnel_cloudflared_config.this.config.ingress)[0].service == "http_status:404"
    error_message = "The last ingress rule has to answer 404."
  }

  assert {
    condition     = length(cloudflare_zero_trust_tunnel_cloudflared_config.this.config.ingress) == 4
    error_message = "One rule per route, one for SSH, one for the rest."
  }
}

run "only_public_routes_are_open" {
  assert {
    condition     = toset(keys(cloudflare_zero_trust_access_application.guarded)) == toset(["admin", "ssh"])
    error_message = "Everything that is not public needs Access, SSH above all."
  }

  assert {
    condition     = [for rule in cloudflare_zero_trust_access_policy.members.include : rule.email.email] == ["owner@example.org"]
    error_message = "Only the listed addresses may pass."
  }
}

run "environments_share_a_zone_by_prefix" {
  variables {
    label_prefix = "staging-"
    ssh          = null
  }

  assert {
    condition     = output.hostnames == { app = "staging-app.example.org", admin = "staging-admin.example.org" }
    error_message = "The prefix belongs to the label, one level deep."
  }
}

run "a_service_outside_the_host_is_refused" {
  command = plan

  variables {
    routes = { app = { service = "http://10.0.0.5:8080" } }
  }

  expect_failures = [var.routes]
}

run "an_empty_member_list_is_refused" {
  command = plan

  variables {
    access_emails = []
  }

  expect_failures = [var.access_emails]
}
