//! What Terraform keeps and what the GitLab setup keeps: nothing twice, and the same policy. The provider itself cannot be had here, so
//! its code is read: each attribute of the module for projects against what GitLab shows of the control repo.

use std::fs;

use serde_json::{Value, json};

use super::situation::Situation;

/// Attributes of each resource that have a literal value, as `(type.name, attribute, value)`.
fn literals(text: &str) -> Vec<(String, String, Value)> {
    let (mut found, mut resource) = (Vec::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("resource \"") {
            let words: Vec<&str> = rest.split('"').collect();
            resource = format!("{}.{}", words[0], words[2]);
        } else if let Some((name, value)) = line.strip_prefix("  ").and_then(|line| line.split_once(" = ")) {
            let value = value.replace("%%{", "%{");
            if let (false, Ok(value)) = (name.starts_with(' '), serde_json::from_str::<Value>(&value)) {
                found.push((resource.clone(), name.trim().to_owned(), value));
            }
        }
    }
    found
}

/// A role as GitLab's provider calls it.
fn role(levels: &Value) -> Value {
    let [level] = levels.as_array().unwrap().as_slice() else { panic!("{levels}") };
    role_of(&level["access_level"])
}

fn role_of(level: &Value) -> Value {
    match level.as_u64() {
        Some(0) => json!("no one"),
        Some(30) => json!("developer"),
        Some(40) => json!("maintainer"),
        other => panic!("{other:?}"),
    }
}

/// After a GitLab setup with a license: Terraform has nothing to change in what both name, and creates only what the setup does not.
pub fn agrees(situation: &Situation) {
    let read = |path: &str| fs::read_to_string(situation.repo.join("infra").join(path)).unwrap();
    let project = situation.get("");
    let rules = ["main", "factory%2F%2A"].map(|name| situation.get(&format!("/protected_branches/{name}")));
    let tag = situation.get("/protected_tags/v%2A");
    let approvals = situation.get("/approvals");
    let mut compared = 0;
    for (resource, name, value) in literals(&read("modules/gitlab-project/main.tf")) {
        let (kind, called) = resource.split_once('.').unwrap();
        let branch = &rules[usize::from(called == "proposals")];
        let there = match (kind, name.as_str()) {
            // An application's pipeline is elsewhere, and no evidence is taken from its merges. The others are no settings.
            (
                "gitlab_project",
                "ci_config_path" | "squash_commit_template" | "initialize_with_readme" | "archive_on_destroy",
            )
            | ("gitlab_project_approval_rule", _) => continue,
            ("gitlab_project", "visibility_level") => project["visibility"].clone(),
            ("gitlab_project", name) => project[name].clone(),
            ("gitlab_branch_protection", "push_access_level") => role(&branch["push_access_levels"]),
            ("gitlab_branch_protection", "merge_access_level") => role(&branch["merge_access_levels"]),
            ("gitlab_branch_protection", "branch") => branch["name"].clone(),
            ("gitlab_branch_protection", name) => branch[name].clone(),
            ("gitlab_tag_protection", "tag") => tag["name"].clone(),
            ("gitlab_tag_protection", "create_access_level") => role(&tag["create_access_levels"]),
            ("gitlab_project_job_token_scopes", "enabled") => {
                situation.get("/job_token_scope")["inbound_enabled"].clone()
            }
            ("gitlab_project_job_token_scopes", "target_project_ids") => {
                let others = situation.get("/job_token_scope/allowlist");
                others.as_array().unwrap().iter().filter(|one| one["id"] != project["id"]).cloned().collect()
            }
            ("gitlab_project_level_mr_approvals", name) => approvals[name].clone(),
            _ => panic!("compare {resource}.{name} here, or say why not"),
        };
        assert_eq!(there, value, "{resource}.{name}: the GitLab setup and Terraform differ");
        compared += 1;
    }
    assert!(compared > 24, "{compared}");
    let root = read("control-plane/main.tf");
    assert!(root.contains("shared_runners = false") && project["shared_runners_enabled"] == false);
    assert!(
        read("modules/gitlab-project/main.tf")
            .contains("deploy_access_levels_attribute = [{ access_level = \"maintainer\" }]")
    );
    let production = situation.get("/protected_environments/production");
    assert_eq!(role(&production["deploy_access_levels"]), "maintainer");

    // The root creates these two kinds in the control repo's project, and the setup neither: there is nothing to import.
    let kinds: Vec<_> = root.lines().filter_map(|line| line.strip_prefix("resource \"")?.split('"').next()).collect();
    assert_eq!(kinds, ["gitlab_project_label", "gitlab_pipeline_schedule"]);
    assert_eq!(situation.get("/pipeline_schedules"), json!([]));
    assert!(!situation.plane.log().iter().any(|request| request.path.contains("/labels")));
    let names = read("control-plane/terraform.tfvars");
    for (name, value) in [("group", &project["namespace"]["full_path"]), ("project", &project["path_with_namespace"])] {
        let line = format!("{value}");
        let is_set = |set: &str| set.split_once('=').is_some_and(|(key, set)| key.trim() == name && set.trim() == line);
        assert!(names.lines().any(is_set), "{name}: {names}");
    }
}
