group   = "{{ gitlab.group }}"
project = "{{ gitlab.path }}"
{%- if gitlab.premium %}

# The numbers of the people who approve merge requests of applications. Your own merge requests wait for another of them, and for none if
# you are the only one. Without a number no approval is required:
#   approver_user_ids = [7]
{%- endif %}
