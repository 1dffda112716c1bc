//! Jobs on runners: who gets which, what a runner says of them, and what becomes of the pipeline.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub, clippy::disallowed_methods)]

#[path = "support/plane.rs"]
mod plane;
#[path = "support/runner.rs"]
mod runner;
mod support;

use plane::Plane;
use runner::Runner;
use serde_json::{Value, json};

const CONFIG: &str = r#"
stages: [check, plan, ship]
check:
  stage: check
  tags: [untrusted]
  script: ["echo one", ["echo two"]]
plan:
  stage: plan
  tags: [trusted]
  image: debian:12
  variables: {COLOR: blue}
  environment: {name: production}
  allow_failure: {exit_codes: [78]}
  script: [scripts/plan]
  after_script: [echo bye]
  artifacts: {paths: [plan.cache], expire_in: 7 days}
ship:
  stage: ship
  tags: [trusted]
  when: manual
  script: [scripts/ship]
"#;

struct Site {
    plane: Plane,
    project: u64,
    trusted: Runner,
    untrusted: Runner,
}

impl Site {
    /// A project whose first push brought a pipeline, and its two runners.
    fn new() -> Option<Self> {
        let plane = Plane::start()?;
        let project = plane.project("control");
        let make = |tag: &str, access: &str| {
            let body = json!({
                "runner_type": "project_type", "project_id": project, "tag_list": [tag], "run_untagged": false, "access_level": access,
            });
            let made = plane.post("/user/runners", &body);
            Runner::new(&plane.url(), made.body["token"].as_str().unwrap())
        };
        let (trusted, untrusted) = (make("trusted", "ref_protected"), make("untrusted", "not_protected"));
        let variable = json!({ "key": "TOKEN", "value": "0123456789", "environment_scope": "production", "protected": true, "masked": true });
        assert_eq!(plane.post(&format!("/projects/{project}/variables"), &variable).status, 201);
        let work = plane.clone("control", &plane.owner_token());
        work.git(&["switch", "--quiet", "--create", "main"]);
        work.commit(".gitlab-ci.yml", CONFIG);
        assert!(work.push(&["origin", "main"]).ok());
        Some(Self { plane, project, trusted, untrusted })
    }

    fn get(&self, rest: &str) -> Value {
        let got = self.plane.get(&format!("/projects/{}{rest}", self.project));
        assert_eq!(got.status, 200, "{rest}: {}", got.body);
        got.body
    }

    /// The pipeline's state, and those of its jobs.
    fn states(&self) -> String {
        let pipeline = &self.get("/pipelines")[0];
        let mut jobs = self.get(&format!("/pipelines/{}/jobs", pipeline["id"])).as_array().unwrap().clone();
        jobs.sort_by_key(|job| job["id"].as_u64());
        let states: Vec<_> = jobs.iter().map(|job| job["status"].as_str().unwrap()).collect();
        format!("{}: {}", pipeline["status"].as_str().unwrap(), states.join(" "))
    }
}

#[test]
fn a_pipeline_runs_on_the_runners_that_fit() {
    let Some(site) = Site::new() else { return };
    assert_eq!(site.states(), "pending: pending created created");
    // Neither its tag nor its turn.
    assert!(site.trusted.take().is_none());
    let check = site.untrusted.take().unwrap();
    assert!(site.untrusted.take().is_none());
    assert_eq!(site.states(), "running: running created created");
    assert_eq!(check["steps"][0]["script"], json!(["echo one", "echo two"]));

    // A log grows at its end only, and the runner is told where that is.
    assert_eq!(site.untrusted.put(&check, "running", 0), 200);
    assert_eq!(site.untrusted.log(&check, 0, "one\n"), (202, "0-4".into()));
    assert_eq!(site.untrusted.log(&check, 9, "late\n"), (416, "0-4".into()));
    assert_eq!(site.untrusted.log(&check, 4, "two\n"), (202, "0-8".into()));
    assert_eq!(site.get(&format!("/jobs/{}/trace", check["id"])), "one\ntwo\n");
    let stranger = json!({ "id": check["id"], "token": "glcbt-another" });
    assert_eq!((site.untrusted.put(&stranger, "success", 0), site.untrusted.log(&stranger, 8, "x").0), (403, 403));
    assert_eq!(site.untrusted.put(&json!({ "id": 4711, "token": "x" }), "success", 0), 404);
    assert_eq!(site.untrusted.put(&check, "done", 0), 400);
    let archive = "\r\nwhat it built\r\n--limi";
    assert_eq!((site.untrusted.upload(&check, archive), site.untrusted.upload(&stranger, archive)), (201, 403));
    assert_eq!(site.untrusted.put(&check, "success", 0), 200);
    // Its token is worth nothing now.
    assert_eq!((site.untrusted.put(&check, "success", 0), site.untrusted.log(&check, 8, "x").0), (403, 403));
    assert_eq!(site.states(), "running: success pending created");
    let job = site.get(&format!("/jobs/{}", check["id"]));
    assert!(job["duration"].as_f64().unwrap() >= 0.0 && job["runner"]["id"].is_u64(), "{job}");
    assert_eq!(job["tag_list"], json!(["untrusted"]));

    // The trusted one gets all that it needs, secrets of the environment included.
    let plan = site.trusted.take().unwrap();
    let variable = |key: &str| {
        let all = plan["variables"].as_array().unwrap();
        all.iter().find(|variable| variable["key"] == key).unwrap_or_else(|| panic!("{key}: {plan}")).clone()
    };
    assert_eq!(variable("COLOR")["value"], "blue");
    assert_eq!((&variable("TOKEN")["value"], &variable("TOKEN")["masked"]), (&json!("0123456789"), &json!(true)));
    assert_eq!(variable("CI_COMMIT_REF_PROTECTED")["value"], "true");
    assert_eq!((&plan["image"]["name"], &plan["steps"][1]["name"]), (&json!("debian:12"), &json!("after_script")));
    assert_eq!(
        (&plan["artifacts"][0]["artifact_format"], &plan["artifacts"][0]["paths"]),
        (&json!("zip"), &json!(["plan.cache"]))
    );
    // What an earlier stage built is there for its token, and only while it runs.
    let token = plan["token"].as_str().unwrap();
    assert_eq!((&plan["dependencies"][0]["id"], plan["dependencies"].as_array().unwrap().len()), (&check["id"], 1));
    assert_eq!(site.trusted.download(&check["id"], token), (200, archive.into()));
    assert_eq!(site.trusted.download(&plan["id"], token).0, 404);
    assert_eq!(site.trusted.download(&check["id"], "glcbt-another").0, 403);
    // So is what it fetches.
    let address = plan["git_info"]["repo_url"].as_str().unwrap();
    let refspec = plan["git_info"]["refspecs"][0].as_str().unwrap();
    let work = site.plane.clone("control", &site.plane.owner_token());
    let fetched = work.git(&["ls-remote", address, refspec.split(':').next().unwrap().trim_start_matches('+')]);
    assert!(fetched.starts_with(plan["git_info"]["sha"].as_str().unwrap()), "{fetched}");
    // With this exit code it may fail; then the pipeline waits for a person.
    assert_eq!(site.trusted.put(&plan, "failed", 78), 200);
    assert!(plane::git(&work.path, &["ls-remote", address]).refused("Access denied"));
    assert_eq!(site.trusted.download(&check["id"], token).0, 403);
    assert_eq!(site.states(), "success: success failed manual");
    let tokens = site.plane.get("/personal_access_tokens").body;
    assert!(tokens.as_array().unwrap().iter().all(|token| token["name"] != "job"), "{tokens}");
}

#[test]
fn another_exit_code_fails_the_pipeline() {
    let Some(site) = Site::new() else { return };
    let script = |name: &str| if name == "plan" { ("it broke\n".into(), 1) } else { ("fine\n".into(), 0) };
    assert!(site.untrusted.play(&script) && site.trusted.play(&script) && !site.trusted.play(&script));
    assert_eq!(site.states(), "failed: success failed skipped");
    let plan = site.get("/jobs?scope[]=failed")[0].clone();
    assert_eq!((&plan["failure_reason"], &plan["allow_failure"]), (&json!("script_failure"), &json!(false)));
    assert_eq!(site.get(&format!("/jobs/{}/trace", plan["id"])), "it broke\n");
}
