variable "zone_id" {
  description = "The zone."
  type        = string
}

variable "zone" {
  description = "The zone's domain, such as example.org."
  type        = string
}

variable "settings" {
  description = "Zone settings to add or to change; the defaults are in main.tf."
  type        = map(string)
  default     = {}
}

variable "blocked_paths" {
  description = "Paths that no application serves and that only scanners ask for."
  type        = list(string)
  default     = ["/.git", "/.env", "/.aws", "/wp-login.php", "/xmlrpc.php"]
}

variable "requests_per_10_seconds" {
  description = "More requests than this from one address within 10 seconds are blocked for 10 seconds."
  type        = number
  default     = 100

  validation {
    condition     = var.requests_per_10_seconds >= 10
    error_message = "Fewer than 10 would block ordinary visitors."
  }
}

variable "redirects" {
  description = "Host label to the full host name it leads to, such as www to app.example.org."
  type        = map(string)
  default     = {}
}

variable "records" {
  description = <<-EOT
    Other DNS records, each under a name of your choice: host is a label, or @ for the domain itself; ttl in seconds, from 60 to 86400, or 1
    for automatic; priority, from 0 to 65535, is MX's; proxied is for what answers http. TXT may go without its quotes.
  EOT
  type = map(object({
    host     = string
    type     = string
    content  = string
    ttl      = optional(number, 1)
    priority = optional(number)
    proxied  = optional(bool, false)
  }))
  default = {}

  validation {
    condition     = alltrue([for _, record in var.records : contains(["A", "AAAA", "CNAME", "MX", "TXT"], record.type)])
    error_message = "A record is of the type A, AAAA, CNAME, MX or TXT."
  }

  validation {
    condition     = alltrue([for _, record in var.records : can(regex("^(@|[a-z0-9_*]([a-z0-9_.-]*[a-z0-9_])?)$", record.host))])
    error_message = "A host is @ or what stands before the domain, such as status, _dmarc or selector._domainkey."
  }

  validation {
    condition     = alltrue([for _, record in var.records : record.ttl == 1 || (record.ttl >= 60 && record.ttl <= 86400)])
    error_message = "A ttl is 1, or from 60 to 86400 seconds."
  }

  validation {
    condition     = alltrue([for _, record in var.records : (record.type == "MX") == (record.priority != null)])
    error_message = "MX has a priority, and no other type has one."
  }

  validation {
    condition = alltrue([
      for _, record in var.records : !record.proxied || (contains(["A", "AAAA", "CNAME"], record.type) && record.ttl == 1)
    ])
    error_message = "Only A, AAAA and CNAME can be proxied, with the ttl 1."
  }
}
