//! A GitLab of another release, or a project in another place, than when the agent's account was made.

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::plan::{Target, converge};
use factoryup::secret::Secret;
use gitlab_stand_in::{Edition, Tier};
use serde_json::json;

use super::situation::{QUIET, Situation};

fn of(edition: Edition, tier: Tier, version: &str) -> Option<Situation> {
    Situation::with(|options| {
        (options.edition, options.tier) = (edition, tier);
        version.clone_into(&mut options.version);
    })
}

fn lose_the_state(situation: &Situation) {
    for file in ["gitlab.json", "agent-token"] {
        std::fs::remove_file(situation.state.file(file)).unwrap();
    }
}

/// Whether the project has an account of its own for the agent.
fn has_second(situation: &Situation) -> bool {
    let all = situation.get("/service_accounts");
    all.as_array().unwrap().iter().any(|account| account["username"] == "factory-agent")
}

#[test]
fn an_agent_with_a_service_account_of_the_group_keeps_it() {
    let Some(situation) = of(Edition::Ee, Tier::Premium, "18.10.0") else { return };
    situation.apply(QUIET).unwrap();
    let own = situation.kept("agent-token");
    situation.plane.stand_in.upgrade(Edition::Ee, "18.11.0");
    assert_eq!(situation.pending(), [""; 0]);
    // Before the upgrade the same holds where the account cannot see it.
    situation.plane.stand_in.upgrade(Edition::Ee, "18.10.0");
    let id = situation.get("")["id"].as_u64().unwrap();
    let maintainer = situation.plane.member(id, "moe", 40);
    let error = situation.target_with(Secret::new(maintainer)).observe(&Silent).unwrap_err();
    assert!(error.to_string().ends_with("is a service account that your account cannot administer"), "{error}");
    situation.plane.stand_in.upgrade(Edition::Ee, "18.11.0");
    // A Maintainer of the project cannot administer it, and makes no second one.
    let id = situation.get("")["id"].as_u64().unwrap();
    let maintainer = situation.plane.member(id, "mia", 40);
    let error = situation.target_with(Secret::new(maintainer)).observe(&Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted);
    let said = "the agent factory-agent is a service account that your account cannot administer";
    assert_eq!(error.to_string(), said);
    // Without the state folder it is known by its place in the project.
    lose_the_state(&situation);
    let pending = situation.pending();
    assert!(pending.contains(&"agent-token:factory-agent".to_owned()), "{pending:?}");
    assert!(!pending.iter().any(|id| id.starts_with("service-account:")), "{pending:?}");
    situation.apply(QUIET).unwrap();
    assert!(!has_second(&situation));
    assert_eq!(situation.plane.as_token(&own).get("/user").status, 401, "its lost token was rotated");
    assert_eq!(situation.pending(), [""; 0]);
}

#[test]
fn an_agent_that_is_a_user_is_found_again_after_the_project_moved() {
    let Some(mut situation) = of(Edition::Ce, Tier::Free, "18.11.0") else { return };
    let root = situation.plane.token("root", &["api"]);
    converge(&mut situation.target_with(Secret::new(&root)), &Silent, &situation.state, QUIET).unwrap();
    let members = situation.get("/members");
    assert_eq!(situation.plane.put(&situation.path(""), &json!({ "path": "moved" })).status, 200);
    situation.factory.gitlab.project = "moved".into();
    converge(&mut situation.target_with(Secret::new(&root)), &Silent, &situation.state, QUIET).unwrap();
    assert_eq!(situation.get("/members"), members);
    assert!(situation.target_with(Secret::new(&root)).observe(&Silent).unwrap().is_empty());
    // With that note it is another project's agent where it is no member.
    situation.factory.gitlab.project = "other".into();
    let error = situation.target_with(Secret::new(&root)).observe(&Silent).unwrap_err();
    assert!(error.to_string().starts_with("the user name factory-agent already exists"), "{error}");
}

#[test]
fn an_agent_that_is_a_user_stays_one() {
    let Some(situation) = of(Edition::Ce, Tier::Free, "18.11.0") else { return };
    let root = situation.plane.token("root", &["api"]);
    let target = || situation.target_with(Secret::new(&root));
    converge(&mut target(), &Silent, &situation.state, QUIET).unwrap();
    situation.plane.stand_in.upgrade(Edition::Ee, "18.11.0");
    lose_the_state(&situation);
    let plan = target().observe(&Silent).unwrap();
    assert!(plan.changes.iter().all(|change| change.kind() != "service-account"), "{plan:?}");
    converge(&mut target(), &Silent, &situation.state, QUIET).unwrap();
    assert!(!has_second(&situation));
    assert!(target().observe(&Silent).unwrap().is_empty());
}
