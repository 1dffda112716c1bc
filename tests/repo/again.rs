//! Existing control repos: new answers land on a branch, and nothing else moves.

use std::fs;

use factoryup::dialog::Silent;
use factoryup::plan::{Plan, Target};
use factoryup::repo::RepoTarget;

use crate::support::need;
use crate::world::{Ended, World};

fn plan(world: &World) -> Plan {
    let text = world.answers();
    let factory = factoryup::factory::parse(&text, "factory.toml").unwrap();
    RepoTarget::new(world.path("repo"), &factory, &text).unwrap().observe(&Silent).unwrap()
}

fn branches(world: &World) -> Vec<String> {
    let text = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"]);
    text.lines().map(str::to_owned).collect()
}

/// Everything that a run on an existing repo must leave alone.
fn untouched(world: &World) -> (String, String, Vec<u8>, String, String) {
    (
        world.git("repo", &["rev-parse", "HEAD", "main"]),
        world.git("repo", &["status", "--porcelain", "--branch"]),
        fs::read(world.path("repo/.git/index")).unwrap(),
        fs::read_to_string(world.path("repo/README.md")).unwrap(),
        world.git("repo", &["stash", "list"]),
    )
}

#[test]
fn new_answers_become_one_commit_on_a_branch() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    fs::write(world.path("repo/scratch"), "dirty").unwrap();
    fs::write(world.path("repo/README.md"), "dirty").unwrap();
    world.git("repo", &["add", "scratch"]);
    let before = untouched(&world);
    world.answer("roadrunners", "coyotes");
    let planned = plan(&world);
    let readme = planned.changes.iter().find(|c| c.id == "file:README.md").unwrap();
    let diff = readme.diff.as_ref().unwrap();
    assert!(diff.before.as_ref().unwrap().contains("roadrunners") && diff.after.as_ref().unwrap().contains("coyotes"));
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
    assert_eq!(untouched(&world), before);
    let [branch] = &branches(&world)[..] else { panic!("{:?}", branches(&world)) };
    assert!(branch.starts_with("factory/answers-"), "{branch}");
    assert_eq!(world.git("repo", &["rev-list", "--count", &format!("main..{branch}")]), "1");
    let readme = world.git("repo", &["show", &format!("{branch}:README.md")]);
    assert!(readme.contains("coyotes"));
    let answers = world.git("repo", &["show", &format!("{branch}:factory.toml")]);
    assert_eq!(answers, world.answers().trim_end());
    world.git("repo", &["fsck", "--strict", "--no-dangling"]);

    // The same answers again wait on that branch; nothing new is made.
    assert_eq!(world.apply("repo"), Ended::Right);
    assert!(plan(&world).notes.iter().any(|note| note.contains(&format!("git merge {branch}"))));
    assert_eq!(branches(&world).len(), 1);

    // Merged, nothing is left to do.
    world.git("repo", &["reset", "-q", "--hard"]);
    world.git("repo", &["merge", "-q", "--ff-only", branch]);
    assert_eq!(world.apply("repo"), Ended::Right);
    assert!(plan(&world).notes.is_empty());
}

#[test]
fn an_edited_file_is_merged_and_named() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    let edited = format!("{}\nMy own line.\n", fs::read_to_string(world.path("repo/README.md")).unwrap());
    fs::write(world.path("repo/README.md"), &edited).unwrap();
    world.git("repo", &["commit", "-qam", "mine"]);
    assert_eq!(world.apply("repo"), Ended::Right);
    world.answer("roadrunners", "coyotes");
    let planned = plan(&world);
    assert!(planned.notes.iter().any(|note| note == "README.md: merged with your changes"), "{:?}", planned.notes);
    world.apply("repo");
    let [branch] = &branches(&world)[..] else { panic!("{:?}", branches(&world)) };
    let merged = world.git("repo", &["show", &format!("{branch}:README.md")]);
    assert_eq!(merged, edited.replace("roadrunners", "coyotes").trim_end());
    assert!(world.git("repo", &["log", "-1", "--format=%B", branch]).contains("- README.md: merged with your changes"));
}

#[test]
fn answers_that_no_file_shows_change_nothing() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    world.answer("with a comment of its own", "with another comment");
    assert_eq!(world.apply("repo"), Ended::Right);
    assert!(branches(&world).is_empty());
}

#[test]
fn other_work_trees_detached_heads_and_shallow_clones() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("origin");
    let origin = format!("file://{}", world.path("origin").display());
    world.git("", &["clone", "-q", "--depth=1", &origin, "repo"]);
    assert_eq!(world.apply("repo"), Ended::Right);
    world.git("repo", &["checkout", "-q", "--detach"]);
    world.answer("roadrunners", "coyotes");
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
    assert_eq!(branches(&world).len(), 1);
    world.git("repo", &["worktree", "add", "-q", "../tree", "main"]);
    assert_eq!(world.apply("tree"), Ended::Right);
}

#[test]
fn a_branch_that_cannot_be_made_is_said_and_nothing_is_left() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    world.git("repo", &["branch", "factory"]);
    world.answer("roadrunners", "coyotes");
    let said = world.apply("repo").failure("cannot-write");
    assert!(said.contains("fast-import") && said.contains("refs/heads/factory"), "{said}");
    assert!(!said.contains("crash report"), "{said}");
    let names = fs::read_dir(world.path("repo/.git")).unwrap().map(|e| e.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("crash")));
}

#[test]
fn a_manifest_from_elsewhere_is_refused() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    let path = world.path("repo/.factory/manifest.toml");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, said) in [
        ("schema = 1", "schema = 9", "written by a newer factoryup"),
        ("min_generator = \"0", "min_generator = \"9", "requires 9"),
        ("version = \"1", "version = \"9", "it has the templates 9"),
        ("schema = 1", "schema = ", "TOML parse error"),
    ] {
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        world.git("repo", &["commit", "-qam", "tampered"]);
        let failure = world.apply("repo").failure("data");
        assert!(failure.contains(".factory/manifest.toml") && failure.contains(said), "{failure}");
    }
}
