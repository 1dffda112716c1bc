//! The settings of the coding agents, read by the agents themselves. Neither reaches a model: no network is needed, and none is used.

use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

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
        ("git merge origin/main", "allow"),
        ("scripts/propose --push", "allow"),
        ("scripts/issue comment 7", "allow"),
        ("factory finish title", "allow"),
        ("git revert abc", "allow"),
        ("scripts/backup drill", "allow"),
        // With its value in the same word, the option is in no rule.
        ("git --git-dir=.git push -f", "asks"),
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
    for command in PUSHES {
        assert_eq!(decision(command), "forbidden", "{command}");
    }
    // What its own documents order is allowed; sessions are the owner's to begin.
    let skills = repo.skills().into_iter().map(|skill| format!(".agents/skills/{skill}/SKILL.md"));
    let mut ordered = 0;
    for document in skills.chain(["AGENTS.md".to_owned()]) {
        let text = repo.read(&document);
        let spans = text.split('`').chain(text.lines());
        let ours =
            |span: &&str| ["scripts/", "factory "].iter().any(|ours| span.starts_with(ours)) && span.contains(' ');
        let others = |span: &&str| span.contains("NAME") || span.contains('\n') || span.starts_with("factory work");
        for command in spans.filter(ours).filter(|span| !others(span)) {
            assert_eq!(decision(command), "allow", "{document}: {command}");
            ordered += 1;
        }
    }
    assert!(ordered > 30, "{ordered} commands");
}

/// Pushes that force or delete, and those that do not: a rule cannot tell them apart, so only `scripts/propose` pushes.
const PUSHES: [&str; 17] = [
    "git push -f",
    "git push --force origin x",
    "git push origin -f",
    "git push -uf origin x",
    "git push --force-with-lease",
    "git push origin x --force-with-lease=x:y",
    "git push --force-if-includes --force-with-lease",
    "git push --forc origin x",
    "git push origin +x",
    "git push origin +x:y",
    "git push --mirror",
    "git push origin --delete x",
    "git push origin :x",
    "git -C . push -f",
    "git -c alias.p=push p -f",
    "git --no-pager push --force",
    "git push -u origin HEAD",
];

/// How else Claude Code sees through a command: wrapped, quoted, or one of several. It does not see into a script.
const DISGUISED: [(&str, &str); 11] = [
    ("git --git-dir=.git push -f", DENIED),
    ("git --config-env=alias.p=X p", DENIED),
    ("git config alias.p 'push -f'", DENIED),
    ("git send-pack origin +x", DENIED),
    ("cd . && git push -f", DENIED),
    ("env git push -f", DENIED),
    ("/usr/bin/git push -f", DENIED),
    ("git 'push' -f", DENIED),
    ("echo x | git push -f", DENIED),
    ("cat ~/.config/factory/desk-credential", DENIED),
    ("sh -c 'git push -f'", "requires approval"),
];
const DENIED: &str = "has been denied";

/// A model that asks for these commands at once, and then is done; what became of each is in the second request.
fn model(commands: Vec<String>) -> (String, Receiver<Vec<String>>) {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.server_addr());
    let (send, results) = channel();
    std::thread::spawn(move || {
        for mut request in server.incoming_requests() {
            let asked: Value = serde_json::from_reader(request.as_reader()).unwrap_or_default();
            let messages = asked["messages"].as_array().into_iter().flatten();
            let parts = messages.filter_map(|message| message["content"].as_array()).flatten();
            let done: Vec<_> = parts.filter(|part| part["type"] == "tool_result").collect();
            if !done.is_empty() {
                let of = |number: usize| done.iter().find(|part| part["tool_use_id"] == format!("toolu_{number}"));
                let _ = send.send(
                    (0..commands.len())
                        .map(|n| of(n).map_or(String::new(), |part| part["content"].to_string()))
                        .collect(),
                );
            }
            let asks = if done.is_empty() { &commands[..] } else { &[] };
            let _ = request.respond(
                tiny_http::Response::from_string(stream(asks))
                    .with_header(tiny_http::Header::from_bytes("Content-Type", "text/event-stream").unwrap()),
            );
        }
    });
    (address, results)
}

/// An answer of the model as it is streamed. Source: <https://platform.claude.com/docs/en/build-with-claude/streaming>.
fn stream(commands: &[String]) -> String {
    let mut text = String::new();
    let mut event = |mut data: Value, name: &str| {
        data["type"] = name.into();
        text += &format!("event: {name}\ndata: {data}\n\n");
    };
    let usage = json!({ "input_tokens": 1, "output_tokens": 1 });
    let message =
        json!({ "id": "msg", "type": "message", "role": "assistant", "model": "none", "content": [], "usage": usage });
    event(json!({ "message": message }), "message_start");
    for (number, command) in commands.iter().enumerate() {
        let input = json!({ "command": command, "description": "try" }).to_string();
        let block = json!({ "type": "tool_use", "id": format!("toolu_{number}"), "name": "Bash", "input": {} });
        event(json!({ "index": number, "content_block": block }), "content_block_start");
        let delta = json!({ "type": "input_json_delta", "partial_json": input });
        event(json!({ "index": number, "delta": delta }), "content_block_delta");
        event(json!({ "index": number }), "content_block_stop");
    }
    if commands.is_empty() {
        event(json!({ "index": 0, "content_block": { "type": "text", "text": "done" } }), "content_block_start");
        event(json!({ "index": 0 }), "content_block_stop");
    }
    let reason = if commands.is_empty() { "end_turn" } else { "tool_use" };
    event(json!({ "delta": { "stop_reason": reason }, "usage": usage }), "message_delta");
    event(json!({}), "message_stop");
    text
}

#[test]
fn claude_code_refuses_to_push_in_any_spelling() {
    if !support::need("claude") {
        return;
    }
    let repo = ControlRepo::new("everything");
    let wanted: Vec<_> = PUSHES.iter().map(|command| (*command, DENIED)).chain(DISGUISED).collect();
    let (address, results) = model(wanted.iter().map(|(command, _)| (*command).to_owned()).collect());
    let output = repo.agent("claude").args(["-p", "hello"]).env("ANTHROPIC_BASE_URL", address).output().unwrap();
    let results = results.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| panic!("{}", text(&output)));
    for ((command, expected), result) in wanted.iter().zip(results) {
        assert!(result.contains(expected), "{command}: {result}");
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
