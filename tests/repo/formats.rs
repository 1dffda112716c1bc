//! Every format number of every file that factoryup owns in a control repo: older ones are read, newer ones are refused.
//!
//! A new number needs a fixture of what it looks like: `tests/fixtures/formats/NAME-NUMBER`.

use std::fs;
use std::path::PathBuf;

use factoryup::factory::answers::Answers;
use factoryup::factory::{SCHEMA, parse, renew};
use factoryup::repo::manifest;

use crate::support::need;
use crate::world::World;

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A file and the answers last applied, in each format, say the same today; and an upgrade writes the file as it looks today, with every
/// comment in its place.
#[test]
fn answers_of_every_schema_are_read_and_brought_forward() {
    let (today, lock) = (fixture(&format!("factory-{SCHEMA}.toml")), fixture(&format!("answers-{SCHEMA}.lock")));
    let says = parse(&today, "today").unwrap();
    assert_eq!(parse(&lock, "lock").unwrap(), says);
    for number in 1..=SCHEMA {
        let (text, lock) = (fixture(&format!("factory-{number}.toml")), fixture(&format!("answers-{number}.lock")));
        assert!(text.contains(&format!("\nschema = {number}\n")) && lock.contains(&format!("\nschema = {number}\n")));
        assert_eq!(parse(&text, "text").unwrap(), says, "{number}");
        assert_eq!(parse(&lock, "lock").unwrap(), says, "{number}");
        let renewed = renew(&text, "text", Some(&lock), &Answers::default()).unwrap();
        assert_eq!(renewed.text, today, "{number}");
        assert_eq!(renewed.factory, says, "{number}");
        // With Windows' line ends and a byte order mark they stay so.
        let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let renewed = renew(&windows(&text), "text", Some(&lock), &Answers::default()).unwrap();
        assert_eq!(renewed.text, windows(&today), "{number}");
    }
}

/// A key that has another name in today's schema is known under its old one, but only where it belongs.
#[test]
fn former_names_are_known() {
    let refused = |text: &str| parse(text, "factory.toml").unwrap_err().to_string();
    let (old, new) = (fixture("factory-1.toml"), fixture("factory-2.toml"));
    let today = new.replace("kind = \"shared\"", "executor = \"shared\"");
    let said = refused(&today);
    assert!(
        said.contains("`executor` is unknown in [runner]") && said.contains("rename it to `runner.kind`"),
        "{said}"
    );
    let twice = old.replace("executor = \"shared\"", "kind = \"shared\"\nexecutor = \"shared\"");
    let said = refused(&twice);
    assert!(said.contains("`runner.kind` is set twice, once under its former name"), "{said}");
    let wrong = old.replace("executor = \"shared\"", "executor = \"shard\"");
    let said = refused(&wrong);
    assert!(said.contains("executor = \"shard\"") && said.contains("did you mean `shared`?"), "{said}");
    let said = refused(&new.replace("schema = 2", "schema = 2\nretired = 1"));
    assert!(said.contains("`retired` is a number, but must be a section"), "{said}");
}

/// What a newer factoryup wrote is refused by every command, with the file's name and exit code 65.
#[test]
fn newer_formats_are_refused() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    let manifest = format!("schema = {}", manifest::SCHEMA);
    let answers = format!("schema = {SCHEMA}");
    for (file, from, to, said) in [
        ("factory.toml", "schema = 1", "schema = 99", "written by a newer factoryup"),
        (".factory/answers.lock", &answers, "schema = 99", ".factory/answers.lock was written by a newer factoryup"),
        (".factory/manifest.toml", &manifest, "schema = 99", ".factory/manifest.toml was written by a newer factoryup"),
        (".factory/manifest.toml", "min_generator = \"0", "min_generator = \"99", "it requires 99"),
    ] {
        let path = world.path("repo").join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        world.git("repo", &["commit", "-qam", "newer"]);
        let before = world.git("repo", &["for-each-ref"]);
        for command in [
            &["upgrade", "--yes", "--no-push"][..],
            &["doctor", "repo"],
            &["plan", "repo"],
            &["apply", "repo", "--yes"],
        ] {
            let (code, _, err) = world.factoryup("repo", command);
            assert!(code == 65 && err.contains(said), "{file}: {command:?}: {code}: {err}");
        }
        assert_eq!(world.git("repo", &["for-each-ref"]), before);
        world.git("repo", &["revert", "--no-edit", "HEAD"]);
    }
}
