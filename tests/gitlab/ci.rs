//! What the hand-off makes for pipelines: identities, tokens, and the variables that bring them to jobs.

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::gitlab::RevertGitlab;
use factoryup::plan::{Outcome, Plan, Target, converge};
use factoryup::secret::Secret;
use gitlab_stand_in::Edition;
use serde_json::{Value, json};

use super::plane::expires_in;
use super::situation::{QUIET, Situation};

const PASSPHRASE: &str = "STATE_PASSPHRASE";

/// The project's variable for just this scope, as GitLab shows it.
pub(super) fn variable(situation: &Situation, key: &str, scope: &str) -> Option<Value> {
    let all = situation.get("/variables");
    all.as_array().unwrap().iter().find(|one| one["key"] == key && one["environment_scope"] == scope).cloned()
}

pub(super) fn value(situation: &Situation, key: &str, scope: &str) -> Option<String> {
    situation.plane.stand_in.variable_value("factory/control", key, scope)
}

/// As the owner does by hand.
pub(super) fn add(situation: &Situation, key: &str, scope: &str) {
    let body = json!({ "key": key, "value": "a-value-of-the-owners", "environment_scope": scope, "protected": true });
    assert_eq!(situation.plane.post(&situation.path("/variables"), &body).status, 201);
}

pub(super) fn remove(situation: &Situation, key: &str, scope: &str) {
    let path = situation.path(&format!("/variables/{key}?filter[environment_scope]={scope}"));
    assert_eq!(situation.plane.delete(&path).status, 204);
}

pub(super) fn with_cloudflare(situation: &mut Situation) {
    let edge = &mut situation.factory.cloudflare;
    (edge.enabled, edge.zone) = (true, "example.org".into());
}

fn way_back(situation: &Situation) -> Plan {
    RevertGitlab::new(situation.target()).observe(&Silent).unwrap()
}

pub(super) fn revert(situation: &Situation) -> Outcome {
    converge(&mut RevertGitlab::new(situation.target()), &Silent, &situation.state, QUIET).unwrap()
}

/// The three jobs that sign in, each with its variable.
const TOKENS: [Token; 3] = [
    ("plan", "CONTROL_PLANE_PLAN_TOKEN", &["read_api", "self_rotate"], 40),
    ("apply", "CONTROL_PLANE_APPLY_TOKEN", &["api"], 40),
    ("report", "REPORT_TOKEN", &["api"], 20),
];

/// The job, the variable, the scopes and the role.
type Token = (&'static str, &'static str, &'static [&'static str], u64);

fn project_id(situation: &Situation) -> u64 {
    situation.get("")["id"].as_u64().unwrap()
}

/// The path below which GitLab keeps the account of a job.
pub(super) fn account(situation: &Situation, word: &str) -> String {
    let home = if matches!(word, "report" | "desk") { situation.path("") } else { "/groups/factory".into() };
    let name = format!("factoryup-{}-{word}", project_id(situation));
    let all = situation.plane.get(&format!("{home}/service_accounts")).body;
    let found = all.as_array().unwrap().iter().find(|account| account["username"] == name.as_str());
    format!("{home}/service_accounts/{}", found.unwrap_or_else(|| panic!("{name}: {all}"))["id"])
}

/// The ids of a job's tokens that work.
fn working(situation: &Situation, word: &str) -> Vec<u64> {
    let all = situation.plane.get(&format!("{}/personal_access_tokens", account(situation, word))).body;
    let all = all.as_array().unwrap().iter().filter(|token| token["active"] == true);
    all.map(|token| token["id"].as_u64().unwrap()).collect()
}

/// That a job's variables hold its one token, and that the token works.
fn is_in_place(situation: &Situation, (word, key, scopes, level): Token, environment: &str) {
    let shown = variable(situation, key, environment).unwrap_or_else(|| panic!("{key} {environment}"));
    for flag in ["protected", "masked", "hidden"] {
        assert_eq!(shown[flag], true, "{key} {flag}");
    }
    let text = value(situation, key, environment).unwrap();
    let own = situation.plane.as_token(&text).get("/personal_access_tokens/self").body;
    assert_eq!(own["scopes"], json!(scopes), "{key}");
    assert_eq!(own["expires_at"], expires_in(90), "{key}");
    assert_eq!(json!(working(situation, word)), json!([own["id"]]), "{key}");
    let mark = format!("factoryup: token {}, expires {}; ", own["id"], expires_in(90));
    assert!(shown["description"].as_str().unwrap().starts_with(&mark), "{shown}");
    let place = if word == "report" { situation.path("/members") } else { "/groups/factory/members".into() };
    let member = situation.plane.get(&format!("{place}/{}", own["user_id"])).body;
    assert_eq!(member["access_level"], level, "{word}");
}

/// The same of all three.
pub(super) fn all_are_in_place(situation: &Situation) {
    for token in TOKENS {
        is_in_place(situation, token, "control-plane");
    }
}

#[test]
fn each_job_that_signs_in_has_an_account_with_one_role_and_one_token() {
    let Some(mut situation) = Situation::new() else { return };
    with_cloudflare(&mut situation);
    situation.apply(QUIET).unwrap();
    all_are_in_place(&situation);
    // The same token in each environment, and no other of factoryup's there.
    assert_eq!(value(&situation, "REPORT_TOKEN", "production"), value(&situation, "REPORT_TOKEN", "control-plane"));
    assert_eq!(variable(&situation, "CONTROL_PLANE_APPLY_TOKEN", "production"), None);
    // What each may do, and what it may not: a plan changes nothing, a report writes issues alone, and none is an Owner.
    let (group, of) = ("/groups/factory", |rest: &str| situation.path(rest));
    let commit = json!({ "branch": "x", "start_branch": "main", "commit_message": "x", "actions": [] });
    let (nothing, owner) = (json!({}), json!({ "user_id": 1, "access_level": 50 }));
    let runner = json!({ "runner_type": "project_type", "project_id": project_id(&situation) });
    let proposal = json!({ "source_branch": "x", "target_branch": "main", "title": "x" });
    situation.plane.project("books");
    for ((word, key, ..), method, path, body, status) in [
        (TOKENS[0], "GET", group.to_owned(), &nothing, 200),
        (TOKENS[0], "PUT", of(""), &json!({ "description": "x" }), 403),
        (TOKENS[0], "POST", of("/issues"), &json!({ "title": "x" }), 403),
        (TOKENS[0], "POST", of("/repository/commits"), &commit, 403),
        (TOKENS[0], "POST", of("/pipeline"), &json!({ "ref": "main" }), 403),
        (TOKENS[0], "POST", of("/variables"), &json!({ "key": "X", "value": "y" }), 403),
        (TOKENS[0], "POST", of("/merge_requests"), &proposal, 403),
        (TOKENS[0], "POST", "/user/runners".into(), &runner, 403),
        (TOKENS[0], "POST", of("/members"), &owner, 403),
        (TOKENS[1], "PUT", of(""), &json!({ "description": "x" }), 200),
        (TOKENS[1], "DELETE", of(""), &nothing, 403),
        (TOKENS[1], "POST", of("/members"), &owner, 403),
        (TOKENS[1], "GET", format!("{group}/variables"), &nothing, 403),
        (TOKENS[1], "GET", format!("{group}/service_accounts"), &nothing, 403),
        (TOKENS[2], "POST", of("/issues"), &json!({ "title": "due" }), 201),
        (TOKENS[2], "GET", of("/variables"), &nothing, 403),
        (TOKENS[2], "PUT", of(""), &json!({ "description": "x" }), 403),
        (TOKENS[2], "POST", of("/repository/commits"), &commit, 403),
        (TOKENS[2], "POST", of("/pipeline"), &json!({ "ref": "main" }), 403),
        (TOKENS[2], "GET", of("/terraform/state/control-plane"), &nothing, 403),
        (TOKENS[2], "POST", of("/merge_requests"), &proposal, 403),
        (TOKENS[2], "POST", "/user/runners".into(), &runner, 403),
        (TOKENS[2], "POST", of("/members"), &owner, 403),
        (TOKENS[2], "GET", "/projects/factory%2Fbooks".into(), &nothing, 404),
    ] {
        let token = value(&situation, key, "control-plane").unwrap();
        let got = situation.plane.as_token(&token).send(method, &path, Some(body));
        assert_eq!(got.status, status, "{word}: {method} {path}: {}", got.body);
    }
    // By git neither: a report pushes no branch, and an apply nothing to main.
    for (key, to) in [(TOKENS[2].1, "HEAD:refs/heads/x"), (TOKENS[1].1, "HEAD:refs/heads/main")] {
        let work = situation.plane.clone("control", &value(&situation, key, "control-plane").unwrap());
        work.commit("x", "x\n");
        let pushed = work.push(&["origin", to]).output;
        assert!(pushed.contains("You are not allowed to push code to"), "{key}: {to}: {pushed}");
    }
    assert_eq!(situation.pending(), [""; 0]);
}

/// One rule, whatever is found: a token that a run which was cut left, a variable that is gone, open or out of date.
#[test]
fn whatever_a_run_left_the_next_one_leaves_one_token_that_all_variables_hold() {
    let Some(situation) = Situation::handed_off() else { return };
    let path = format!("{}/personal_access_tokens", account(&situation, "apply"));
    let make = |name: &str, days: i64| {
        let body = json!({ "name": name, "scopes": ["api"], "expires_at": expires_in(days) });
        situation.plane.post(&path, &body).body
    };
    let mended = |what: &str| {
        assert_eq!(situation.pending(), ["ci-token:apply"], "{what}");
        situation.apply(QUIET).unwrap();
        let by_hand = working(&situation, "apply").len() - 1;
        assert!(by_hand == 0, "{what}");
        is_in_place(&situation, TOKENS[1], "control-plane");
        assert_eq!(situation.pending(), [""; 0], "{what}");
    };
    make("factoryup apply", 90);
    mended("a token that no variable holds");
    remove(&situation, TOKENS[1].1, "control-plane");
    mended("no variable");
    let one = situation.path(&format!("/variables/{}", TOKENS[1].1));
    assert_eq!(situation.plane.put(&one, &json!({ "protected": false })).status, 200);
    mended("a variable that every branch can read");
    for token in working(&situation, "apply") {
        assert_eq!(situation.plane.delete(&format!("{path}/{token}")).status, 204);
    }
    mended("no token");
    // The last that is written, and as the rule wants it but for its end.
    for (days, is_due) in [(31, false), (30, true)] {
        let token = make("factoryup apply", days);
        situation.plane.stand_in.age_tokens(60);
        let ends = token["expires_at"].as_str().unwrap();
        let body = json!({ "value": token["token"], "description": format!("factoryup: token {}, expires {ends}; x", token["id"]) });
        assert_eq!(situation.plane.put(&one, &body).status, 200);
        for other in working(&situation, "apply").into_iter().filter(|id| token["id"] != *id) {
            assert_eq!(situation.plane.delete(&format!("{path}/{other}")).status, 204);
        }
        assert_eq!(!situation.pending().is_empty(), is_due, "{days}");
    }
    mended("a token with 30 days left");
    // Another token of the account, by its name, is somebody's.
    let mine = make("mine", 9);
    assert_eq!(situation.pending(), [""; 0]);
    remove(&situation, TOKENS[1].1, "control-plane");
    situation.apply(QUIET).unwrap();
    assert!(working(&situation, "apply").iter().any(|id| mine["id"] == *id));
}

#[test]
fn a_variable_of_the_owners_is_never_written_and_what_it_replaces_is_not_made() {
    let Some(situation) = Situation::new() else { return };
    situation.apply(QUIET).unwrap();
    for (_, key, ..) in TOKENS {
        remove(&situation, key, "control-plane");
        add(&situation, key, "*");
    }
    // Of this one the owner took the mark away.
    let one = situation.path("/variables/STATE_PASSPHRASE");
    assert_eq!(situation.plane.put(&one, &json!({ "description": "" })).status, 200);
    situation.plane.stand_in.clear_log();
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    for key in TOKENS.map(|(_, key, ..)| key).into_iter().chain([PASSPHRASE]) {
        let kept = format!("the CI/CD variable {key} (control-plane) is your own; factoryup keeps it");
        assert!(plan.notes.contains(&kept), "{:?}", plan.notes);
    }
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.writes(), [""; 0]);
    assert_eq!(value(&situation, "REPORT_TOKEN", "*").unwrap(), "a-value-of-the-owners");
}

#[test]
fn a_role_that_drifted_is_set_again() {
    let Some(situation) = Situation::handed_off() else { return };
    let id: u64 = account(&situation, "apply").rsplit_once('/').unwrap().1.parse().unwrap();
    let member = format!("/groups/factory/members/{id}");
    assert_eq!(situation.plane.put(&member, &json!({ "access_level": 50 })).status, 200);
    assert_eq!(situation.pending(), ["ci-account:apply"]);
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.plane.get(&member).body["access_level"], 40);
    assert_eq!(situation.plane.delete(&member).status, 204);
    assert_eq!(situation.pending(), ["ci-account:apply"]);
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.pending(), [""; 0]);
}

/// In a project from before: variables, tokens and roles go, whatever the receipt knows of them.
#[test]
fn the_way_back_takes_tokens_variables_and_roles_and_leaves_the_accounts() {
    let Some(situation) = Situation::handed_off() else { return };
    let texts = TOKENS.map(|(_, key, ..)| value(&situation, key, "control-plane").unwrap());
    add(&situation, "REPORT_TOKEN", "mine");
    let summaries = way_back(&situation).changes.into_iter().map(|change| change.summary).collect::<Vec<_>>();
    let id = project_id(&situation);
    for wanted in [
        format!(
            "revoke the token of factoryup-{id}-plan, and remove the CI/CD variable CONTROL_PLANE_PLAN_TOKEN (control-plane)"
        ),
        format!("remove factoryup-{id}-plan from the group factory; the account stays as the author of what it did"),
        format!("remove factoryup-{id}-report from the project; the account stays as the author of what it did"),
    ] {
        assert!(summaries.contains(&wanted), "{wanted}: {summaries:?}");
    }
    revert(&situation);
    for ((word, key, ..), text) in TOKENS.into_iter().zip(texts) {
        assert_eq!(situation.plane.as_token(&text).get("/user").status, 401, "{word}");
        assert_eq!(variable(&situation, key, "control-plane"), None);
        assert_eq!(working(&situation, word), [0; 0]);
    }
    assert!(value(&situation, "REPORT_TOKEN", "mine").is_some());
    assert!(matches!(revert(&situation), Outcome::AlreadyRight { .. }));
    // The accounts are used again.
    situation.apply(QUIET).unwrap();
    all_are_in_place(&situation);
}

#[test]
fn what_this_gitlab_does_not_offer_is_named_and_not_done() {
    for (edition, version, group, words, reason) in [
        (
            Edition::Ce,
            "18.11.0",
            "factory",
            "plan, apply, report",
            "GitLab's Community Edition has no service accounts",
        ),
        (Edition::Ee, "18.10.0", "factory", "plan, apply, report", "takes a license before 18.11"),
        (Edition::Ee, "18.11.0", "owner", "plan, apply", "owner is no group whose service accounts"),
    ] {
        let options = |options: &mut gitlab_stand_in::Options| {
            options.edition = edition;
            version.clone_into(&mut options.version);
        };
        let Some(mut situation) = Situation::with(options) else { return };
        group.clone_into(&mut situation.factory.gitlab.group);
        let root = situation.plane.token("root", &["api"]);
        let token = || Secret::new(if group == "owner" { situation.plane.owner_token() } else { root.clone() });
        let is_named = |plan: &Plan| {
            let named = |note: &String| note.contains(&format!("left to you ({words})")) && note.contains(reason);
            assert!(plan.notes.iter().any(named), "{version}: {:?}", plan.notes);
        };
        is_named(&situation.target_with(token()).observe(&Silent).unwrap());
        converge(&mut situation.target_with(token()), &Silent, &situation.state, QUIET).unwrap();
        let after = situation.target_with(token()).observe(&Silent).unwrap();
        is_named(&after);
        assert!(after.is_empty(), "{after:?}");
        assert_eq!(variable(&situation, "CONTROL_PLANE_PLAN_TOKEN", "control-plane"), None);
        assert_eq!(variable(&situation, "REPORT_TOKEN", "control-plane").is_some(), words == "plan, apply");
        assert!(variable(&situation, PASSPHRASE, "control-plane").is_some());
    }
}

/// GitLab shows the group's service accounts, and makes none for its Owners. What the run before it made stays.
#[test]
fn accounts_that_gitlab_refuses_to_make_are_left_to_the_owner_from_then_on() {
    let by_administrators = |options: &mut gitlab_stand_in::Options| options.owners_make_service_accounts = false;
    let Some(situation) = Situation::with(by_administrators) else { return };
    let root = situation.plane.token("root", &["api"]);
    converge(&mut situation.target_with(Secret::new(root)), &Silent, &situation.state, QUIET).unwrap();
    for word in ["plan", "apply"] {
        let path = account(&situation, word);
        assert_eq!(situation.plane.delete(&path).status, 204);
    }
    let error = situation.apply(QUIET).unwrap_err();
    assert_eq!(error.kind(), Kind::CutShort);
    assert!(error.to_string().ends_with("your account may not create a service account of the group"), "{error}");
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    let named = |note: &String| note.contains("left to you (plan, apply): GitLab refused to create one; to try again");
    assert!(plan.notes.iter().any(named), "{:?}", plan.notes);
    is_in_place(&situation, TOKENS[2], "control-plane");
}
