variable "name" {
  description = "Name and path of the project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,31}$", var.name))
    error_message = "2 to 32 of a-z, 0-9 and hyphens, beginning with a letter."
  }
}

variable "description" {
  description = "One line on what the project is."
  type        = string
  default     = ""
}

variable "namespace_id" {
  description = "Id of the group that holds the project."
  type        = number
}

variable "default_branch" {
  description = "Branch that is protected and that releases are made from: the first one that is pushed."
  type        = string
  default     = "main"
}

variable "shared_runners" {
  description = "Whether the instance's shared runners take jobs."
  type        = bool
  default     = false
}

variable "environments" {
  description = "Environments, each with GitLab's tier: production, staging, testing, development or other."
  type        = map(string)
  default     = {}
}
{%- if gitlab.premium %}

variable "approver_user_ids" {
  description = "Ids of the people of whom one approves each merge request that is not its own; empty requires no approval."
  type        = set(number)
  default     = []
}
{%- endif %}
