//! The help of every command in one snapshot, so that reviewers see each change of its words.

use super::documented::{flat, tree};
use super::factoryup_command;

/// The command list shows each summary in one line.
const LONGEST_SUMMARY: usize = 72;

/// Help as in a window of 100 columns, whatever the environment of the test says.
fn help(words: &[String]) -> String {
    let mut command = factoryup_command(&std::env::temp_dir());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FACTORYUP_")) {
        command.env_remove(name);
    }
    let output = command.args(words).arg("--help").env("COLUMNS", "100").output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_help_of_every_command_is_as_recorded() {
    let pages = tree().into_keys().map(|words| {
        let call = [&["factoryup".to_owned()], &words[..], &["--help".to_owned()]].concat().join(" ");
        format!("$ {call}\n{}\n", help(&words))
    });
    insta::assert_snapshot!("help", pages.collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_summary_is_one_short_phrase() {
    let mut count = 0;
    for (words, command) in tree() {
        let summary = flat(&command.get_about().unwrap().to_string());
        assert!(summary.chars().count() <= LONGEST_SUMMARY, "{words:?}: {summary}");
        assert!(!summary.contains([';']) && !summary.contains(". "), "{words:?}: {summary}");
        assert!(summary.starts_with(char::is_uppercase) && !summary.ends_with('.'), "{words:?}: {summary}");
        count += 1;
    }
    assert!(count > 15, "{count}");
}
