group   = "{{ gitlab.group }}"
project = "{{ gitlab.path }}"

# The number of the account under which the agent works on applications (docs/app-contract.md), so that it becomes a Developer of their
# projects. {{ gitlab.url }}/api/v4/users?username=NAME shows it to whoever is logged in:
#   agent_user_id = 42
{%- if gitlab.premium %}

# The numbers of the people who approve merge requests of applications. Your own merge requests wait for another of them, and for none if
# you are the only one. Without a number no approval is required:
#   approver_user_ids = [7]
{%- endif %}
