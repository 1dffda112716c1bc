variable "account_id" {
  description = "Cloudflare account."
  type        = string
}

variable "zone_id" {
  description = "Cloudflare zone."
  type        = string
}

variable "zone" {
  description = "The zone's domain."
  type        = string
}

variable "access_emails" {
  description = "Who may pass Cloudflare Access."
  type        = list(string)
}

variable "routes" {
  description = "What this environment shows to the world; see modules/edge."
  type = map(object({
    service = string
    public  = optional(bool, false)
  }))
}
{%- if environment == environments.production %}

variable "redirects" {
  description = "Host label to the host name it leads to; see modules/zone-baseline."
  type        = map(string)
}

variable "records" {
  description = "DNS records that are neither routes nor redirects; see modules/zone-baseline."
  type = map(object({
    host     = string
    type     = string
    content  = string
    ttl      = optional(number, 1)
    priority = optional(number)
    proxied  = optional(bool, false)
  }))
  default = {}
}
{%- endif %}
