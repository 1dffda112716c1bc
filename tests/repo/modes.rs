//! Work trees that do not tell which files can be executed, as on a file system without permissions (`core.fileMode = false`): modes in
//! it mean nothing, and what is committed has those that it should have.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::support::need;
use crate::world::{World, files};

/// Two files that can be executed. In the one there will be a conflict.
const SCRIPT: &str = "scripts/report";
const CONFLICT: &str = "scripts/check";
/// One that comes with the answers.
const NEW: &str = "scripts/host/factory";

const KEY: &str = r#"authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdZbN2Ph0h9bEhUVbF0v7bKbFqcQ2X0m3b0Jm0kq0Yd ada@laptop"]"#;
const UPGRADE: [&str; 3] = ["upgrade", "--in-place", "--yes"];
/// What such a file system shows of every file.
const SHOWN: [u32; 2] = [0o755, 0o644];

/// A control repo whose scripts older templates made, with answers that bring another one. One script was edited where it changes.
fn situation() -> World {
    let world = World::new();
    world.apply("repo");
    for script in [SCRIPT, CONFLICT] {
        let now = fs::read_to_string(world.path("repo").join(script)).unwrap();
        world.older("repo", script, &now.replacen("\n# ", "\n# Older: ", 1));
    }
    let edited = fs::read_to_string(world.path("repo").join(CONFLICT)).unwrap().replacen("# Older: ", "# Mine: ", 1);
    fs::write(world.path("repo").join(CONFLICT), edited).unwrap();
    let path = world.path("repo/factory.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, text.replace("kind = \"none\"", &format!("kind = \"ssh\"\naddress = \"192.0.2.7\"\n{KEY}")))
        .unwrap();
    world.git("repo", &["commit", "-qam", "mine"]);
    world
}

/// Has all files look alike, as nothing tells their modes.
fn blind(world: &World, shown: u32) {
    world.git("repo", &["config", "core.fileMode", "false"]);
    for name in files(&world.path("repo")).into_keys() {
        let path = world.path("repo").join(name);
        // Through a link, the mode would be that of a folder, into which then only root can look.
        if fs::symlink_metadata(&path).unwrap().is_file() {
            fs::set_permissions(path, Permissions::from_mode(shown)).unwrap();
        }
    }
}

/// What the upgrade makes where modes can be told: the tree of its branch, and that with the conflict settled.
fn wanted() -> [String; 2] {
    let world = situation();
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
    assert_eq!(code, 2, "{out}{err}");
    world.git("repo", &["merge", "-q", "--ff-only", &branch(&world)]);
    let upgraded = world.git("repo", &["ls-tree", "-r", "HEAD"]);
    for file in [SCRIPT, CONFLICT, NEW] {
        let line = upgraded.lines().find(|line| line.ends_with(&format!("\t{file}")));
        assert!(line.is_some_and(|line| line.starts_with("100755 ")), "{upgraded}");
    }
    assert_eq!(world.factoryup("repo", &["resolve", CONFLICT, "--proposal"]).0, 0);
    world.git("repo", &["commit", "-qm", "settled"]);
    [upgraded, world.git("repo", &["ls-tree", "-r", "HEAD"])]
}

fn branch(world: &World) -> String {
    world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"])
}

/// Commits as a person does, and compares.
#[track_caller]
fn commits(world: &World, wanted: &str) {
    world.git("repo", &["add", "--all"]);
    world.git("repo", &["commit", "-qm", "upgrade"]);
    assert_eq!(world.git("repo", &["ls-tree", "-r", "HEAD"]), wanted);
    assert_eq!(world.git("repo", &["status", "--porcelain"]), "");
}

#[test]
fn where_modes_cannot_be_told_they_are_right_all_the_same() {
    if !need("git") {
        return;
    }
    let [upgraded, settled] = wanted();
    for shown in SHOWN {
        // On a branch, and in place over nothing that was edited: what looks otherwise only by its mode is no edit.
        let world = situation();
        blind(&world, shown);
        let (code, out, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
        assert_eq!(code, 2, "{shown:o}: {out}{err}");
        assert_eq!(world.git("repo", &["ls-tree", "-r", &branch(&world)]), upgraded, "{shown:o}");
        assert_eq!(world.git("repo", &["status", "--porcelain"]), "");
        let (code, out, err) = world.factoryup("repo", &UPGRADE);
        assert_eq!(code, 2, "{shown:o}: {out}{err}");
        blind(&world, shown);
        let (_, out, err) = world.factoryup("repo", &UPGRADE);
        assert!(err.contains("all files are written"), "{shown:o}: {out}{err}");
        commits(&world, &upgraded);

        // A conflict that is settled.
        blind(&world, shown);
        let (code, out, err) = world.factoryup("repo", &["resolve", CONFLICT, "--proposal"]);
        assert_eq!(code, 0, "{shown:o}: {out}{err}");
        world.git("repo", &["commit", "-qm", "settled"]);
        assert_eq!(world.git("repo", &["ls-tree", "-r", "HEAD"]), settled, "{shown:o}");
        assert_eq!(world.git("repo", &["status", "--porcelain"]), "");
        let (code, out, err) = world.factoryup("repo", &["doctor", "repo"]);
        assert_eq!(code, 0, "{out}{err}");
    }
}

/// What a run had written before it was cut has no other content, whatever its mode looks like then.
#[test]
fn a_cut_run_is_ended_where_modes_cannot_be_told() {
    if !need("git") {
        return;
    }
    let [upgraded, settled] = wanted();
    for (shown, step) in SHOWN.into_iter().zip(["written", "in-index"]) {
        let mut world = situation();
        blind(&world, shown);
        let mut cut = |arguments: &[&str]| {
            world.env("FACTORYUP_KILL_AT", step);
            assert_eq!(world.factoryup("repo", arguments).0, -1, "{arguments:?} never comes to {step}");
            world.env("FACTORYUP_KILL_AT", "");
            blind(&world, shown);
            let (code, out, err) = world.factoryup("repo", arguments);
            assert!(!world.path("repo/.git/factoryup-upgrade").exists(), "{step}: {code} {out}{err}");
            world.git("repo", &["add", "--all"]);
            world.git("repo", &["commit", "-qm", "ended"]);
            world.git("repo", &["ls-tree", "-r", "HEAD"])
        };
        assert_eq!(cut(&UPGRADE), upgraded, "{step}");
        assert_eq!(cut(&["resolve", CONFLICT, "--proposal"]), settled, "{step}");
    }
}
