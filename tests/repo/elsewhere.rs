//! An upgrade in repos that came about in other ways: shallow, a second work tree, squashed, rewritten, with SHA-256 ids, bare.

use std::fs;

use crate::support::need;
use crate::world::World;

const FILE: &str = "docs/glossary.md";
const UPGRADE: [&str; 3] = ["upgrade", "--yes", "--no-push"];

/// A control repo whose glossary was rendered by older templates with another title and has a line of the user's own.
fn edited(mut prepare: impl FnMut(&mut World)) -> World {
    let mut world = World::new();
    prepare(&mut world);
    world.apply("repo");
    older_and_edited(&world, "repo", "# Words");
    world
}

fn older_and_edited(world: &World, dir: &str, title: &str) {
    let path = world.path(dir).join(FILE);
    let now = fs::read_to_string(&path).unwrap();
    assert!(now.starts_with("# Glossary"));
    // The user's line is no part of what was rendered.
    let now = now.replace("\nMy own word.\n", "");
    fs::write(&path, &now).unwrap();
    world.older(dir, FILE, &now.replacen("# Glossary", title, 1));
    fs::write(&path, now.replacen("# Glossary", title, 1) + "\nMy own word.\n").unwrap();
    world.git(dir, &["commit", "-qam", "mine"]);
}

fn branch(world: &World, dir: &str) -> String {
    world.git(dir, &["for-each-ref", "--contains=HEAD", "--format=%(refname:short)", "refs/heads/factory"])
}

/// Upgrades `dir`, and looks at the commit that it made.
fn upgraded(world: &World, dir: &str) -> String {
    let head = world.git(dir, &["rev-parse", "HEAD"]);
    let (code, out, err) = world.factoryup(dir, &UPGRADE);
    assert_eq!(code, 0, "{out}{err}");
    let branch = branch(world, dir);
    assert_eq!(world.git(dir, &["rev-parse", &format!("{branch}^")]), head);
    assert_merged(&world.git(dir, &["show", &format!("{branch}:{FILE}")]));
    branch
}

fn assert_merged(text: &str) {
    assert!(text.starts_with("# Glossary") && text.trim_end().ends_with("\nMy own word."), "{text}");
}

fn assert_nothing_left(world: &World, dir: &str) {
    for command in [&["upgrade", "--dry-run"][..], &["doctor", "repo"]] {
        let (code, out, err) = world.factoryup(dir, command);
        assert_eq!(code, 0, "{command:?}: {out}{err}");
    }
}

#[test]
fn in_a_shallow_clone() {
    if !need("git") {
        return;
    }
    let world = edited(|_| ());
    let origin = format!("file://{}", world.path("repo").display());
    world.git("", &["clone", "-q", "--depth=1", &origin, "clone"]);
    let branch = upgraded(&world, "clone");
    // What it made can be pushed to where the history is whole.
    world.git("clone", &["push", "-q", "origin", &branch]);
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    world.git("repo", &["fsck", "--strict", "--no-dangling"]);
    assert_nothing_left(&world, "repo");
}

#[test]
fn in_a_second_work_tree() {
    if !need("git") {
        return;
    }
    let world = edited(|_| ());
    world.git("repo", &["worktree", "add", "-q", "../tree", "-b", "topic"]);
    let before = world.git("repo", &["status", "--porcelain"]);
    let branch = upgraded(&world, "tree");
    world.git("tree", &["merge", "-q", "--ff-only", &branch]);
    assert_nothing_left(&world, "tree");
    // The first one is as it was, and has its own upgrade before it, which may be made in place.
    assert_eq!(world.git("repo", &["status", "--porcelain"]), before);
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_merged(&fs::read_to_string(world.path("repo").join(FILE)).unwrap());
}

/// A squashed merge keeps the records with the files, so that the next upgrade starts from the right text.
#[test]
fn after_a_squashed_merge() {
    if !need("git") {
        return;
    }
    let world = edited(|_| ());
    let branch = upgraded(&world, "repo");
    world.git("repo", &["merge", "-q", "--squash", &branch]);
    world.git("repo", &["commit", "-qm", "squashed"]);
    world.git("repo", &["branch", "-q", "-D", &branch]);
    assert_nothing_left(&world, "repo");
    older_and_edited(&world, "repo", "# Other words");
    upgraded(&world, "repo");
}

/// No commit that an upgrade was made from is there any more, and none is needed.
#[test]
fn after_the_history_was_rewritten() {
    if !need("git") {
        return;
    }
    let world = edited(|_| ());
    world.git("repo", &["checkout", "-q", "--orphan", "fresh"]);
    world.git("repo", &["commit", "-qm", "everything anew"]);
    world.git("repo", &["branch", "-q", "-M", "fresh", "main"]);
    world.git("repo", &["reflog", "expire", "--expire=now", "--all"]);
    world.git("repo", &["gc", "-q", "--prune=now"]);
    assert_eq!(world.git("repo", &["rev-list", "--count", "--all"]), "1");
    let branch = upgraded(&world, "repo");
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    assert_nothing_left(&world, "repo");
}

#[test]
fn with_sha_256_ids() {
    if !need("git") {
        return;
    }
    let world = edited(|world| world.env("REPO_SHA256", "1"));
    assert_eq!(world.git("repo", &["rev-parse", "--show-object-format"]), "sha256");
    let branch = upgraded(&world, "repo");
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    world.git("repo", &["fsck", "--strict", "--no-dangling"]);
    assert_nothing_left(&world, "repo");
}

/// A merge request that was never merged is no obstacle to the next upgrade, nor is a branch of that name that someone moved.
#[test]
fn beside_older_branches_and_in_a_race() {
    if !need("git") {
        return;
    }
    let world = edited(|_| ());
    let first = upgraded(&world, "repo");
    fs::write(world.path("repo/README.md"), "mine\n").unwrap();
    world.git("repo", &["commit", "-qam", "went on"]);
    let second = upgraded(&world, "repo");
    assert_ne!(first, second);
    // Somebody else has a branch of the name that this upgrade would take, at another commit: it is not moved.
    world.git("repo", &["branch", "-q", "-f", &second, "main"]);
    world.git("repo", &["commit", "-q", "--allow-empty", "-m", "theirs"]);
    world.git("repo", &["branch", "-q", "-f", &second, "HEAD"]);
    world.git("repo", &["reset", "-q", "--hard", "HEAD~1"]);
    let theirs = world.git("repo", &["rev-parse", &second]);
    let (_, out, err) = world.factoryup("repo", &UPGRADE);
    assert_eq!(world.git("repo", &["rev-parse", &second]), theirs, "{out}{err}");
}

#[test]
fn a_bare_repo_is_refused_with_the_remedy() {
    if !need("git") {
        return;
    }
    let world = edited(|_| ());
    world.git("", &["clone", "-q", "--bare", "repo", "bare.git"]);
    let before = world.git("bare.git", &["for-each-ref"]);
    for command in [&["upgrade"][..], &["resolve"], &["doctor", "repo"], &["apply", "repo"]] {
        let (code, _, err) = world.factoryup("bare.git", command);
        assert!(code == 73 && err.contains("a bare repo") && err.contains("git clone"), "{command:?}: {code} {err}");
    }
    assert_eq!(world.git("bare.git", &["for-each-ref"]), before);
}
