# Address and credentials come from the TF_HTTP_* variables that scripts/infra sets.
terraform {
  backend "http" {}
}
