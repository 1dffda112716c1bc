//! The command line itself: what it says of wrong words, to people and to machines, and its manual pages.

mod documented;
mod help;
mod keys;

use crate::support;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn factoryup_command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factoryup"));
    command.current_dir(dir).env("HOME", dir).env("XDG_STATE_HOME", dir.join("state")).stdin(Stdio::null());
    // Else `keys init` would find, or make, a key of whoever runs the tests.
    command.env("XDG_CONFIG_HOME", dir.join(".config")).env_remove("SOPS_AGE_KEY_FILE");
    command
}

fn factoryup(dir: &Path, args: &[&str]) -> Output {
    factoryup_command(dir).args(args).output().unwrap()
}

/// The only line of a run with --json, which fails with this code and says the same code.
fn error(dir: &Path, code: i32, args: &[&str]) -> Value {
    let output = factoryup(dir, args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {output:?}"));
    assert_eq!((line["event"].as_str(), line["exit_code"].as_i64()), (Some("error"), Some(code.into())), "{line}");
    assert!(!line["hints"].as_array().unwrap().is_empty(), "{args:?} leaves without a next step: {line}");
    line
}

#[test]
fn every_wrong_word_is_one_json_object_where_json_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["--json", "plan", "--nope"][..],
        &["plan", "moon", "--json"],
        &["--json", "frob"],
        &["--json", "app"],
        &["--json", "app", "add"],
        &["--json", "revert"],
        &["--json", "--color", "pink", "plan"],
        &["resolve", "--json", "--mine", "--proposal"],
        &["completions", "--json", "tcsh"],
        &["completions", "--json", "bash"],
        &["man", "--json"],
        &["man", "--json", "plan", "--all", "x"],
    ] {
        let line = error(dir.path(), 64, args);
        let message = line["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.starts_with("error"), "{line}");
    }
    assert_eq!(error(dir.path(), 64, &["--json", "plan", "--nope"])["message"], "unexpected argument '--nope' found");
    // Words after `--` are no flags; and without --json it is for people.
    let plain = factoryup(dir.path(), &["plan", "--", "--json"]);
    assert_eq!((plain.status.code(), plain.stdout.len()), (Some(64), 0));
    assert!(factoryup(dir.path(), &["--json", "--help"]).status.success());
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "something was written");
}

#[test]
fn below_a_control_repo_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().canonicalize().unwrap().join("my factory");
    fs::create_dir_all(repo.join("docs")).unwrap();
    fs::create_dir(repo.join(".factory")).unwrap();
    fs::write(repo.join("factory.toml"), "schema = 1\n").unwrap();
    let said = error(&repo.join("docs"), 64, &["--json", "plan"]).to_string();
    assert!(said.contains(&format!("add: --dir '{}'", repo.display())), "{said}");
}

#[test]
fn an_application_without_a_kind_says_which_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let said = error(dir.path(), 64, &["--json", "app", "add", "shop"]);
    let hints = said["hints"].to_string();
    assert!(said["message"].as_str().unwrap().contains("--kind"), "{said}");
    assert!(hints.contains("--kind static") && hints.contains("factoryup app add shop --kind http"), "{said}");
    let output = factoryup(dir.path(), &["app", "add", "shop"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(64) && text.contains("next:"), "{text}");
}

#[test]
fn a_secret_file_that_is_not_there_says_what_to_name() {
    let dir = tempfile::tempdir().unwrap();
    let text = "schema = 2\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                [host]\nkind = \"none\"\n[gitlab]\ngroup = \"acme\"\n";
    fs::write(dir.path().join("factory.toml"), text).unwrap();
    let line = error(dir.path(), 64, &["--json", "plan", "gitlab", "--gitlab-token-file", "/nope"]);
    assert!(line["message"].as_str().unwrap().contains("cannot read the secret file /nope"), "{line}");
    assert!(line["hints"][0].as_str().unwrap().starts_with("name a file that you can read"), "{line}");
}

#[test]
fn another_name_is_another_factory_and_is_not_taken_on_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let answers = ["--name", "acme", "--owner-name", "Ada", "--owner-email", "ada@example.org", "--host-kind", "none"];
    let init = [&["init", "repo", "--yes", "--defaults", "--gitlab-group", "acme"][..], &answers].concat();
    let made = factoryup(dir.path(), &init);
    assert!(made.status.success(), "{made:?}");
    assert!(dir.path().join("state/factoryup/acme").is_dir());
    let file = dir.path().join("repo/factory.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("name = \"acme\"", "name = \"shop\"")).unwrap();
    for args in [
        &["plan", "repo"][..],
        &["apply", "repo", "--yes"],
        &["upgrade", "--yes"],
        &["doctor"],
        &["evidence", "verify"],
        &["init", "--yes", "--defaults"],
    ] {
        let line = error(dir.path(), 65, &[&["--json", "-C", "repo"], args].concat());
        let said = line["message"].as_str().unwrap();
        assert!(said.contains("this control repo was created as `acme`, but `factory.name` is `shop`"), "{said}");
    }
    let shop = dir.path().join("state/factoryup/shop");
    assert!(!shop.exists());
    // Nor does a folder without records of anybody count as the new factory's.
    fs::create_dir(&shop).unwrap();
    let line = error(dir.path(), 65, &["--json", "-C", "repo", "apply", "repo", "--yes"]);
    assert!(line["hints"][1].as_str().unwrap().contains("shop.old && mv "), "{line}");
    fs::remove_dir(&shop).unwrap();
    // Either remedy helps.
    fs::write(&file, &text).unwrap();
    assert_eq!(factoryup(dir.path(), &["-C", "repo", "plan", "repo"]).status.code(), Some(0));
    fs::write(&file, text.replace("name = \"acme\"", "name = \"shop\"")).unwrap();
    fs::rename(dir.path().join("state/factoryup/acme"), dir.path().join("state/factoryup/shop")).unwrap();
    assert_eq!(factoryup(dir.path(), &["-C", "repo", "plan", "repo"]).status.code(), Some(2));
    let done = factoryup(dir.path(), &["-C", "repo", "apply", "repo", "--yes"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(factoryup(dir.path(), &["-C", "repo", "plan", "repo"]).status.code(), Some(0));
}

#[test]
fn each_command_has_its_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let output = factoryup(dir.path(), &["man", "--all", "pages"]);
    assert!(output.status.success(), "{output:?}");
    let written: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let there = fs::read_dir(dir.path().join("pages")).unwrap().count();
    assert_eq!(written.len(), there);
    let help = String::from_utf8(factoryup(dir.path(), &["--help"]).stdout).unwrap();
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 10, "{help}");
    for name in commands {
        let page = fs::read_to_string(dir.path().join(format!("pages/factoryup-{name}.1"))).unwrap();
        assert_eq!(page, String::from_utf8(factoryup(dir.path(), &["man", name]).stdout).unwrap(), "{name}");
    }
    let page = fs::read_to_string(dir.path().join("pages/factoryup-app-add.1")).unwrap();
    assert_eq!(page, String::from_utf8(factoryup(dir.path(), &["man", "app", "add"]).stdout).unwrap());
    for wrong in [&["man", "nope"][..], &["man", "plan", "x"]] {
        let output = factoryup(dir.path(), wrong);
        assert_eq!(output.status.code(), Some(64));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("unknown command") && said.contains("next:"), "{said}");
    }
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(factoryup(dir.path(), &["man", "--all", "file/x"]).status.code(), Some(73));
}

#[test]
fn a_damaged_line_ending_is_a_problem_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("factory.toml"), "\"\r\n").unwrap();
    let line = error(dir.path(), 65, &["--json", "plan"]);
    assert!(line["message"].as_str().unwrap().contains("factory.toml:1:2: "), "{line}");
}

#[test]
fn a_panic_is_one_internal_error_without_secrets() {
    let temp = tempfile::tempdir().unwrap();
    let (home, dir) = (temp.path(), temp.path().join("factory"));
    let answers = [
        "--name",
        "acme",
        "--owner-name",
        "Ada",
        "--owner-email",
        "ada@example.org",
        "--host-kind",
        "none",
        "--gitlab-group",
        "g",
    ];
    let made = factoryup(home, &[&["init", "factory", "--yes"], &answers[..]].concat());
    assert!(dir.join("factory.toml").is_file(), "{made:?}");
    for json in [true, false] {
        let output = Command::new(env!("CARGO_BIN_EXE_factoryup"))
            .args(if json { &["plan", "gitlab", "--json"][..] } else { &["plan", "gitlab"] })
            .current_dir(&dir)
            .env("HOME", home)
            .env("XDG_STATE_HOME", home.join("state"))
            .env("FACTORYUP_GITLAB_TOKEN", "glpat-canary-4711")
            .env("FACTORYUP_PANIC_AT", "owner-token")
            .env("FACTORYUP_PANIC_TEXT", "with glpat-canary-4711")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(70), "{output:?}");
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(!out.contains("canary") && !err.contains("canary"), "{out}{err}");
        if json {
            let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let errors: Vec<_> = events.iter().filter(|event| event["event"] == "error").collect();
            assert_eq!((errors.len(), events.last()), (1, errors.first().copied()), "{out}");
            assert_eq!((&errors[0]["kind"], &errors[0]["exit_code"]), (&"internal".into(), &70.into()));
            assert!(errors[0]["message"].as_str().unwrap().contains("with [secret]") && err.is_empty(), "{out}{err}");
        } else {
            assert!(err.contains("error: factoryup panicked at src/") && err.contains("with [secret]"), "{err}");
        }
    }
}
