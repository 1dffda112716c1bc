variable "group" {
  description = "Full path of the group that holds the projects."
  type        = string
}

variable "project" {
  description = "Full path of the control repo."
  type        = string
}
{%- if gitlab.premium %}

variable "approver_user_ids" {
  description = "Ids of the people of whom one approves each merge request of an application that is not its own; empty requires no approval."
  type        = set(number)
  default     = []
}
{%- endif %}
