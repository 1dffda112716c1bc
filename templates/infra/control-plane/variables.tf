variable "group" {
  description = "Full path of the group that holds the projects."
  type        = string
}

variable "project" {
  description = "Full path of the control repo."
  type        = string
}

variable "agent_user_id" {
  description = "Id of the agent's GitLab user; null while no application project is kept here."
  type        = number
  default     = null
}

variable "apps" {
  description = "Application projects; see modules/gitlab-project."
  type = map(object({
    description  = optional(string, "")
    environments = optional(map(string), {})
  }))
  default = {}
}
