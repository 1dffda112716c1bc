output "ds_record" {
  description = "DS record to enter at the registrar, which makes DNSSEC take effect."
  value       = cloudflare_zone_dnssec.this.ds
}
