output "tunnel_id" {
  description = "Tunnel that cloudflared on the host has to run."
  value       = module.edge.tunnel_id
}

output "hostnames" {
  description = "Host name of each route."
  value       = module.edge.hostnames
}
{%- if environment == environments.production %}

output "ds_record" {
  description = "DS record to enter at the registrar."
  value       = module.zone_baseline.ds_record
}
{%- endif %}
