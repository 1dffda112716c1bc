//! What is skipped is counted, and named with what would run it; and nothing is skipped when nothing may be.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use regex_lite::Regex;
use support::skip;

/// For [`run`]: what no machine has, and what every machine lacks as these tests run it.
#[test]
#[ignore = "another test runs it"]
fn needs_what_is_missing() {
    assert!(!support::available(&["age-keygen", "git"]) && !support::need("busybox"));
    assert!(!support::satisfied("codex", false) && !support::satisfied("root", false));
    assert!(!support::satisfied("GitLab's OpenAPI description", false));
}

#[test]
#[ignore = "another test runs it"]
fn needs_a_part() {
    assert_eq!(skip::host_shells(), [&["bash"][..]]);
}

/// Runs the two above with a `PATH` that has bash alone.
fn run(more: &[&str], required: &str) -> Output {
    let bin = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(which::which("bash").unwrap(), bin.path().join("bash")).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["needs_", "--ignored"]).args(more);
    command.env("PATH", bin.path()).env("FACTORYUP_REQUIRE_ALL", required).output().unwrap()
}

#[test]
fn the_closing_line_counts_what_was_skipped_and_names_what_would_run_it() {
    let ledger = skip::ledger_of(std::process::id());
    for threads in ["--test-threads=2", "--test-threads=1"] {
        assert!(run(&[threads], "").status.success());
        let entries = fs::read_to_string(&ledger).unwrap();
        fs::remove_file(&ledger).unwrap();
        let packages = "age busybox-static dash git";
        let expected = format!(
            "2 tests skipped, some only in part; to run them: root; `apt-get install {packages}`; `.ci/run` once, for codex; \
             GitLab's OpenAPI description"
        );
        assert_eq!(skip::summary(&entries, |_| false), expected);
    }
    assert_eq!(skip::summary("", |_| true), "0 tests skipped");
    assert_eq!(skip::summary("repo\ta_test\troot\n", |_| true), "1 test skipped, maybe only in part; to run it: root");
    let line = skip::summary("repo\ta_test\tyash, tmux\n", |package| package == "yash");
    assert_eq!(
        line,
        "1 test skipped, maybe only in part; to run it: `apt-get install tmux`; yash, which this system has no package of"
    );
}

#[test]
fn where_all_is_required_a_skip_fails_and_is_not_counted() {
    let output = run(&["--test-threads=2"], "1");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("0 passed; 2 failed"), "{said}");
    assert!(said.contains("lets nothing be skipped"), "{said}");
}

/// Every tool that a test asks for has a line in the list, so that the closing line can name its package.
#[test]
fn every_tool_that_a_test_asks_for_is_in_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let call = Regex::new(r#"\b(?:need|available)\((&\[)?("[^)\]]*)[)\]]"#).unwrap();
    let word = Regex::new(r#""([^"]+)""#).unwrap();
    let mut asked = BTreeSet::new();
    let mut open = vec![root.join("tests"), root.join("src"), root.join("benches")];
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|is| is == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for found in call.captures_iter(&text) {
                    asked.extend(word.captures_iter(&found[2]).map(|word| word[1].to_owned()));
                }
            }
        }
    }
    assert!(asked.len() > 25, "{asked:?}");
    // These come with Rust, whatever that comes from.
    let rust = ["cargo", "cargo-clippy", "cargo-fmt"].map(str::to_owned);
    let known: BTreeSet<_> = skip::tools().map(|tool| tool.name.to_owned()).chain(rust).collect();
    assert_eq!(asked.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
}
