//! Plays `apply:control-plane`: does by the API what `templates/infra/modules/gitlab-project` says.
#![allow(dead_code, unreachable_pub, missing_docs)]

use serde_json::{Value, json};

use crate::plane::Plane;

/// Makes the project of an application what its entry on the default branch of the control repo says.
pub fn apply(plane: &Plane, control: &str, name: &str) {
    let entry =
        plane.get(&format!("/projects/factory%2F{control}/repository/files/infra%2Fapps%2F{name}.json/raw?ref=main"));
    assert_eq!(entry.status, 200, "{}", entry.body);
    let entry: Value =
        entry.body.as_str().map_or_else(|| entry.body.clone(), |text| serde_json::from_str(text).unwrap());
    let branch = entry["default_branch"].as_str().unwrap_or("main").to_owned();
    let project = format!("/projects/factory%2F{name}");
    if plane.get(&project).status == 404 {
        let group = plane.get("/groups/factory").body["id"].clone();
        let settings = json!({
            "name": name, "path": name, "namespace_id": group, "visibility": "private", "initialize_with_readme": false,
            "merge_method": "ff", "squash_option": "always", "remove_source_branch_after_merge": true,
            "only_allow_merge_if_pipeline_succeeds": true, "ci_config_path": ".factory/ci.yml", "auto_devops_enabled": false,
            "group_runners_enabled": false, "shared_runners_enabled": false,
        });
        let made = plane.post("/projects", &settings);
        assert_eq!(made.status, 201, "{}", made.body);
        let proposals =
            json!({ "name": "factory/*", "push_access_level": 40, "merge_access_level": 40, "allow_force_push": true });
        assert_eq!(plane.post(&format!("{project}/protected_branches"), &proposals).status, 201);
        let tags = json!({ "name": "v*", "create_access_level": 40 });
        assert_eq!(plane.post(&format!("{project}/protected_tags"), &tags).status, 201);
    }
    let rules = format!("{project}/protected_branches");
    plane.delete(&format!("{rules}/{branch}"));
    let rule = json!({ "name": branch, "push_access_level": 0, "merge_access_level": 40, "allow_force_push": false });
    assert_eq!(plane.post(&rules, &rule).status, 201);
}
