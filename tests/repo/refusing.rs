//! What an upgrade does not do: each refused or kept for the user to decide, with a message, an exit code, and nothing lost.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::support::need;
use crate::world::World;

const UPGRADES: [&[&str]; 4] = [
    &["upgrade", "--yes", "--no-push"],
    &["upgrade", "--in-place", "--yes"],
    &["upgrade", "--dry-run"],
    &["apply", "repo", "--yes"],
];

fn situation() -> World {
    let world = World::new();
    world.apply("repo");
    world
}

/// Changes a file and commits it.
fn commit(world: &World, path: &str, change: impl Fn(String) -> String) {
    let path = world.path("repo").join(path);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, changed).unwrap();
    world.git("repo", &["add", "-A", "-f"]);
    world.git("repo", &["commit", "-qm", "change"]);
}

/// Refs, index and status, and that nothing was left over.
fn state(world: &World) -> (String, Vec<u8>, String) {
    assert!(!world.path("repo/.git/factoryup-upgrade").exists());
    let index = fs::read(world.path("repo/.git/index")).unwrap();
    (world.git("repo", &["for-each-ref"]), index, world.git("repo", &["status", "--porcelain", "--ignored"]))
}

/// Every command that upgrades ends with this code, says this, and changes nothing.
fn refused(world: &World, wanted_code: i32, wanted: &[&str]) {
    let before = state(world);
    for command in UPGRADES {
        let (code, out, err) = world.factoryup("repo", command);
        assert_eq!(code, wanted_code, "{command:?}: {out}{err}");
        for text in wanted {
            assert!(err.contains(text), "{command:?} does not say {text}: {err}");
        }
        assert_eq!(state(world), before, "{command:?}");
    }
}

const MANIFEST: &str = ".factory/manifest.toml";

#[test]
fn a_downgrade_and_a_newer_format() {
    if !need("git") {
        return;
    }
    for (from, to, said) in [
        ("version = \"1.", "version = \"99.", "it has the templates 99."),
        ("schema = 1", "schema = 2", "it has schema 2; this version supports up to 1"),
        ("min_generator = \"0", "min_generator = \"99", "it requires 99."),
    ] {
        let world = situation();
        commit(&world, MANIFEST, |text| text.replacen(from, to, 1));
        refused(
            &world,
            65,
            &[MANIFEST, "written by a newer factoryup", said, "use that version of factoryup, or a newer one"],
        );
    }
    let world = situation();
    commit(&world, "factory.toml", |text| text.replacen("schema = 1", "schema = 99", 1));
    refused(&world, 65, &["factory.toml", "schema", "99"]);
}

/// What a hostile branch may have written where only factoryup writes.
#[test]
fn records_that_lead_out_of_the_repo() {
    if !need("git") {
        return;
    }
    for path in ["../../outside", "/etc/passwd", ".git/config", "docs/../../x", ".GIT/hooks/post-checkout"] {
        let world = situation();
        commit(&world, MANIFEST, |text| text.replacen("path = \"README.md\"", &format!("path = \"{path}\""), 1));
        refused(&world, 65, &[MANIFEST, "it lists a file", "git checkout COMMIT -- .factory"]);
    }
    for (from, to) in [("id = \"readme\"", "id = \"../../x\""), ("written = \"", "written = \"zz")] {
        let world = situation();
        commit(&world, MANIFEST, |text| text.replacen(from, to, 1));
        refused(&world, 65, &[MANIFEST, "git checkout COMMIT -- .factory"]);
    }
}

/// An answer that would put a conflict marker into a file.
#[test]
fn markers_in_answers() {
    if !need("git") {
        return;
    }
    let world = situation();
    let marked = "description = \"\"\"\n<<<<<<< mine\"\"\"";
    let path = world.path("repo/factory.toml");
    let text = fs::read_to_string(&path).unwrap().replace("description = \"Tools for roadrunners.\"", marked);
    fs::write(&path, text).unwrap();
    refused(&world, 65, &["factory.toml"]);
}

/// The conflict that is listed for `path`, when the command ends with 2 as it does while one waits.
fn conflict(world: &World, path: &str) -> String {
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push", "--json"]);
    assert_eq!(code, 2, "{out}{err}");
    let report: Value =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).find(|e: &Value| e["event"] == "upgrade").unwrap();
    let findings = report["report"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["path"] == path && finding["what"] == "conflict");
    found.unwrap_or_else(|| panic!("no conflict of {path}: {out}"))["why"].as_str().unwrap().to_owned()
}

/// Makes the repo look as if `path` were new in these templates.
fn unknown(world: &World, path: &str) {
    let text = fs::read_to_string(world.path("repo").join(MANIFEST)).unwrap();
    let line = format!("path = \"{path}\"");
    let records: Vec<&str> = text.split("[[file]]").filter(|record| !record.contains(&line)).collect();
    fs::remove_file(world.path("repo").join(path)).unwrap();
    fs::write(world.path("repo").join(MANIFEST), records.join("[[file]]")).unwrap();
    world.git("repo", &["add", "-A"]);
    world.git("repo", &["commit", "-qm", "older"]);
}

#[test]
fn markers_in_a_file_of_the_users() {
    if !need("git") {
        return;
    }
    let world = situation();
    let now = fs::read_to_string(world.path("repo/docs/glossary.md")).unwrap();
    world.older("repo", "docs/glossary.md", &now.replacen("# Glossary", "# Words", 1));
    let marked = "<<<<<<< mine\na\n=======\nb\n>>>>>>> theirs\n";
    commit(&world, "docs/glossary.md", |text| text + marked);
    assert_eq!(conflict(&world, "docs/glossary.md"), "it contains conflict markers");
    // In the commit the file is as the user has it, and no other file has markers.
    let branch = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"]);
    let changed = world.git("repo", &["diff", "--name-only", "HEAD", &branch]);
    assert!(!changed.contains("docs/glossary.md"), "{changed}");
    let (code, out, _) = world.factoryup("repo", &["doctor", "repo"]);
    assert!(code == 2 && out.contains("docs/glossary.md"), "{out}");
}

#[test]
fn a_link_that_leads_out_of_the_root() {
    if !need("git") {
        return;
    }
    for in_place in [false, true] {
        let world = situation();
        unknown(&world, "docs/evidence.md");
        fs::create_dir(world.path("outside")).unwrap();
        fs::rename(world.path("repo/docs"), world.path("moved")).unwrap();
        symlink("../outside", world.path("repo/docs")).unwrap();
        world.git("repo", &["add", "-A"]);
        world.git("repo", &["commit", "-qm", "link"]);
        if in_place {
            assert_eq!(world.factoryup("repo", UPGRADES[1]).0, 2);
        } else {
            assert_eq!(conflict(&world, "docs/evidence.md"), "you have a file or directory at its path");
        }
        assert_eq!(fs::read_dir(world.path("outside")).unwrap().count(), 0);
        assert_eq!(fs::read_link(world.path("repo/docs")).unwrap(), Path::new("../outside"));
    }
    // In the work tree alone, beside what git has.
    let world = situation();
    unknown(&world, "docs/evidence.md");
    fs::create_dir(world.path("outside")).unwrap();
    fs::rename(world.path("repo/docs"), world.path("moved")).unwrap();
    symlink("../outside", world.path("repo/docs")).unwrap();
    let (code, _, err) = world.factoryup("repo", UPGRADES[1]);
    assert!(code == 64 && err.contains("docs"), "{code}: {err}");
    assert_eq!(fs::read_dir(world.path("outside")).unwrap().count(), 0);
}

#[test]
fn names_that_differ_but_for_case() {
    if !need("git") {
        return;
    }
    let world = situation();
    unknown(&world, "docs/evidence.md");
    commit(&world, "docs/Evidence.md", |_| "mine\n".to_owned());
    assert_eq!(conflict(&world, "docs/evidence.md"), "you have a file or directory at its path");
    let (code, _, err) = world.factoryup("repo", UPGRADES[1]);
    assert_eq!(code, 2, "{err}");
    let names = fs::read_dir(world.path("repo/docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.contains(&"Evidence.md".to_owned()) && !names.contains(&"evidence.md".to_owned()), "{names:?}");
}

/// The only names in a folder are some that are not UTF-8, which no path of factoryup's is. They are the user's all the same.
#[test]
fn a_folder_of_names_that_are_not_utf_8_is_not_pushed_aside() {
    if !need("git") {
        return;
    }
    for below in [&b"caf\xe9"[..], b"caf\xe9/x", b"deep/caf\xe9"] {
        let world = situation();
        let way = ".codex/config.toml";
        let file = world.path("repo").join(way).join(OsStr::from_bytes(below));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "my only copy\n").unwrap();
        world.git("repo", &["add", "-A"]);
        world.git("repo", &["commit", "-qm", "mine"]);
        let path = world.path("repo/factory.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}\n[agent]\nkind = \"both\"\n")).unwrap();
        assert!(conflict(&world, way).contains("at its path"), "{below:?}");
        let branch = world.git("repo", &["for-each-ref", "--format=%(refname)", "refs/heads/factory"]);
        let list = |at: &str| world.git("repo", &["ls-tree", "-r", at, way]);
        assert!(!list("HEAD").is_empty());
        assert_eq!(list(&branch), list("HEAD"), "{below:?}");
        let (code, out, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
        assert!(code == 2 && fs::read(&file).unwrap() == b"my only copy\n", "{below:?}: {code} {out}{err}");
    }
}

/// git keeps another text of `factory.toml` than the one in the work tree, as git-crypt has it do. The branch would get the plain one.
#[test]
fn answers_that_git_keeps_in_another_form() {
    if !need("git") {
        return;
    }
    for (attributes, named) in [
        ("factory.toml filter=git-crypt\n", "filter=git-crypt"),
        ("* filter=vault\n", "filter=vault"),
        ("*.toml working-tree-encoding=UTF-16\n", "working-tree-encoding=UTF-16"),
    ] {
        let world = situation();
        // The work tree's form of the file is of no concern here, so git is not asked to convert it.
        fs::create_dir_all(world.path("repo/.git/info")).unwrap();
        fs::write(world.path("repo/.git/info/attributes"), attributes).unwrap();
        // Nothing to commit is nothing to refuse.
        assert_eq!(world.factoryup("repo", &["upgrade", "--yes", "--no-push"]).0, 0);
        let path = world.path("repo/factory.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("roadrunners", "coyotes")).unwrap();
        let before = (world.git("repo", &["for-each-ref"]), fs::read(world.path("repo/.git/index")).unwrap());
        for command in UPGRADES.iter().filter(|command| !command.contains(&"--in-place")) {
            let (code, out, err) = world.factoryup("repo", command);
            assert_eq!(code, 64, "{command:?}: {out}{err}");
            assert!(err.contains(named) && err.contains("factoryup upgrade --in-place"), "{err}");
            let now = (world.git("repo", &["for-each-ref"]), fs::read(world.path("repo/.git/index")).unwrap());
            assert_eq!(now, before, "{command:?}");
        }
        // There git itself commits it.
        assert_eq!(world.factoryup("repo", &["upgrade", "--in-place", "--yes"]).0, 0);
    }
    // Taken out of it, as is said.
    let world = situation();
    fs::create_dir_all(world.path("repo/.git/info")).unwrap();
    fs::write(
        world.path("repo/.git/info/attributes"),
        "* filter=vault ident\nfactory.toml -filter -working-tree-encoding -ident\n",
    )
    .unwrap();
    let path = world.path("repo/factory.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("roadrunners", "coyotes")).unwrap();
    assert_eq!(world.factoryup("repo", &["upgrade", "--yes", "--no-push"]).0, 0);
}

/// A pipe has no end that could be waited for.
#[test]
fn a_pipe_where_the_manifest_should_be() {
    if !need("git") {
        return;
    }
    let world = situation();
    let path = world.path("repo").join(MANIFEST);
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (code, _, err) = world.factoryup_under(&["timeout", "300"], "repo", &["resolve"]);
    assert!(code == 65 && err.contains(MANIFEST) && err.contains("not a regular file"), "{code} {err}");
    for command in [&["doctor", "repo"][..], &["upgrade", "--dry-run"]] {
        let (code, _, err) = world.factoryup_under(&["timeout", "300"], "repo", command);
        assert_eq!(code, 0, "{command:?}: {err}");
    }
}
