//! `.agents/prompts.json`: what each skill should and should not be taken for, and the ways to check and to try it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::control_repo::{ANSWERS, ControlRepo, passed, rendered, stdout, text};
use crate::support::{self, make_program};

fn prompts(text: &str) -> Vec<(String, Option<String>)> {
    let list: Vec<Value> = serde_json::from_str(text).unwrap();
    let word = |value: &Value| value.as_str().map(str::to_owned);
    list.iter().map(|entry| (word(&entry["prompt"]).unwrap(), word(&entry["skill"]))).collect()
}

#[test]
fn a_skill_without_prompts_and_a_prompt_without_a_skill_are_found() {
    if !support::available(&["git", "jq"]) {
        return;
    }
    let repo = ControlRepo::new("everything");
    passed(&repo.run(&["scripts/check", "skills"]));
    let file = ".agents/prompts.json";
    let whole = repo.read(file);
    for (from, to, finding) in [
        ("\"skill\": \"rollback\"", "\"skill\": \"roll-back\"", "no such skill: roll-back"),
        ("\"not\": \"incident\"", "\"not\": \"disaster\"", "no such skill: disaster"),
        ("\"do issue 12\"", "\"The shop is down\"", "The shop is down: stands there twice"),
        ("\"not\": \"issue-to-mr\"", "\"not\": \"ci-triage\"", "is and is not for ci-triage"),
        ("[", "", "not a list of prompts"),
    ] {
        repo.write(file, &whole.replacen(from, to, 1));
        let output = repo.run(&["scripts/check", "skills"]);
        assert_eq!(output.status.code(), Some(1), "{finding}: {}", text(&output));
        assert!(text(&output).contains(finding), "{finding}: {}", text(&output));
    }
    repo.write(file, &whole.replace("\"skill\": \"release\"", "\"skill\": null"));
    assert!(text(&repo.run(&["scripts/check", "skills"])).contains("release: only 0 prompts"));
}

/// `--try` asks whatever answers; here one that knows the list, and then one that takes the same skill for everything.
#[test]
fn an_agents_choices_are_counted() {
    if !support::available(&["git", "jq"]) {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let ask = |name: &str, program: &str| {
        let path = repo.path().join("..").join(name);
        make_program(&path, format!("#!/bin/sh\n{program}\n"));
        repo.run(&["scripts/checks/skills", "--try", path.to_str().unwrap()])
    };
    let knows = r#"jq -r --arg prompt "$1" '.[] | select(.prompt == $prompt) | .skill // "none fits" | "I take " + .' .agents/prompts.json"#;
    let count = prompts(&repo.read(".agents/prompts.json")).len();
    assert!(passed(&ask("knows", knows)).contains(&format!("0 of {count} prompts went to another skill")));
    let one = ask("one", "echo release");
    assert_eq!(one.status.code(), Some(1), "{}", text(&one));
    assert!(stdout(&one).contains("The shop is down\n  wanted incident, got release"), "{}", text(&one));
    assert!(stdout(&one).contains(&format!("{} of {count} prompts", count - 8)), "{}", text(&one));
}

/// An agent sees names and descriptions only. Without a model to ask, the words have to do: for most prompts, the description of the
/// right skill shares more of them, the rarer the better, than that of any other.
#[test]
fn descriptions_hold_the_words_that_people_use() {
    for (answers, _) in ANSWERS {
        let tree = rendered(answers);
        let file = |path: &str| {
            let found = tree.files.iter().find(|f| f.path == path).unwrap();
            String::from_utf8(found.bytes.clone()).unwrap()
        };
        let mut skills = BTreeMap::new();
        for path in tree.files.iter().map(|f| &f.path).filter(|p| p.ends_with("/SKILL.md")) {
            let text = file(path);
            let description = text.lines().find(|l| l.starts_with("description:")).unwrap().to_owned();
            // What stands after "Not for" is another skill's.
            let own = description.split(" Not for ").next().unwrap().to_owned();
            skills.insert(path.split('/').nth(2).unwrap().to_owned(), words(&own));
        }
        let rarity =
            |word: &str| 1.0 / skills.values().filter(|s| s.contains(word)).fold(0.0_f64, |n, _| n + 1.0).max(1.0);
        let score = |skill: &BTreeSet<String>, prompt: &BTreeSet<String>| -> f64 {
            prompt.iter().filter(|w| skill.contains(*w)).map(|w| rarity(w)).sum()
        };
        let asked: Vec<_> =
            prompts(&file(".agents/prompts.json")).into_iter().filter_map(|(p, s)| Some((p, s?))).collect();
        let mut missed = Vec::new();
        for (prompt, skill) in &asked {
            let said = words(prompt);
            let best = skills.values().map(|s| score(s, &said)).fold(0.0, f64::max);
            if best > score(&skills[skill], &said) + 1e-9 {
                missed.push(format!("{prompt} ({skill})"));
            }
        }
        assert!(missed.len() * 4 <= asked.len(), "{answers}: {} of {}: {missed:#?}", missed.len(), asked.len());
    }
}

/// Words of four letters and more, without their endings.
fn words(text: &str) -> BTreeSet<String> {
    let word = |w: &str| {
        let w = w.to_lowercase();
        ["ing", "ed", "es", "s"].iter().find_map(|end| w.strip_suffix(end)).unwrap_or(&w).to_owned()
    };
    text.split(|c: char| !c.is_alphanumeric()).map(word).filter(|w| w.len() >= 4).collect()
}
