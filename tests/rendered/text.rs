//! What stands in the files, without running anything.

use clap::CommandFactory as _;
use factoryup::templating::tree::{Mode, RenderedFile};

use crate::control_repo::rendered;
use crate::corpus::{CORPUS, Item};

fn texts(name: &str) -> Vec<(String, String)> {
    let text = |f: &RenderedFile| (f.path.clone(), String::from_utf8(f.bytes.clone()).unwrap());
    rendered(name).files.iter().filter(|f| f.mode != Mode::Link).map(text).collect()
}

#[test]
fn no_template_syntax_is_left() {
    for item in &CORPUS.files {
        for (number, line) in item.text.lines().enumerate() {
            let left = ["{{", "{%", "%}"].iter().find(|mark| line.contains(**mark));
            assert!(left.is_none(), "{}: {}:{}: {line}", item.of, item.path, number + 1);
        }
    }
}

#[test]
fn lines_end_plainly_and_blank_lines_do_not_pile_up() {
    for Item { of, path, text, .. } in &CORPUS.files {
        assert!(!text.contains("\n\n\n"), "{of}: {path} has two blank lines in a row");
        assert!(!text.starts_with('\n') && !text.contains(" \n"), "{of}: {path} has blanks where none belong");
    }
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
    for wrong in ["//gitlab.com/", "`main`", "factory-agent", "example.org:"] {
        // The lock has addresses of downloads.
        let stands = |(path, text): &(String, String)| path != "toolchain.lock" && text.contains(wrong);
        let path = texts("corporate").into_iter().find(stands).map(|(path, _)| path);
        assert_eq!(path, None, "{wrong} stands there");
    }
}

#[test]
fn only_commands_that_factoryup_has_are_named() {
    let cli = factoryup::cli::Cli::command();
    let known = |word: &str| word == "--version" || cli.find_subcommand(word).is_some();
    for item in &CORPUS.files {
        let mut fenced = false;
        for line in item.text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            // In prose, factoryup is the subject of a sentence; a command stands in code.
            let inline = line.split('`').skip(1).step_by(2);
            for code in inline.chain(fenced.then_some(line.trim_start())) {
                let Some(command) = code.strip_prefix("factoryup ") else { continue };
                let word = command.split_whitespace().next().unwrap_or_default();
                assert!(known(word), "{}: {}: {line}", item.of, item.path);
            }
        }
    }
}

/// GitLab Runner itself checks the keys, in `tests/judges/run`.
#[test]
fn a_machine_of_the_cloud_runs_one_job_and_no_more() {
    let texts = texts("defaults");
    let (_, text) = texts.iter().find(|(path, _)| path == "docs/procedures/start-runners.md").unwrap();
    let block = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let settings: toml::Table = block.parse().unwrap();
    let runner = &settings["runners"][0];
    let (docker, scaled) = (&runner["docker"], &runner["autoscaler"]);
    assert_eq!((runner["executor"].as_str(), docker["privileged"].as_bool()), (Some("docker-autoscaler"), Some(false)));
    let number = |key: &str| scaled[key].as_integer().unwrap();
    assert_eq!((number("capacity_per_instance"), number("max_use_count")), (1, 1));
    assert_eq!(settings["concurrent"].as_integer(), Some(number("max_instances")));
    // It reads no file with a key of the cloud.
    assert_eq!(scaled["plugin_config"].as_table().unwrap().keys().collect::<Vec<_>>(), ["name"]);
}
