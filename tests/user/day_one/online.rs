//! The runners that apply starts, as GitLab sees them.

use std::fs;

use serde_json::Value;

use super::{Journey, ends_with, said};
use crate::support::lab;

/// After the first apply.
pub(super) fn runners_are_started(journey: &Journey) {
    runners_are_online(journey);
    a_runner_that_never_comes_is_told(journey);
}

/// No one logged in to start them, and GitLab has heard from both; a runner that stopped is waited for, and started again.
fn runners_are_online(journey: &Journey) {
    let all = journey.plane.get("/projects/factory%2Ffactory/runners?type=project_type").body;
    let status: Vec<_> = all.as_array().unwrap().iter().map(|runner| runner["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["online", "online"]);
    let inside = |command: &str| lab::stdout(&journey.host.run_inside(&["sh", "-c", command]).unwrap());
    let is_active = "systemctl is-active factory-runner-trusted factory-runner-untrusted";
    assert_eq!(inside(is_active), "active\nactive");
    inside("systemctl disable --now --quiet factory-runner-trusted");
    let again = journey.in_repo(&["apply", "--yes"]);
    ends_with(&again, 0);
    assert!(said(&again).contains("set up again and restart the trusted runner"), "{}", said(&again));
    assert_eq!(inside(is_active), "active\nactive");
}

/// GitLab has another runner than the one that runs: it is waited for, and the run says what the service said. The next makes it right.
fn a_runner_that_never_comes_is_told(journey: &Journey) {
    let project = journey.plane.get("/projects/factory%2Ffactory").body["id"].clone();
    let all = journey.plane.get(&format!("/projects/{project}/runners?type=project_type")).body;
    let is_trusted = |runner: &&Value| runner["description"].as_str().unwrap().ends_with(": trusted");
    let trusted = all.as_array().unwrap().iter().find(is_trusted).unwrap();
    let tags = journey.plane.get(&format!("/runners/{}", trusted["id"])).body["tag_list"].clone();
    assert_eq!(journey.plane.delete(&format!("/runners/{}", trusted["id"])).status, 204);
    let body = serde_json::json!({
        "runner_type": "project_type", "project_id": project, "description": trusted["description"], "tag_list": tags,
        "run_untagged": false, "locked": true, "access_level": "ref_protected",
    });
    let made = journey.plane.post("/user/runners", &body).body;
    let memory = journey.state().join("gitlab.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
    json["runners"]["trusted"] = made["id"].clone();
    fs::write(&memory, json.to_string()).unwrap();
    let run = journey.in_repo(&["apply", "--yes"]);
    ends_with(&run, 75);
    let told = format!(
        "GitLab does not show the trusted runner (id {}) online after 60 s; the last line of factory-runner-trusted.service: \
         ERROR: Checking for jobs... failed",
        made["id"]
    );
    assert!(said(&run).contains(&told), "{}", said(&run));
    fs::remove_file(journey.state().join("runner-trusted-token")).unwrap();
    let again = journey.in_repo(&["apply", "--yes"]);
    ends_with(&again, 0);
    let text = said(&again);
    assert!(
        text.contains("replace the trusted runner's token in") && text.contains("restart the trusted runner"),
        "{text}"
    );
}
