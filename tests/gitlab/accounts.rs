//! CI's accounts that exist, that are left to the owner, and what a plan says of the rights that they get.

use factoryup::dialog::Silent;
use factoryup::gitlab::{Place, RevertGitlab};
use factoryup::plan::{Plan, Risk, Target, converge};
use factoryup::secret::Secret;
use gitlab_stand_in::Edition;
use serde_json::json;

use super::ci::{account, add, remove, value, variable};
use super::plane::expires_in;
use super::situation::{QUIET, Situation};
use super::status::{card, is, parts, steps};

const KEYS: [&str; 3] = ["CONTROL_PLANE_PLAN_TOKEN", "CONTROL_PLANE_APPLY_TOKEN", "REPORT_TOKEN"];

fn left(plan: &Plan) -> Vec<&String> {
    plan.notes.iter().filter(|note| note.contains("left to you")).collect()
}

/// What GitLab refuses to make now may have been made before.
#[test]
fn an_account_that_exists_is_used_also_where_gitlab_refuses_to_make_another() {
    let by_administrators = |options: &mut gitlab_stand_in::Options| options.owners_make_service_accounts = false;
    let Some(situation) = Situation::with(by_administrators) else { return };
    let root = situation.plane.token("root", &["api"]);
    converge(&mut situation.target_with(Secret::new(root)), &Silent, &situation.state, QUIET).unwrap();
    assert_eq!(situation.plane.delete(&account(&situation, "apply")).status, 204);
    situation.apply(QUIET).unwrap_err();
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    assert!(matches!(&left(&plan)[..], [note] if note.contains("left to you (apply): GitLab refused")), "{plan:?}");
    // The one that exists is still renewed, and reverted.
    remove(&situation, KEYS[0], "control-plane");
    assert_eq!(situation.pending(), ["ci-token:plan"]);
    situation.apply(QUIET).unwrap();
    let text = value(&situation, KEYS[0], "control-plane").unwrap();
    converge(&mut RevertGitlab::new(situation.target()), &Silent, &situation.state, QUIET).unwrap();
    assert_eq!(variable(&situation, KEYS[0], "control-plane"), None);
    assert_eq!(situation.plane.as_token(&text).get("/user").status, 401);
}

#[test]
fn nothing_is_left_to_an_owner_who_did_it() {
    let ce = |options: &mut gitlab_stand_in::Options| options.edition = Edition::Ce;
    let Some(situation) = Situation::with(ce) else { return };
    let root = situation.plane.token("root", &["api"]);
    let target = || situation.target_with(Secret::new(&root));
    converge(&mut target(), &Silent, &situation.state, QUIET).unwrap();
    for (count, key) in KEYS.into_iter().enumerate() {
        let plan = target().observe(&Silent).unwrap();
        assert_eq!(left(&plan).len(), 1, "{count}: {:?}", plan.notes);
        add(&situation, key, "*");
    }
    let plan = target().observe(&Silent).unwrap();
    assert_eq!(left(&plan), [""; 0]);
    assert!(plan.is_empty(), "{plan:?}");
}

/// The card asks for no apply that would change nothing.
#[test]
fn the_card_says_of_a_token_whose_variables_are_the_owners_that_it_is_not_renewed() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let path = format!("{}/personal_access_tokens", account(&situation, "apply"));
    let old = situation.plane.get(&path).body[0]["id"].clone();
    assert_eq!(situation.plane.delete(&format!("{path}/{old}")).status, 204);
    let body = json!({ "name": "factoryup apply", "scopes": ["api"], "expires_at": expires_in(9) });
    assert_eq!(situation.plane.post(&path, &body).status, 201);
    situation.plane.stand_in.age_tokens(80);
    let ends = format!("-apply: \"factoryup apply\" ends on {}, in 9 days", expires_in(9));
    let shown = card(&situation, &["status"], 2);
    is(&parts(&shown), "token", "attention", &ends);
    assert!(steps(&shown).iter().any(|step| step.starts_with("renew the token of factoryup-")), "{shown}");

    remove(&situation, KEYS[1], "control-plane");
    add(&situation, KEYS[1], "control-plane");
    let shown = card(&situation, &["status"], 2);
    let said = format!("{ends}; its CI variables are your own, so factoryup does not renew it");
    is(&parts(&shown), "token", "ok", &said);
    assert!(!steps(&shown).iter().any(|step| step.starts_with("renew the token of factoryup-")), "{shown}");
}

/// A Maintainer of the project sees what its jobs get from groups, also where GitLab hides the group.
#[test]
fn a_variable_of_a_group_is_not_said_to_be_missing() {
    // Where the agent is a user: only an Owner sees service accounts of the group.
    let ce = |options: &mut gitlab_stand_in::Options| options.edition = Edition::Ce;
    let Some(situation) = Situation::with(ce) else { return };
    let root = situation.plane.token("root", &["api"]);
    converge(&mut situation.target_with(Secret::new(root)), &Silent, &situation.state, QUIET).unwrap();
    let id = situation.get("")["id"].as_u64().unwrap();
    let token = situation.plane.member(id, "mia", 40);
    let missing = || {
        let wanted = vec![Place::new("CLOUDFLARE_API_TOKEN", "production")];
        situation.target_with(Secret::new(&token)).now(wanted).unwrap().unwrap().missing.unwrap().len()
    };
    assert_eq!(missing(), 1);
    let variable = json!({ "key": "CLOUDFLARE_API_TOKEN", "value": "x", "protected": true });
    assert_eq!(situation.plane.post("/groups/factory/variables", &variable).status, 201);
    assert_eq!(missing(), 0);
}

/// A Maintainer of a group has rights in all of its projects.
#[test]
fn a_role_in_a_group_that_exists_is_a_risk() {
    let Some(mut situation) = Situation::new() else { return };
    let risks = |situation: &Situation| {
        let all = situation.plan().changes.into_iter().filter(|change| change.kind() == "ci-account");
        all.map(|change| (change.id, change.risk)).collect::<Vec<_>>()
    };
    let wanted = |risk: Risk| ["plan", "apply"].map(|word| (format!("ci-account:{word}"), risk));
    assert_eq!(risks(&situation)[..2], wanted(Risk::Disruptive));
    assert_eq!(risks(&situation)[2].1, Risk::None, "the report account has no role in the group");
    situation.factory.gitlab.group = "factory/new".into();
    assert_eq!(risks(&situation)[..2], wanted(Risk::None));
    situation.factory.gitlab.group = "factory".into();
    situation.apply(QUIET).unwrap();
    for word in ["plan", "apply"] {
        assert_eq!(situation.plane.delete(&account(&situation, word)).status, 204);
    }
    assert_eq!(risks(&situation), wanted(Risk::Disruptive));
}
