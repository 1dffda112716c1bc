//! One rule at a time is weakened by somebody who may: the plan or the proof tells, and what the plan tells is put back by
//! applying it.

use std::collections::BTreeMap;

use factoryup::dialog::Silent;
use factoryup::plan::{Receipt, Target, Undo};
use serde_json::{Value, json};

use super::cutter::Cutter;
use super::plane::{Got, expires_in};
use super::situation::{QUIET, Situation};

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// As a change that applying makes.
    Change,
    /// As a note, since the owner may have meant it.
    Note,
    /// As a promise that does not hold.
    Proof,
}

use By::{Change, Note, Proof};

fn done(got: &Got) {
    assert!((200..300).contains(&got.status), "{} {}", got.status, got.body);
}

fn edit(situation: &Situation, attributes: &Value) {
    done(&situation.plane.put(&situation.path(""), attributes));
}

fn post(situation: &Situation, rest: &str, body: &Value) {
    done(&situation.plane.post(&situation.path(rest), body));
}

fn rule(situation: &Situation, name: &str, push: u8, merge: u8) {
    if name == "main" {
        done(&situation.plane.delete(&situation.path("/protected_branches/main")));
    }
    let body = json!({ "name": name, "push_access_level": push, "merge_access_level": merge });
    post(situation, "/protected_branches", &body);
}

fn trusted(situation: &Situation, attributes: &Value) {
    let all = situation.get("/runners?type=project_type");
    let trusted = all.as_array().unwrap().iter().find(|r| r["description"] == "factoryup acme: trusted").unwrap();
    done(&situation.plane.put(&format!("/runners/{}", trusted["id"]), attributes));
}

type Deed = (&'static str, By, fn(&Situation));

const DEEDS: &[Deed] = &[
    ("nothing protects main", Proof, |s| done(&s.plane.delete(&s.path("/protected_branches/main")))),
    ("Developers push to main", Proof, |s| rule(s, "main", 30, 40)),
    ("Developers merge into main", Proof, |s| rule(s, "main", 0, 30)),
    ("a wildcard lets Developers push", Proof, |s| rule(s, "*", 30, 30)),
    ("a wildcard lets Developers merge", Proof, |s| rule(s, "ma*", 0, 30)),
    ("Maintainers push to main", Change, |s| rule(s, "main", 40, 40)),
    ("only a wildcard protects main", Change, |s| {
        rule(s, "ma*", 0, 40);
        done(&s.plane.delete(&s.path("/protected_branches/main")));
    }),
    ("nothing protects tags", Proof, |s| done(&s.plane.delete(&s.path("/protected_tags/v%2A")))),
    ("nothing protects the evidence log's anchors", Proof, |s| {
        done(&s.plane.delete(&s.path("/protected_tags/evidence%2F%2A")));
    }),
    ("Developers make the evidence log's anchors", Proof, |s| {
        done(&s.plane.delete(&s.path("/protected_tags/evidence%2F%2A")));
        post(s, "/protected_tags", &json!({ "name": "evidence/*", "create_access_level": 30 }));
    }),
    ("another rule opens tags", Proof, |s| {
        post(s, "/protected_tags", &json!({ "name": "v-*", "create_access_level": 30 }));
    }),
    ("the project is public", Change, |s| edit(s, &json!({ "visibility": "public" }))),
    ("the pipeline lies elsewhere", Change, |s| edit(s, &json!({ "ci_config_path": "ci.yml@factory/open" }))),
    ("there are no pipelines", Change, |s| edit(s, &json!({ "builds_access_level": "disabled" }))),
    ("jobs have no states", Change, |s| edit(s, &json!({ "infrastructure_access_level": "disabled" }))),
    ("there are no merge requests", Change, |s| edit(s, &json!({ "merge_requests_access_level": "disabled" }))),
    ("merging needs no pipeline", Change, |s| edit(s, &json!({ "only_allow_merge_if_pipeline_succeeds": false }))),
    ("pipelines take variables from Developers", Change, |s| {
        edit(s, &json!({ "ci_pipeline_variables_minimum_override_role": "developer" }));
    }),
    ("jobs push", Change, |s| edit(s, &json!({ "ci_push_repository_for_job_token_allowed": true }))),
    ("all job tokens are let in", Change, |s| {
        done(&s.plane.patch(&s.path("/job_token_scope"), &json!({ "enabled": false })));
    }),
    ("the trusted runner serves all branches", Change, |s| trusted(s, &json!({ "access_level": "not_protected" }))),
    ("the trusted runner takes jobs without tags", Change, |s| trusted(s, &json!({ "run_untagged": true }))),
    ("the trusted runner has the other's tag", Change, |s| {
        trusted(s, &json!({ "tag_list": ["trusted", "untrusted"] }));
    }),
    ("the agent has a wide token", Note, |s| {
        let body = json!({ "name": "handy", "scopes": ["api"], "expires_at": expires_in(9) });
        done(&s.plane.post(&s.agent_tokens(), &body));
    }),
    ("a variable is open to all branches", Note, |s| {
        post(s, "/variables", &json!({ "key": "PRODUCTION", "value": "a value of some length", "protected": false }));
    }),
];

#[test]
fn every_weakened_rule_is_told_and_put_back() {
    let Some(situation) = Situation::handed_off() else { return };
    let before = situation.plan();
    assert!(before.is_empty() && before.notes.is_empty(), "{before:?}");
    let mut notes = 0;
    for (what, by, deed) in DEEDS {
        deed(&situation);
        let plan = situation.plan();
        match by {
            Change => assert!(!plan.is_empty(), "{what} is not told"),
            Note => {
                // What the owner may have meant is theirs to take back.
                notes += 1;
                assert!(plan.is_empty(), "{what}: {plan:?}");
            }
            Proof => assert!(!plan.is_empty() && !holds(&situation), "{what} is not told: {plan:?}"),
        }
        // Proves, too, where it changes something.
        let outcome = situation.apply(QUIET);
        assert!(outcome.is_ok(), "{what}: {outcome:?}, and now {:?}", situation.target().prove(&Silent));
        let after = situation.plan();
        assert!(after.is_empty() && after.notes.len() == notes, "{what}: {after:?}");
    }
    what_was_there_is_on_record_as_gitlab_said_it(&situation);
}

/// Nothing undoes it yet, so it has to be something that one day can be sent back.
fn what_was_there_is_on_record_as_gitlab_said_it(situation: &Situation) {
    let receipt = Receipt::read(&situation.state.file("receipt-gitlab.json")).unwrap().unwrap();
    let mut before = BTreeMap::new();
    for entry in receipt.entries {
        if let Undo::Restore { before: text } = &entry.undo {
            let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{}: {e}: {text}", entry.id));
            before.insert(entry.id, value);
        }
    }
    let expect = |id: &str, key: &str, value: Value| assert_eq!(before[id][key], value, "{id}: {before:?}");
    expect("protected-branch:main", "allow_force_push", json!(false));
    assert_eq!(before["protected-branch:ma*"]["merge_access_levels"][0]["access_level"], 30, "{before:?}");
    expect("protected-tag:v-*", "name", json!("v-*"));
}

fn holds(situation: &Situation) -> bool {
    situation.target().prove(&Silent).unwrap().iter().all(|proof| proof.held)
}

/// What only a failing control tells would be left out in silence; what hangs on it does not hold.
#[test]
fn what_the_owner_cannot_see_is_not_proved() {
    let Some(mut situation) = Situation::handed_off() else { return };
    let cutter = Cutter::before(&situation.plane.url());
    situation.factory.gitlab.url = cutter.url();
    situation.apply(QUIET).unwrap();
    let mut target = situation.target();
    assert!(target.observe(&Silent).unwrap().is_empty());
    for (path, claim) in [
        ("/job_token_scope", "the agent cannot change the job token allowlist"),
        ("/variables", "the agent cannot read CI/CD variables"),
        ("/protected_branches/main", "the agent cannot unprotect main"),
    ] {
        cutter.hide(path);
        let proofs = target.prove(&Silent).unwrap();
        // What cannot be listed cannot be cleared away either, which is told too.
        let is_left = |proof: &&factoryup::plan::Proof| proof.claim.starts_with("the policy checks removed");
        let broken: Vec<_> = proofs.iter().filter(|proof| !proof.held && !is_left(proof)).collect();
        let claims: Vec<_> = broken.iter().map(|proof| proof.claim.clone()).collect();
        assert_eq!(claims, [claim.to_owned(), claim.replacen("the agent", "the agent's desk account", 1)]);
        assert!(broken.iter().all(|proof| proof.detail.contains("would prove nothing")), "{broken:?}");
    }
}
