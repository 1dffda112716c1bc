# Plans this root with its real values and no account: scripts/infra preview shows the plan.
mock_provider "cloudflare" {}

run "plan" {
  command = plan

  assert {
    condition     = length(setsubtract(concat(keys(local.app_routes), keys(var.routes)), keys(output.hostnames))) == 0
    error_message = "Each application and each route has a host name."
  }
}
