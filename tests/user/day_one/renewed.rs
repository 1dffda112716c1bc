//! The agent's tokens, near their end while the owner is away.

use std::fs;
use std::path::Path;

use super::{Journey, ends_with, plane, said};
use crate::support::lab;

/// In the last week of the agent's tokens, with the owner away: the timer's service renews them. Then an apply has nothing to do.
pub(super) fn without_the_owner(journey: &Journey) {
    let files = [("agent-token", "gitlab-credential"), ("desk-token", "desk-credential")];
    let kept = |name: &str| fs::read_to_string(journey.state().join(name)).unwrap().trim_end().to_owned();
    let on_host = |name: &str| journey.host.rootfs().join("home/agent/.config/factory").join(name);
    fails_aloud(journey, &on_host("desk-credential"));
    for (here, there) in files {
        let body = serde_json::json!({ "expires_at": plane::expires_in(7) });
        let old = kept(here);
        let made = journey.plane.as_token(&old).post("/personal_access_tokens/self/rotate", &body).body;
        let new = made["token"].as_str().unwrap();
        fs::write(journey.state().join(here), format!("{new}\n")).unwrap();
        fs::write(on_host(there), fs::read_to_string(on_host(there)).unwrap().replace(&old, new)).unwrap();
    }
    journey.plane.stand_in.age_tokens(23);
    let timer = journey.host.run_inside(&["systemctl", "is-active", "factory-renew.timer"]).unwrap();
    assert_eq!(lab::stdout(&timer), "active");
    let before = files.map(|(here, _)| kept(here));
    let renewed = journey.host.run_inside(&["systemctl", "start", "factory-renew.service"]).unwrap();
    assert!(renewed.status.success(), "{}", said(&renewed));
    // The host alone knows that what is here is over, and keeps the new ones.
    let plan = journey.in_repo(&["plan", "host"]);
    ends_with(&plan, 0);
    assert!(said(&plan).contains("the host has renewed the agent's GitLab token in ~agent/"), "{}", said(&plan));
    assert_eq!(files.map(|(here, _)| kept(here)), before);
    let apply = journey.in_repo(&["--json", "apply", "--yes"]);
    ends_with(&apply, 0);
    assert_eq!(said(&apply).matches("already-right").count(), 3, "{}", said(&apply));
    for ((here, there), old) in files.into_iter().zip(before) {
        let new = kept(here);
        assert!(new != old && fs::read_to_string(on_host(there)).unwrap().contains(&new), "{here}");
        for output in [&plan, &apply] {
            assert!(!said(output).contains(&new) && !said(output).contains(&old), "{}", said(output));
        }
    }
    assert!(journey.as_agent("cd ~/work/factory && git fetch && scripts/issue list").status.success());
}

/// A token that GitLab does not know: the card says so, until the next run succeeds.
fn fails_aloud(journey: &Journey, file: &Path) {
    let whole = fs::read_to_string(file).unwrap();
    fs::write(file, "password=glpat-of-nobody\n").unwrap();
    let failed = journey.host.run_inside(&["systemctl", "start", "factory-renew.service"]).unwrap();
    assert!(!failed.status.success());
    let status = said(&journey.in_repo(&["status"]));
    let line =
        "the agent's tokens were not renewed: desk-credential: GitLab answers 401; if it goes on, run: factoryup apply";
    assert!(status.contains(line), "{status}");
    fs::write(file, whole).unwrap();
}
