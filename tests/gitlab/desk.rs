//! The account for the agent's issues and reviews: made like CI's, stored like the agent's token, and refused all that the agent is.

use factoryup::dialog::Silent;
use factoryup::gitlab::hand_over;
use factoryup::hand_over::Token;
use factoryup::plan::{Proof, Target, converge};
use gitlab_stand_in::Edition;
use serde_json::json;

use super::ci::account;
use super::plane::{As, expires_in};
use super::situation::{QUIET, Situation};

/// The stored token, at work.
fn desk(situation: &Situation) -> As<'_> {
    situation.plane.as_token(&situation.kept("desk-token"))
}

fn tokens(situation: &Situation) -> String {
    format!("{}/personal_access_tokens", account(situation, "desk"))
}

fn working(situation: &Situation) -> usize {
    let all = situation.plane.get(&tokens(situation)).body;
    all.as_array().unwrap().iter().filter(|token| token["active"] == true).count()
}

/// Applies what a change of the tokens made pending, which must be just this.
fn renewed(situation: &Situation, what: &str) {
    let before = std::fs::read_to_string(situation.state.file("desk-token")).unwrap_or_default();
    assert_eq!(situation.pending(), ["ci-token:desk"], "{what}");
    situation.apply(QUIET).unwrap();
    assert_ne!(situation.kept("desk-token"), before.trim_end(), "{what}");
    assert_eq!(working(situation), 1, "{what}");
    assert_eq!(desk(situation).get("/personal_access_tokens/self").status, 200, "{what}");
    assert_eq!(situation.pending(), [""; 0], "{what}");
}

#[test]
fn it_is_a_reporter_with_one_token_that_lives_as_long_as_the_agents() {
    let Some(situation) = Situation::handed_off() else { return };
    let own = desk(&situation).get("/personal_access_tokens/self").body;
    assert_eq!((&own["scopes"], &own["expires_at"]), (&json!(["api"]), &json!(expires_in(30))), "{own}");
    assert_eq!(situation.get(&format!("/members/{}", own["user_id"]))["access_level"], 20);
    assert_eq!(working(&situation), 1);
    // No job gets it.
    let variables = situation.get("/variables").to_string();
    assert!(!variables.contains("desk") && !variables.contains(&situation.kept("desk-token")), "{variables}");
    let handed = hand_over(&situation.factory, &situation.state).unwrap();
    assert!(matches!(handed.desk, Token::Known(_)));

    let (desk, at) = (desk(&situation), |rest: &str| situation.path(rest));
    assert_eq!(desk.post(&at("/issues"), &json!({ "title": "down", "labels": "incident" })).status, 201);
    assert_eq!(desk.post(&at("/issues/1/notes"), &json!({ "body": "still down" })).status, 201);
    let state = situation.plane.put(&at(""), &json!({ "description": "x" })).status;
    assert_eq!(state, 200);
    for (answer, what) in [
        (desk.get(&at("/variables")), "variables"),
        (desk.get(&at("/terraform/state/control-plane")), "the state"),
        (desk.post(&at("/pipeline"), &json!({ "ref": "main" })), "a pipeline"),
        (desk.put(&at(""), &json!({ "description": "y" })), "a setting"),
    ] {
        assert_eq!(answer.status, 403, "{what}: {}", answer.body);
    }
}

#[test]
fn every_token_but_the_stored_one_is_revoked() {
    let Some(situation) = Situation::handed_off() else { return };
    // Its holder may rotate it, for a longer life than it was given.
    let body = json!({ "expires_at": expires_in(360) });
    let rotated = desk(&situation).post("/personal_access_tokens/self/rotate", &body);
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    renewed(&situation, "a token that was rotated");
    let text = rotated.body["token"].as_str().unwrap();
    assert_eq!(situation.plane.as_token(text).get("/personal_access_tokens/self").status, 401);

    for name in ["factoryup desk", "by hand"] {
        let body = json!({ "name": name, "scopes": ["api"], "expires_at": expires_in(9) });
        assert_eq!(situation.plane.post(&tokens(&situation), &body).status, 201);
        renewed(&situation, name);
    }
    std::fs::remove_file(situation.state.file("desk-token")).unwrap();
    renewed(&situation, "no file");
    for (days, is_due) in [(8, false), (7, true)] {
        let own = desk(&situation).get("/personal_access_tokens/self").body["id"].clone();
        let body = json!({ "name": "factoryup desk", "scopes": ["api"], "expires_at": expires_in(days) });
        let made = situation.plane.post(&tokens(&situation), &body).body;
        std::fs::write(situation.state.file("desk-token"), made["token"].as_str().unwrap()).unwrap();
        assert_eq!(situation.plane.delete(&format!("{}/{own}", tokens(&situation))).status, 204);
        situation.plane.stand_in.age_tokens(22);
        assert_eq!(situation.pending().contains(&"ci-token:desk".to_owned()), is_due, "{days} days left");
    }
    renewed(&situation, "a week before its end");

    // With the agent's, on request.
    let old = situation.kept("desk-token");
    let mut target = situation.target().replacing_agent_token(true);
    let plan = target.observe(&Silent).unwrap();
    let ids: Vec<_> = plan.changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!(ids, ["agent-token:factory-agent", "ci-token:desk"]);
    converge(&mut target, &Silent, &situation.state, QUIET).unwrap();
    assert_ne!(situation.kept("desk-token"), old);
    assert_eq!(situation.pending(), [""; 0]);
}

fn proofs(situation: &Situation) -> Vec<Proof> {
    let mut target = situation.target();
    target.observe(&Silent).unwrap();
    target.prove(&Silent).unwrap()
}

/// What is tried of the agent is tried of its desk, and more.
#[test]
fn it_keeps_the_agents_promises_and_three_of_its_own() {
    let Some(situation) = Situation::handed_off() else { return };
    let held: Vec<_> = proofs(&situation).into_iter().filter(|proof| proof.held).map(|proof| proof.claim).collect();
    let of = |who: &str| -> Vec<String> {
        let begin = format!("{who} cannot ");
        held.iter().filter_map(|claim| claim.strip_prefix(&begin)).map(str::to_owned).collect()
    };
    let (agent, desk) = (of("the agent"), of("the agent's desk account"));
    // Its token can rotate itself.
    let agent: Vec<_> = agent.into_iter().filter(|claim| claim != "create another token for itself").collect();
    assert!(agent.len() > 15 && agent.iter().all(|claim| desk.contains(claim)), "{agent:#?} {desk:#?}");
    let own: Vec<_> = desk.iter().filter(|claim| !agent.contains(claim)).collect();
    assert_eq!(own, ["push a branch", "start a pipeline on a branch", "resolve a thread of a reviewer"]);
}

#[test]
fn one_that_was_made_a_developer_breaks_promises_that_the_agent_keeps() {
    let Some(situation) = Situation::handed_off() else { return };
    let id = account(&situation, "desk").rsplit_once('/').unwrap().1.to_owned();
    let member = situation.path(&format!("/members/{id}"));
    assert_eq!(situation.plane.put(&member, &json!({ "access_level": 30 })).status, 200);
    let broken: Vec<_> = proofs(&situation).into_iter().filter(|proof| !proof.held).map(|proof| proof.claim).collect();
    let claims = ["push a branch", "start a pipeline on a branch", "resolve a thread of a reviewer"];
    assert_eq!(broken, claims.map(|claim| format!("the agent's desk account cannot {claim}")));
    assert_eq!(situation.get("/repository/branches").as_array().unwrap().len(), 1, "the branch is cleared away");
    assert_eq!(situation.pending(), ["ci-account:desk"]);
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.plane.get(&member).body["access_level"], 20);
}

#[test]
fn without_service_accounts_there_is_none_and_the_plan_says_what_the_agent_does_instead() {
    let community = |options: &mut gitlab_stand_in::Options| options.edition = Edition::Ce;
    let Some(situation) = Situation::with(community) else { return };
    let root = || factoryup::secret::Secret::new(situation.plane.token("root", &["api"]));
    converge(&mut situation.target_with(root()), &Silent, &situation.state, QUIET).unwrap();
    let plan = situation.target_with(root()).observe(&Silent).unwrap();
    assert!(plan.is_empty(), "{plan:?}");
    let note = "the agent asks by draft merge requests, since it has no account to open issues and answer reviews with: GitLab's \
                Community Edition has no service accounts";
    assert!(plan.notes.iter().any(|one| one == note), "{:?}", plan.notes);
    assert!(!situation.state.file("desk-token").exists());
    let handed = hand_over(&situation.factory, &situation.state).unwrap();
    assert!(matches!(handed.desk, Token::Unknown));
}
