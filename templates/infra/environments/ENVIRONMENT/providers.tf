terraform {
  required_version = ">= 1.8"

  required_providers {
    # Exact, since releases of this provider have shown changes that were none: upgrade by merge request and read the plan.
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "5.22.0"
    }
  }
}

# The token comes from CLOUDFLARE_API_TOKEN, which scripts/infra sets.
provider "cloudflare" {}
