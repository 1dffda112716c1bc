//! Every GitLab that the hand-off is for: one without service accounts, one with those of groups, one with those of projects, and a
//! personal namespace in place of a group. Each is handed off, left alone the second time, and proved.

use std::cell::RefCell;

use factoryup::dialog::{Dialog, Silent};
use factoryup::gitlab::{AgentTokens, GitlabTarget};
use factoryup::plan::{Event, Outcome, Plan, Proof, Target, Watch, converge};
use factoryup::secret::Secret;
use factoryup::{Kind, Result};
use gitlab_stand_in::{Edition, Tier};
use serde_json::json;

use super::plane::expires_in;
use super::situation::{PROVE, QUIET, Recorder, Situation};

/// Whose token the hand-off has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Owner,
    Administrator,
    /// The group's owner, with an agent whom an administrator made by hand.
    Hand,
}

pub(super) struct Case {
    edition: Edition,
    tier: Tier,
    version: &'static str,
    group: &'static str,
    pub(super) by: By,
    /// What the plan says of the account.
    plan: &'static str,
}

const fn case(
    edition: Edition,
    tier: Tier,
    version: &'static str,
    group: &'static str,
    by: By,
    plan: &'static str,
) -> Case {
    Case { edition, tier, version, group, by, plan }
}

use Edition::{Ce, Ee};
use Tier::{Free, Premium};

const USER: &str = "create the user factory-agent";
const HANDED: &str = "store the given token of factory-agent";
const OF_PROJECT: &str = "create the project's service account factory-agent";
const OF_GROUP: &str = "create the service account factory-agent of the group factory";

pub(super) const CASES: &[Case] = &[
    case(Ce, Free, "18.4.0", "factory", By::Administrator, USER),
    case(Ce, Free, "18.11.0", "factory", By::Administrator, USER),
    case(Ce, Free, "19.1.0", "factory", By::Hand, HANDED),
    case(Ee, Free, "18.10.0", "factory", By::Hand, HANDED),
    case(Ee, Free, "18.11.0", "factory", By::Owner, OF_GROUP),
    case(Ee, Premium, "18.10.0", "factory", By::Owner, OF_GROUP),
    case(Ee, Premium, "19.2.0", "factory", By::Owner, OF_GROUP),
    case(Ee, Premium, "19.2.0", "factory/lab/sub", By::Owner, OF_GROUP),
    case(Ee, Free, "19.2.0", "owner", By::Owner, OF_PROJECT),
    case(Ce, Free, "19.1.0", "owner", By::Hand, HANDED),
];

impl Case {
    pub(super) fn situation(&self) -> Option<Situation> {
        let mut situation = Situation::with(|options| {
            (options.edition, options.tier) = (self.edition, self.tier);
            self.version.clone_into(&mut options.version);
        })?;
        self.group.clone_into(&mut situation.factory.gitlab.group);
        if self.tier == Premium {
            situation.licensed();
        }
        Some(situation)
    }

    fn target(&self, situation: &Situation) -> GitlabTarget {
        match self.by {
            By::Owner => situation.target(),
            By::Administrator => situation.target_with(Secret::new(root(situation))),
            By::Hand => situation.target().with_agent(made_by_hand(situation)),
        }
    }
}

pub(super) fn root(situation: &Situation) -> String {
    situation.plane.token("root", &["api"])
}

fn create_user(situation: &Situation) -> u64 {
    let root = root(situation);
    let admin = situation.plane.as_token(&root);
    let found = admin.get("/users?username=factory-agent").body;
    if let Some(id) = found[0]["id"].as_u64() {
        return id;
    }
    let user = json!({
        "username": "factory-agent", "name": "Agent", "email": "agent@example.invalid", "force_random_password": true,
    });
    admin.post("/users", &user).body["id"].as_u64().unwrap()
}

fn token(situation: &Situation, scopes: &[&str], days: i64) -> Secret {
    let id = create_user(situation);
    let root = root(situation);
    let body = json!({ "name": "by hand", "scopes": scopes, "expires_at": expires_in(days) });
    let made = situation.plane.as_token(&root).post(&format!("/users/{id}/personal_access_tokens"), &body);
    Secret::new(made.body["token"].as_str().unwrap())
}

/// What a person does after the steps that the refusal names.
pub(super) fn made_by_hand(situation: &Situation) -> AgentTokens {
    AgentTokens {
        own: Some(token(situation, &["read_api", "write_repository", "self_rotate"], 20)),
        proof: Some(token(situation, &["api"], 1)),
    }
}

fn summaries(plan: &Plan) -> Vec<&str> {
    plan.changes.iter().map(|change| change.summary.as_str()).collect()
}

fn broken(proofs: &[Proof]) -> Vec<String> {
    proofs.iter().filter(|proof| !proof.held).map(|proof| format!("{}: {}", proof.claim, proof.detail)).collect()
}

#[test]
fn every_gitlab_is_handed_off_left_alone_and_proved() {
    for case in CASES {
        let Some(situation) = case.situation() else { return };
        let what = format!("{:?} {:?} {} in {} by {:?}", case.edition, case.tier, case.version, case.group, case.by);
        let mut target = case.target(&situation);
        let plan = target.observe(&Silent).unwrap_or_else(|e| panic!("{what}: {e}\n{:?}", e.hints()));
        assert!(summaries(&plan).contains(&case.plan), "{what}: {:?}", summaries(&plan));
        let recorder = Recorder::default();
        let outcome = converge(&mut target, &recorder, &situation.state, PROVE);
        let proofs = recorder.proofs.borrow();
        assert!(outcome.is_ok(), "{what}: {outcome:?}, {:#?}", broken(&proofs));
        assert!(proofs.len() > 20 && broken(&proofs).is_empty(), "{what}: {proofs:#?}");
        // What needs a job is tried once runners are there.
        super::jobs::first_pipeline(&situation);
        let runners = super::jobs::at_work(&situation);
        let mut target = match case.by {
            By::Hand => {
                situation.target().with_agent(AgentTokens { own: None, proof: Some(token(&situation, &["api"], 1)) })
            }
            By::Owner | By::Administrator => case.target(&situation),
        };
        let at_work = Recorder::default();
        let outcome = converge(&mut target, &at_work, &situation.state, PROVE);
        drop(runners);
        assert!(outcome.is_ok(), "{what}: {outcome:?}, {:#?}", broken(&at_work.proofs.borrow()));
        let all: Vec<_> = proofs.iter().chain(&*at_work.proofs.borrow()).cloned().collect();
        super::tiers::promised(case.tier, case.by == By::Owner && case.version != "18.10.0", &all);
        for claim in super::jobs::CLAIMS {
            assert!(at_work.proofs.borrow().iter().any(|proof| proof.claim == claim), "{what}: {claim} is not tried");
        }
        drop(proofs);

        situation.plane.stand_in.clear_log();
        let mut target = match case.by {
            // What was handed over once is kept.
            By::Hand => situation.target(),
            By::Owner | By::Administrator => case.target(&situation),
        };
        let again = converge(&mut target, &Silent, &situation.state, QUIET).unwrap();
        assert_eq!(again, Outcome::AlreadyRight { proofs: 0 }, "{what}");
        assert_eq!(situation.writes(), Vec::<String>::new(), "{what}");
        let requests = situation.plane.log();
        let paths: Vec<_> = requests.iter().map(|r| &r.path).collect();
        eprintln!("== {what}: {}", requests.len());
        for r in &requests {
            eprintln!("   {} {} {}", r.method, r.path, r.status);
        }
        assert!(requests.len() <= 20, "{what}: {} requests: {paths:#?}", requests.len());

        let member = situation.get("/members");
        let agent = member.as_array().unwrap().iter().find(|member| member["username"] == "factory-agent").unwrap();
        assert_eq!(agent["access_level"], 30, "{what}");
    }
}

#[test]
fn a_user_that_an_administrator_makes_sees_and_makes_as_little_as_it_can_and_is_found_again() {
    let case = &CASES[1];
    let Some(situation) = case.situation() else { return };
    converge(&mut case.target(&situation), &Silent, &situation.state, QUIET).unwrap();
    let own = situation.plane.as_token(&situation.kept("agent-token")).get("/user").body;
    assert_eq!((&own["external"], &own["can_create_group"]), (&json!(true), &json!(false)));
    // Without the state folder the account is known by the note on it.
    std::fs::remove_file(situation.state.file("gitlab.json")).unwrap();
    std::fs::remove_file(situation.state.file("agent-token")).unwrap();
    let plan = case.target(&situation).observe(&Silent).unwrap();
    assert!(!summaries(&plan).contains(&USER), "{:?}", summaries(&plan));
    converge(&mut case.target(&situation), &Silent, &situation.state, QUIET).unwrap();
    assert!(situation.kept("agent-token").starts_with("glpat-"));
}

/// Each of a person's steps that is missing or wrong is named before anything is changed.
#[test]
fn each_step_of_a_hand_made_agent_is_checked_before_anything_is_changed() {
    let case = &CASES[2];
    let Some(situation) = case.situation() else { return };
    let refused = |own: Option<Secret>| {
        situation.plane.stand_in.clear_log();
        let target = situation.target().with_agent(AgentTokens { own, proof: None });
        let mut target = RefCell::new(target);
        let error = target.get_mut().observe(&Silent).unwrap_err();
        assert_eq!(error.kind(), Kind::NotPermitted, "{error}");
        assert_eq!(situation.writes(), Vec::<String>::new());
        let hints = error.hints().join("\n");
        for step in [
            "1. ask an administrator to create the external user factory-agent",
            "2. as factory-agent, create a token with the scopes read_api, write_repository, self_rotate",
            "3. pass it in FACTORYUP_AGENT_TOKEN",
            "FACTORYUP_AGENT_PROOF_TOKEN",
            "adds factory-agent to factory/control as a Developer",
        ] {
            assert!(hints.contains(step), "{step}: {hints}");
        }
        error.to_string()
    };
    let begins = |own: Option<Secret>, words: &str| {
        let said = refused(own);
        assert!(said.starts_with(words), "{said}");
    };
    begins(None, "the user factory-agent does not exist yet;");
    create_user(&situation);
    begins(None, "no token of factory-agent was given;");
    begins(Some(Secret::new("glpat-wrong-wrong")), "GitLab rejected the given token");
    let wide = token(&situation, &["api"], 9);
    begins(Some(wide), "the given token of factory-agent has the scopes api;");
    let late = token(&situation, &["read_api", "write_repository"], 90);
    begins(Some(late), "the given token of factory-agent expires on ");
    let other = Secret::new(situation.plane.token("owner", &["read_api", "write_repository"]));
    begins(Some(other), "the given token of factory-agent belongs to another account");
}

/// Without the second token the role behind the narrow one cannot be told, and the proof says how to.
#[test]
fn a_hand_made_agent_without_a_token_for_the_proof_is_not_proved() {
    let case = &CASES[2];
    let Some(situation) = case.situation() else { return };
    let own = token(&situation, &["read_api", "write_repository"], 20);
    let mut target = situation.target().with_agent(AgentTokens { own: Some(own), proof: None });
    let recorder = Recorder::default();
    let error = converge(&mut target, &recorder, &situation.state, QUIET).unwrap_err();
    assert_eq!(error.kind(), Kind::Pending, "{error}");
    let broken = broken(&recorder.proofs.borrow());
    assert!(broken.iter().all(|line| line.contains("cannot tell: ")), "{broken:#?}");
    assert!(broken.iter().all(|line| line.contains("FACTORYUP_AGENT_PROOF_TOKEN")), "{broken:#?}");
    // Pushes and readings hang on no scope.
    let held = recorder.proofs.borrow().iter().filter(|proof| proof.held).count();
    assert!(held >= 7, "{held}");
}

/// GitLab shows the group's service accounts and makes none: the next run goes another way, and the one after it stays there.
#[test]
fn an_instance_that_keeps_service_accounts_of_groups_for_administrators_gets_another_agent() {
    for (version, tier) in [("18.11.0", Free), ("18.10.0", Premium)] {
        let Some(situation) = Situation::with(|options| {
            (options.owners_make_service_accounts, options.tier) = (false, tier);
            version.clone_into(&mut options.version);
        }) else {
            return;
        };
        let error = situation.apply(QUIET).unwrap_err();
        assert_eq!(error.kind(), Kind::CutShort);
        assert!(error.to_string().ends_with("may not create a service account of the group"), "{error}");
        if tier == Free {
            // This version has service accounts of projects, which a Maintainer makes.
            let plan = situation.plan();
            assert!(plan.changes.iter().any(|change| change.summary == OF_PROJECT), "{plan:#?}");
            converge(&mut situation.target(), &Silent, &situation.state, PROVE).unwrap();
        } else {
            let error = situation.apply(QUIET).unwrap_err();
            assert!(error.to_string().starts_with("the user factory-agent does not exist yet;"), "{error}");
            let mut target = situation.target().with_agent(made_by_hand(&situation));
            converge(&mut target, &Silent, &situation.state, PROVE).unwrap();
        }
        assert_eq!(situation.pending(), Vec::<String>::new());
    }
}

/// A person at a terminal, who pastes the token when asked.
struct Pasting(Secret, RefCell<Vec<String>>);

impl Dialog for Pasting {
    fn is_interactive(&self) -> bool {
        true
    }
    fn confirm(&self, _question: &str, _default: bool) -> Result<bool> {
        Ok(true)
    }
    fn secret(&self, prompt: &str) -> Result<Secret> {
        self.1.borrow_mut().push(prompt.to_owned());
        Ok(self.0.clone())
    }
    fn note(&self, text: &str) {
        self.1.borrow_mut().push(text.to_owned());
    }
    fn warn(&self, _text: &str) {}
    fn busy(&self, _text: &str) {}
}

impl Watch for Pasting {
    fn event(&self, _event: &Event<'_>) {}
}

#[test]
fn at_a_terminal_the_token_is_asked_for_once_after_the_steps() {
    let case = &CASES[2];
    let Some(situation) = case.situation() else { return };
    let pasting = Pasting(token(&situation, &["read_api", "write_repository"], 20), RefCell::default());
    let proof = Some(token(&situation, &["api"], 1));
    let mut target = situation.target().with_agent(AgentTokens { own: None, proof });
    converge(&mut target, &pasting, &situation.state, QUIET).unwrap();
    let said = pasting.1.borrow();
    let asked = |line: &&String| {
        line.starts_with("Token of factory-agent with the scopes read_api, write_repository, self_rotate")
    };
    assert_eq!(said.iter().filter(asked).count(), 1, "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("2. as factory-agent, create a token")), "{said:?}");
}

#[test]
fn an_administrator_is_no_agent() {
    let case = &CASES[2];
    let Some(mut situation) = case.situation() else { return };
    situation.factory.agent.username = "root".into();
    let own = situation.plane.token("root", &["read_api", "write_repository"]);
    let tokens = AgentTokens { own: Some(Secret::new(own)), proof: None };
    let error = situation.target().with_agent(tokens).observe(&Silent).unwrap_err();
    assert!(error.to_string().starts_with("root is an administrator, whom no policy restricts;"), "{error}");
    assert_eq!(situation.writes(), Vec::<String>::new());
}

#[test]
fn a_personal_namespace_of_somebody_else_names_the_way_to_a_group() {
    let Some(mut situation) = Situation::new() else { return };
    situation.plane.stand_in.add_user("eve").unwrap();
    situation.factory.gitlab.group = "eve".into();
    let root = root(&situation);
    let error = situation.target_with(Secret::new(root)).observe(&Silent).unwrap_err();
    assert_eq!(error.to_string(), "gitlab.group = \"eve\" is the personal namespace of another user");
    assert!(error.hints()[0].contains("/groups/new"), "{:?}", error.hints());
    assert_eq!(situation.writes(), Vec::<String>::new());
}
