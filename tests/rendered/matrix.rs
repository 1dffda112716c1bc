//! Every two answers together: what the templates make of them, checked by the tools for each kind of file.
#![allow(clippy::case_sensitive_file_extension_comparisons)]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::combinations::{CHOICES, Combination, PAIRWISE};
use crate::control_repo::{ANSWERS, offline, passed, terraform, text};
use crate::corpus::CORPUS;
use crate::covering::{met_by, pairs, pairwise};
use crate::support;
use crate::yaml::documents;

#[test]
fn every_two_answers_meet() {
    let sizes: Vec<usize> = CHOICES.iter().map(|choice| choice.values.len()).collect();
    let rows = pairwise(&sizes);
    let met: BTreeSet<_> = rows.iter().flat_map(|row| met_by(row)).collect();
    assert_eq!(met, pairs(&sizes));
    assert_eq!(met.len(), 550, "a choice has come or gone: is each of its values in CHOICES?");
    // The two longest choices alone make 28.
    assert!((28..=36).contains(&rows.len()), "{} rows", rows.len());
    assert_eq!(rows, pairwise(&sizes), "the rows differ from run to run");
    assert_eq!(rows.len(), PAIRWISE.len());
}

/// The rows hold every value that an answer with a choice can have, as the schema of factory.toml lists them.
#[test]
fn no_value_of_a_choice_is_left_out() {
    let schema = factoryup::factory::json_schema();
    let mut left_out = Vec::new();
    for (section, body) in schema["properties"].as_object().unwrap() {
        for (name, field) in body["properties"].as_object().into_iter().flatten() {
            let words = field["enum"].as_array().cloned().unwrap_or_default();
            let one_of = field["oneOf"].as_array().into_iter().flatten().map(|choice| choice["const"].clone());
            for word in words.into_iter().chain(one_of) {
                let line = format!("{name} = {word}");
                if !PAIRWISE.iter().any(|c| c.toml.lines().any(|l| l == line)) {
                    left_out.push(format!("[{section}] {line}"));
                }
            }
        }
    }
    assert_eq!(left_out, Vec::<String>::new());
    assert!(schema.to_string().contains("kubernetes"), "the schema lists no words any more");
}

/// A path, or the beginning of one, and whether answers call for it.
type Condition = (&'static str, fn(&Combination) -> bool);

/// Which answers bring a file that not every control repo has.
fn conditions() -> Vec<Condition> {
    let claude = |c: &Combination| !c.has("codex");
    let codex = |c: &Combination| !c.has("claude");
    let edge = |c: &Combination| c.has("cloudflare");
    let host = |c: &Combination| !c.has("no-host");
    let sops = |c: &Combination| c.has("sops") || c.has("sops-owner");
    let both = |c: &Combination| c.has("cloudflare") && !c.has("no-host");
    let backup = |c: &Combination| c.has("backup") && !c.has("no-host");
    vec![
        ("CLAUDE.md", claude),
        (".claude/", claude),
        (".codex/", codex),
        (".gitlab/CODEOWNERS", |c| !c.has("free")),
        (".sops.yaml", sops),
        ("docs/procedures/age-keys.md", sops),
        ("docs/procedures/close-inbound-ssh.md", both),
        ("docs/procedures/connect-tunnel.md", edge),
        ("docs/procedures/leave-cloudflare.md", edge),
        ("docs/procedures/restore-host.md", backup),
        ("docs/runbooks/tunnel-down.md", edge),
        ("docs/runbooks/host-down.md", host),
        ("docs/runbooks/disk-full.md", host),
        ("scripts/checks/recipients", sops),
        ("scripts/cloudflare-token", edge),
        ("scripts/host/factory-backup", backup),
        ("scripts/host/factory-tunnel@.service", edge),
        ("scripts/host/factory-tunnel", both),
        ("scripts/tunnel", both),
        ("scripts/host/", host),
        ("infra/control-plane/encryption.tofu", |c| c.has("tofu")),
        ("infra/modules/edge/", edge),
        ("infra/modules/zone-baseline/", edge),
    ]
}

#[test]
fn a_file_is_there_when_the_answers_call_for_it() {
    let conditions = conditions();
    for combination in PAIRWISE.iter() {
        let environments = &combination.factory.environments.names;
        for path in paths_of_all() {
            let there = combination.tree.files.iter().any(|f| f.path == path);
            let name = combination.name();
            if let Some(rest) = path.strip_prefix("infra/environments/") {
                let (environment, file) = rest.split_once('/').unwrap();
                let expected = combination.has("cloudflare")
                    && environments.iter().any(|e| e == environment)
                    && (file != "encryption.tofu" || combination.has("tofu"));
                assert_eq!(there, expected, "{name}: {path}");
                continue;
            }
            let condition = conditions.iter().find(|(prefix, _)| path.starts_with(prefix));
            let expected = condition.is_none_or(|(_, wanted)| wanted(combination));
            assert_eq!(there, expected, "{name}: {path}");
        }
    }
    for (prefix, _) in conditions {
        assert!(paths_of_all().iter().any(|path| path.starts_with(prefix)), "no combination makes {prefix}");
    }
}

fn paths_of_all() -> BTreeSet<&'static str> {
    PAIRWISE.iter().flat_map(|c| &c.tree.files).map(|file| file.path.as_str()).collect()
}

#[test]
fn what_is_called_is_executable_and_what_is_sourced_is_not() {
    let mut count = 0;
    for script in CORPUS.scripts() {
        assert_eq!(script.executable, !script.path.ends_with(".sh"), "{}: {}", script.of, script.path);
        count += 1;
    }
    assert!(count > 25, "{count} scripts");
}

/// The jobs of a merge request pass by a module without tests.
#[test]
fn every_module_has_tests() {
    let modules: BTreeSet<_> = CORPUS
        .files
        .iter()
        .filter_map(|item| Some(item.path.strip_prefix("infra/modules/")?.split_once('/')?.0))
        .collect();
    assert!(modules.len() > 2);
    for combination in PAIRWISE.iter() {
        for module in &modules {
            let folder = format!("infra/modules/{module}/");
            let mut files = combination.tree.files.iter().filter(|f| f.path.starts_with(&folder)).peekable();
            let there = files.peek().is_some();
            assert_eq!(there, files.any(|f| f.path.ends_with(".tftest.hcl")), "{}: {folder}", combination.name());
        }
    }
}

#[test]
fn infrastructure_code_is_in_the_standard_format() {
    if !terraform() {
        return;
    }
    passed(&offline(&["terraform", "fmt", "-check", "-diff", "-recursive", &CORPUS.path().to_string_lossy()]));
    // It does not look into OpenTofu's own files by itself.
    let mut checked = 0;
    for item in CORPUS.ending(&[".tofu"]) {
        let program = format!("terraform fmt -check -diff - <{}", item.place.display());
        passed(&offline(&["sh", "-euc", &program]));
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn settings_are_what_their_formats_say() {
    let mut json = 0;
    for item in CORPUS.ending(&[".json"]) {
        let value: Result<Value, _> = serde_json::from_str(item.text);
        assert!(value.is_ok(), "{}: {}: {value:?}", item.of, item.path);
        json += 1;
    }
    assert!(json > 3);
    let settings =
        jsonschema::validator_for(&serde_json::from_str(include_str!("settings.schema.json")).unwrap()).unwrap();
    let claude: Vec<Value> =
        CORPUS.ending(&["settings.json"]).map(|item| serde_json::from_str(item.text).unwrap()).collect();
    assert!(claude.len() > 3);
    for value in &claude {
        let errors: Vec<_> = settings.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
    // So that this can fail: a mode that is none, a rule for no tool, a key that is none.
    for wrong in [("acceptEdits", "acceptAll"), ("Bash(sudo:*)", "Shell(sudo:*)"), ("\"deny\"", "\"denied\"")] {
        let value = claude[0].to_string();
        assert!(value.contains(wrong.0));
        assert!(!settings.is_valid(&serde_json::from_str(&value.replacen(wrong.0, wrong.1, 1)).unwrap()), "{wrong:?}");
    }
    for item in CORPUS.ending(&[".toml"]) {
        let value: Result<toml::Table, _> = toml::from_str(item.text);
        let keys: Vec<_> = value.unwrap().keys().cloned().collect();
        assert!(
            ["approval_policy", "sandbox_mode", "sandbox_workspace_write", "shell_environment_policy"].iter().eq(&keys)
        );
    }
}

#[test]
fn front_matter_is_yaml_and_says_who_owns_a_runbook() {
    if !support::need("python") {
        return;
    }
    let runbooks: Vec<_> = CORPUS.ending(&[".md"]).filter(|item| item.text.starts_with("---\n")).collect();
    let texts: Vec<_> = runbooks.iter().map(|item| item.text.split("---\n").nth(1).unwrap()).collect();
    assert!(texts.len() > 40, "{}", texts.len());
    for (item, value) in runbooks.iter().zip(documents(&texts)) {
        let owner = &PAIRWISE.iter().find(|c| c.name() == item.of).unwrap().factory.factory.owner_name;
        let name = item.path.rsplit('/').next().unwrap().trim_end_matches(".md");
        let at = format!("{}: {}: {value}", item.of, item.path);
        if item.path.starts_with("docs/runbooks/") {
            assert_eq!(value["owner"], *owner, "{at}");
            assert_eq!(value["id"], name, "{at}");
            assert!(["low", "medium", "high"].iter().any(|risk| value["risk"] == *risk), "{at}");
        } else {
            skill(&value, item.path, item.text);
        }
    }
}

/// What one person can hold in their head at night, whatever was answered.
#[test]
fn the_runbooks_are_few_and_due_one_after_the_other() {
    for combination in PAIRWISE.iter() {
        let name = combination.name();
        let runbooks = combination.tree.files.iter().filter(|f| f.path.starts_with("docs/runbooks/"));
        let texts: Vec<&str> = runbooks.filter_map(|f| std::str::from_utf8(&f.bytes).ok()).collect();
        let reviews: BTreeSet<&str> =
            texts.iter().filter_map(|text| text.lines().find_map(|line| line.strip_prefix("review_by: "))).collect();
        // The index has none; one or two more can be the owner's.
        assert!(texts.len() - 1 <= 10 && reviews.len() == texts.len() - 1, "{name}: {} {reviews:?}", texts.len());
        let readme = combination.text("README.md");
        assert!(readme.lines().count() <= 80, "{name}: {}", readme.lines().count());
        let begins = readme.find("## Every day").unwrap();
        assert!(readme.matches("\n## ").count() == 3 && begins < readme.find("## First day").unwrap(), "{name}");
    }
}

/// The rules of the Agent Skills format (agentskills.io/specification), beside those that `scripts/check skills` keeps.
fn skill(front: &Value, path: &str, text: &str) {
    let folder = path.rsplit('/').nth(1).unwrap();
    let name = front["name"].as_str().unwrap();
    assert_eq!(name, folder, "{path}");
    assert!(name.len() <= 64 && !name.starts_with('-') && !name.ends_with('-') && !name.contains("--"), "{path}");
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{path}");
    let description = front["description"].as_str().unwrap();
    assert!((1..=1024).contains(&description.chars().count()), "{path}");
    assert!(description.starts_with("Use when"), "{path}: the description does not say when");
    let known = ["name", "description", "license", "compatibility", "metadata", "allowed-tools"];
    assert!(front.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{path}: {front}");
    assert!(text.lines().count() < 500, "{path}");
}

/// The named sets of answers are those that are run for real, so together they hold every value too.
#[test]
fn what_is_run_for_real_holds_every_value() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, _) in ANSWERS {
        let factory = serde_json::to_value(crate::control_repo::answers(name)).unwrap();
        for (section, key) in [
            ("agent", "kind"),
            ("infra", "engine"),
            ("secrets", "provider"),
            ("gitlab", "tier"),
            ("runner", "kind"),
            ("cloudflare", "enabled"),
            ("host", "kind"),
            ("host", "sudo"),
        ] {
            seen.entry(format!("{section}.{key}")).or_default().insert(factory[section][key].to_string());
        }
    }
    let counts: Vec<_> = seen.iter().map(|(key, values)| (key.as_str(), values.len())).collect();
    let expected = [
        ("agent.kind", 3),
        ("cloudflare.enabled", 2),
        ("gitlab.tier", 3),
        ("host.kind", 3),
        ("host.sudo", 2),
        ("infra.engine", 2),
        ("runner.kind", 3),
        ("secrets.provider", 6),
    ];
    assert_eq!(counts, expected);
}

#[test]
fn markdownlint_passes_every_document() {
    if support::need("markdownlint-cli2") {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rendered/.markdownlint.json");
        // CLAUDE.md is one line that imports another file, which no rule for headings fits.
        let documents = CORPUS.ending(&[".md"]).filter(|item| item.path != "CLAUDE.md");
        CORPUS.passes("markdownlint-cli2", &["--config", rules, "--no-globs"], documents);

        // So that this test can fail: by the same rules, a heading that skips a level.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.md"), "# One\n\n### Three\n").unwrap();
        let mut command = std::process::Command::new(support::tool("markdownlint-cli2").unwrap());
        command.current_dir(folder.path()).env("PATH", support::path());
        let found = command.args(["--config", rules, "--no-globs", "a.md"]).output().unwrap();
        assert!(!found.status.success() && text(&found).contains("MD001"), "{}", text(&found));
    }
}

/// By a linter that also has shellcheck in it, for the scripts that are in the YAML.
#[test]
fn a_linter_for_pipelines_passes_every_one() {
    if !support::need("gitlab-ci-verify") {
        return;
    }
    let verify = |file: &std::path::Path| {
        let mut command = std::process::Command::new(support::tool("gitlab-ci-verify").unwrap());
        command.args(["--no-lint-api", "--gitlab-ci-file"]).arg(file).current_dir(file.parent().unwrap());
        command.output().unwrap()
    };
    let pipelines: Vec<_> = CORPUS.files.iter().filter(|item| item.path == ".gitlab-ci.yml").collect();
    assert!(pipelines.len() > 3, "{} pipelines", pipelines.len());
    for item in &pipelines {
        let found = verify(&item.place);
        assert!(found.status.success(), "{}: {}", item.place.display(), text(&found));
    }

    // So that this test can fail.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".gitlab-ci.yml");
    std::fs::write(&file, format!("{}\nwrong:\n  script: [rm -r $FOLDER]\n", pipelines[0].text)).unwrap();
    let found = verify(&file);
    assert!(!found.status.success() && text(&found).contains("SC-2086"), "{}", text(&found));
}

/// By a scanner that has nothing in common with `scripts/checks/secrets`, and does not ask any service whether a finding is valid.
#[test]
fn no_secret_is_in_any_file() {
    if !support::need("kingfisher") {
        return;
    }
    let scan = |folder: &std::path::Path| {
        let arguments = ["scan", ".", "--no-validate", "--no-update-check", "--confidence", "low", "--redact"];
        let mut command = std::process::Command::new(support::tool("kingfisher").unwrap());
        // Its compiled rules are kept there.
        command.env("HOME", env!("CARGO_TARGET_TMPDIR")).current_dir(folder).args(arguments).output().unwrap()
    };
    let found = scan(CORPUS.path());
    let count = CORPUS.files.len();
    assert!(text(&found).contains(&format!("Blobs Scanned.............: {count}")), "{}", text(&found));
    assert!(found.status.success(), "{}", text(&found));

    // So that this test can fail; put together here, so that this file does not hold what it looks for.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".hidden"), format!("token: glpat-{}\n", "iK2ZWeqhFWCEPyYngFb5")).unwrap();
    assert!(!scan(folder.path()).status.success());
}
