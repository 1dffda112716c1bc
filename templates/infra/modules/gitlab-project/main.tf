# A project of an application, under the same policy as the control repo. The control repo itself is kept by `factoryup apply`,
# not from here, so that a mistake here cannot unprotect what decides.

resource "gitlab_project" "this" {
  name         = var.name
  path         = var.name
  description  = var.description
  namespace_id = var.namespace_id

  # Without a commit: a first one of GitLab's would have to be in the history that is pushed. The first branch that is pushed becomes
  # the default branch.
  visibility_level       = "private"
  initialize_with_readme = false
  archive_on_destroy     = true

  allow_merge_on_skipped_pipeline                  = false
  only_allow_merge_if_all_discussions_are_resolved = true
  only_allow_merge_if_pipeline_succeeds            = true
  merge_method                                     = "ff"
  squash_option                                    = "always"
  squash_commit_template                           = "%%{title}\n\n%%{description}"
  remove_source_branch_after_merge                 = true

  ci_config_path                              = ".factory/ci.yml"
  auto_devops_enabled                         = false
  ci_forward_deployment_enabled               = true
  ci_pipeline_variables_minimum_override_role = "no_one_allowed"
  ci_push_repository_for_job_token_allowed    = false
  ci_separated_caches                         = true
  public_jobs                                 = false
  shared_runners_enabled                      = var.shared_runners
  group_runners_enabled                       = false
}

# From the beginning: GitLab lets the owner push the first branch of an empty project, whatever protects it.
resource "gitlab_branch_protection" "default" {
  project            = gitlab_project.this.id
  branch             = var.default_branch
  push_access_level  = "no one"
  merge_access_level = "maintainer"
  allow_force_push   = false
}

# factoryup opens merge requests from these as the owner: only Maintainers push to them.
resource "gitlab_branch_protection" "proposals" {
  project            = gitlab_project.this.id
  branch             = "factory/*"
  push_access_level  = "maintainer"
  merge_access_level = "maintainer"
  allow_force_push   = true
}

resource "gitlab_tag_protection" "releases" {
  project             = gitlab_project.this.id
  tag                 = "v*"
  create_access_level = "maintainer"
}

resource "gitlab_project_job_token_scopes" "this" {
  project            = gitlab_project.this.id
  enabled            = true
  target_project_ids = []
}

resource "gitlab_project_environment" "this" {
  for_each = var.environments

  project = gitlab_project.this.id
  name    = each.key
  tier    = each.value
}
{%- if gitlab.premium %}

resource "gitlab_project_level_mr_approvals" "this" {
  project                                        = gitlab_project.this.id
  reset_approvals_on_push                        = true
  disable_overriding_approvers_per_merge_request = true
  merge_requests_author_approval                 = false
  # GitLab reads committers from the commits, which the agent writes: one in an approver's name would leave the rule without approvers.
  merge_requests_disable_committers_approval = false
}

# It names people: GitLab approves by itself a rule whose only approver is the author, so that a single owner can work. A rule for any
# approver would stop each of the owner's merge requests.
resource "gitlab_project_approval_rule" "people" {
  count = length(var.approver_user_ids) > 0 ? 1 : 0

  project            = gitlab_project.this.id
  name               = "People"
  rule_type          = "regular"
  approvals_required = 1
  user_ids           = var.approver_user_ids
}

resource "gitlab_project_protected_environment" "production" {
  for_each = { for name, tier in var.environments : name => tier if tier == "production" }

  project                        = gitlab_project.this.id
  environment                    = gitlab_project_environment.this[each.key].name
  deploy_access_levels_attribute = [{ access_level = "maintainer" }]
}
{%- endif %}
