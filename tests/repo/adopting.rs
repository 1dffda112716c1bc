//! `factoryup init` in a repo that factoryup did not make: the files come on a branch, and nothing of the user's is written over.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use crate::support::need;
use crate::world::World;

const INIT: [&str; 12] = [
    "init",
    "--defaults",
    "--name",
    "acme",
    "--owner-name",
    "Ada Lovelace",
    "--owner-email",
    "ada@example.org",
    "--host-kind",
    "none",
    "--gitlab-group",
    "acme",
];

/// A repo of the user's own: files that the templates also have, one of them the very same, one that differs but for case, others that
/// they do not have.
fn theirs() -> World {
    let world = World::new();
    world.apply("other");
    fs::create_dir_all(world.path("repo/src")).unwrap();
    fs::create_dir_all(world.path("repo/docs")).unwrap();
    let repo = world.path("repo");
    world.git("repo", &["init", "-q", "--initial-branch=trunk"]);
    for (path, text) in [
        ("README.md", "# Mine\n\nA shop.\n"),
        (".gitlab-ci.yml", "build:\n  script: [make]\n"),
        ("src/main.py", "print('caf\u{e9}')\r\n"),
        ("docs/glossary.md", "mine\n"),
        ("agents.md", "mine\n"),
    ] {
        fs::write(repo.join(path), text).unwrap();
    }
    fs::copy(world.path("other/docs/evidence.md"), repo.join("docs/evidence.md")).unwrap();
    symlink("../src", repo.join("docs/src")).unwrap();
    fs::set_permissions(repo.join("src/main.py"), fs::Permissions::from_mode(0o755)).unwrap();
    world.git("repo", &["add", "-A"]);
    world.git("repo", &["commit", "-qm", "mine"]);
    // Work that is under way stays under way.
    fs::write(repo.join("README.md"), "# Dirty\n").unwrap();
    fs::write(repo.join("notes"), "untracked\n").unwrap();
    world
}

fn conflicts(report: &Value) -> Vec<&str> {
    let findings = report["report"]["findings"].as_array().unwrap().iter();
    findings.filter(|finding| finding["what"] == "conflict").map(|f| f["path"].as_str().unwrap()).collect()
}

#[test]
fn a_repo_of_ones_own_is_adopted_and_nothing_is_written_over() {
    if !need("git") {
        return;
    }
    let mut world = theirs();
    let before = (world.git("repo", &["rev-parse", "HEAD"]), world.git("repo", &["status", "--porcelain"]));
    let index = fs::read(world.path("repo/.git/index")).unwrap();
    let (code, out, err) = world.factoryup("repo", &[&INIT[..], &["--json"]].concat());
    assert_eq!(code, 2, "{out}{err}");
    let report: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(conflicts(&report), [".gitlab-ci.yml", "AGENTS.md", "README.md", "docs/glossary.md"]);
    assert!(out.contains("the branch here is trunk"), "{out}");
    assert_eq!(before.0, world.git("repo", &["rev-parse", "HEAD"]));
    assert_eq!(before.1, world.git("repo", &["status", "--porcelain"]));
    assert_eq!(index, fs::read(world.path("repo/.git/index")).unwrap());
    assert!(!world.path("repo/factory.toml").exists());

    // One commit that only adds.
    let branch = report["report"]["branch"].as_str().unwrap().to_owned();
    assert!(branch.starts_with("factory/adoption-"), "{branch}");
    assert_eq!(world.git("repo", &["rev-list", "--count", &format!("HEAD..{branch}")]), "1");
    assert_eq!(world.git("repo", &["diff", "--name-status", "--no-renames", "--diff-filter=a", "HEAD", &branch]), "");
    world.git("repo", &["fsck", "--strict", "--no-dangling"]);

    // The same again is the same branch.
    let (code, out, err) = world.factoryup("repo", &INIT);
    assert!(code == 2 && err.contains(&format!("git merge {branch}")), "{out}{err}");
    assert_eq!(world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"]), branch);

    // Brought in, settled, and from there on a control repo like any other.
    world.git("repo", &["reset", "-q", "--hard"]);
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    assert_eq!(world.factoryup("repo", &["doctor", "repo"]).0, 2);
    world.env("EDITOR", "sed -i -e '/^[<|=>]\\{7\\}/d'");
    for (path, choice) in [(".gitlab-ci.yml", "--proposal"), ("README.md", "--mine"), ("docs/glossary.md", "--edit")] {
        let (code, _, err) = world.factoryup("repo", &["resolve", path, choice]);
        assert_eq!(code, 2, "{path}: {err}");
    }
    // A name that another file has but for case: that file moves first.
    let (code, _, err) = world.factoryup("repo", &["resolve", "AGENTS.md", "--proposal"]);
    assert!(code == 64 && err.contains("AGENTS.md is in use"), "{err}");
    world.git("repo", &["commit", "-qm", "settled"]);
    world.git("repo", &["mv", "agents.md", "notes.md"]);
    world.git("repo", &["commit", "-qm", "moved"]);
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
    assert_eq!(code, 0, "{err}");
    let branch = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory/answers-*"]);
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    let read = |path: &str| fs::read_to_string(world.path("repo").join(path)).unwrap();
    assert_eq!(read("README.md"), "# Mine\n\nA shop.\n");
    assert!(read(".gitlab-ci.yml").contains("stages"));
    assert!(read("docs/glossary.md").contains("mine\n") && read("docs/glossary.md").contains("# Glossary"));
    assert!(read("AGENTS.md").contains("acme") && read("notes.md") == "mine\n");
    assert_eq!(read("src/main.py"), "print('caf\u{e9}')\r\n");
    assert_eq!(fs::read_link(world.path("repo/docs/src")).unwrap().to_str(), Some("../src"));
    for command in [&["doctor", "repo"][..], &["resolve"], &["upgrade", "--dry-run"]] {
        let (code, out, err) = world.factoryup("repo", command);
        assert_eq!(code, 0, "{command:?}: {out}{err}");
    }

    // What the templates change later meets what the user made of the files.
    let now = read("docs/evidence.md");
    world.older("repo", "docs/evidence.md", &now.replacen("# ", "# Older: ", 1));
    fs::write(world.path("repo/docs/evidence.md"), read("docs/evidence.md") + "\nMine.\n").unwrap();
    world.git("repo", &["commit", "-qam", "edit"]);
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(read("docs/evidence.md"), now + "\nMine.\n");
}

#[test]
fn without_init_it_is_refused_with_the_way_to_adopt_it() {
    if !need("git") {
        return;
    }
    let world = theirs();
    fs::copy(world.path("factory.toml"), world.path("repo/factory.toml")).unwrap();
    for command in [&["upgrade"][..], &["apply", "repo", "--yes"], &["plan", "repo"]] {
        let (code, _, err) = world.factoryup("repo", command);
        assert!(code == 73 && err.contains("did not create") && err.contains("factoryup init"), "{command:?}: {err}");
    }
    for command in [&["doctor", "repo"][..], &["resolve"]] {
        let (code, _, err) = world.factoryup("repo", command);
        assert!(code == 64 && err.contains("no control repo yet"), "{command:?}: {err}");
    }
    assert_eq!(world.git("repo", &["for-each-ref", "refs/heads/factory"]), "");
}

#[test]
fn what_cannot_be_adopted_is_said() {
    if !need("git") {
        return;
    }
    let world = theirs();
    let refused = |dir: &str, wanted: &[&str]| {
        let (code, _, err) = world.factoryup(dir, &INIT);
        assert!(code == 73 && wanted.iter().all(|text| err.contains(text)), "{dir}: {code} {err}");
    };
    for name in [".factory/notes", ".Factory/notes", "Factory.toml"] {
        world.git("repo", &["reset", "-q", "--hard"]);
        let path = world.path("repo").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
        world.git("repo", &["add", "-A"]);
        world.git("repo", &["commit", "-qm", "own name"]);
        refused("repo", &[name, "git mv"]);
        world.git("repo", &["reset", "-q", "--hard", "HEAD~1"]);
    }
    refused("repo/src", &["it is not empty: it contains main.py"]);
    world.git("", &["init", "-q", "unborn"]);
    refused("unborn", &["a git repo without a commit", "git commit --allow-empty"]);
    world.git("", &["clone", "-q", "--bare", "repo", "bare.git"]);
    refused("bare.git", &["a bare repo", "git clone"]);
    assert_eq!(world.git("repo", &["for-each-ref", "refs/heads/factory"]), "");
}

#[test]
fn names_that_are_not_utf_8_are_the_users_too() {
    if !need("git") {
        return;
    }
    let world = theirs();
    world.git("repo", &["reset", "-q", "--hard"]);
    let name = OsStr::from_bytes(b"caf\xe9");
    let commit = |folder: &str| {
        let folder = world.path("repo").join(folder);
        let _ = fs::remove_file(&folder);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), "my only copy\n").unwrap();
        world.git("repo", &["add", "-A"]);
        world.git("repo", &["commit", "-qm", "mine"]);
    };
    // Under a name of factoryup's own.
    for folder in [".factory", "factory.toml"] {
        commit(folder);
        let (code, out, err) = world.factoryup("repo", &INIT);
        assert!(code != 0 && world.git("repo", &["for-each-ref", "refs/heads/factory"]).is_empty(), "{out}{err}");
        world.git("repo", &["reset", "-q", "--hard", "HEAD~1"]);
    }
    // Where the templates bring a file.
    commit("docs/glossary.md");
    let (code, out, err) = world.factoryup("repo", &INIT);
    assert_eq!(code, 2, "{out}{err}");
    let branch = world.git("repo", &["for-each-ref", "--format=%(refname)", "refs/heads/factory"]);
    let list = |at: &str| world.git("repo", &["ls-tree", "-r", at, "docs/glossary.md"]);
    assert!(list("HEAD").contains("caf") && list(&branch) == list("HEAD"), "{}", list(&branch));
}
