# Plans this root with its real values and no account: scripts/infra preview shows the plan.
mock_provider "gitlab" {
  mock_data "gitlab_group" {
    defaults = { id = "1" }
  }
}

run "plan" {
  command = plan

  assert {
    condition     = toset(keys(module.app)) == toset(keys(local.apps))
    error_message = "Each file in infra/apps/ becomes one project."
  }
}
