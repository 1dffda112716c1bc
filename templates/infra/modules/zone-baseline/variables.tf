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
  description = "Host label to the full host name it leads to, such as www to example.org."
  type        = map(string)
  default     = {}
}
