//! What stands in the files, without running anything.

use clap::CommandFactory as _;
use factoryup::repo::tree::{Mode, RenderedFile};

use crate::control_repo::{ANSWERS, answers, rendered};

fn texts(name: &str) -> Vec<(String, String)> {
    let text = |f: &RenderedFile| (f.path.clone(), String::from_utf8(f.bytes.clone()).unwrap());
    rendered(name).files.iter().filter(|f| f.mode != Mode::Link).map(text).collect()
}

#[test]
fn no_template_syntax_is_left() {
    for (name, _) in ANSWERS {
        for (path, text) in texts(name) {
            for (number, line) in text.lines().enumerate() {
                let left = ["{{", "{%", "%}"].iter().find(|mark| line.contains(**mark));
                assert!(left.is_none(), "{name}: {path}:{}: {line}", number + 1);
            }
        }
    }
}

#[test]
fn lines_end_plainly_and_blank_lines_do_not_pile_up() {
    for (name, _) in ANSWERS {
        for (path, text) in texts(name) {
            assert!(!text.contains("\n\n\n"), "{name}: {path} has two blank lines in a row");
            assert!(!text.starts_with('\n') && !text.contains(" \n"), "{name}: {path} has blanks where none belong");
        }
    }
}

/// A word that only a choice can bring, and whether these answers made it.
#[test]
fn nothing_is_mentioned_that_was_not_chosen() {
    for (name, _) in ANSWERS {
        let f = answers(name);
        let is = |value: &dyn std::fmt::Debug, wanted: &[&str]| wanted.contains(&format!("{value:?}").as_str());
        let words: &[(&str, bool)] = &[
            ("Claude", is(&f.agent.kind, &["ClaudeCode", "Both"])),
            ("Codex", is(&f.agent.kind, &["Codex", "Both"])),
            ("OpenTofu", is(&f.infra.engine, &["Opentofu"])),
            ("Terraform", is(&f.infra.engine, &["Terraform"])),
            ("tofu", is(&f.infra.engine, &["Opentofu"])),
            ("Premium", is(&f.gitlab.tier, &["Premium"])),
            ("Ultimate", is(&f.gitlab.tier, &["Ultimate"])),
            ("Cloudflare", f.cloudflare.enabled),
            ("cloudflared", f.cloudflare.enabled),
            ("SOPS", is(&f.secrets.provider, &["SopsAge"])),
            ("OpenBao", is(&f.secrets.provider, &["Openbao"])),
            ("Infisical", is(&f.secrets.provider, &["Infisical"])),
            ("1Password", is(&f.secrets.provider, &["Onepassword"])),
            ("Bitwarden", is(&f.secrets.provider, &["Bitwarden"])),
            ("Podman", is(&f.runner.executor, &["Podman"])),
            ("Kubernetes", is(&f.runner.executor, &["Kubernetes"])),
            ("/home/agent", !is(&f.host.kind, &["None"])),
            ("/var/lib/factoryup", !is(&f.host.kind, &["None"])),
        ];
        for (path, text) in texts(name) {
            for (word, chosen) in words {
                // One script serves every engine.
                if !chosen && !path.starts_with("scripts/") && !path.starts_with("templates/") {
                    assert!(!has_word(&text, word), "{name}: {path} mentions {word}, which was not chosen");
                }
            }
        }
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part(before) && !part(after)
    })
}

#[test]
fn names_of_the_answers_reach_the_files() {
    let all: String = texts("corporate").into_iter().map(|(_, text)| text).collect();
    for expected in [
        "platform/delivery/control",
        "https://gitlab.corp.example:8443",
        "`trunk`",
        "delivery-bot",
        "corp.example",
        "7 days",
    ] {
        assert!(all.contains(expected), "{expected} is nowhere");
    }
    for wrong in ["gitlab.com/", "`main`", "factory-agent", "example.org:"] {
        let path = texts("corporate").into_iter().find(|(_, text)| text.contains(wrong)).map(|(path, _)| path);
        assert_eq!(path, None, "{wrong} stands there");
    }
}

#[test]
fn only_commands_that_factoryup_has_are_named() {
    let cli = factoryup::cli::Cli::command();
    let known = |word: &str| word == "--version" || cli.find_subcommand(word).is_some();
    for (name, _) in ANSWERS {
        for (path, text) in texts(name) {
            let mut fenced = false;
            for line in text.lines() {
                fenced ^= line.trim_start().starts_with("```");
                // In prose, factoryup is the subject of a sentence; a command stands in code.
                let inline = line.split('`').skip(1).step_by(2);
                for code in inline.chain(fenced.then_some(line.trim_start())) {
                    let Some(command) = code.strip_prefix("factoryup ") else { continue };
                    let word = command.split_whitespace().next().unwrap_or_default();
                    assert!(known(word), "{name}: {path}: {line}");
                }
            }
        }
    }
}
