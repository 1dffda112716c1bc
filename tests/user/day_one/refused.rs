//! What stops a run is found on every target before the first change on any.

use std::fs;

use serde_json::json;

use super::{Journey, ends_with, said};
use crate::support::lab;

/// That nothing was changed anywhere, and that the run says so.
#[track_caller]
fn is_refused(journey: &Journey, args: &[&str], code: i32, why: &str) {
    journey.plane.stand_in.clear_log();
    let run = journey.in_repo(&[&["apply", "--yes"], args].concat());
    ends_with(&run, code);
    let said = said(&run);
    assert!(said.contains(why) && said.contains("nothing was changed on any target"), "{said}");
    let writes: Vec<_> = journey.plane.log().into_iter().filter(|request| request.method != "GET").collect();
    assert!(writes.is_empty(), "{writes:?}");
    let traces = "test ! -e /var/lib/factoryup && ! getent passwd operator agent";
    let host = journey.host.run_inside(&["sh", "-c", traces]).unwrap();
    assert!(host.status.success(), "{}", lab::stdout(&host));
}

#[test]
fn what_stops_a_run_on_one_target_keeps_it_from_changing_the_others() {
    let Some(journey) = Journey::begin() else { return };
    ends_with(&journey.init(), 0);
    let token = journey.home.path().join("token");
    let file = ["--gitlab-token-file", token.to_str().unwrap()];
    fs::write(&token, "glpat-wrong").unwrap();
    is_refused(&journey, &file, 77, "401");
    fs::write(&token, journey.plane.token("owner", &["read_api"])).unwrap();
    is_refused(&journey, &file, 77, "lacks the scope api");
    // The group's owner is another one.
    journey.plane.stand_in.add_user("eve").unwrap();
    let eve = journey.plane.token("eve", &["api"]);
    fs::write(&token, eve).unwrap();
    is_refused(&journey, &file, 77, "the path is in use, but hidden from your account");
    // A project of that name has another history.
    let project = journey.plane.project("factory");
    let commit = json!({"branch": "main", "commit_message": "Mine", "actions": [
        {"action": "create", "file_path": "mine", "content": "mine"}
    ]});
    assert_eq!(journey.plane.post(&format!("/projects/{project}/repository/commits"), &commit).status, 201);
    is_refused(&journey, &[], 65, "history");
    assert_eq!(journey.plane.delete(&format!("/projects/{project}")).status, 202);
    let small = "mount -t tmpfs -o size=64m small /var/cache/apt/archives";
    assert!(journey.host.run_inside(&["sh", "-c", small]).unwrap().status.success());
    is_refused(&journey, &[], 73, "too little room on the host to install packages");
    assert!(journey.host.run_inside(&["umount", "/var/cache/apt/archives"]).unwrap().status.success());
    journey.plane.stand_in.add_user("acme-agent").unwrap();
    is_refused(&journey, &[], 64, "the user name acme-agent already exists");
}
