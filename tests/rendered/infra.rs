//! Planning and applying, for real, against stand-ins for the providers and for GitLab's states.

use std::fs;

use crate::control_repo::{ControlRepo, passed, stdout, terraform, text};
use crate::support;

const CREDENTIALS: [(&str, &str); 8] = [
    ("CI_PROJECT_ID", "7"),
    ("CI_JOB_TOKEN", "job-token"),
    ("CI_COMMIT_REF_PROTECTED", "true"),
    ("CONTROL_PLANE_PLAN_TOKEN", "read"),
    ("CONTROL_PLANE_APPLY_TOKEN", "write"),
    ("CLOUDFLARE_PLAN_TOKEN", "read"),
    ("CLOUDFLARE_APPLY_TOKEN", "write"),
    ("STATE_PASSPHRASE", "sixteen characters"),
];

pub(crate) fn ready() -> bool {
    support::available(&["git", "jq"]) && terraform()
}

/// Runs a shell program in one world of states.
pub(crate) fn story(repo: &ControlRepo, program: &str, without: &str) -> std::process::Output {
    let commit = repo.git(&["rev-parse", "HEAD"]);
    let mut variables: Vec<_> = CREDENTIALS.into_iter().filter(|(name, _)| *name != without).collect();
    variables.push(("CI_COMMIT_SHA", commit.trim()));
    repo.offline(&["--state", "sh", "-euc", program], &variables)
}

#[test]
fn every_root_is_planned_applied_and_then_right() {
    if !ready() {
        return;
    }
    for name in ["everything", "no-host"] {
        let repo = ControlRepo::new(name);
        for root in repo.roots() {
            let program = format!("scripts/infra plan {root}; scripts/infra apply {root}; scripts/infra plan {root}");
            let output = passed(&story(&repo, &program, ""));
            assert!(output.contains("Apply complete!") && output.contains("No changes."), "{name}: {output}");
            let folder = if root == "control-plane" {
                "infra/control-plane".into()
            } else {
                format!("infra/environments/{root}")
            };
            assert_eq!(
                repo.read(&format!("{folder}/plan-summary.json")).trim(),
                r#"{"create":0,"update":0,"delete":0}"#
            );
        }
        assert_eq!(repo.git(&["status", "--porcelain"]), "", "{name}: planning left something behind");
    }
}

#[test]
fn a_change_is_shown_and_judged_before_it_is_merged() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let preview = |arguments: &[&str]| repo.offline(&[&["scripts/infra", "preview"], arguments].concat(), &[]);
    let head = repo.git(&["rev-parse", "HEAD"]);
    let unchanged = passed(&preview(&[head.trim()]));
    assert!(unchanged.lines().all(|line| line.ends_with(": 0 lines change")), "{unchanged}");

    let tfvars = "infra/environments/staging/terraform.tfvars";
    let values = repo.read(tfvars);
    let with = |routes: &str| repo.write(tfvars, &values.replace("routes = {}", &format!("routes = {{ {routes} }}")));
    with("app = { service = \"http://127.0.0.1:8080\" }");
    let changes = passed(&preview(&[head.trim()]));
    let record = "+module.edge.cloudflare_dns_record.route[\"app\"] name = \"staging-app.";
    assert!(changes.contains(record) && changes.contains("== production: 0 lines change"), "{changes}");
    assert!(passed(&preview(&[])).contains(&record[1..]));

    // What policy refuses after the merge is refused before it, and so is what no plan would accept.
    let module = "infra/modules/edge/main.tf";
    let code = repo.read(module);
    for (from, to, why) in [
        (
            "[for address in var.access_emails : { email = { email = address } }]",
            "[{ everyone = {} }]",
            "refused: create of module.edge.cloudflare_zero_trust_access_policy.members",
        ),
        ("proxied = true", "proxied = \"some\"", "error: "),
    ] {
        assert!(code.contains(from), "{from}");
        repo.write(module, &code.replace(from, to));
        let output = preview(&[]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
        assert_eq!(stdout(&output), "");
    }
    repo.write(module, &code);
    let checked = repo.offline(&["scripts/check", "infra"], &[("CI_MERGE_REQUEST_DIFF_BASE_SHA", head.trim())]);
    passed(&checked);
    assert!(repo.read("plan-preview.txt").contains(record));
    assert!(!repo.git(&["status", "--porcelain"]).contains("plan-preview"));
}

#[test]
fn drift_is_told_by_its_exit_code() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let output = story(&repo, "scripts/infra drift control-plane", "");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(stdout(&output).contains("to add"), "{}", text(&output));
    let program =
        "scripts/infra plan control-plane; scripts/infra apply control-plane; scripts/infra drift control-plane";
    passed(&story(&repo, program, ""));
}

#[test]
fn only_the_checked_plan_of_this_commit_is_applied() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let refused = |program: &str, code: i32, why: &str| {
        let output = story(&repo, program, "");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
        assert!(!text(&output).contains("Apply complete!"));
    };
    refused("scripts/infra apply staging", 65, "has no stored plan");
    passed(&story(&repo, "scripts/infra plan staging", ""));
    refused(
        "CI_COMMIT_REF_PROTECTED=false scripts/infra apply staging",
        77,
        "only a pipeline on a protected ref applies",
    );
    let other = "CI_COMMIT_SHA=0000000000000000000000000000000000000000 scripts/infra apply staging";
    refused(other, 65, "of another commit");
    let plan = repo.path().join("infra/environments/staging/plan.cache");
    let mut bytes = fs::read(&plan).unwrap();
    bytes.push(0);
    fs::write(&plan, bytes).unwrap();
    refused("scripts/infra apply staging", 65, "is not the one that was checked");
}

#[test]
fn missing_credentials_are_told_apart_from_failure() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    for (missing, command) in [
        ("CLOUDFLARE_PLAN_TOKEN", "plan production"),
        ("CONTROL_PLANE_PLAN_TOKEN", "plan control-plane"),
        ("STATE_PASSPHRASE", "plan production"),
        ("CLOUDFLARE_PLAN_TOKEN", "drift staging"),
    ] {
        let output = story(&repo, &format!("scripts/infra {command}"), missing);
        assert_eq!(output.status.code(), Some(78), "{}", text(&output));
        assert!(text(&output).contains(&format!("{missing} is not set")), "{}", text(&output));
    }
}

#[test]
fn what_would_be_deleted_has_to_be_named_first() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let tfvars = "infra/environments/staging/terraform.tfvars";
    let without = repo.read(tfvars);
    let with = without.replace("routes = {}", "routes = { app = { service = \"http://127.0.0.1:8080\" } }");
    repo.write("with.tfvars", &with);
    repo.write("without.tfvars", &without);
    // The exceptions name one of the two resources, then both.
    let exception = |address: &str, until: &str| {
        let address = address.replace('"', "\\\"");
        format!(
            r#"{{"root": "staging", "address": "{address}", "action": "delete", "reason": "gone", "until": "{until}"}}"#
        )
    };
    let record = r#"module.edge.cloudflare_dns_record.route["app"]"#;
    let access = r#"module.edge.cloudflare_zero_trust_access_application.guarded["app"]"#;
    let policy = "infra/policy/allowed-changes.json";
    let none = repo.read(policy);
    let put = |name: &str, exceptions: &[String]| {
        repo.write(name, &none.replace("\"exceptions\": []", &format!("\"exceptions\": [{}]", exceptions.join(","))));
    };
    put("one.json", &[exception(record, "2999-12-31")]);
    put("old.json", &[exception(record, "2999-12-31"), exception(access, "2020-01-01")]);
    put("both.json", &[exception(record, "2999-12-31"), exception(access, "2999-12-31")]);
    let program = format!(
        "cp with.tfvars {tfvars}; scripts/infra plan staging; scripts/infra apply staging
         cp without.tfvars {tfvars}
         for policy in one old both; do
             cp $policy.json {policy}
             scripts/infra plan staging && echo $policy: planned || echo $policy: refused
         done
         scripts/infra apply staging"
    );
    let output = story(&repo, &program, "");
    let all = passed(&output);
    assert!(all.contains("one: refused") && all.contains("old: refused") && all.contains("both: planned"), "{all}");
    assert!(text(&output).contains(&format!("refused: delete of {access}")), "{}", text(&output));
    assert!(!text(&output).contains(&format!("refused: delete of {record}")), "{}", text(&output));
    assert!(all.contains("2 destroyed"), "{all}");
}

#[test]
fn a_backup_can_be_verified_and_cloned_and_damage_is_found() {
    if !support::available(&["curl", "ssh-keygen"]) || !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let key = repo.path().join("../key");
    let make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()];
    passed(&repo.run(&make));
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    repo.write("evidence/allowed_signers", &format!("ci namespaces=\"factory-evidence\" {public}"));
    repo.git(&["add", "evidence"]);
    repo.git(&["commit", "-q", "--amend", "--no-edit"]);
    let bare = repo.path().join("../origin.git");
    repo.git(&["clone", "--quiet", "--bare", ".", bare.to_str().unwrap()]);
    repo.git(&["remote", "set-url", "origin", bare.to_str().unwrap()]);
    // A job of CI: with its own token, and the key in a file.
    let program = "! scripts/backup drill
         EVIDENCE_SIGNING_KEY=../key CI_PIPELINE_ID=7 scripts/evidence gate
         scripts/infra plan staging; scripts/infra apply staging
         GITLAB_TOKEN=t scripts/backup make ../backup; scripts/backup verify ../backup; scripts/backup drill";
    let output = story(&repo, program, "");
    assert!(text(&output).contains("the evidence that was restored is not whole"), "{}", text(&output));
    let output = passed(&output);
    assert!(output.contains("../backup: 1 commits, 2 states\n../backup: 1 commits, 2 states\n"), "{output}");
    assert!(output.contains("1 statements, 1 commits: all recorded, signed and in order"), "{output}");
    let commit = repo.git(&["rev-parse", "HEAD"]);
    assert!(output.contains(&format!("restored at {} from a copy of ", commit.trim())), "{output}");
    let state = repo.path().join("../backup/states/staging.json");
    assert!(fs::read_to_string(&state).unwrap().contains("cloudflare_zero_trust_tunnel_cloudflared"));

    fs::write(&state, "{}").unwrap();
    let damaged = repo.run(&["scripts/backup", "verify", "../backup"]);
    assert_eq!(damaged.status.code(), Some(65), "{}", text(&damaged));
    assert!(text(&damaged).contains("../backup is damaged"), "{}", text(&damaged));
    assert_eq!(repo.run(&["scripts/backup", "make", "../backup"]).status.code(), Some(73));
}

#[test]
fn an_unreadable_plan_is_not_an_empty_one() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let check = |input: &str| {
        repo.write("plan.json", input);
        repo.run(&["scripts/plan-policy", "plan.json", "control-plane"]).status.success()
    };
    assert!(check("{}") && check(r#"{"resource_changes": []}"#));
    assert!(!check("") && !check("not JSON") && !check(r#"{"resource_changes": "#));
}
