group   = "{{ gitlab.group }}"
project = "{{ gitlab.path }}"

# Application projects, for example:
#   agent_user_id = 42
#   apps = {
#     shop = { description = "The web shop", environments = { {{ environments.production }} = "production" } }
#   }
apps = {}
