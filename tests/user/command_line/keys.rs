//! `factoryup keys`: real `age-keygen` and SOPS judge the key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{error, factoryup, support};

const KEYS: &str = ".config/sops/age/keys.txt";

fn init(dir: &Path, more: &[&str]) -> Value {
    let output = factoryup(dir, &[&["--json", "keys", "init"], more].concat());
    assert!(output.status.success(), "{output:?}");
    shows_no_key(&output);
    serde_json::from_slice(output.stdout.split(|b| *b == b'\n').rfind(|line| !line.is_empty()).unwrap()).unwrap()
}

fn shows_no_key(output: &Output) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("AGE-SECRET-KEY-"), "{said}");
}

fn private(file: &Path) -> String {
    fs::read_to_string(file).unwrap().lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap().to_owned()
}

fn control_repo(dir: &Path, more: &[&str]) -> PathBuf {
    let answers =
        ["--host-kind", "none", "--gitlab-group", "g", "--owner-name", "Ada", "--owner-email", "ada@example.org"];
    let output = factoryup(dir, &[&["init", "acme", "--defaults", "--yes"], &answers[..], more].concat());
    assert!(output.status.success(), "{output:?}");
    dir.join("acme")
}

fn run(program: &str, dir: &Path, args: &[&str]) -> String {
    let program = support::tool(program).unwrap();
    let mut command = std::process::Command::new(program);
    let output = command.args(args).current_dir(dir).env("SOPS_AGE_KEY_FILE", dir.join(KEYS)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_key_made_before_the_setup_is_found_by_it() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let made = init(dir, &["--sheet", "sheet.txt"]);
    let file = dir.join(KEYS);
    let recipient = made["recipient"].as_str().unwrap();
    assert_eq!((made["is_new"].as_bool(), made["factory_toml"].as_str()), (Some(true), Some("none")));
    for private in [&file, &dir.join("sheet.txt")] {
        assert_eq!(private.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(dir.join(".config/sops/age").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // What a person types from the page is the key.
    let sheet = fs::read_to_string(dir.join("sheet.txt")).unwrap();
    let typed: Vec<&str> =
        sheet.lines().skip_while(|line| *line != "    AGE-SECRET-KEY-1").take(4).map(str::trim).collect();
    assert_eq!(typed.concat().replace(' ', ""), private(&file), "{sheet}");
    assert!(sheet.contains(recipient));

    let again = init(dir, &[]);
    assert_eq!((again["is_new"].as_bool(), &again["recipient"]), (Some(false), &made["recipient"]));
    let repo = control_repo(dir, &[]);
    assert!(fs::read_to_string(repo.join("factory.toml")).unwrap().contains(recipient));
    assert!(fs::read_to_string(repo.join(".sops.yaml")).unwrap().contains(recipient));

    if support::available(&["age-keygen", "sops"]) {
        assert_eq!(run("age-keygen", dir, &["-y", KEYS]).trim(), recipient);
        fs::write(dir.join("plain.yaml"), "word: quince\n").unwrap();
        let hidden = run("sops", dir, &["encrypt", "--age", recipient, "plain.yaml"]);
        assert!(!hidden.contains("quince"));
        fs::write(dir.join("hidden.yaml"), hidden).unwrap();
        assert_eq!(run("sops", dir, &["decrypt", "hidden.yaml"]), "word: quince\n");
    }
}

#[test]
fn a_key_made_in_a_control_repo_is_entered_there_and_proposed_by_an_upgrade() {
    let home = tempfile::tempdir().unwrap();
    let repo = control_repo(home.path(), &[]);
    let edited = fs::read_to_string(repo.join("factory.toml")).unwrap() + "# an edit that is not committed\n";
    fs::write(repo.join("factory.toml"), &edited).unwrap();
    let dir = home.path();
    let made = init(dir, &["--dir", "acme"]);
    assert_eq!(made["factory_toml"], "written");
    let recipient = made["recipient"].as_str().unwrap();
    let text = fs::read_to_string(repo.join("factory.toml")).unwrap();
    assert_eq!(text, edited.replace("owner_recipient = \"\"", &format!("owner_recipient = \"{recipient}\"")));
    let output = factoryup(dir, &["--dir", "acme", "upgrade", "--dry-run", "--diff"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(said.contains("path_regex: ^secrets/agent/") && said.contains(recipient), "{said}");
    assert_eq!(init(dir, &["--dir", "acme"])["factory_toml"], "named");
}

#[test]
fn what_could_replace_or_confuse_a_key_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let refused = |code: i32, args: &[&str], words: &str| {
        let line = error(dir, code, &[&["--json", "keys", "init"], args].concat());
        assert!(line["message"].as_str().unwrap().contains(words), "{line}");
    };
    fs::write(dir.join("sheet.txt"), "mine\n").unwrap();
    refused(73, &["--sheet", "sheet.txt"], "sheet.txt exists");
    assert_eq!(fs::read_to_string(dir.join("sheet.txt")).unwrap(), "mine\n");
    assert!(!dir.join(KEYS).exists(), "refused before the first write");

    for (flag, name) in [("--sheet", "acme-repo/sheet.txt"), ("--out", "acme-repo/deep/key.txt")] {
        fs::create_dir_all(dir.join("acme-repo/.git")).unwrap();
        refused(64, &[flag, name], "is in the git repo");
    }
    assert_eq!(fs::read_dir(dir.join("acme-repo")).unwrap().count(), 1);
    fs::write(dir.join("empty.txt"), "age-encryption.org/v1\n").unwrap();
    refused(64, &["--out", "empty.txt"], "no age key that factoryup can read");
    let (one, two) = (init(dir, &["--out", "one.txt"]), init(dir, &["--out", "two.txt"]));
    let both = ["one.txt", "two.txt"].map(|name| fs::read_to_string(dir.join(name)).unwrap()).concat();
    fs::write(dir.join("both.txt"), &both).unwrap();
    refused(64, &["--out", "both.txt"], "has 2 age keys");
    control_repo(dir, &["--owner-recipient", two["recipient"].as_str().unwrap()]);
    refused(64, &["--dir", "acme", "--out", "one.txt"], "its key is not in");
    refused(64, &["--dir", "acme"], "its key is not in");
    assert_eq!(init(dir, &["--dir", "acme", "--out", "both.txt"])["recipient"], two["recipient"]);
    assert_ne!(one["recipient"], two["recipient"]);
    assert_eq!(fs::read_to_string(dir.join("both.txt")).unwrap(), both);

    fs::remove_dir_all(dir.join("acme")).unwrap();
    fs::remove_dir_all(dir.join("state")).unwrap();
    control_repo(dir, &["--secrets-provider", "gitlab-variables"]);
    refused(64, &["--dir", "acme"], "another provider");
}
