//! What must hold of a pipeline and GitLab's schema does not say: that it hangs together, that what is trusted serves protected refs
//! only, and that it takes nothing from what is not.

use factoryup::factory::{Factory, RunnerKind};
use factoryup::templating::tree::Tree;
use serde_json::{Value, json};

use crate::combinations::PAIRWISE;
use crate::yaml::documents;

/// GitLab's tiers of environments.
const TIERS: [&str; 5] = ["production", "staging", "testing", "development", "other"];

/// What is wrong with a pipeline, as `JOB: what`.
pub(crate) fn broken(pipeline: &Value, factory: &Factory, tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    let stages: Vec<&str> = pipeline["stages"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let stage = |job: &Value| stages.iter().position(|stage| Some(*stage) == job["stage"].as_str());
    for (name, job) in pipeline.as_object().unwrap() {
        if job.get("script").is_none() || name.starts_with('.') {
            continue;
        }
        let mut say = |what: String| broken.push(format!("{name}: {what}"));
        if stage(job).is_none() {
            say(format!("the stage {} is not there", job["stage"]));
        }
        for needed in job["needs"].as_array().into_iter().flatten() {
            let needed = needed["job"].as_str().or(needed.as_str()).unwrap();
            match pipeline.get(needed) {
                None => say(format!("needs {needed}, which is not there")),
                Some(other) if stage(other) > stage(job) => say(format!("needs {needed}, which comes later")),
                Some(_) => {}
            }
        }
        if let Some(tier) = job["environment"]["deployment_tier"].as_str().filter(|tier| !TIERS.contains(tier)) {
            say(format!("there is no tier {tier}"));
        }
        tags(job, factory, &mut say);
        for other in sources(job, pipeline, &stage) {
            if is_trusted(job) && !is_trusted(&pipeline[other]) {
                say(format!("takes what {other} made, which is not trusted"));
            }
        }
        changes(name, job, factory, &mut say);
        for line in job["script"].as_array().into_iter().chain(job["after_script"].as_array()).flatten() {
            let line = line.as_str().unwrap();
            for script in line.split_whitespace().filter(|word| word.starts_with("scripts/")) {
                if !tree.files.iter().any(|file| file.path == script) {
                    say(format!("runs {script}, which is not there"));
                }
            }
        }
    }
    broken
}

fn is_trusted(job: &Value) -> bool {
    job["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag.as_str().unwrap().ends_with("-trusted")))
}

/// Whose artifacts and variables GitLab hands to a job: those of all earlier stages, unless it names them.
fn sources<'a>(job: &'a Value, pipeline: &'a Value, stage: &impl Fn(&Value) -> Option<usize>) -> Vec<&'a str> {
    let names = |list: &'a Value| -> Option<Vec<&'a str>> {
        let takes = |one: &&Value| one["artifacts"] != false;
        let name = |one: &'a Value| one["job"].as_str().or(one.as_str());
        Some(list.as_array()?.iter().filter(takes).filter_map(name).collect())
    };
    names(&job["dependencies"]).or_else(|| names(&job["needs"])).unwrap_or_else(|| {
        let jobs = pipeline.as_object().unwrap().iter().filter(|(_, other)| other.get("script").is_some());
        jobs.filter(|(_, other)| stage(other) < stage(job)).map(|(name, _)| name.as_str()).collect()
    })
}

/// Either runner is named by the factory's own tag, or another one could take the job. The trusted one is for protected refs.
fn tags(job: &Value, factory: &Factory, say: &mut impl FnMut(String)) {
    let trusted = is_trusted(job);
    let shared = factory.runner.kind == RunnerKind::Shared;
    let own = |kind: &str| json!([format!("{}-{kind}", factory.factory.name)]);
    let expected = if trusted {
        own("trusted")
    } else if shared {
        Value::Null
    } else {
        own("untrusted")
    };
    if job["tags"] != expected {
        say(format!("has the tags {}", job["tags"]));
    }
    if trusted && !protected_only(job) {
        say("serves refs that are not protected, on the trusted runner".into());
    }
    if !trusted && !job["environment"].is_null() {
        say("is an environment's, and so gets its variables, on a runner that is not trusted".into());
    }
}

/// Whether the rules let it run on protected refs only: all others are turned away first, or each rule asks for it.
fn protected_only(job: &Value) -> bool {
    let rules: Vec<&Value> = job["rules"].as_array().into_iter().flatten().collect();
    let says = |rule: &Value, what: &str| rule["if"].as_str().is_some_and(|condition| condition.contains(what));
    let is_and = |rule: &Value| !rule["if"].as_str().unwrap_or_default().contains("||");
    let is_or = |rule: &Value| !rule["if"].as_str().unwrap_or_default().contains("&&");
    match rules.first() {
        None => false,
        Some(first)
            if first["when"] == "never" && is_or(first) && says(first, "$CI_COMMIT_REF_PROTECTED != \"true\"") =>
        {
            true
        }
        Some(_) => rules
            .iter()
            .filter(|rule| rule["when"] != "never")
            .all(|rule| is_and(rule) && says(rule, "$CI_COMMIT_REF_PROTECTED == \"true\"")),
    }
}

/// What changes infrastructure waits for a human, alone, with the plan that was stored; the last environment is production.
fn changes(name: &str, job: &Value, factory: &Factory, say: &mut impl FnMut(String)) {
    let Some((kind, root)) = name.split_once(':') else { return };
    if ["plan", "apply"].contains(&kind) && job["resource_group"] != root {
        say("does not wait for others that work on the same root".into());
    }
    if kind == "plan" && (job["artifacts"]["access"] != "maintainer" || job["artifacts"]["expire_in"].is_null()) {
        say("lets guests read the plan, or keeps it for ever".into());
    }
    if kind != "apply" {
        return;
    }
    let rules = job["rules"].as_array().cloned().unwrap_or_default();
    for rule in rules.iter().filter(|rule| rule["when"] != "never") {
        if rule["when"] != "manual" || rule["allow_failure"] != false {
            say("does not wait for a human".into());
        }
    }
    let needs: Vec<_> =
        job["needs"].as_array().into_iter().flatten().filter_map(|n| n["job"].as_str().or(n.as_str())).collect();
    if needs != [format!("plan:{root}")] {
        say("does not take the stored plan".into());
    }
    let production = factory.environments.names.last().is_some_and(|last| last == root);
    if production != (job["environment"]["deployment_tier"] == "production") {
        say(format!("is of the tier {}", job["environment"]["deployment_tier"]));
    }
}

/// GitLab cancels what is interruptible of an older commit, and a gate that was canceled would be on record as failed.
#[test]
fn a_later_commit_cancels_no_gate_that_is_recorded() {
    if !crate::support::need("python") {
        return;
    }
    for combination in PAIRWISE.iter() {
        let pipeline = documents(&[combination.text(".gitlab-ci.yml")]).remove(0);
        let rules = pipeline["workflow"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 3, "{}", combination.name());
        for rule in rules {
            let proposed = rule["if"].as_str().unwrap().contains("merge_request_event");
            let kept = rule["auto_cancel"] == json!({"on_new_commit": "none"});
            assert_ne!(proposed, kept, "{}: {rule}", combination.name());
        }
    }
}

#[test]
fn what_breaks_a_rule_is_found() {
    let sound = r#"
stages: [validate, plan, apply]
validate: {stage: validate, tags: [NAME-untrusted], script: [scripts/check validate], rules: [{if: $CI_COMMIT_TAG}]}
plan:production:
  stage: plan
  tags: [NAME-trusted]
  resource_group: production
  dependencies: []
  script: [scripts/infra plan production]
  rules: [{if: $CI_COMMIT_REF_PROTECTED != "true", when: never}, {if: $CI_PIPELINE_SOURCE == "web"}]
  artifacts: {access: maintainer, expire_in: 1 day}
apply:production:
  stage: apply
  tags: [NAME-trusted]
  resource_group: production
  environment: {name: production, deployment_tier: production}
  needs: ["plan:production"]
  script: [scripts/infra apply production]
  rules: [{if: $CI_COMMIT_REF_PROTECTED == "true", when: manual, allow_failure: false}]
"#;
    if !crate::support::need("python") {
        return;
    }
    let combination = PAIRWISE.iter().find(|c| c.has("podman") && c.has("one")).unwrap();
    let (factory, tree) = (&combination.factory, &combination.tree);
    let named = |text: &str| text.replace("NAME", &factory.factory.name);
    let sound = named(sound);
    assert_eq!(broken(&documents(&[&sound])[0], factory, tree), Vec::<String>::new());
    for (from, to, expected) in [
        ("stage: plan\n", "stage: plans\n", "plan:production: the stage \"plans\" is not there"),
        ("[\"plan:production\"]", "[\"plan:prod\"]", "apply:production: needs plan:prod, which is not there"),
        (
            "stages: [validate, plan, apply]",
            "stages: [validate, apply, plan]",
            "apply:production: needs plan:production, which comes later",
        ),
        ("deployment_tier: production", "deployment_tier: prod", "apply:production: there is no tier prod"),
        ("deployment_tier: production", "deployment_tier: staging", "apply:production: is of the tier \"staging\""),
        ("tags: [NAME-untrusted], ", "", "validate: has the tags null"),
        (
            "tags: [NAME-untrusted]",
            "tags: [NAME-trusted]",
            "validate: serves refs that are not protected, on the trusted runner",
        ),
        (
            "tags: [NAME-trusted]\n  resource_group: production\n  env",
            "tags: [NAME-untrusted]\n  resource_group: production\n  env",
            "apply:production: is an environment's",
        ),
        (
            "!= \"true\", when: never",
            "!= \"true\" && $CI_COMMIT_TAG, when: never",
            "plan:production: serves refs that are not protected",
        ),
        (
            "== \"true\", when: manual",
            "== \"true\" || $CI_COMMIT_TAG, when: manual",
            "apply:production: serves refs that are not protected",
        ),
        ("  resource_group: production\n  dep", "  dep", "plan:production: does not wait for others"),
        ("  dependencies: []\n", "", "plan:production: takes what validate made, which is not trusted"),
        ("  dependencies: []\n", "  needs: [validate]\n", "plan:production: takes what validate made"),
        ("access: maintainer, ", "", "plan:production: lets guests read the plan"),
        (", when: manual", "", "apply:production: does not wait for a human"),
        ("scripts/check validate", "scripts/checks/gone", "validate: runs scripts/checks/gone, which is not there"),
    ] {
        let (from, to) = (named(from), named(to));
        assert!(sound.contains(&from), "{from:?}");
        let found = broken(&documents(&[&sound.replacen(&from, &to, 1)])[0], factory, tree);
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{to:?} is not found: {found:#?}");
    }
}
