//! Tokens where GitLab allows less than the life that is asked for.

use std::collections::BTreeSet;

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::gitlab::{AgentTokens, Renewer};
use factoryup::plan::converge;
use factoryup::secret::Secret;
use gitlab_stand_in::{Edition, Tier};
use serde_json::json;

use super::ci::{value, variable};
use super::plane::expires_in;
use super::situation::{PROVE, QUIET, Situation};

/// The card does not ask for an apply that renews nothing.
#[test]
fn a_token_that_a_person_made_is_renewed_by_that_person() {
    let ce = |options: &mut gitlab_stand_in::Options| options.edition = Edition::Ce;
    let Some(situation) = Situation::with(ce) else { return };
    let user = json!({
        "username": "factory-agent", "name": "Agent", "email": "agent@example.invalid", "force_random_password": true,
    });
    let root = situation.plane.token("root", &["api"]);
    let admin = situation.plane.as_token(&root);
    let id = admin.post("/users", &user).body["id"].as_u64().unwrap();
    let body = json!({ "name": "by hand", "scopes": ["read_api", "write_repository"], "expires_at": expires_in(5) });
    let made = admin.post(&format!("/users/{id}/personal_access_tokens"), &body).body;
    let own = Some(Secret::new(made["token"].as_str().unwrap()));
    let mut target = situation.target().with_agent(AgentTokens { own, proof: None });
    let unproved = converge(&mut target, &Silent, &situation.state, QUIET).unwrap_err();
    assert_eq!(unproved.kind(), Kind::Pending, "there is no token for the proof: {unproved}");
    let seen = || {
        let all = situation.target().now(Vec::new()).unwrap().unwrap().tokens.unwrap();
        let own = all.into_iter().find(|token| token.whose == "factory-agent").unwrap();
        (own.is_due, own.renewer)
    };
    assert_eq!(seen(), (false, Renewer::Person), "it is as short as it was made");
    situation.plane.stand_in.age_tokens(30);
    assert_eq!(seen(), (true, Renewer::Person));
    let plan = situation.plan();
    assert!(plan.is_empty() && plan.notes.iter().any(|note| note.contains("create a new one")), "{plan:?}");
}

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
        let own = ["agent-token", "desk-token"].map(|name| situation.kept(name));
        let texts: BTreeSet<_> =
            all.iter().map(|(_, key)| value(&situation, key, "control-plane").unwrap()).chain(own).collect();
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
    let wanted = all
        .iter()
        .map(|(id, _)| (*id).to_owned())
        .chain(["agent-token:factory-agent", "ci-token:desk"].map(str::to_owned));
    assert_eq!(due, wanted.collect());
    situation.apply(QUIET).unwrap();
    assert!(first.is_disjoint(&texts()));
    assert_eq!(situation.pending(), [""; 0]);
}
