//! Killed at any moment, nothing is there or everything is; the next run ends what was begun.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Instant;

use crate::support::{need, time};
use crate::world::{Ended, World, files};

/// What a staging place's file `lock` begins with.
const MARKER: &str = "factoryup stage 1\n";

/// What a folder may be before a control repo is made in it.
#[derive(Clone, Copy, Debug)]
enum Before {
    Absent,
    Empty,
    WithAnswers,
}

const ALL: [Before; 3] = [Before::Absent, Before::Empty, Before::WithAnswers];
const STEPS: [&str; 8] =
    ["staged", "initialised", "committed", "filled", "synced", "git-moved", "entry-moved", "placed"];

fn prepare(world: &World, before: Before) {
    let dir = world.path("repo");
    let _ = fs::remove_dir_all(&dir);
    if !matches!(before, Before::Absent) {
        fs::create_dir(&dir).unwrap();
    }
    if matches!(before, Before::WithAnswers) {
        fs::copy(world.path("factory.toml"), dir.join("factory.toml")).unwrap();
    }
}

/// Names in a folder, without factoryup's staging places.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with(".factoryup-"));
    names.sort();
    names
}

/// Nothing: as it was before. Everything: a sound repo whose commit holds it all.
fn assert_nothing_or_everything(world: &World, before: Before, when: &str) -> bool {
    let dir = world.path("repo");
    if dir.join(".git").exists() {
        world.git("repo", &["fsck", "--strict", "--no-dangling"]);
        world.git("repo", &["cat-file", "-e", "HEAD:.factory/manifest.toml"]);
        world.git("repo", &["cat-file", "-e", "HEAD:README.md"]);
        if matches!(before, Before::Absent) {
            assert_eq!(world.git("repo", &["status", "--porcelain"]), "", "{when}");
        }
        return true;
    }
    let wanted: &[&str] = if matches!(before, Before::WithAnswers) { &["factory.toml"] } else { &[] };
    assert_eq!(names(&dir), wanted, "{before:?}, {when}");
    assert_eq!(dir.exists(), !matches!(before, Before::Absent), "{before:?}, {when}");
    false
}

#[test]
fn at_every_step() {
    if !need("git") || !time() {
        return;
    }
    for before in ALL {
        for step in STEPS {
            let mut world = World::new();
            prepare(&world, before);
            world.env("FACTORYUP_KILL_AT", step);
            let ended = world.apply("repo");
            let moves = matches!(step, "git-moved" | "entry-moved");
            if matches!(before, Before::Absent) && moves {
                assert!(matches!(ended, Ended::Changed(_)), "{step} is not reached when the folder is renamed whole");
                continue;
            }
            assert_eq!(ended, Ended::Killed, "{before:?}, {step}");
            let there = assert_nothing_or_everything(&world, before, step);
            assert_eq!(there, moves || step == "placed", "{before:?}, {step}");
            world.env("FACTORYUP_KILL_AT", "");
            assert!(matches!(world.apply("repo"), Ended::Changed(_)), "{before:?}, {step}");
            world.assert_whole("repo");
            assert_eq!(world.apply("repo"), Ended::Right);
        }
    }
}

#[test]
fn the_next_run_says_in_words_where_it_was() {
    if !need("git") {
        return;
    }
    let mut world = World::new();
    prepare(&world, Before::WithAnswers);
    let killed = |world: &mut World| {
        world.env("FACTORYUP_KILL_AT", "committed");
        assert_eq!(world.factoryup("repo", &["apply", "repo", "--yes"]).0, -1);
        world.env("FACTORYUP_KILL_AT", "");
    };
    killed(&mut world);
    // For machines the keys that were always there, and one more.
    let (_, out, err) = world.factoryup("repo", &["--json", "apply", "repo"]);
    let events: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cut = events.iter().find(|event| event["event"] == "resuming").unwrap_or_else(|| panic!("{out}{err}"));
    assert!(cut["at"].as_str().unwrap().ends_with('Z'), "{cut}");
    let plan = events.iter().find(|event| event["event"] == "plan").unwrap();
    let change = plan["plan"]["changes"].as_array().unwrap().last().unwrap();
    assert_eq!((&cut["change"], &cut["summary"]), (&change["id"], &change["summary"]));
    // For people.
    let (code, out, err) = world.factoryup("repo", &["apply", "repo", "--yes"]);
    let said = format!("was interrupted in the middle of a change ({})", change["summary"].as_str().unwrap());
    assert!(code == 0 && err.contains(&said), "{out}{err}");
    assert!(!err.contains(change["id"].as_str().unwrap()), "{err}");
    let (_, _, err) = world.factoryup("repo", &["apply", "repo", "--yes"]);
    assert!(!err.contains("was interrupted"), "{err}");
}

#[test]
fn at_random_moments() {
    if !need("git") || !time() {
        return;
    }
    let world = World::new();
    // The best of some: one that this machine had no time for would put all kills after the end of the others.
    let once = |_| {
        prepare(&world, Before::Absent);
        let since = Instant::now();
        world.apply("repo");
        since.elapsed()
    };
    let whole = (0..3).map(once).min().unwrap();
    let mut seed = u64::from(std::process::id());
    let (mut nothing, mut everything) = (0, 0);
    for round in 0..36 {
        let before = ALL[round % ALL.len()];
        prepare(&world, before);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = f64::from(u32::try_from(seed >> 40).unwrap()) / f64::from(1 << 24);
        let after = whole.mul_f64(part * 1.2);
        let mut child = world.start("repo");
        sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        let when = format!("round {round}, after {after:?}");
        if assert_nothing_or_everything(&world, before, &when) {
            everything += 1;
        } else {
            nothing += 1;
        }
        let again = world.apply("repo");
        assert!(matches!(again, Ended::Changed(_) | Ended::Right), "{when}: {again:?}");
        world.assert_whole("repo");
    }
    assert!(nothing > 5, "{nothing} of 36 kills were early, {everything} late");
}

#[test]
fn while_another_is_at_work() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("repo")).unwrap();
    fs::create_dir(world.path("repo/.factoryup-Ab3xY9")).unwrap();
    fs::write(world.path("repo/.factoryup-Ab3xY9/lock"), MARKER).unwrap();
    let lock = fs::File::open(world.path("repo/.factoryup-Ab3xY9/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    assert!(world.apply("repo").failure("cannot-write").contains("another factoryup process is running"));
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::Unlock).unwrap();
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
    world.assert_whole("repo");
}

#[test]
fn what_the_user_made_after_the_kill_stays() {
    if !need("git") {
        return;
    }
    let mut world = World::new();
    prepare(&world, Before::Empty);
    world.env("FACTORYUP_KILL_AT", "git-moved");
    assert_eq!(world.apply("repo"), Ended::Killed);
    fs::write(world.path("repo/README.md"), "mine").unwrap();
    world.env("FACTORYUP_KILL_AT", "");
    assert!(matches!(world.apply("repo"), Ended::Changed(1)));
    assert_eq!(fs::read_to_string(world.path("repo/README.md")).unwrap(), "mine");
    assert_eq!(world.git("repo", &["status", "--porcelain"]), " M README.md");
}

/// Folders of the user's own that look somewhat like a staging place: name, files in it, and what `lock` holds.
const LOOKALIKES: [(&str, &[&str], &str); 6] = [
    (".factoryup-notes", &["lock", "notes.txt"], ""),
    (".factoryup-notes", &["lock", "tree/planted"], MARKER),
    (".factoryup-Ab3xY9", &["lock", "notes.txt"], MARKER),
    (".factoryup-Ab3xY9", &["lock"], "keep\n"),
    (".factoryup-Ab3xY9", &["lock", "tree/planted"], "factoryup stage 12\n"),
    (".factoryup-Ab3xY9", &["lock", "tree/planted"], ""),
];

fn lookalike(world: &World, (name, inside, lock): (&str, &[&str], &str)) {
    for file in inside {
        let path = world.path("repo").join(name).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if *file == "lock" { lock } else { "mine\n" }).unwrap();
    }
}

#[test]
fn a_folder_of_the_users_own_is_no_staging_place() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("made");
    for like in LOOKALIKES {
        // In the way of a new repo.
        lookalike(&world, like);
        let before = files(&world.path("repo"));
        let said = world.apply("repo").failure("cannot-write");
        assert!(said.contains(&format!("it is not empty: it contains {}", like.0)), "{like:?}: {said}");
        assert_eq!(files(&world.path("repo")), before, "{like:?}");
        fs::remove_dir_all(world.path("repo")).unwrap();
        // In a repo, where it is in nobody's way.
        world.git("", &["clone", "-q", "made", "repo"]);
        lookalike(&world, like);
        let before = files(&world.path("repo"));
        assert_eq!(world.apply("repo"), Ended::Right, "{like:?}");
        assert_eq!(files(&world.path("repo")), before, "{like:?}");
        fs::remove_dir_all(world.path("repo")).unwrap();
    }
    // A pipe has no end that could be waited for.
    fs::create_dir_all(world.path("repo/.factoryup-Ab3xY9")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(world.path("repo/.factoryup-Ab3xY9/lock")).status().unwrap();
    assert!(made.success());
    fs::copy(world.path("factory.toml"), world.path("repo/factory.toml")).unwrap();
    let (code, _, err) = world.factoryup_under(&["timeout", "300"], "repo", &["apply", "repo", "--yes"]);
    assert!(code == 73 && err.contains("it contains .factoryup-Ab3xY9"), "{code} {err}");
}

#[test]
fn what_git_knows_is_no_staging_place() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    lookalike(&world, (".factoryup-Ab3xY9", &["lock", "tree/planted"], MARKER));
    world.git("repo", &["add", "-A"]);
    world.git("repo", &["commit", "-qm", "mine"]);
    let before = files(&world.path("repo"));
    for command in [&["doctor", "repo"][..], &["upgrade", "--yes", "--no-push"], &["apply", "repo", "--yes"]] {
        let (code, out, err) = world.factoryup("repo", command);
        assert!(code == 0 && files(&world.path("repo")) == before, "{command:?}: {code} {out}{err}");
    }
    // Nor in a folder of a repo that is to become one of its own.
    lookalike(&world, ("inner/.factoryup-Ab3xY9", &["lock", "tree/planted"], MARKER));
    world.git("repo", &["add", "-A"]);
    let said = world.apply("repo/inner").failure("cannot-write");
    assert!(said.contains("it contains .factoryup-Ab3xY9"), "{said}");
    assert!(world.path("repo/inner/.factoryup-Ab3xY9/tree/planted").exists());
}
