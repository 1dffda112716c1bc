variable "group" {
  description = "Full path of the group that holds the projects."
  type        = string
}

variable "project" {
  description = "Full path of the control repo."
  type        = string
}

variable "agent_user_id" {
  description = "Id of the agent's GitLab user; null while there is no application for it to work on."
  type        = number
  default     = null
}
{%- if gitlab.premium %}

variable "approver_user_ids" {
  description = "Ids of the people of whom one approves each merge request of an application that is not its own; empty requires no approval."
  type        = set(number)
  default     = []
}
{%- endif %}
