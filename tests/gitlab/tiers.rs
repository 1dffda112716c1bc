//! What only a license enforces: set, read back, shown when it drifts, tried, and undone; and what a GitLab without one has of it.

use std::time::Duration;

use factoryup::Kind;
use factoryup::dialog::Silent;
use factoryup::gitlab::RevertGitlab;
use factoryup::plan::{Outcome, Proof, Target, converge};
use gitlab_stand_in::{Edition, Tier};
use serde_json::{Value, json};

use super::cutter::Cutter;
use super::plane::Got;
use super::situation::{QUIET, Recorder, Situation};

fn done(got: &Got) {
    assert!((200..300).contains(&got.status), "{} {}", got.status, got.body);
}

/// Nothing is tried that no promise of the tier names, and with all accounts in the project, each of its promises is tried.
pub fn promised(tier: Tier, has_all_accounts: bool, proofs: &[Proof]) {
    let tier = if tier == Tier::Premium { factoryup::factory::Tier::Premium } else { factoryup::factory::Tier::Free };
    let claims: Vec<_> = factoryup::factory::promises(tier).flat_map(|promise| promise.tried).collect();
    let is = |proof: &Proof, claim: &str| {
        let of_agent = proof.claim.replacen("the agent's desk account", "the agent", 1);
        let begins = claim.strip_suffix('…').is_some_and(|begin| of_agent.starts_with(begin));
        begins || proof.claim == claim || of_agent == claim
    };
    for proof in proofs {
        assert!(claims.iter().any(|claim| is(proof, claim)), "{tier:?} promises nothing of this: {}", proof.claim);
    }
    for claim in claims.iter().filter(|_| has_all_accounts) {
        assert!(proofs.iter().any(|proof| is(proof, claim)), "{tier:?} promises what is not tried: {claim}");
    }
}

fn rule(s: &Situation) -> Value {
    let all = s.get("/approval_rules");
    all.as_array().unwrap().iter().find(|rule| rule["name"] == "factoryup: owner").unwrap().clone()
}

fn settings(s: &Situation, body: &Value) {
    done(&s.plane.post(&s.path("/approvals"), body));
}

fn change_rule(s: &Situation, body: &Value) {
    done(&s.plane.put(&s.path(&format!("/approval_rules/{}", rule(s)["id"])), body));
}

const ENVIRONMENT: &str = "protected-environment:production";
const APPROVALS: &str = "approval-settings:factory/control";
const RULE: &str = "approval-rule:owner";
const PUSH: &str = "push-rule:factory/control";
const BRANCH: &str = "protected-branch:main";

const WAITS: &str = "a merge request of the agent waits for the owner's approval";
const OWNED: &str = "a change of the pipeline waits for a code owner's approval";
const DEPLOYS: &str = "the agent cannot deploy to production";

/// What is changed by hand, the change that the plan then shows, and the claim that the policy checks then fail.
type Deed = (&'static str, &'static str, &'static str, fn(&Situation));

/// All of a round at once, since the checks take their time.
const ROUNDS: &[&[Deed]] = &[
    &[
        ("Developers deploy to production", ENVIRONMENT, DEPLOYS, |s| {
            let path = s.path("/protected_environments/production");
            done(&s.plane.put(&path, &json!({ "deploy_access_levels": [{ "access_level": 30 }] })));
        }),
        // Then the commit that names the owner leaves the owner's rule without approvers.
        ("committers are left out", APPROVALS, WAITS, |s| {
            settings(s, &json!({ "merge_requests_disable_committers_approval": true }));
        }),
        ("approvals outlive a push", APPROVALS, "a push to the agent's merge request removes its approvals", |s| {
            settings(s, &json!({ "reset_approvals_on_push": false }));
        }),
        ("keys are pushed", PUSH, "GitLab refuses a file that is named like a private key", |s| {
            done(&s.plane.put(&s.path("/push_rule"), &json!({ "prevent_secrets": false })));
        }),
        ("code owners are not asked", BRANCH, OWNED, |s| {
            let path = s.path("/protected_branches/main");
            done(&s.plane.patch(&path, &json!({ "code_owner_approval_required": false })));
        }),
    ],
    &[
        ("nothing protects production", ENVIRONMENT, DEPLOYS, |s| {
            done(&s.plane.delete(&s.path("/protected_environments/production")));
        }),
        ("authors approve", APPROVALS, "the agent cannot approve the agent's merge request", |s| {
            settings(s, &json!({ "merge_requests_author_approval": true }));
        }),
        ("the agent approves", RULE, WAITS, |s| {
            let users = json!([rule(s)["users"][0]["id"], s.agent()]);
            change_rule(s, &json!({ "user_ids": users }));
        }),
    ],
];

fn prove(situation: &Situation) -> Vec<Proof> {
    let mut target = situation.target();
    target.observe(&Silent).unwrap();
    target.prove(&Silent).unwrap()
}

#[test]
fn what_a_license_enforces_is_shown_when_it_drifts_tried_and_put_back() {
    let Some(situation) = Situation::premium() else { return };
    situation.apply(QUIET).unwrap();
    assert_eq!(situation.pending(), [""; 0]);
    super::takeover::agrees(&situation);
    for round in ROUNDS {
        for (what, id, _, deed) in *round {
            deed(&situation);
            assert!(situation.pending().contains(&(*id).to_owned()), "{what} is not told");
        }
        let proofs = prove(&situation);
        let broken: Vec<_> = proofs.iter().filter(|proof| !proof.held).map(|proof| proof.claim.as_str()).collect();
        for (what, _, claim, _) in *round {
            assert!(broken.contains(claim), "{what}: {broken:?}");
        }
        situation.apply(QUIET).unwrap();
        assert_eq!(situation.pending(), [""; 0]);
    }
    // An approval by any account that is no person says nothing.
    let owner = rule(&situation)["users"][0]["id"].clone();
    let mut accounts = situation.get("/service_accounts").as_array().unwrap().clone();
    accounts.extend(situation.plane.get("/groups/factory/service_accounts").body.as_array().unwrap().iter().cloned());
    assert_eq!(accounts.len(), 5, "{accounts:?}");
    for account in &accounts {
        change_rule(&situation, &json!({ "user_ids": [owner, account["id"]] }));
        assert_eq!(situation.pending(), [RULE], "{account}");
    }
    done(&situation.plane.delete(&situation.path(&format!("/approval_rules/{}", rule(&situation)["id"]))));
    assert_eq!(situation.pending(), [RULE]);
}

/// The rules of an adopted project are changed, and restored. This GitLab removes approvals later than it does most after an answer.
#[test]
fn the_rules_of_an_adopted_project_are_restored() {
    let Some(situation) = Situation::premium_with(|options| options.approvals_reset_after = Duration::from_secs(4))
    else {
        return;
    };
    situation.plane.project("control");
    let shown = |what: &str| {
        let mut value = situation.get(what);
        forget_ids(&mut value);
        value
    };
    let everything = || ["/protected_environments", "/approvals", "/approval_rules"].map(shown);
    let production = json!({ "name": "production", "deploy_access_levels": [{ "access_level": 30 }] });
    done(&situation.plane.post(&situation.path("/protected_environments"), &production));
    settings(&situation, &json!({ "merge_requests_author_approval": true }));
    let any = json!({ "name": "All", "rule_type": "any_approver", "approvals_required": 1 });
    done(&situation.plane.post(&situation.path("/approval_rules"), &any));
    let before = everything();
    situation.apply(QUIET).unwrap();
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    assert!(
        plan.notes.iter().any(|note| note.contains("if you work alone, no one can approve them")),
        "{:?}",
        plan.notes
    );
    assert_ne!(everything(), before);
    let mut revert = RevertGitlab::new(situation.target());
    converge(&mut revert, &Silent, &situation.state, QUIET).unwrap();
    assert_eq!(everything(), before);
    assert_eq!(situation.get("/push_rule")["prevent_secrets"], false);
}

/// An answer that is lost is no reason to make a thing twice, nor to hold up the rest.
#[test]
fn what_a_license_adds_is_made_once_when_the_answers_are_lost() {
    let Some(mut situation) = Situation::premium() else { return };
    let cutter = Cutter::before(&situation.plane.url());
    situation.factory.gitlab.url = cutter.url();
    cutter.lose(&["/protected_environments", "/approvals", "/approval_rules", "/push_rule"]);
    assert_eq!(situation.apply(QUIET).unwrap_err().kind(), Kind::CutShort);
    assert_eq!(cutter.not_lost(), [""; 0]);
    assert_eq!(situation.pending(), [""; 0]);
    // Nothing is left to do but the policy checks.
    assert!(matches!(situation.apply(QUIET).unwrap(), Outcome::AlreadyRight { proofs: 40.. }));
    let all = situation.get("/approval_rules");
    assert_eq!(all.as_array().unwrap().iter().filter(|rule| rule["name"] == "factoryup: owner").count(), 1);
    assert_eq!(situation.get("/protected_environments").as_array().unwrap().len(), 1);
}

fn forget_ids(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("id");
            map.values_mut().for_each(forget_ids);
        }
        Value::Array(all) => all.iter_mut().for_each(forget_ids),
        _ => {}
    }
}

/// `gitlab.tier` says more than there is: what Free has is set up, the plan says it, and the policy checks fail for each promise that they
/// did not try.
#[test]
fn a_tier_that_gitlab_does_not_have_is_said_and_promises_nothing() {
    let Some(mut situation) = Situation::with(|options| {
        (options.edition, options.tier) = (Edition::Ee, Tier::Free);
    }) else {
        return;
    };
    situation.licensed();
    assert_eq!(situation.apply(QUIET).unwrap_err().kind(), Kind::Pending);
    assert_eq!(situation.get("/protected_environments"), json!([]), "this says nothing of a license");
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    assert!(plan.notes.iter().any(|note| note.contains("answers as GitLab Free")), "{:?}", plan.notes);
    assert_eq!(situation.get("/protected_branches")[0]["code_owner_approval_required"], false);
    let proofs = prove(&situation);
    let broken: Vec<_> = proofs.iter().filter(|proof| !proof.held).collect();
    assert!(broken.iter().all(|proof| proof.detail == "not tried: GitLab answers as Free"), "{broken:#?}");
    let licensed = factoryup::factory::PROMISES.iter().filter(|promise| promise.licensed).map(|promise| promise.holds);
    assert_eq!(broken.iter().map(|proof| proof.claim.as_str()).collect::<Vec<_>>(), licensed.collect::<Vec<_>>());
}

/// The files that decide who owns code, and which tools check it, are owned.
#[test]
fn what_names_the_owners_is_owned() {
    let Some(situation) = Situation::premium() else { return };
    let text = std::fs::read_to_string(situation.repo.join(".gitlab/CODEOWNERS")).unwrap();
    for path in ["/CODEOWNERS ", "/docs/CODEOWNERS ", "/.gitlab/ ", "/.gitlab-ci.yml ", "/toolchain.lock "] {
        assert!(text.lines().any(|line| line.starts_with(path)), "{path}: {text}");
    }
}

/// The reference, and the control repo of each tier, have the promises that the code tries.
#[test]
fn each_text_has_the_same_promises() {
    use factoryup::factory::{PROMISES, Tier, promises};
    let reference = factoryup::factory::markdown();
    let Some(mut situation) = Situation::new() else { return };
    for tier in [Tier::Free, Tier::Premium] {
        if tier == Tier::Premium {
            situation.licensed();
        }
        let policies = std::fs::read_to_string(situation.repo.join("docs/policies.md")).unwrap();
        let row = |promise: &factoryup::factory::Promise| format!("| {} | {} |", promise.holds, promise.by);
        let held = promises(tier).map(row).filter(|row| policies.contains(row)).count();
        assert_eq!(held, promises(tier).count(), "{tier:?}");
        let all = PROMISES.iter().filter(|promise| policies.contains(&row(promise)));
        assert_eq!(all.count(), held, "{tier:?} has no more");
    }
    for promise in PROMISES {
        let free = if promise.licensed { "–" } else { "yes" };
        let row = format!("| {} | {} | {free} | yes |", promise.holds, promise.by);
        assert!(reference.contains(&row), "{row}");
    }
}

/// With committers kept from approving, the commit that names the owner leaves the owner's rules without approvers. A token alone cannot
/// approve here, which would look like a refusal of the agent.
#[test]
fn what_a_group_locks_is_noted_left_and_tried() {
    let Some(situation) = Situation::premium() else { return };
    let lock = json!({ "allow_committer_approval": false });
    done(&situation.plane.put("/groups/factory/merge_request_approval_setting", &lock));
    situation.plane.project("control");
    settings(&situation, &json!({ "require_reauthentication_to_approve": true }));
    let recorder = Recorder::default();
    let error = converge(&mut situation.target(), &recorder, &situation.state, QUIET).unwrap_err();
    assert_eq!(error.kind(), Kind::Pending, "{error}");
    let proofs = recorder.proofs.borrow();
    let broken: Vec<_> = proofs.iter().filter(|proof| !proof.held).map(|proof| proof.claim.as_str()).collect();
    assert_eq!(broken, [WAITS, OWNED]);
    assert!(!proofs.iter().any(|proof| proof.claim.contains("cannot approve")), "{proofs:#?}");
    let told = recorder.told.borrow();
    assert!(told.iter().any(|text| text.contains("(require_reauthentication_to_approve)")), "{told:#?}");
    let plan = situation.plan();
    assert!(plan.is_empty(), "{plan:?}");
    let words =
        "the group locks merge_requests_disable_committers_approval in the approval settings; factoryup needs false";
    assert!(plan.notes.iter().any(|note| note.starts_with(words)), "{:?}", plan.notes);
    assert_eq!(situation.get("/approvals")["disable_overriding_approvers_per_merge_request"], true);
}
