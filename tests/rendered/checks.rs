//! `scripts/check`: each check passes as generated, and fails for what it is there to find.

use factoryup::templating::tree::Mode;

use crate::combinations::PAIRWISE;
use crate::control_repo::{ControlRepo, passed, stdout, terraform, text};
use crate::support::{self, make_program};

pub(crate) fn ready() -> bool {
    support::available(&["git", "jq", "shellcheck", "yamllint"])
}

/// Runs a check, which has to fail and to say `finding`.
pub(crate) fn finds(repo: &ControlRepo, check: &str, finding: &str) {
    let output = repo.run(&["scripts/check", check]);
    let all = text(&output);
    assert_eq!(output.status.code(), Some(1), "{check} did not fail: {all}");
    assert!(all.contains(finding), "{check} does not say {finding:?}: {all}");
}

/// Each form of each script, in a repo that has it.
#[test]
fn every_script_explains_itself_and_refuses_what_it_does_not_know() {
    if !ready() {
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for combination in PAIRWISE.iter() {
        let scripts = combination.tree.files.iter().filter(|f| f.mode == Mode::Executable);
        let new: Vec<&str> = scripts.filter(|f| seen.insert((&f.path, &f.bytes))).map(|f| f.path.as_str()).collect();
        if new.is_empty() {
            continue;
        }
        let name = combination.name();
        let repo = ControlRepo::of(&combination.toml);
        for script in new {
            let help = passed(&repo.run(&[script, "--help"]));
            // What is installed on the host is called there by its name.
            let called = script.strip_prefix("scripts/host/").unwrap_or(script);
            assert!(help.contains(&format!("usage: {called}")), "{name}: {script} --help prints {help}");
            if !script.starts_with("scripts/checks/") {
                let wrong = repo.run(&[script, "no-such-thing"]);
                let code = wrong.status.code().unwrap();
                assert!([64, 65, 69, 77].contains(&code), "{name}: {script} no-such-thing: {}", text(&wrong));
            }
        }
    }
    assert!(seen.len() > 25, "{} scripts", seen.len());
}

#[test]
fn a_dead_link_a_dead_anchor_and_a_missing_script_are_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    passed(&repo.run(&["scripts/check", "docs"]));
    repo.write("docs/new.md", "# New\n\n[a](gone.md) [b](../README.md#gone) [c](#new) `[d](code.md)` scripts/gone\n");
    finds(&repo, "docs", "docs/new.md:3: no such file: gone.md");
    finds(&repo, "docs", "docs/new.md:3: no such heading: ../README.md#gone");
    finds(&repo, "docs", "docs/new.md:3: no such script: scripts/gone");
    let found = stdout(&repo.run(&["scripts/check", "docs"]));
    assert_eq!(found.lines().count(), 4, "{found}");
}

#[test]
fn a_runbook_out_of_form_is_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let (runbook, index) = ("docs/runbooks/runner-down.md", "docs/runbooks/README.md");
    let headings = "second-level headings must be, in this order: What you see, What to do, It is over when, Undo, ";
    let late = "runner-down.md: the first command must be within the five lines below the title";
    for (path, from, to, finding) in [
        (runbook, "risk: low", "risk: none", "risk must be low, medium or high"),
        (runbook, "## Where help is\n", "## Whom to call\n", headings),
        (runbook, "## What you see\n", "", headings),
        (runbook, "review_by: P102D", "review_by: soon", "review_by must be"),
        (runbook, "review_by: P102D\n", "", "front matter lacks review_by"),
        (runbook, "takes them\n", "takes them\n\nOne line.\n\n\n", late),
        (runbook, "```sh host\nsudo factory-runner status\n```\n", "", late),
        (runbook, "```sh host\nsudo factory-runner status\n```\n", "```text\na\n```\n", late),
        (
            runbook,
            "```sh host\nsudo factory-runner status\n",
            "```sh moon\nsudo factory-runner status\n",
            "no such place: sh moon",
        ),
        (index, "(runner-down.md)", "(infra-state.md)", "no line for runner-down"),
        (index, "(../procedures/decommission.md)", "(disk-full.md)", "no line for docs/procedures/decommission.md"),
        (
            "docs/procedures/decommission.md",
            "```sh repo",
            "```sh",
            "say where it runs, as docs/runbooks/README.md lists it",
        ),
    ] {
        repo.edit(path, from, to);
        finds(&repo, "runbooks", finding);
        repo.write(path, &repo.git(&["show", &format!("HEAD:{path}")]));
    }
    // Two lines above the command are well within five.
    repo.edit(runbook, "takes them\n", "takes them\n\nOne line.\n");
    passed(&repo.run(&["scripts/check", "runbooks"]));
}

/// One person finds their way among twelve.
#[test]
fn one_runbook_too_many_is_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let text = repo.read("docs/runbooks/incident.md");
    let mut index = repo.read("docs/runbooks/README.md");
    for n in 11..=13 {
        passed(&repo.run(&["scripts/check", "runbooks"]));
        repo.write(&format!("docs/runbooks/more-{n}.md"), &text.replace("id: incident", &format!("id: more-{n}")));
        index += &format!("\n[more](more-{n}.md)\n");
        repo.write("docs/runbooks/README.md", &index);
    }
    finds(&repo, "runbooks", "docs/runbooks: 13 runbooks, and one person finds their way among 12");
}

#[test]
fn a_runbook_past_its_review_is_found_at_night_only() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    passed(&repo.run(&["scripts/check", "nightly"]));
    // Never all of them on one day: each day at most one more is due.
    let due = |days: u32| {
        let day = stdout(&repo.command("date").args(["-d", &format!("{days} days"), "+%F"]).output().unwrap());
        stdout(&repo.run(&["scripts/checks/freshness", "--on", day.trim()])).lines().count()
    };
    let weeks: Vec<usize> = (0..=20).map(|week| due(week * 7)).collect();
    assert!(weeks.windows(2).all(|two| two[1] - two[0] <= 1), "{weeks:?}");
    assert_eq!((weeks[0], weeks[8], weeks[20]), (0, 0, 9), "{weeks:?}");
    let due = repo.run(&["scripts/checks/freshness", "--on", "2999-01-01"]);
    assert_eq!(due.status.code(), Some(1));
    assert!(stdout(&due).contains("docs/runbooks/runner-down.md: review was due on "), "{}", text(&due));
    repo.edit("docs/runbooks/runner-down.md", "review_by: P102D", "review_by: 2020-02-29");
    finds(&repo, "freshness", "docs/runbooks/runner-down.md: review was due on 2020-02-29 (last tested: never)");
    passed(&repo.run(&["scripts/check", "runbooks"]));
}

#[test]
fn a_skill_that_agents_could_not_load_is_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    repo.write(".agents/skills/Bad--Name/SKILL.md", "---\nname: other\nmodel: big\n---\n\n# Bad\n");
    finds(&repo, "skills", "name must be the folder's name");
    finds(&repo, "skills", "description is missing");
    finds(&repo, "skills", "unknown field: model");
    repo.write(
        ".agents/skills/Bad--Name/SKILL.md",
        "---\nname: Bad--Name\ndescription: Use when: never\n---\n\n# Bad\n",
    );
    finds(&repo, "skills", "description holds a colon or a #, so YAML wants it in double quotes");
    std::fs::remove_dir_all(repo.path().join(".agents/skills/Bad--Name")).unwrap();
    passed(&repo.run(&["scripts/check", "skills"]));
    std::fs::remove_file(repo.path().join(".claude/skills")).unwrap();
    std::fs::create_dir(repo.path().join(".claude/skills")).unwrap();
    finds(&repo, "skills", "must be a symbolic link");
}

#[test]
fn a_bad_script_and_a_bad_format_are_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    repo.write("scripts/new", "#!/bin/sh\nrm $1/*\n");
    finds(&repo, "shell", "SC2086");
    finds(&repo, "shell", "scripts/new: not executable");
    repo.write("new.yml", "a: 1\na: 2\n");
    finds(&repo, "formats", "duplication of key");
    repo.write("new.json", "{\"a\": 1,}");
    finds(&repo, "formats", "new.json: not valid JSON");
}

#[test]
fn a_conflict_that_waits_is_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    passed(&repo.run(&["scripts/check", "settled"]));
    repo.write(".factory/conflicts/readme", "# Proposal\n");
    finds(&repo, "settled", "see what waits with: factoryup resolve --show");
}

/// Only the factoryup that is pinned is asked, and what its doctor finds fails the check.
#[test]
fn the_doctor_of_the_pinned_factoryup_is_asked() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_factoryup")).parent().unwrap();
    let script = repo.path().join("scripts/check").display().to_string();
    let check = |path: &str| repo.command(&script).arg("settled").env("PATH", path).output().unwrap();
    let with = format!("{}:{}", bin.display(), support::path());
    assert!(stdout(&check(&with)).contains("pins no factoryup"));
    let lock = repo.read("toolchain.lock");
    let pin = |version: &str| {
        let sum = "0".repeat(64);
        let line = format!("factoryup {version} linux-amd64 {sum} https://example.org/factoryup.tar.gz\n");
        repo.write("toolchain.lock", &format!("{lock}{line}"));
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-qm", "pin"]);
    };
    let fails = |path: &str, said: &str| {
        let output = check(path);
        assert!(output.status.code() == Some(1) && text(&output).contains(said), "{said}: {}", text(&output));
    };
    pin("99.0.0");
    fails(&with, "pins factoryup 99.0.0, and there is factoryup");
    pin(env!("CARGO_PKG_VERSION"));
    fails(&support::path(), "factoryup is missing; run: scripts/tools install factoryup");
    let said = stdout(&check(&with));
    assert!(said.contains("no unresolved conflicts") && !said.contains("FAILS"), "{said}");
    // A file that is factoryup's alone.
    let managed = "templates/check/template.yml";
    repo.write(managed, &format!("{}# mine\n", repo.read(managed)));
    repo.git(&["commit", "-qam", "tampered"]);
    fails(&with, managed);
}

#[test]
fn evidence_that_was_tampered_with_is_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let log = factoryup::plan::Evidence::at(repo.path().join("evidence/log.jsonl"));
    for n in 0..3 {
        log.append("host", &"a".repeat(64), "apply", serde_json::json!({ "n": n })).unwrap();
    }
    passed(&repo.run(&["scripts/check", "evidence"]));
    repo.git(&["add", "."]);
    repo.git(&["commit", "-qm", "evidence"]);
    let base = repo.git(&["rev-parse", "HEAD"]);
    let with_base = |repo: &ControlRepo| {
        repo.command("scripts/checks/evidence").env("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.trim()).output().unwrap()
    };
    log.append("host", &"b".repeat(64), "apply", serde_json::json!({ "n": 3 })).unwrap();
    passed(&with_base(&repo));

    let whole = repo.read("evidence/log.jsonl");
    repo.edit("evidence/log.jsonl", "\"n\":1", "\"n\":7");
    finds(&repo, "evidence", "log.jsonl:3: does not follow from the line before");
    // The last lines can be cut without breaking the chain, but not what was merged.
    let shorter: String = whole.split_inclusive('\n').take(2).collect();
    repo.write("evidence/log.jsonl", &shorter);
    passed(&repo.run(&["scripts/check", "evidence"]));
    let output = with_base(&repo);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("a line that was there is changed or gone"), "{}", text(&output));
    // GitLab starts no pipeline for such a commit.
    repo.write("evidence/log.jsonl", &whole);
    for (what, value, code) in [
        ("TITLE", "Do it [skip ci]", 1),
        ("TITLE", "Do it [CI-Skip]", 1),
        ("DESCRIPTION", "Closes #7.\n\n[ci skip]\nReally", 1),
        ("DESCRIPTION", "Never skip ci", 0),
    ] {
        let variable = format!("CI_MERGE_REQUEST_{what}");
        let output = repo.command("scripts/checks/evidence").env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{value}: {}", text(&output));
    }
}

#[test]
fn bad_infrastructure_code_is_found() {
    if !ready() || !terraform() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let tfvars = "infra/environments/production/main.tf";
    repo.edit(tfvars, "module \"edge\" {", "module   \"edge\" {");
    let formatted = repo.offline(&["scripts/check", "infra-format"], &[]);
    assert_eq!(formatted.status.code(), Some(1), "{}", text(&formatted));
    assert!(text(&formatted).contains("run: scripts/infra fmt"), "{}", text(&formatted));
    passed(&repo.offline(&["scripts/infra", "fmt"], &[]));
    passed(&repo.offline(&["scripts/check", "infra-format"], &[]));

    // Version 4 of the provider called it so.
    repo.edit("infra/modules/edge/main.tf", "content = ", "value   = ");
    let output = repo.offline(&["env", "-u", "NO_COLOR", "scripts/check", "infra"], &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(!text(&output).contains('\u{1b}'), "colours in a pipe: {}", text(&output));
    assert!(text(&output).contains("An argument named \"value\" is not expected here"), "{}", text(&output));
}

/// As the real one with lock files: `init` writes one unless it may not, and nothing works without; code that names `gone` is bad.
const ENGINE: &str = r#"#!/bin/sh
case "$*" in
init*-lockfile=readonly* | *-platform=*) ;;
init*) echo made >.terraform.lock.hcl ;;
esac
case $1 in
init) ! grep -l gone ./*.tf ;;
get) mkdir -p .terraform && : >.terraform/got ;;
providers) [ -e .terraform/got ] && echo kept >.terraform.lock.hcl ;;
*)
    grep . .terraform.lock.hcl && echo "$*"
    case $* in *-json*) echo '{"type":"test_plan","test_plan":{"resource_changes":[]}}' ;; esac
    ;;
esac
"#;

/// Whoever checks goes on to push, and that refuses what is not committed.
#[test]
fn checking_leaves_nothing_behind_and_names_every_root_that_is_wrong() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let bin = repo.path().join("../.local/bin");
    std::fs::create_dir_all(&bin).unwrap();
    make_program(bin.join("tofu"), ENGINE);
    let run = |arguments: &[&str]| {
        let path = format!("{}:{}", bin.display(), support::path());
        repo.command(repo.path().join(arguments[0]).to_str().unwrap())
            .args(&arguments[1..])
            .env("PATH", path)
            .output()
            .unwrap()
    };
    passed(&run(&["scripts/check", "test"]));
    assert_eq!(repo.git(&["status", "--porcelain"]), "", "the check left something behind");
    // A lock that is there stays, and is what counts.
    passed(&run(&["scripts/infra", "lock", "staging"]));
    let checked = passed(&run(&["scripts/check", "test"]));
    assert!(checked.contains("staging: kept\nvalidate") && checked.contains("production: made"), "{checked}");
    assert_eq!(repo.git(&["status", "--porcelain"]), "?? infra/environments/staging/.terraform.lock.hcl\n");

    for root in ["infra/control-plane", "infra/environments/production"] {
        repo.write(&format!("{root}/wrong.tf"), "# gone\n");
    }
    let all = text(&run(&["scripts/check", "infra"]));
    assert!(all.contains("staging: kept") && all.contains("failed: control-plane production"), "{all}");
    assert!(all.contains("infra/modules/edge: made") && all.contains("failed: infra"), "{all}");
    assert!(!repo.path().join("infra/control-plane/.terraform.lock.hcl").exists(), "{all}");
}

#[test]
fn infrastructure_code_behind_a_link_or_a_quoted_name_is_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let link = repo.path().join("infra/control-plane/z.tf");
    std::os::unix::fs::symlink("../../../notes", &link).unwrap();
    finds(&repo, "data", "infra/control-plane/z.tf: no check follows a link");
    std::fs::remove_file(link).unwrap();
    // git quotes such a name, and what is quoted was no file to the check.
    repo.write("infra/control-plane/\\.tf", "resource \"random_pet\" \"p\" {}\n");
    finds(&repo, "data", "no check reads a file with such a name: rename it");
}
