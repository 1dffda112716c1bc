group   = "{{ gitlab.group }}"
project = "{{ gitlab.path }}"

# The numeric id of {{ agent.username }} in GitLab, so that it becomes a Developer of the applications' projects:
#   agent_user_id = 42
