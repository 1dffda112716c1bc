mock_provider "gitlab" {}

variables {
  name         = "shop"
  namespace_id = 7
  environments = { production = "production", staging = "staging" }
}

run "nobody_pushes_and_only_maintainers_merge" {
  assert {
    condition     = gitlab_branch_protection.default.push_access_level == "no one" && gitlab_branch_protection.default.merge_access_level == "maintainer"
    error_message = "Changes reach the default branch by merge request only."
  }

  assert {
    condition     = gitlab_project.this.only_allow_merge_if_pipeline_succeeds && !gitlab_project.this.allow_merge_on_skipped_pipeline
    error_message = "A merge needs a pipeline that passed."
  }
}

run "an_empty_project_takes_a_history_as_it_is" {
  assert {
    condition     = !gitlab_project.this.initialize_with_readme && gitlab_branch_protection.default.push_access_level == "no one"
    error_message = "The first push brings all commits as they are, to a branch that is protected."
  }
}

run "the_pipeline_is_the_factorys" {
  assert {
    condition     = gitlab_project.this.ci_config_path == ".factory/ci.yml"
    error_message = "A .gitlab-ci.yml that an application had before is no pipeline of the factory."
  }
}
{%- if gitlab.premium %}

run "a_person_approves_and_not_the_author" {
  variables {
    approver_user_ids = [7]
  }

  assert {
    condition     = one(gitlab_project_approval_rule.people).approvals_required == 1 && one(gitlab_project_approval_rule.people).rule_type == "regular"
    error_message = "A rule for any approver would stop the merge requests of a single owner."
  }

  assert {
    condition     = !gitlab_project_level_mr_approvals.this.merge_requests_author_approval && !gitlab_project_level_mr_approvals.this.merge_requests_disable_committers_approval
    error_message = "The author's own approval must not count, and a committer's name must not take approvers away."
  }

  assert {
    condition     = keys(gitlab_project_protected_environment.production) == ["production"]
    error_message = "The production environment has to be protected."
  }
}

run "nobody_waits_for_an_approver_that_is_not_named" {
  assert {
    condition     = length(gitlab_project_approval_rule.people) == 0
    error_message = "Without approvers no approval is required."
  }
}
{%- endif %}
