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
{%- endif %}
