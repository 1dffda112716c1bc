terraform {
  required_version = ">= 1.8"

  required_providers {
    gitlab = {
      source  = "gitlabhq/gitlab"
      version = "19.1.0"
    }
  }
}

# Address and token come from GITLAB_BASE_URL and GITLAB_TOKEN, which scripts/infra sets.
provider "gitlab" {}
