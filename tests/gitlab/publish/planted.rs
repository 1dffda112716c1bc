//! Branches and projects that another put where `factoryup app publish` looks for its own.

use serde_json::json;

use super::{PUBLISH, at_gitlab, merge, open, refs, terraform, with_app};

/// A merge request's first pipeline runs with the rights of whoever opens it, and a project in the right place need not be ours.
#[test]
fn what_another_prepared_is_not_taken_for_factoryups() {
    let Some(situation) = with_app(&["--kind", "static"]) else { return };
    let plane = &situation.plane;
    let at = |rest: &str| format!("/projects/factory%2Fcontrol{rest}");
    let planted = |branch: &str| {
        let file = json!({"action": "update", "file_path": ".gitlab-ci.yml", "content": "x: {script: [env]}\n"});
        let commit = json!({"branch": branch, "start_branch": "main", "commit_message": "x", "actions": [file]});
        assert_eq!(plane.post(&at("/repository/commits"), &commit).status, 201);
    };
    let removed = |branch: &str| {
        assert_eq!(plane.delete(&at(&format!("/repository/branches/factory%2F{branch}"))).status, 204);
    };
    let refused = |words: &str, count: usize| {
        let said = situation.run(&PUBLISH, 65);
        assert!(said.contains(words), "{said}");
        assert_eq!(open(&situation, "control").len(), count, "{words}");
    };
    planted("factory/app-shop");
    refused("factory/app-shop of", 0);
    removed("app-shop");
    situation.run(&PUBLISH, 75);
    merge(&situation, "control");
    terraform(&situation);
    let shop = "/projects/factory%2Fshop";
    for (key, wrong, right) in [("visibility", "internal", "private"), ("ci_config_path", "ci.yml", ".factory/ci.yml")]
    {
        plane.put(shop, &json!({ key: wrong }));
        refused("is not the private project", 0);
        plane.put(shop, &json!({ key: right }));
    }
    assert_eq!(refs(&at_gitlab(&situation)), "");
}
