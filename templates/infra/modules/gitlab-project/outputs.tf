output "id" {
  description = "The project's id."
  value       = gitlab_project.this.id
}

output "path" {
  description = "The project's full path."
  value       = gitlab_project.this.path_with_namespace
}
