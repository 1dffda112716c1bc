//! A new application repo, and what the control repo gets for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use factoryup::Kind;
use factoryup::app::{AppKind, Made, Request, add};
use serde_json::Value;

use crate::control_repo::{ANSWERS, ControlRepo, clean, passed, stdout, terraform, text};
use crate::support;

pub const KINDS: [(AppKind, &str); 2] = [(AppKind::Static, "site"), (AppKind::Http, "shop")];

/// Runs a program of a repo, with the tests' tools on `PATH` and without the variables of a pipeline.
pub fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let program = if program.contains('/') { folder.join(program) } else { PathBuf::from(program) };
    clean(&program).args(arguments).current_dir(folder).output().unwrap()
}

pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
    passed(&run(folder, "git", &[&identity[..], arguments].concat()))
}

pub fn ready() -> bool {
    support::available(&["git", "jq", "python3", "shellcheck", "tar"])
}

/// A control repo and an application beside it.
pub fn made(control: &ControlRepo, kind: AppKind, name: &str) -> PathBuf {
    let folder = control.path().with_file_name(name);
    let path = control.path();
    let mut request = Request::new(&path, &control.factory, name, kind);
    request.description = "What people come for".into();
    let added = add(&request).unwrap();
    assert_eq!((added.made, added.folder), (Made::Created, folder.clone()));
    folder
}

#[test]
fn each_kind_is_one_clean_commit_that_passes_its_own_check() {
    if !ready() {
        return;
    }
    for (answers, _) in ANSWERS {
        let control = ControlRepo::new(answers);
        for (kind, name) in KINDS.into_iter().chain([(AppKind::Container, "box")]) {
            let folder = made(&control, kind, name);
            assert_eq!(git(&folder, &["rev-list", "--count", "HEAD"]).trim(), "1");
            passed(&run(&folder, ".factory/check", &[]));
            assert_eq!(git(&folder, &["status", "--porcelain", "--ignored"]), "", "{answers} {name}: left something");
            assert_eq!(folder.join("CLAUDE.md").exists(), control.path().join("CLAUDE.md").exists());
            assert_eq!(
                folder.join(".factory/deploy").exists(),
                answers != "no-host" && answers != "three-environments"
            );
            let scripts = git(&folder, &["ls-files", ".factory"]);
            let scripts: Vec<&str> = scripts
                .lines()
                .filter(|path| ![".factory/app.conf", ".factory/.gitignore", ".factory/ci.yml"].contains(path))
                .collect();
            passed(&run(&folder, "shellcheck", &scripts));
            for script in scripts.iter().filter(|path| !path.starts_with(".factory/checks/")) {
                let help = passed(&run(&folder, script, &["--help"]));
                assert!(help.contains(&format!("usage: {script}")), "{help}");
            }
        }
        assert_eq!(git(&control.path(), &["status", "--porcelain"]), "", "{answers}: the work tree was touched");
    }
}

#[test]
fn the_build_is_the_same_for_the_same_commit() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let folder = made(&control, AppKind::Http, "shop");
    let sum = || {
        fs::remove_dir_all(folder.join(".factory/dist")).ok();
        assert_eq!(passed(&run(&folder, ".factory/build", &["v1"])), ".factory/dist/shop-v1.tar.gz\n");
        passed(&run(&folder, "sha256sum", &[".factory/dist/shop-v1.tar.gz"]))
    };
    let one = sum();
    // What is not committed is no part of it.
    fs::write(folder.join("bin/serve"), "#!/bin/sh\n").unwrap();
    fs::write(folder.join("bin/notes"), "mine\n").unwrap();
    assert_eq!(one, sum());
    let listing = passed(&run(&folder, "tar", &["-tzf", ".factory/dist/shop-v1.tar.gz"]));
    assert_eq!(
        listing.lines().collect::<Vec<_>>(),
        [".factory/app.conf", ".factory/deploy", ".factory/run", "bin/", "bin/serve"]
    );
    // A folder that has what the build links there.
    let conf = fs::read_to_string(folder.join(".factory/app.conf")).unwrap();
    fs::write(folder.join(".factory/app.conf"), conf + "folder=bin\n").unwrap();
    fs::create_dir(folder.join("bin/.factory")).unwrap();
    fs::write(folder.join("bin/.factory/mine"), "").unwrap();
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "A folder"]);
    let output = run(&folder, ".factory/build", &["v2"]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output));
    assert!(text(&output).contains("bin/.factory exists"), "{}", text(&output));
}

#[test]
fn what_breaks_the_contract_is_found() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let folder = made(&control, AppKind::Http, "shop");
    let conf = fs::read_to_string(folder.join(".factory/app.conf")).unwrap();
    std::os::unix::fs::symlink("bin", folder.join("linked")).unwrap();
    for (from, to, finding) in [
        ("name=shop", "name=Shop", "name must match"),
        ("port.production=8100", "port.production=80", "port.production must be in 1024 to 65535"),
        ("files=bin", "files=bin gone", "files names gone"),
        ("run=bin/serve", "run=AGENTS.md", "not there or not executable"),
        ("run=bin/serve", "site=bin", "health names bin/healthz, which is not there"),
        ("overlap=yes", "overlap=maybe", "overlap must match"),
        ("drain=10", "drain=0", "drain must match"),
        ("memory=512M", "memory=512", "memory must match"),
        ("health=/healthz", "health=healthz", "health must match"),
        ("keep=5", "keep = 5", "not KEY=value"),
        ("keep=5", "keep=5\nmigrate_seconds=0", "migrate_seconds must match"),
        ("keep=5", "keep=5\nworker.a-name-too-long-for-it=x", "worker.a-name-too-long-for-it must match"),
        ("keep=5", "keep=5\nworker.mail=", "worker.mail names no command"),
        ("run=bin/serve", "site=bin\nworker.mail=x", "a site runs no program"),
        ("port.staging=8101", "port.staging=8100", "used twice: port 8100"),
        ("keep=5", "keep=5\nfolder=a:b", "folder must match"),
        ("keep=5", "keep=5\nfolder=bin/../bin", "folder names bin/../bin, which is no folder of this repository"),
        ("keep=5", "keep=5\nfolder=linked", "folder names linked, which is no folder of this repository"),
    ] {
        assert!(conf.contains(from), "{conf}");
        fs::write(folder.join(".factory/app.conf"), conf.replace(from, to)).unwrap();
        let output = run(&folder, ".factory/check", &[]);
        assert_eq!(output.status.code(), Some(1), "{to}: {}", text(&output));
        assert!(stdout(&output).contains(finding), "{to}: {}", text(&output));
    }
    fs::remove_file(folder.join("linked")).unwrap();
    // Those of an application that is older than the key, or does not need it.
    fs::write(folder.join(".factory/app.conf"), conf.replace("overlap=yes\ndrain=10\nmemory=512M\n", "")).unwrap();
    passed(&run(&folder, ".factory/check", &[]));
    fs::remove_file(made(&control, AppKind::Static, "site").join("public/style.css")).unwrap();
    let said = text(&run(&control.path().with_file_name("site"), ".factory/check", &[]));
    assert!(said.contains("index.html: style.css") && said.contains("failed: tests"), "{said}");
}

#[test]
fn a_second_run_changes_nothing_and_ports_are_never_given_twice() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let path = control.path();
    let ports = |name| {
        let added = add(&Request::new(&path, &control.factory, name, AppKind::Http)).unwrap();
        added.ports.into_iter().map(|(_, port)| port).collect::<Vec<_>>()
    };
    assert_eq!(ports("one"), [8101, 8100]);
    // The first is not merged yet.
    assert_eq!(ports("two"), [8103, 8102]);
    let refs = git(&path, &["for-each-ref"]);
    let again = add(&Request::new(&path, &control.factory, "one", AppKind::Http)).unwrap();
    assert_eq!((again.made, again.branch_is_new), (Made::AlreadyThere, false));
    assert_eq!(again.branch.as_deref(), Some("factory/app-one"));
    assert_eq!(git(&path, &["for-each-ref"]), refs);

    git(&path, &["merge", "-q", "--ff-only", "factory/app-one"]);
    git(&path, &["branch", "-qD", "factory/app-one"]);
    git(&path, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let merged = add(&Request::new(&path, &control.factory, "one", AppKind::Http)).unwrap();
    assert_eq!((merged.made, merged.branch), (Made::AlreadyThere, None));
    assert_eq!(ports("three"), [8105, 8104]);
}

#[test]
fn only_a_place_that_is_free_is_written_to() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let path = control.path();
    let folder = path.with_file_name("shop");
    let refused = |name: &str| add(&Request::new(&path, &control.factory, name, AppKind::Http)).unwrap_err();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("notes"), "mine").unwrap();
    let error = refused("shop");
    assert_eq!(error.kind(), Kind::CannotWrite);
    assert!(error.to_string().contains("is not empty"), "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(git(&path, &["branch", "--list", "factory/*"]), "");
    fs::remove_file(folder.join("notes")).unwrap();
    made(&control, AppKind::Http, "shop");

    fs::write(path.with_file_name("file"), "").unwrap();
    assert!(refused("file").to_string().contains("is not a directory"));
    // The repo of another application is not this one.
    let mut other = Request::new(&path, &control.factory, "other", AppKind::Http);
    other.folder = Some(folder);
    assert_eq!(add(&other).unwrap_err().kind(), Kind::CannotWrite);
    assert_eq!(refused("Shop").kind(), Kind::Usage);
    assert_eq!(refused("shop-staging").kind(), Kind::Usage);
    let elsewhere = Request::new(path.parent().unwrap(), &control.factory, "x2", AppKind::Http);
    assert_eq!(add(&elsewhere).unwrap_err().kind(), Kind::Data);
    git(&path, &["rm", "-q", "templates/deploy/template.yml"]);
    git(&path, &["commit", "-qm", "Remove a component"]);
    git(&path, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    assert!(refused("late").to_string().contains("has no templates/deploy/template.yml"));
}

/// Nothing is deployed by a script there, so none is in the artifact; and what is missing fails the build.
#[test]
fn a_factory_without_a_host_builds_too() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("no-host");
    let folder = made(&control, AppKind::Http, "site");
    assert!(!folder.join(".factory/deploy").exists());
    let built = run(&folder, ".factory/build", &["v1"]);
    assert_eq!(passed(&built), ".factory/dist/site-v1.tar.gz\n");
    assert!(built.stderr.is_empty(), "{}", text(&built));
    let conf = fs::read_to_string(folder.join(".factory/app.conf")).unwrap();
    for (from, to, finding) in [
        ("files=", "files=gone ", "files names gone, which is missing"),
        ("run=bin/serve", "run=bin/gone", "run names bin/gone, which is missing or not executable"),
        (
            "run=bin/serve",
            "run=tests/test_serve.py",
            "run names tests/test_serve.py, which is missing or not executable",
        ),
        ("files=bin", "files=tests", "files leaves out bin/serve"),
        ("run=bin/serve", "site=gone", "site names gone, which is missing"),
        ("name=", "build.1=true\nbuild.2=exit 7\nname=", "this build step failed: exit 7"),
        ("name=", "build.1=no-such-tool --all\nname=", "no-such-tool is not installed"),
        ("name=", "build.1=mkdir out\npublic=out\nname=", "the build made no out/index.html"),
        ("name=", "public=/tmp\nname=", "public must be a folder of this repository"),
        ("name=", "public=bin/../..\nname=", "public must be a folder of this repository"),
    ] {
        assert!(conf.contains(from), "{conf}");
        fs::write(folder.join(".factory/app.conf"), conf.replacen(from, to, 1)).unwrap();
        git(&folder, &["commit", "-qam", to]);
        let output = run(&folder, ".factory/build", &["v2"]);
        assert!(!output.status.success() && text(&output).contains(finding), "{to}: {}", text(&output));
        assert_eq!(git(&folder, &["status", "--porcelain"]), "", "{to}");
        assert_eq!(fs::read_dir(folder.join(".factory/dist")).unwrap().count(), 1, "{to}");
    }
}

#[test]
fn the_control_repos_check_reads_the_entry() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("everything");
    made(&control, AppKind::Http, "shop");
    git(&control.path(), &["merge", "-q", "--ff-only", "factory/app-shop"]);
    passed(&control.run(&["scripts/check", "data", "docs"]));
    let good = control.read("infra/apps/shop.json");
    for (from, to, finding) in [
        ("\"port\": 8101", "\"port\": 80", "staging: port must be"),
        ("\"port\": 8101", "\"port\": 8100", "port 8100: more than one"),
        ("\"public\": false", "\"public\": \"no\"", "public must be true or false"),
        ("\"tier\": \"staging\"", "\"tier\": \"stag\"", "unknown tier"),
        ("\"tier\": \"staging\"", "\"level\": \"staging\"", "knows only tier, port and public"),
        ("\"description\"", "\"about\"", "delete about: only description, default_branch and environments are read"),
        ("{\n", "{\n\"first_push\": false,\n\"agent_user_id\": 7,\n", "delete agent_user_id, first_push: only"),
        ("{\n", "{{\n", "not valid JSON"),
    ] {
        assert!(good.contains(from), "{good}");
        control.write("infra/apps/shop.json", &good.replacen(from, to, 1));
        let output = control.run(&["scripts/check", "data"]);
        assert_eq!(output.status.code(), Some(1), "{to}: {}", text(&output));
        assert!(text(&output).contains(finding), "{to}: {}", text(&output));
    }
}

#[test]
fn merged_it_becomes_a_project_and_a_route() {
    if !ready() || !terraform() {
        return;
    }
    let control = ControlRepo::new("everything");
    made(&control, AppKind::Http, "shop");
    git(&control.path(), &["merge", "-q", "--ff-only", "factory/app-shop"]);
    passed(&control.offline(&["scripts/check", "infra-format", "infra"], &[]));
    let show = |root: &str, resource: &str| {
        let variables = [
            ("CI_PROJECT_ID", "7"),
            ("CI_JOB_TOKEN", "job-token"),
            ("CI_COMMIT_REF_PROTECTED", "true"),
            ("CONTROL_PLANE_PLAN_TOKEN", "read"),
            ("CLOUDFLARE_PLAN_TOKEN", "read"),
            ("STATE_PASSPHRASE", "sixteen characters"),
        ];
        let output = control.offline(&["--state", "sh", "-euc", &format!("scripts/infra plan {root}")], &variables);
        let plan = passed(&output);
        assert!(plan.contains(resource), "{root}: no {resource} in {plan}");
        plan
    };
    show("control-plane", "module.app[\"shop\"].gitlab_project.this");
    let staging = show("staging", "module.edge.cloudflare_dns_record.route[\"shop\"]");
    assert!(staging.contains("staging-shop.example.org") && staging.contains("http://127.0.0.1:8101"), "{staging}");
    let production = show("production", "module.edge.cloudflare_zero_trust_access_application.guarded[\"shop\"]");
    assert!(production.contains("http://127.0.0.1:8100"), "{production}");
}

/// A YAML file as JSON: its documents.
fn yaml(folder: &Path, path: &str) -> Value {
    let load = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let output = run(folder, support::tool("python").unwrap().to_str().unwrap(), &["-c", load, path]);
    serde_json::from_str(&passed(&output)).unwrap()
}

/// Every component that the pipeline includes is at this version in the control repo as it is checked out, and takes the inputs that
/// it is given; returns their texts.
fn components(folder: &Path, control: &Path, version: &str) -> Vec<String> {
    let pipeline = yaml(folder, ".factory/ci.yml")[0].clone();
    let mut texts = Vec::new();
    for include in &pipeline["include"].as_array().unwrap()[1..] {
        let component = include["component"].as_str().unwrap();
        let (path, at) = component.split_once('@').unwrap();
        assert!(path.starts_with("$CI_SERVER_FQDN/"), "{path}");
        assert_eq!(at, version);
        let name = path.rsplit('/').next().unwrap();
        let template = format!("templates/{name}/template.yml");
        let known = yaml(control, &template)[0]["spec"]["inputs"].clone();
        let given = include.get("inputs").cloned().unwrap_or_default();
        for (input, value) in given.as_object().into_iter().flatten() {
            assert!(known.get(input).is_some(), "{name} has no input {input}");
            let options = known[input].get("options").and_then(Value::as_array);
            assert!(options.is_none_or(|options| options.contains(value)), "{name}: {input} cannot be {value}");
        }
        for (input, spec) in known.as_object().unwrap() {
            let there = given.get(input).is_some() || spec.get("default").is_some();
            assert!(there, "{name} needs the input {input}");
        }
        texts.push(fs::read_to_string(control.join(template)).unwrap());
    }
    texts
}

#[test]
fn the_pipeline_names_components_that_are_there_with_inputs_that_they_have() {
    if !ready() || !support::available(&["python"]) {
        return;
    }
    for (answers, _) in ANSWERS {
        let control = ControlRepo::new(answers);
        let folder = made(&control, AppKind::Http, "shop");
        let pipeline = yaml(&folder, ".factory/ci.yml")[0].clone();
        let schema: Value = serde_json::from_str(include_str!("../support/data/gitlab-ci.schema.json")).unwrap();
        let faults: Vec<_> =
            jsonschema::validator_for(&schema).unwrap().iter_errors(&pipeline).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{answers}: {faults:?}");
        // GitLab's own scanner brings jobs into this stage, and only this one.
        assert_eq!(pipeline["include"][0], serde_json::json!({"template": "Jobs/SAST.gitlab-ci.yml"}));
        assert_eq!(pipeline["stages"][1], "test");
        components(&folder, &control.path(), git(&control.path(), &["rev-parse", "HEAD"]).trim());
        // What builds does not deploy, and takes nothing that a job before it could have made.
        let [spec, build] = [0, 1].map(|at| yaml(&control.path(), "templates/build/template.yml")[at].clone());
        assert_eq!(spec["spec"]["inputs"]["tags"]["default"], serde_json::json!(["trusted-build"]));
        assert_eq!(build["build"]["dependencies"], serde_json::json!([]));
        let deploy = yaml(&control.path(), "templates/deploy/template.yml")[0].clone();
        assert_eq!(deploy["spec"]["inputs"]["tags"]["default"], serde_json::json!(["trusted"]));
    }
}

/// The runbook roll-back-release, "A component": a release of the control repo made the checks of every application vanish.
#[test]
fn an_application_goes_back_to_the_components_of_a_good_release() {
    if !ready() || !support::available(&["python"]) {
        return;
    }
    let control = ControlRepo::new("defaults");
    let top = control.path();
    let runbook = control.read("docs/runbooks/roll-back-release.md");
    assert!(runbook.contains("set every include of a component to the last good commit or tag"), "{runbook}");
    git(&top, &["tag", "v1.0.0"]);
    let good = control.read("templates/check/template.yml");
    control.edit("templates/check/template.yml", "$[[ inputs.run ]]", "true");
    git(&top, &["commit", "-qam", "Make the checks faster"]);
    git(&top, &["tag", "v1.1.0"]);
    git(&top, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let folder = made(&control, AppKind::Http, "shop");
    let bad = git(&top, &["rev-parse", "v1.1.0"]);
    assert_ne!(components(&folder, &top, bad.trim())[0], good);
    // In the application, what was given out with it goes; the check that its own jobs run has nothing against a tag.
    let pipeline = fs::read_to_string(folder.join(".factory/ci.yml")).unwrap();
    let includes = pipeline.lines().filter(|line| line.contains("- component: ")).count();
    fs::write(folder.join(".factory/ci.yml"), pipeline.replace(&format!("@{}", bad.trim()), "@v1.0.0")).unwrap();
    passed(&run(&folder, ".factory/check", &[]));
    git(&folder, &["commit", "-qam", "Go back to the components of v1.0.0"]);
    git(&top, &["switch", "-q", "--detach", "v1.0.0"]);
    let texts = components(&folder, &top, "v1.0.0");
    assert_eq!((texts.len(), &texts[0]), (includes, &good));
}
