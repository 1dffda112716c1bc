# What the world can reach. cloudflared on the host dials out, so no inbound port is needed.

locals {
  ssh = var.ssh == null ? {} : { ssh = { service = var.ssh, public = false } }
  all = merge(var.routes, local.ssh)
  routes = {
    for label, route in local.all : label => {
      hostname = "${var.label_prefix}${label}.${var.zone}"
      service  = route.service
      public   = route.public
    }
  }
  guarded = { for label, route in local.routes : label => route if !route.public }
}

resource "cloudflare_zero_trust_tunnel_cloudflared" "this" {
  account_id = var.account_id
  name       = var.name
  config_src = "cloudflare"
}

resource "cloudflare_zero_trust_tunnel_cloudflared_config" "this" {
  account_id = var.account_id
  tunnel_id  = cloudflare_zero_trust_tunnel_cloudflared.this.id

  config = {
    ingress = concat(
      [for route in local.routes : { hostname = route.hostname, service = route.service }],
      # Has to be last: whatever matches no route.
      [{ service = "http_status:404" }],
    )
  }
}

resource "cloudflare_dns_record" "route" {
  for_each = local.routes

  zone_id = var.zone_id
  name    = each.value.hostname
  type    = "CNAME"
  content = "${cloudflare_zero_trust_tunnel_cloudflared.this.id}.cfargotunnel.com"
  proxied = true
  # 1 is "automatic", the only value for a proxied record.
  ttl     = 1
  comment = "tunnel ${var.name}"
}

resource "cloudflare_zero_trust_access_policy" "members" {
  account_id       = var.account_id
  name             = "${var.name} members"
  decision         = "allow"
  include          = [for address in var.access_emails : { email = { email = address } }]
  session_duration = var.session_duration
}

resource "cloudflare_zero_trust_access_application" "guarded" {
  for_each = local.guarded

  account_id           = var.account_id
  name                 = "${var.name} ${each.key}"
  type                 = "self_hosted"
  domain               = each.value.hostname
  session_duration     = var.session_duration
  app_launcher_visible = false
  policies             = [{ id = cloudflare_zero_trust_access_policy.members.id, precedence = 1 }]
}
