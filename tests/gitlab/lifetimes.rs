//! Tokens where GitLab allows less than the life that is asked for.

use std::collections::BTreeSet;

use gitlab_stand_in::{Edition, Tier};

use super::ci::{value, variable};
use super::plane::expires_in;
use super::situation::{PROVE, QUIET, Situation};

/// The limit counts with a license; the last days of it are never asked for again and again.
#[test]
fn tokens_end_when_gitlab_allows_and_are_renewed_once() {
    let limited = |options: &mut gitlab_stand_in::Options| {
        (options.edition, options.tier) = (Edition::Ee, Tier::Premium);
        options.max_token_days = Some(6);
    };
    let Some(situation) = Situation::with(limited) else { return };
    situation.apply(PROVE).unwrap();
    let all = [
        ("ci-token:plan", "CONTROL_PLANE_PLAN_TOKEN"),
        ("ci-token:apply", "CONTROL_PLANE_APPLY_TOKEN"),
        ("ci-token:report", "REPORT_TOKEN"),
    ];
    let texts = || {
        let own = situation.kept("agent-token");
        let texts: BTreeSet<_> =
            all.iter().map(|(_, key)| value(&situation, key, "control-plane").unwrap()).chain([own]).collect();
        for text in &texts {
            let shown = situation.plane.as_token(text).get("/personal_access_tokens/self").body;
            assert_eq!(shown["expires_at"], expires_in(5), "{shown}");
        }
        texts
    };
    let first = texts();
    for (_, key) in all {
        let shown = variable(&situation, key, "control-plane").unwrap();
        assert!(shown["description"].as_str().unwrap().contains(&format!(", expires {}; ", expires_in(5))), "{shown}");
    }
    assert_eq!(situation.pending(), [""; 0]);
    assert!(situation.kept("gitlab.json").contains(&format!("\"ends\": \"{}\"", expires_in(5))));
    // In the second half of their lives, each gets a successor.
    situation.plane.stand_in.age_tokens(4);
    assert_eq!(situation.pending(), [""; 0]);
    situation.plane.stand_in.age_tokens(1);
    let due: BTreeSet<_> = situation.pending().into_iter().collect();
    let wanted = all.iter().map(|(id, _)| (*id).to_owned()).chain(["agent-token:factory-agent".to_owned()]);
    assert_eq!(due, wanted.collect());
    situation.apply(QUIET).unwrap();
    assert!(first.is_disjoint(&texts()));
    assert_eq!(situation.pending(), [""; 0]);
}
