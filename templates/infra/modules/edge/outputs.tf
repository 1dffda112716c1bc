output "tunnel_id" {
  description = "The tunnel's id. Its run token is a secret and stays out of the state."
  value       = cloudflare_zero_trust_tunnel_cloudflared.this.id
}

output "hostnames" {
  description = "Host name of each route."
  value       = { for label, route in local.routes : label => route.hostname }
}
