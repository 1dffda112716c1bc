locals {
  # What applications say of themselves in infra/apps/NAME.json.
  app_files = fileset("${path.root}/../../apps", "*.json")
  apps      = { for file in local.app_files : trimsuffix(file, ".json") => jsondecode(file("${path.root}/../../apps/${file}")) }
  app_routes = {
    for name, app in local.apps : name => {
      service = "http://127.0.0.1:${app.environments["{{ environment }}"].port}"
      public  = app.environments["{{ environment }}"].public
    } if contains(keys(app.environments), "{{ environment }}")
  }
}

module "edge" {
  source = "../../modules/edge"

  account_id    = var.account_id
  zone_id       = var.zone_id
  zone          = var.zone
  name          = "{{ factory.name }}-{{ environment }}"
{%- if environment != environments.production %}
  label_prefix  = "{{ environment }}-"
{%- endif %}
  routes        = merge(local.app_routes, var.routes)
{%- if environment == environments.production and host.enabled %}
  ssh           = "ssh://127.0.0.1:{{ host.port }}"
{%- endif %}
  access_emails = var.access_emails
}
{%- if environment == environments.production %}

# The zone is shared by all environments; its owner is the last one.
module "zone_baseline" {
  source = "../../modules/zone-baseline"

  zone_id   = var.zone_id
  zone      = var.zone
  redirects = var.redirects
  records   = var.records
}
{%- endif %}
