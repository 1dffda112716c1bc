module "edge" {
  source = "../../modules/edge"

  account_id    = var.account_id
  zone_id       = var.zone_id
  zone          = var.zone
  name          = "{{ factory.name }}-{{ environment }}"
{%- if environment != environments.production %}
  label_prefix  = "{{ environment }}-"
{%- endif %}
  routes        = var.routes
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
}
{%- endif %}
