//! Killed at every system call that changes a file system, in both ways to upgrade: the old state or the new one, and the next start
//! ends what was begun.
//!
//! strace(1) counts the calls of each process, of factoryup and of every git that it starts, and kills the one that comes to the
//! given number. `cargo test` tries some of the numbers; this tries all of them:
//!
//! ```sh
//! cargo test --test repo every_call -- --ignored --nocapture
//! ```
#![allow(clippy::print_stdout)]

use std::fs;
use std::process::Command;

use crate::support::available;
use crate::world::{World, files};

/// Everything by which a file system can be changed: what writes into files, and what changes folders or makes things last. Apart, so
/// that a git that writes what it read into a pipe is not the only one that ever comes to a low number. That one writes some hundred
/// times, so where not every call is tried, fewer of those are: the second is by how much.
const CALLS: [(&str, usize); 2] = [
    (
        "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,symlink,symlinkat,fsync,fdatasync,syncfs,ftruncate,chmod,\
     fchmod,fchmodat",
        1,
    ),
    ("write,pwrite64,writev,copy_file_range,sendfile", 5),
];

const FILE: &str = "docs/glossary.md";

/// A control repo, kept as `pristine`, with an edited file that older templates made, and other answers: files come, go and change.
fn situation() -> World {
    let world = World::new();
    world.apply("pristine");
    let now = fs::read_to_string(world.path("pristine").join(FILE)).unwrap();
    world.older("pristine", FILE, &now.replacen("# Glossary", "# Words", 1));
    let edited = fs::read_to_string(world.path("pristine").join(FILE)).unwrap() + "\nMy own word.\n";
    fs::write(world.path("pristine").join(FILE), edited).unwrap();
    world.git("pristine", &["commit", "-qam", "mine"]);
    let path = world.path("pristine/factory.toml");
    let text = fs::read_to_string(&path).unwrap().replace("roadrunners", "coyotes");
    fs::write(&path, format!("{text}\n[agent]\nkind = \"codex\"\n")).unwrap();
    world
}

/// Puts `repo` back to what it was, by bytes and times.
fn reset(world: &World) {
    let _ = fs::remove_dir_all(world.path("repo"));
    let status = Command::new("cp").arg("-a").args([world.path("pristine"), world.path("repo")]).status().unwrap();
    assert!(status.success());
}

/// Runs `upgrade` until a process of it comes to its call number `at`. Whether one did.
fn cut(world: &World, arguments: &[&str], calls: &str, at: usize) -> bool {
    let inject = format!("inject={calls}:signal=KILL:when={at}");
    let log = world.path("strace").display().to_string();
    let traced = format!("trace={calls}");
    let strace = ["strace", "-f", "-q", "-s", "0", "-o", &log, "-e", &traced, "-e", &inject];
    world.factoryup_under(&strace, "repo", arguments);
    fs::read_to_string(world.path("strace")).unwrap().contains("killed by SIGKILL")
}

/// Cuts upgrades short, in fresh copies of the repo, until one is not: calls `look` with the number after each.
fn cut_at_each(world: &World, arguments: &[&str], every: usize, mut look: impl FnMut(&str)) {
    for (calls, stride) in CALLS {
        let mut at = 1;
        loop {
            reset(world);
            if !cut(world, arguments, calls, at) {
                break;
            }
            look(&format!("call {at} of {calls}"));
            at += if every == 1 { 1 } else { every * stride };
        }
    }
}

fn branches(world: &World) -> Vec<String> {
    let text = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"]);
    text.lines().map(str::to_owned).collect()
}

fn on_a_branch(every: usize) {
    const UPGRADE: [&str; 3] = ["upgrade", "--yes", "--no-push"];
    let world = situation();
    reset(&world);
    let untouched = |world: &World| {
        // A status that is only looked at must not refresh the index.
        let status = world.git("repo", &["--no-optional-locks", "status", "--porcelain", "--ignored"]);
        (world.git("repo", &["rev-parse", "HEAD", "main"]), fs::read(world.path("repo/.git/index")).unwrap(), status)
    };
    let before = untouched(&world);
    assert_eq!(world.factoryup("repo", &UPGRADE).0, 0);
    let [branch] = &branches(&world)[..] else { panic!() };
    let whole = world.git("repo", &["rev-parse", &format!("{branch}^{{tree}}")]);
    let (mut old, mut new) = (0, 0);
    cut_at_each(&world, &UPGRADE, every, |at| {
        assert!(untouched(&world) == before, "{at}");
        world.git("repo", &["fsck", "--strict", "--no-dangling"]);
        match &branches(&world)[..] {
            [] => old += 1,
            [one] => {
                assert_eq!(world.git("repo", &["rev-parse", &format!("{one}^{{tree}}")]), whole, "{at}");
                new += 1;
            }
            more => panic!("{at}: {more:?}"),
        }
        let (code, out, err) = world.factoryup("repo", &UPGRADE);
        assert_eq!(code, 0, "{at}: {out}{err}");
        assert_eq!(branches(&world), std::slice::from_ref(branch), "{at}");
        assert_eq!(world.git("repo", &["rev-parse", &format!("{branch}^{{tree}}")]), whole, "{at}");
        assert!(untouched(&world) == before, "{at}");
    });
    println!("on a branch: {} kills, {old} left the old state, {new} the new one", old + new);
    assert!(old > 2 && (new > 0 || every > 1), "{old} old, {new} new");
}

fn in_place(every: usize) {
    const UPGRADE: [&str; 3] = ["upgrade", "--in-place", "--yes"];
    let world = situation();
    reset(&world);
    let before = files(&world.path("repo"));
    assert_eq!(world.factoryup("repo", &UPGRADE).0, 0);
    let after = files(&world.path("repo"));
    let (mut old, mut new, mut between) = (0, 0, 0);
    cut_at_each(&world, &UPGRADE, every, |at| {
        let mut found = files(&world.path("repo"));
        found.retain(|path, _| !path.contains(".factoryup-step-"));
        let decided = world.path("repo/.git/factoryup-upgrade/journal.json").exists();
        if found == before {
            old += 1;
        } else if found == after {
            new += 1;
        } else {
            between += 1;
            assert!(decided, "{at}: a mix that no journal explains");
            let known = |path: &String| found.get(path) == before.get(path) || found.get(path) == after.get(path);
            assert!(before.keys().chain(after.keys()).chain(found.keys()).all(known), "{at}");
        }
        let (code, out, err) = world.factoryup("repo", &UPGRADE);
        assert_eq!(code, 0, "{at}: {out}{err}");
        assert!(files(&world.path("repo")) == after, "{at}");
        assert!(!world.path("repo/.git/factoryup-upgrade").exists(), "{at}");
    });
    println!(
        "in place: {} kills, {old} left the old state, {new} the new one, {between} in between",
        old + new + between
    );
    assert!(old > 2 && new + between > 1, "{old} old, {new} new, {between} between");
}

#[test]
fn some_calls() {
    if available(&["git", "strace"]) {
        on_a_branch(19);
        in_place(13);
    }
}

#[test]
#[ignore = "it takes minutes"]
fn every_call_on_a_branch() {
    if available(&["git", "strace"]) {
        on_a_branch(1);
    }
}

#[test]
#[ignore = "it takes minutes"]
fn every_call_in_place() {
    if available(&["git", "strace"]) {
        in_place(1);
    }
}
