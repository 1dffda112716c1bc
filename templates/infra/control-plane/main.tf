data "gitlab_group" "factory" {
  full_path = var.group
}

locals {
  # One file for each application: infra/apps/README.md.
  app_files = fileset("${path.root}/../apps", "*.json")
  apps      = { for file in local.app_files : trimsuffix(file, ".json") => jsondecode(file("${path.root}/../apps/${file}")) }

  labels = {
    agent    = { color = "#1f75cb", description = "Ready for the agent: {{ agent.username }}" }
    drift    = { color = "#c17d10", description = "Reality differs from the code" }
    incident = { color = "#dd2b0e", description = "Something is broken for users or about to be" }
    due      = { color = "#ad8d43", description = "A credential, a review or a drill is due" }
    human    = { color = "#6e49cb", description = "Waits for a decision or an action of a human" }
  }
}

resource "gitlab_project_label" "this" {
  for_each = local.labels

  project     = var.project
  name        = each.key
  color       = each.value.color
  description = each.value.description
}

# Runs what every night is looked at: drift, expiry, freshness, backup-drill. It runs with the rights of its owner, whoever
# the apply token belongs to, and stops when that account does.
resource "gitlab_pipeline_schedule" "nightly" {
  project        = var.project
  description    = "nightly"
  ref            = "refs/heads/{{ gitlab.default_branch }}"
  cron           = "17 3 * * *"
  cron_timezone  = "{{ factory.timezone }}"
  take_ownership = true
}

module "app" {
  source   = "../modules/gitlab-project"
  for_each = local.apps

  name           = each.key
  description    = try(each.value.description, "")
  namespace_id   = data.gitlab_group.factory.id
  default_branch = try(each.value.default_branch, "{{ gitlab.default_branch }}")
  environments   = { for name, environment in each.value.environments : name => environment.tier }
  shared_runners = {{ runner.shared }}
{%- if gitlab.premium %}

  approver_user_ids = var.approver_user_ids
{%- endif %}
}
