account_id    = "{{ cloudflare.account_id }}"
zone_id       = "{{ cloudflare.zone_id }}"
zone          = "{{ cloudflare.zone }}"
access_emails = ["{{ factory.owner_email }}"]

# Nothing is shown until it is named here, for example:
#   routes = { app = { service = "http://127.0.0.1:8080", public = true } }
# makes {% if environment != environments.production %}{{ environment }}-{% endif %}app.{{ cloudflare.zone }}. Without public, only access_emails may open it.
routes = {}
{%- if environment == environments.production %}

redirects = {}

# Other DNS records, for example:
#   records = { status = { host = "status", type = "CNAME", content = "acme.status.example.net" } }
records = {}
{%- endif %}
