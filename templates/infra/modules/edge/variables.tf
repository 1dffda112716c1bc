variable "account_id" {
  description = "Cloudflare account that holds the tunnel and the Access applications."
  type        = string
}

variable "zone_id" {
  description = "Zone that holds the DNS records."
  type        = string
}

variable "zone" {
  description = "The zone's domain, such as example.org."
  type        = string
}

variable "name" {
  description = "Name of the tunnel; one tunnel per environment."
  type        = string
}

variable "label_prefix" {
  description = <<-EOT
    Put before every host label, so that environments can share a zone: "staging-" makes staging-app.example.org. A prefix
    and not a subdomain, because Cloudflare's universal certificate covers one level only.
  EOT
  type        = string
  default     = ""
}

variable "routes" {
  description = "What is reachable: host label to the local service, and whether everybody or only access_emails may open it."
  type = map(object({
    service = string
    public  = optional(bool, false)
  }))
  default = {}

  validation {
    condition     = alltrue([for label, _ in var.routes : can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", label))])
    error_message = "A host label is made of a-z, 0-9 and inner hyphens."
  }

  validation {
    condition     = alltrue([for _, route in var.routes : can(regex("^https?://(127\\.0\\.0\\.1|localhost)(:[0-9]+)?$", route.service))])
    error_message = "A service is an http or https address on the host itself, such as http://127.0.0.1:8080."
  }
}

variable "ssh" {
  description = "Local sshd to reach through the tunnel, such as ssh://127.0.0.1:22; null for none."
  type        = string
  default     = null
}

variable "access_emails" {
  description = "Who may pass Cloudflare Access, by e-mail address."
  type        = list(string)

  validation {
    condition     = length(var.access_emails) > 0
    error_message = "At least one address, or nobody could pass."
  }
}

variable "session_duration" {
  description = "How long a login at Cloudflare Access lasts."
  type        = string
  default     = "8h"
}
