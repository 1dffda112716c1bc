//! Who can read a secret of the repo, with real age keys and the real SOPS: exactly whom `.sops.yaml` names for its folder.

use std::process::Output;

use crate::control_repo::{ControlRepo, passed, text};
use crate::readers::{FOLDERS, Reader, World};
use crate::support;

#[test]
fn a_secret_is_read_by_whom_its_folder_is_for() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let world = World::new();
    for (folder, readers) in FOLDERS {
        let file = format!("{folder}/app.yaml");
        // Whoever may read a file may also make it: for that no key is needed, only the rules.
        passed(&world.secret(&["edit", &file], "stranger"));
        assert!(!world.repo.read(&file).contains("in secrets/"), "the value stands in the file");
        assert_eq!(world.readers_of(&file), readers.iter().copied().collect(), "{file}");
    }
    passed(&world.check());
    // Who made the file knows its data key, and reads nothing that comes later.
    let keys = |text: &str| {
        text.lines().filter(|line| line.trim_start().starts_with("token:")).map(str::to_owned).collect::<Vec<_>>()
    };
    let file = "secrets/production/app.yaml";
    for change in [&["set", file, "other"][..], &["edit", file]] {
        let before = keys(&world.repo.read(file));
        passed(&world.secret_from("x", change, "owner"));
        assert_ne!(keys(&world.repo.read(file)), before, "{change:?}: encrypted with the old data key");
    }
    for reader in [
        "- recipient: ssh-ed25519 AAAAC3Nz",
        "- fp: 0123456789ABCDEF",
        "- arn: arn:aws:kms:x",
        "- vault_address: https://x",
    ] {
        let with = world.repo.read(file).replacen("    age:\n", &format!("    age:\n        {reader}\n"), 1);
        assert_ne!(with, world.repo.read(file));
        let whole = world.repo.read(file);
        world.repo.write(file, &with);
        assert!(text(&world.check()).contains(&format!("{file}: has a reader that is no age key")), "{reader}");
        world.repo.write(file, &whole);
    }
    let listed = passed(&world.secret(&["list"], "stranger"));
    let agent = &world.reader("agent").public;
    assert_eq!(listed.matches(agent.as_str()).count(), 1, "{listed}");

    // No rule, no file: not for a folder that only begins like one, nor elsewhere.
    for file in ["secrets/productions/app.yaml", "secrets/agents/app.yaml"] {
        assert!(!world.secret(&["edit", file], "owner").status.success());
        assert!(!world.repo.path().join(file).exists(), "{file} was made");
    }
    let elsewhere = world.secret(&["edit", "docs/secrets/production/app.yaml"], "owner");
    assert_eq!(elsewhere.status.code(), Some(64), "{}", text(&elsewhere));

    // A new reader reads what is there already, and a removed one nothing any more.
    passed(&world.secret(&["add-recipient", "secrets/prod", &world.reader("deploy").public], "owner"));
    assert_eq!(world.readers_of("secrets/prod/app.yaml"), ["deploy", "owner"].into());
    let rules = world.repo.read(".sops.yaml").replace(&format!(",{agent}"), "");
    world.repo.write(".sops.yaml", &rules);
    let due = world.check();
    assert!(text(&due).contains("secrets/agent/app.yaml: read by others than .sops.yaml says"), "{}", text(&due));
    passed(&world.secret(&["rotate", "secrets/agent/app.yaml"], "owner"));
    assert_eq!(world.readers_of("secrets/agent/app.yaml"), ["owner"].into());
    passed(&world.check());
}

/// Docs/procedures/age-keys.md, "Removing a reader".
#[test]
fn a_removed_reader_reads_nothing_new() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let world = World::new();
    let (one, two) = ("secrets/production/app.yaml", "secrets/production/other.yaml");
    for file in [one, two] {
        passed(&world.secret(&["edit", file], "owner"));
    }
    world.repo.git(&["add", "."]);
    world.repo.git(&["commit", "-qm", "two secrets"]);
    let (owner, deploy, ci) =
        (&world.reader("owner").public, &world.reader("deploy").public, &world.reader("ci").public);
    let rules = world.repo.read(".sops.yaml");
    let remove = |key: &str, by: &str| world.secret(&["remove-recipient", "secrets/production/", key], by);
    let refused = |output: Output, code: i32, why: &str| {
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
        assert_eq!(world.repo.git(&["status", "--porcelain"]), "", "{why}");
    };
    refused(remove(&world.reader("stranger").public, "owner"), 65, "does not read secrets/production/");
    refused(remove("age1short", "owner"), 64, "not an age public key");
    refused(remove(deploy, "stranger"), 77, "so nothing is changed");
    let agents = world.secret(&["remove-recipient", "secrets/owner", owner], "owner");
    refused(agents, 65, "is the only reader of secrets/owner/");

    let said = passed(&remove(deploy, "owner"));
    assert!(said.contains("It still opens what is in git's history"), "{said}");
    for file in [one, two] {
        assert_eq!(world.readers_of(file), ["ci", "owner"].into(), "{file}");
        let value = |text: &str| text.lines().find(|line| line.starts_with("token:")).unwrap().to_owned();
        let before = world.repo.git(&["show", &format!("HEAD:{file}")]);
        assert_ne!(value(&before), value(&world.repo.read(file)), "{file}: the old data key is still in use");
    }
    passed(&world.check());
    // As it says: with the key that was taken out, what was committed before can be read.
    world.repo.write("secrets/production/before.yaml", &world.repo.git(&["show", &format!("HEAD:{one}")]));
    assert!(world.secret(&["get", "secrets/production/before.yaml", "token"], "deploy").status.success());
    std::fs::remove_file(world.repo.path().join("secrets/production/before.yaml")).unwrap();
    // No other rule has changed, and the mode of the file neither.
    assert_eq!(world.repo.read(".sops.yaml"), rules.replacen(&format!(",{deploy}"), "", 1));
    assert_eq!(world.repo.git(&["diff", "--summary"]), "");

    // A run that was cut short after the rules: the same command ends it.
    world.repo.write(".sops.yaml", &world.repo.read(".sops.yaml").replacen(&format!("{owner},{ci}"), owner, 2));
    assert_eq!(world.readers_of(one), ["ci", "owner"].into());
    passed(&remove(ci, "owner"));
    assert_eq!(world.readers_of(one), ["owner"].into());
}

/// What fails in one file is not hidden by the files after it, and whoever comes next is told what is true by then.
#[test]
fn a_removal_that_is_cut_short_says_so_and_can_be_ended() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let world = World::new();
    let (one, two) = ("secrets/production/app.yaml", "secrets/production/other.yaml");
    for file in [one, two] {
        passed(&world.secret(&["edit", file], "owner"));
    }
    let (owner, deploy) = (&world.reader("owner").public, &world.reader("deploy").public);
    let remove = ["remove-recipient", "secrets/production", deploy];
    let cut = world.secret_cut(&remove, one);
    assert_eq!(cut.status.code(), Some(9), "{}", text(&cut));
    assert!(!text(&cut).contains("can no longer read"), "{}", text(&cut));
    assert_eq!(world.readers_of(one), ["ci", "deploy", "owner"].into());
    passed(&world.secret(&remove, "owner"));
    assert_eq!(world.readers_of(one), ["ci", "owner"].into());
    // Their own key: what is done no longer opens, so that only another reader can end it.
    let remove = [remove[0], remove[1], owner];
    assert_eq!(world.secret_cut(&remove, two).status.code(), Some(9));
    assert_eq!(world.readers_of(one), ["ci"].into());
    let again = world.secret(&remove, "owner");
    assert_eq!(again.status.code(), Some(77), "{}", text(&again));
    let why = ".sops.yaml no longer names the key, and 1 of 2 files are done; another reader must end it with the same command";
    assert!(text(&again).contains(why), "{}", text(&again));
    assert!(!text(&again).contains("nothing is changed"), "{}", text(&again));
    passed(&world.secret(&remove, "ci"));
    assert_eq!(world.readers_of(two), ["ci"].into());
}

/// Sops reads more spellings of a rule than `scripts/secret` writes. In each, a reader would be lost or stay unseen.
#[test]
fn rules_in_another_spelling_are_refused_with_their_line() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let world = World::new();
    passed(&world.secret(&["edit", "secrets/dev/app.yaml"], "owner"));
    let rules = world.repo.read(".sops.yaml");
    let (owner, ci, agent) = (&world.reader("owner").public, &world.reader("ci").public, &world.reader("agent").public);
    let (path, age) = ("  - path_regex: ^secrets/dev/\n", format!("    age: {owner},{ci}\n"));
    let first = rules.lines().position(|line| line == path.trim_end()).unwrap() + 1;
    let spellings = [
        (format!("{path}    age: {owner}, {ci}\n"), first + 1),
        (format!("{path}    age: \"{owner},{ci}\"\n"), first + 1),
        (format!("{path}    age: >-\n      {owner},\n      {ci}\n"), first + 1),
        (format!("{path}    age:\n      - {owner}\n      - {ci}\n"), first + 1),
        (format!("{path}    age: {owner}\n      ,{ci}\n"), first + 2),
        (format!("{path}    key_groups:\n      - age:\n          - {owner}\n          - {ci}\n"), first + 3),
        (format!("  - age: {owner},{ci}\n    path_regex: ^secrets/dev/\n"), first + 1),
        (format!("  - path_regex: \"^secrets/dev/\"\n{age}"), first),
        (format!("{path}{age}{path}{age}"), first + 2),
    ];
    for (spelling, line) in &spellings {
        let written = rules.replace(&format!("{path}{age}"), spelling);
        world.repo.write(".sops.yaml", &written);
        for arguments in [["remove-recipient", "secrets/dev", ci], ["add-recipient", "secrets/dev", agent]] {
            let output = world.secret(&arguments, "owner");
            assert_eq!(output.status.code(), Some(65), "{spelling}{}", text(&output));
            assert!(text(&output).contains(&format!(".sops.yaml:{line}: ")), "{spelling}{}", text(&output));
            assert!(text(&output).contains("\"    age: age1...,age1...\""), "{}", text(&output));
            assert_eq!(world.repo.read(".sops.yaml"), written);
        }
    }
    // What comes before the folder's rule, and takes its files, is found out by the files.
    let early = format!("creation_rules:\n  - path_regex: ^secrets/\n    age: {owner},{ci}\n");
    world.repo.write(".sops.yaml", &rules.replace("creation_rules:\n", &early));
    for arguments in [["add-recipient", "secrets/dev", agent], ["remove-recipient", "secrets/dev", ci]] {
        let output = world.secret(&arguments, "owner");
        assert_eq!(output.status.code(), Some(65), "{}", text(&output));
        assert!(text(&output).contains("secrets/dev/app.yaml"), "{}", text(&output));
        assert!(!text(&output).contains("once this is merged"), "{}", text(&output));
    }
}

#[test]
fn the_key_of_the_agent_opens_no_environment() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let world = World::new();
    let agent = world.reader("agent").public.clone();
    passed(&world.check());
    // Not by a rule that names it,
    let rules = world.repo.read(".sops.yaml");
    passed(&world.secret(&["add-recipient", "secrets/production", &agent], "owner"));
    let found = world.check();
    assert_eq!(found.status.code(), Some(1), "{}", text(&found));
    assert!(text(&found).contains(&format!("{agent} reads secrets/agent, and more")), "{}", text(&found));
    world.repo.write(".sops.yaml", &rules);
    passed(&world.check());
    // nor by a file that was encrypted past the rules, nor by one that lies beside the folders.
    let plain = world.repo.path().join("../plain.yaml");
    std::fs::write(&plain, "token: x\n").unwrap();
    let file = world.repo.path().join("secrets/production/past.yaml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut sops = world.repo.command(support::tool("sops").unwrap().to_str().unwrap());
    sops.current_dir(plain.parent().unwrap());
    sops.args(["encrypt", "--age", &agent, "--output"]).arg(&file).arg(&plain);
    passed(&sops.output().unwrap());
    let found = world.check();
    assert!(
        text(&found).contains("secrets/production/past.yaml: read by others than .sops.yaml says"),
        "{}",
        text(&found)
    );
    std::fs::rename(&file, world.repo.path().join("secrets/past.yaml")).unwrap();
    assert!(text(&world.check()).contains("secrets/past.yaml: no rule is for it"));
}

/// The checks of a merge request read what was encrypted: long lines for three readers, and sops' own, belong to no one who could break them.
#[test]
fn the_first_secret_passes_the_checks() {
    if !support::available(&["age-keygen", "git", "jq", "shellcheck", "sops", "yamllint"]) {
        return;
    }
    let world = World::new();
    passed(&world.secret_from("short\n", &["set", "secrets/production/app.yaml", "A"], "owner"));
    assert_eq!(passed(&world.secret(&["get", "secrets/production/app.yaml", "A"], "deploy")), "short");
    passed(&world.secret_from("a \"b\" \\ $c `d`", &["set", "secrets/production/app.yaml", "QUOTED"], "owner"));
    let settings = passed(&world.secret(&["env", "secrets/production/app.yaml"], "deploy"));
    assert_eq!(settings, "A=\"short\"\nQUOTED=\"a \\\"b\\\" \\\\ \\$c \\`d\\`\"\n");
    passed(&world.repo.run(&["scripts/check", "formats", "secrets", "recipients", "shell"]));
    // A line that can be broken has to be.
    world.repo.write("new.yml", &format!("a: {}\n", "word ".repeat(40).trim_end()));
    assert!(text(&world.repo.run(&["scripts/check", "formats"])).contains("line too long"));
}

/// Whoever holds the key ceremony as docs/procedures/age-keys.md says has what the templates make of the new answer, byte for byte, so that
/// the next upgrade finds nothing to merge in the rules.
#[test]
fn the_ceremony_makes_the_rules_that_the_templates_make() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let toml = |recipient: &str| {
        format!(
            "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n[host]\nkind = \"local\"\n\
             [gitlab]\ngroup = \"acme\"\n[secrets]\nowner_recipient = \"{recipient}\"\n[environments]\nnames = [\"dev\", \"production\"]\n"
        )
    };
    let owner = Reader::new("owner", &tempfile::tempdir().unwrap().keep());
    let repo = ControlRepo::of(&toml(""));
    let step = repo.read("docs/procedures/age-keys.md");
    let folders = step.split("4. For each of ").nth(1).unwrap().split(':').next().unwrap();
    for folder in folders.split(", ") {
        let sops = support::tool("sops").unwrap();
        let path = format!("{}:{}", sops.parent().unwrap().display(), support::path());
        passed(
            &repo
                .command("scripts/secret")
                .args(["add-recipient", folder, &owner.public])
                .env("PATH", path)
                .output()
                .unwrap(),
        );
    }
    assert_eq!(repo.read(".sops.yaml"), ControlRepo::of(&toml(&owner.public)).read(".sops.yaml"));
}

/// Docs/procedures/age-keys.md, "Replacing the owner's key", with the old key in hand.
#[test]
fn whoever_takes_the_own_key_out_leaves_a_new_data_key_behind() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let world = World::new();
    let file = "secrets/prod/app.yaml";
    passed(&world.secret(&["edit", file], "owner"));
    let (old, new) = (&world.reader("owner").public, &world.reader("stranger").public);
    passed(&world.secret(&["add-recipient", "secrets/prod", new], "owner"));
    let before = world.repo.read(file);
    let rules = world.repo.read(".sops.yaml");
    world.repo.write(".sops.yaml", &rules.replace(&format!("{old},{new}"), new));
    passed(&world.secret(&["rotate", file], "owner"));
    assert_eq!(world.readers_of(file), ["stranger"].into());
    // A new data key encrypts every value anew.
    let value = |text: &str| text.lines().find(|line| line.starts_with("token:")).unwrap().to_owned();
    assert_ne!(value(&before), value(&world.repo.read(file)), "the old data key is still in use");
}

#[test]
fn a_typo_makes_no_secret_and_nothing_replaces_none() {
    if !support::available(&["age-keygen", "git", "jq", "sops"]) {
        return;
    }
    let world = World::new();
    let file = "secrets/prod/app.yaml";
    passed(&world.secret(&["edit", file], "owner"));
    let before = world.repo.read(file);
    let refused = |input: &str, arguments: &[&str], code: i32, why: &str| {
        let output = world.secret_from(input, arguments, "owner");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(why), "{arguments:?}: {}", text(&output));
        assert_eq!(world.repo.read(file), before, "{arguments:?} changed the file");
    };
    refused("", &["rotate", file, "tokne"], 65, "there is no tokne in secrets/prod/app.yaml");
    refused("", &["rotate", file, "1bad"], 64, "which secret?");
    refused("", &["rotate", "secrets/prod/none.yaml"], 65, "there is no secrets/prod/none.yaml");
    refused("\n", &["set", file, "token"], 65, "no value was given");
    refused("", &["set", "secrets/prod/none.yaml", "token"], 65, "no value was given");
    assert!(!world.repo.path().join("secrets/prod/none.yaml").exists());

    let said = passed(&world.secret(&["rotate", file, "token"], "owner"));
    assert!(said.contains("token is replaced"), "{said}");
    assert_eq!(passed(&world.secret(&["get", file, "token"], "owner")).len(), 32);
}
