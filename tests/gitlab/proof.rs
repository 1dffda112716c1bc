//! The negative proof: it holds where the policy holds, and does not where somebody weakened it.

use std::cell::RefCell;

use factoryup::dialog::{Dialog, Silent};
use factoryup::plan::{Event, Outcome, Proof, Target, Watch, converge};
use factoryup::secret::Secret;
use factoryup::{Error, Kind, Result};
use serde_json::{Value, json};

use super::parrot::{Attack, Does, Parrot};
use super::plane::expires_in;
use super::situation::{PROVE, QUIET, Recorder, Situation};

fn proofs(situation: &Situation) -> Vec<Proof> {
    let mut target = situation.target();
    target.observe(&Silent).unwrap();
    target.prove(&Silent).unwrap()
}

fn broken(proofs: &[Proof]) -> Vec<&str> {
    proofs.iter().filter(|proof| !proof.held).map(|proof| proof.claim.as_str()).collect()
}

#[test]
fn every_promise_holds_after_a_hand_off() {
    let Some(situation) = Situation::handed_off() else { return };
    let recorder = Recorder::default();
    let outcome = converge(&mut situation.target(), &recorder, &situation.state, PROVE).unwrap();
    let proofs = recorder.proofs.borrow();
    assert_eq!(outcome, Outcome::AlreadyRight { proofs: proofs.len() });
    for claim in [
        "the pipeline of main is valid",
        "the agent can read the control repo",
        "the agent can push a branch and open a merge request",
        "the agent cannot push to main",
        "the agent cannot rewrite main",
        "the agent cannot delete main",
        "the agent cannot create a release tag",
        "the agent cannot create an anchor of the evidence log",
        "the agent cannot move an anchor of the evidence log",
        "the agent cannot delete an anchor of the evidence log",
        "the agent cannot read CI/CD variables",
        "the agent cannot read the owner's token",
        "the agent cannot commit to main by API",
        "the agent cannot merge into main",
        "the agent cannot start a pipeline on main",
        "the agent cannot change the project's settings",
        "the agent cannot change the job token allowlist",
        "the agent cannot register a runner",
        "the agent cannot unprotect main",
        "the agent cannot create another token for itself",
        "the agent cannot add a member",
        "the agent cannot raise its own role",
    ] {
        assert!(proofs.iter().any(|proof| proof.claim == claim && proof.held), "{claim}: {proofs:#?}");
    }
    assert!(proofs.iter().any(|proof| proof.claim.starts_with("the agent cannot start the job apply")), "{proofs:#?}");
    let evidence = std::fs::read_to_string(situation.state.file("evidence/log.jsonl")).unwrap();
    assert!(evidence.contains("the agent cannot raise its own role"));
}

#[test]
fn what_is_refused_for_a_scope_is_tried_with_the_scope_api_too() {
    let Some(situation) = Situation::handed_off() else { return };
    let proofs = proofs(&situation);
    let merge = proofs.iter().find(|proof| proof.claim == "the agent cannot merge into main").unwrap();
    assert!(
        merge.detail.contains("its own token lacks the scope, and one with the scope api is refused (401"),
        "{merge:?}"
    );
    // The wide token is ended.
    let tokens = situation.plane.get(&situation.agent_tokens()).body;
    let active: Vec<_> = tokens.as_array().unwrap().iter().filter(|t| t["active"] == true).collect();
    assert_eq!(active.len(), 1, "{active:?}");
    assert_eq!(active[0]["name"], "factoryup agent");
}

#[test]
fn the_proof_leaves_nothing_behind() {
    let Some(situation) = Situation::handed_off() else { return };
    let before = situation.get("/repository/branches/main")["commit"]["id"].clone();
    let tags = situation.get("/repository/tags");
    assert_eq!(broken(&proofs(&situation)), Vec::<&str>::new());
    assert_eq!(situation.get("/repository/branches").as_array().unwrap().len(), 1);
    assert_eq!(situation.get("/repository/tags"), tags);
    assert_eq!(situation.get("/repository/branches/main")["commit"]["id"], before);
    assert_eq!(situation.get("/merge_requests?state=opened").as_array().unwrap().len(), 0);
    assert_eq!(situation.get("/runners?type=project_type").as_array().unwrap().len(), 2);
    assert_eq!(situation.pending(), Vec::<String>::new());
}

#[test]
fn the_agents_own_requests_are_all_refused_but_its_work() {
    let Some(situation) = Situation::handed_off() else { return };
    proofs(&situation);
    let log = situation.plane.log();
    let done: Vec<_> = log
        .iter()
        .filter(|r| r.user.as_deref() == Some("factory-agent") && r.is_write())
        .map(|r| r.route.unwrap_or(r.path.rsplit('/').next().unwrap_or_default()))
        .collect();
    assert!(done.iter().all(|route| ["git", "/personal_access_tokens/self"].contains(route)), "{done:?}");
}

#[test]
fn a_branch_that_somebody_unprotected_breaks_promises_and_is_put_back() {
    let Some(situation) = Situation::handed_off() else { return };
    let before = situation.get("/repository/branches/main")["commit"]["id"].clone();
    assert_eq!(situation.plane.delete(&situation.path("/protected_branches/main")).status, 204);
    let proofs = proofs(&situation);
    let broken = broken(&proofs);
    for claim in
        ["push to main", "rewrite main", "commit to main by API", "merge into main", "start a pipeline on main"]
    {
        assert!(broken.contains(&format!("the agent cannot {claim}").as_str()), "{claim}: {proofs:#?}");
    }
    assert!(!broken.contains(&"the agent cannot read CI/CD variables"));
    assert_eq!(situation.get("/repository/branches/main")["commit"]["id"], before);
}

#[test]
fn an_agent_that_somebody_made_maintainer_breaks_promises() {
    let Some(situation) = Situation::handed_off() else { return };
    let path = situation.path(&format!("/members/{}", situation.agent()));
    assert_eq!(situation.plane.put(&path, &json!({ "access_level": 40 })).status, 200);
    let proofs = proofs(&situation);
    let broken = broken(&proofs);
    for claim in [
        "read CI/CD variables",
        "merge into main",
        "push to a branch that factoryup proposes from",
        "create a release tag",
        "start a pipeline on main",
        "change the project's settings",
        "change the job token allowlist",
        "register a runner",
        "unprotect main",
        "add a member",
        "raise its own role",
    ] {
        assert!(broken.contains(&format!("the agent cannot {claim}").as_str()), "{claim}: {proofs:#?}");
    }
    // The tokens of an account of the group are its Owners'.
    assert!(!broken.contains(&"the agent cannot create another token for itself"), "{proofs:#?}");
    // Nobody at all may push, so this one holds even now.
    assert!(!broken.contains(&"the agent cannot push to main"), "{proofs:#?}");
    // What went through was taken back, the role included.
    assert_eq!(situation.get("/runners?type=project_type").as_array().unwrap().len(), 2);
    assert_eq!(situation.get("/protected_branches").as_array().unwrap().len(), 2);
    assert_eq!(situation.pending(), Vec::<String>::new());
}

/// Weakens GitLab at the moment between looking and proving.
struct Saboteur<'a>(&'a dyn Fn(), RefCell<Vec<Proof>>);

impl Dialog for Saboteur<'_> {
    fn is_interactive(&self) -> bool {
        false
    }
    fn confirm(&self, question: &str, _default: bool) -> Result<bool> {
        Err(Error::usage(question))
    }
    fn secret(&self, prompt: &str) -> Result<Secret> {
        Err(Error::usage(prompt))
    }
    fn note(&self, _text: &str) {}
    fn warn(&self, _text: &str) {}
    fn busy(&self, _text: &str) {}
}

impl Watch for Saboteur<'_> {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Planned(plan) if plan.is_empty() => (self.0)(),
            Event::Proved(proof) => self.1.borrow_mut().push((*proof).clone()),
            _ => {}
        }
    }
}

#[test]
fn a_broken_promise_ends_the_run_as_pending() {
    let Some(situation) = Situation::handed_off() else { return };
    let weaken = || assert_eq!(situation.plane.delete(&situation.path("/protected_branches/main")).status, 204);
    let saboteur = Saboteur(&weaken, RefCell::default());
    let error = converge(&mut situation.target(), &saboteur, &situation.state, PROVE).unwrap_err();
    assert_eq!(error.kind(), Kind::Pending);
    assert!(error.to_string().contains("the agent cannot push to main"), "{error}");
    assert!(saboteur.1.borrow().iter().any(|proof| proof.held));
}

#[test]
fn a_failing_gitlab_proves_nothing() {
    let Some(situation) = Situation::handed_off() else { return };
    let mut target = situation.target();
    target.observe(&Silent).unwrap();
    let gone = std::fs::read(situation.state.file("agent-token")).unwrap();
    // A token that GitLab does not know is refused everywhere; that must not count as proof.
    std::fs::write(situation.state.file("agent-token"), "glpat-unknown\n").unwrap();
    let error = target.prove(&Silent).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted, "{error}");
    std::fs::write(situation.state.file("agent-token"), gone).unwrap();
    assert_eq!(broken(&target.prove(&Silent).unwrap()), Vec::<&str>::new());
}

#[test]
fn a_proof_that_was_cut_leaves_no_wide_token_for_long() {
    let Some(situation) = Situation::handed_off() else { return };
    let tokens = situation.agent_tokens();
    let stray = json!({ "name": "factoryup proof, ended right after", "scopes": ["api"], "expires_at": expires_in(1) });
    let stray = situation.plane.post(&tokens, &stray).body["token"].as_str().unwrap().to_owned();
    let agent = situation.plane.as_token(&situation.kept("agent-token"));
    assert_eq!(agent.get("/personal_access_tokens/self").status, 200);
    assert_eq!(broken(&proofs(&situation)), Vec::<&str>::new());
    assert_eq!(situation.plane.as_token(&stray).get("/personal_access_tokens/self").status, 401);
    let active = situation.plane.get(&tokens).body.as_array().unwrap().iter().filter(|t| t["active"] == true).count();
    assert_eq!(active, 1);
}

/// What stands between here and GitLab may refuse as well, and that proves nothing of the policy.
#[test]
fn what_a_proxy_refuses_is_not_held() {
    let Some(mut situation) = Situation::new() else { return };
    let proxy = Parrot::before(&situation.plane.url());
    situation.behind(&proxy.url());
    situation.apply(QUIET).unwrap();
    for (does, what) in [
        (Does::Forbids(None), "an empty 403"),
        (Does::Forbids(Some("text/html")), "a login page"),
        (Does::Forbids(Some("application/json")), "JSON without GitLab's words"),
    ] {
        let mut target = situation.target();
        target.observe(&Silent).unwrap();
        proxy.attack(Some(Attack { on: "POST|PUT|PATCH|DELETE /api/v4", does }));
        let proofs = target.prove(&Silent).unwrap_or_else(|e| panic!("{what}: {e}"));
        proxy.attack(None);
        for claim in [
            "the agent cannot commit to main by API",
            "the agent cannot merge into main",
            "the agent cannot start a pipeline on main",
            "the agent cannot change the project's settings",
            "the agent cannot unprotect main",
            "the agent cannot create another token for itself",
            "the agent cannot raise its own role",
            "the agent's desk account cannot merge into main",
            "the agent's desk account cannot resolve a thread of a reviewer",
        ] {
            let proof = proofs.iter().find(|proof| proof.claim == claim).unwrap();
            assert!(!proof.held && proof.detail.starts_with("cannot tell: "), "{what}: {proof:?}");
        }
        let unmade = proofs.iter().find(|proof| proof.claim == "the agent cannot change a schedule of yours").unwrap();
        assert!(!unmade.held && unmade.detail.ends_with("so a refusal would prove nothing"), "{what}: {unmade:?}");
        // The tries cleared away what the proxy let them make, once it lets them.
        let proofs = situation.target().prove(&Silent);
        assert!(proofs.is_ok_and(|proofs| broken(&proofs).is_empty()), "{what}");
        assert_eq!(situation.pending(), Vec::<String>::new());
        let branches: Value = situation.get("/repository/branches");
        assert_eq!(branches.as_array().unwrap().len(), 1, "{what}");
    }
}
