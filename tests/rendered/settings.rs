//! The settings of the coding agents, read by the agents themselves. Neither reaches a model: no network is needed, and none is used.

use std::process::{Command, Output};

use serde_json::Value;

use crate::combinations::PAIRWISE;
use crate::control_repo::{ControlRepo, passed, text};
use crate::support;

impl ControlRepo {
    /// A coding agent, with a home of its own and nothing that could reach a model.
    fn agent(&self, name: &str) -> Command {
        let mut command = self.command(support::tool(name).unwrap().to_str().unwrap());
        let offline = [
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9"),
            ("ANTHROPIC_API_KEY", "none"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("CLAUDE_CODE_MAX_RETRIES", "0"),
        ];
        command.envs(offline).stdin(std::process::Stdio::null());
        command
    }

    fn skills(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.path().join(".agents/skills")).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn codex_allows_the_scripts_and_forbids_what_is_not_the_agents() {
    if !support::need("codex") {
        return;
    }
    let repo = ControlRepo::new("everything");
    let decision = |command: &str| {
        let rules = repo.path().join(".codex/rules/factory.rules");
        let mut check = repo.agent("codex");
        check.args(["execpolicy", "check", "--rules"]).arg(rules).args(command.split(' '));
        let answer: Value = serde_json::from_str(&passed(&check.output().unwrap())).unwrap();
        answer["decision"].as_str().unwrap_or("asks").to_owned()
    };
    for (command, expected) in [
        ("scripts/check validate", "allow"),
        ("scripts/issue show 7", "allow"),
        ("scripts/propose title text", "allow"),
        ("scripts/infra test", "allow"),
        ("git commit -m x", "allow"),
        ("git push -u origin HEAD", "allow"),
        ("git merge origin/main", "allow"),
        ("git push --force origin x", "forbidden"),
        ("scripts/infra apply production", "forbidden"),
        ("scripts/infra drop production 3 lost", "forbidden"),
        ("scripts/release publish", "forbidden"),
        ("scripts/secret rotate secrets/agent/x.yaml", "forbidden"),
        ("tofu apply", "forbidden"),
        ("sudo ls", "forbidden"),
        ("rm -rf infra", "asks"),
    ] {
        assert_eq!(decision(command), expected, "{command}");
    }
}

#[test]
fn codex_takes_the_configuration_the_instructions_and_every_skill() {
    if !support::need("codex") {
        return;
    }
    for name in ["everything", "corporate"] {
        let repo = ControlRepo::new(name);
        let trusted = format!("[projects.{:?}]\ntrust_level = \"trusted\"\n", repo.path());
        repo.write("../.codex/config.toml", &trusted);
        let output = repo.agent("codex").args(["debug", "prompt-input", "hello"]).output().unwrap();
        let prompt = passed(&output);
        assert!(prompt.contains("# Working in this repository"), "{name}: AGENTS.md is not read");
        assert!(prompt.contains("workspace-write"), "{name}: the sandbox is not the one of .codex/config.toml");
        for skill in repo.skills() {
            assert!(prompt.contains(&format!("- {skill}: Use when")), "{name}: the skill {skill} is not offered");
        }
    }
}

fn claude(repo: &ControlRepo) -> (Output, String) {
    let log = repo.path().join("../claude.log");
    let output = repo.agent("claude").args(["-p", "hello", "--debug", "--debug-file"]).arg(&log).output().unwrap();
    (output, std::fs::read_to_string(log).unwrap())
}

/// A repo for each form that answers give this file.
fn forms(path: &str) -> Vec<(String, ControlRepo)> {
    let mut seen: Vec<&[u8]> = Vec::new();
    let mut repos = Vec::new();
    for combination in PAIRWISE.iter() {
        let Some(file) = combination.tree.files.iter().find(|f| f.path == path) else { continue };
        if !seen.contains(&file.bytes.as_slice()) {
            seen.push(&file.bytes);
            repos.push((combination.name(), ControlRepo::of(&combination.toml)));
        }
    }
    repos
}

#[test]
fn claude_code_takes_every_setting_and_every_skill() {
    if !support::need("claude") {
        return;
    }
    let forms = forms(".claude/settings.json");
    assert!(forms.len() > 3, "{} forms", forms.len());
    for (name, repo) in &forms {
        let settings: Value = serde_json::from_str(&repo.read(".claude/settings.json")).unwrap();
        let denied = settings["permissions"]["deny"].as_array().unwrap().len();
        let (output, log) = claude(repo);
        assert!(!text(&output).contains("settings.json ("), "{name}: {}", text(&output));
        assert!(!log.contains("Invalid setting"), "{name}: {log}");
        assert!(
            log.contains(&format!("Adding {denied} deny rule(s) to destination 'projectSettings'")),
            "{name}: {log}"
        );
        assert!(log.contains(&format!("Loaded {} unique skills", repo.skills().len())), "{name}: {log}");
    }

    // So that this test can fail: a wrong setting is reported.
    let (_, repo) = &forms[0];
    repo.edit(".claude/settings.json", "acceptEdits", "noSuchMode");
    assert!(claude(repo).1.contains("Invalid setting"));
}

/// Codex checks the examples that stand beside each rule when it reads them.
#[test]
fn codex_takes_every_form_of_the_rules() {
    if !support::need("codex") {
        return;
    }
    let forms = forms(".codex/rules/factory.rules");
    assert!(forms.len() > 3, "{} forms", forms.len());
    for (name, repo) in &forms {
        let decision = |command: &str| {
            let mut check = repo.agent("codex");
            check.args(["execpolicy", "check", "--rules", ".codex/rules/factory.rules"]).args(command.split(' '));
            let answer: Value = serde_json::from_str(&passed(&check.output().unwrap())).unwrap();
            answer["decision"].as_str().unwrap_or("asks").to_owned()
        };
        let engine = if name.contains("tofu") { "tofu" } else { "terraform" };
        assert_eq!(decision("scripts/check validate"), "allow", "{name}");
        assert_eq!(decision(&format!("{engine} apply")), "forbidden", "{name}");
        let secret =
            if name.contains("sops") { "scripts/secret rotate secrets/agent/x.yaml" } else { "scripts/secret list" };
        assert_eq!(decision(secret), "forbidden", "{name}");
    }
    let (_, repo) = &forms[0];
    repo.edit(".codex/rules/factory.rules", "match=[\"sudo ls\"]", "match=[\"su ls\"]");
    let mut check = repo.agent("codex");
    check.args(["execpolicy", "check", "--rules", ".codex/rules/factory.rules", "ls"]);
    assert!(!check.output().unwrap().status.success(), "an example that does not match is taken");
}
