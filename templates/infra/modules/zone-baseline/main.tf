# What holds for the whole zone. A zone has one ruleset per phase, so rules for every host are here and not in the module edge,
# which each environment has for itself.

locals {
  settings = merge({
    always_use_https         = "on"
    automatic_https_rewrites = "on"
    min_tls_version          = "1.2"
    ssl                      = "strict"
    tls_1_3                  = "on"
  }, var.settings)
}

resource "cloudflare_zone_setting" "this" {
  for_each = local.settings

  zone_id    = var.zone_id
  setting_id = each.key
  value      = each.value
}

# Takes effect when the DS record, an output, stands at the registrar.
resource "cloudflare_zone_dnssec" "this" {
  zone_id = var.zone_id
  status  = "active"
}

resource "cloudflare_ruleset" "firewall" {
  zone_id = var.zone_id
  name    = "factory firewall"
  kind    = "zone"
  phase   = "http_request_firewall_custom"

  # Every rule has a ref: without one the provider takes a moved rule for a new one and shows changes that are none.
  rules = [
    {
      ref         = "factory_blocked_paths"
      description = "Paths that only scanners ask for"
      expression  = join(" or ", [for path in var.blocked_paths : "starts_with(http.request.uri.path, \"${path}\")"])
      action      = "block"
      enabled     = true
    },
  ]
}

resource "cloudflare_ruleset" "rate_limit" {
  zone_id = var.zone_id
  name    = "factory rate limit"
  kind    = "zone"
  phase   = "http_ratelimit"

  rules = [
    {
      ref         = "factory_rate_limit"
      description = "Too many requests from one address"
      expression  = "(http.host wildcard \"*${var.zone}\")"
      action      = "block"
      enabled     = true
      ratelimit = {
        characteristics     = ["ip.src", "cf.colo.id"]
        period              = 10
        requests_per_period = var.requests_per_10_seconds
        mitigation_timeout  = 10
      }
    },
  ]
}

resource "cloudflare_ruleset" "redirect" {
  count = length(var.redirects) > 0 ? 1 : 0

  zone_id = var.zone_id
  name    = "factory redirects"
  kind    = "zone"
  phase   = "http_request_dynamic_redirect"

  rules = [
    for label, target in var.redirects : {
      ref         = "factory_redirect_${replace(label, "-", "_")}"
      description = "${label}.${var.zone} to ${target}"
      expression  = "(http.host eq \"${label}.${var.zone}\")"
      action      = "redirect"
      enabled     = true
      action_parameters = {
        from_value = {
          status_code           = 301
          preserve_query_string = true
          target_url            = { expression = "concat(\"https://${target}\", http.request.uri.path)" }
        }
      }
    }
  ]
}

# The discard prefix of RFC 6666: the record exists so that the proxy answers, and nothing is ever behind it.
resource "cloudflare_dns_record" "redirect" {
  for_each = var.redirects

  zone_id = var.zone_id
  name    = "${each.key}.${var.zone}"
  type    = "AAAA"
  content = "100::"
  proxied = true
  ttl     = 1
  comment = "redirects to ${each.value}"
}

# What is neither a route of the module edge nor a redirect: mail, proofs of ownership, names at other providers.
resource "cloudflare_dns_record" "other" {
  for_each = var.records

  zone_id = var.zone_id
  name    = each.value.host == "@" ? var.zone : "${each.value.host}.${var.zone}"
  type    = each.value.type
  # Cloudflare keeps a text in quotes, and what it gives back has to be what stands here.
  content  = each.value.type == "TXT" && !startswith(each.value.content, "\"") ? "\"${each.value.content}\"" : each.value.content
  ttl      = each.value.ttl
  priority = each.value.priority
  proxied  = each.value.proxied
  comment  = "record ${each.key}"

  lifecycle {
    precondition {
      condition     = !contains(keys(var.redirects), each.value.host)
      error_message = "${each.value.host} is a redirect already."
    }
  }
}
