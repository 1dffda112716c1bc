//! Every request is one that GitLab's own description of its API knows, with no unknown name in query or body.

use gitlab_stand_in::{Edition, Options, Tier};
use serde_json::json;

use super::openapi::OpenApi;
use super::situation::{PROVE, Situation};

/// A hand-off with everything in it, drift of many kinds mended, and two proofs, the second of a weak project.
fn long_journey(situation: &Situation) {
    situation.apply(PROVE).unwrap();
    let plane = &situation.plane;
    plane.delete(&situation.path("/protected_branches/main"));
    plane.post(&situation.path("/protected_branches"), &json!({ "name": "main", "push_access_level": 40 }));
    plane.delete(&situation.path("/protected_tags/v%2A"));
    plane.delete(&situation.path("/protected_tags/evidence%2F%2A"));
    plane.put(&situation.path(""), &json!({ "merge_method": "merge" }));
    plane.patch(&situation.path("/job_token_scope"), &json!({ "enabled": false }));
    plane.put(&situation.path(&format!("/members/{}", situation.agent())), &json!({ "access_level": 20 }));
    std::fs::remove_file(situation.state.file("agent-token")).unwrap();
    std::fs::remove_file(situation.state.file("runner-trusted-token")).unwrap();
    situation.apply(PROVE).unwrap();
}

/// That GitLab's description has every request of factoryup's in the log, with all of its names.
pub(super) fn is_known(situation: &Situation) {
    let Some(api) = OpenApi::load() else { return };
    let log: Vec<_> = situation.plane.log().into_iter().filter(|request| request.user.is_some()).collect();
    assert!(log.len() > 5, "{log:?}");
    assert_eq!(api.problems(&log), Vec::<String>::new());
    let odd = |r: &&gitlab_stand_in::LoggedRequest| {
        r.path.starts_with("/api/") && r.route.is_none() || !r.unknown_keys.is_empty()
    };
    assert_eq!(log.iter().filter(odd).map(|request| &request.path).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_request_is_one_that_gitlab_knows() {
    let Some(api) = OpenApi::load() else { return };
    let premium = |options: &mut Options| {
        options.edition = Edition::Ee;
        options.tier = Tier::Premium;
    };
    for licensed in [false, true] {
        let situation = if licensed { Situation::with(premium) } else { Situation::new() };
        let Some(mut situation) = situation else { return };
        if licensed {
            situation.licensed();
        }
        long_journey(&situation);
        let log = situation.plane.log();
        assert_eq!(api.problems(&log), Vec::<String>::new());
        let unknown: Vec<_> = log.iter().filter(|r| r.path.starts_with("/api/") && r.route.is_none()).collect();
        assert!(unknown.is_empty(), "the stand-in does not know {unknown:?}");
        let ignored: Vec<_> = log.iter().filter(|r| !r.unknown_keys.is_empty()).collect();
        assert!(ignored.is_empty(), "{ignored:?}");
    }
}
