//! The ways in which git can keep its index, and be told to overlook files: what writes into a work tree works with each or refuses it.

use std::fs;
use std::process::Command;

use crate::resolving;
use crate::support::need;
use crate::world::{World, files};

const ONE: &str = "docs/glossary.md";
const IN_PLACE: [&str; 3] = ["upgrade", "--in-place", "--yes"];

/// One conflict to settle, and new answers to upgrade to; kept as `pristine`.
fn situation() -> World {
    let world = resolving::situation();
    fs::rename(world.path("repo"), world.path("pristine")).unwrap();
    world
}

fn reset(world: &World) {
    let _ = fs::remove_dir_all(world.path("repo"));
    let status = Command::new("cp").arg("-a").args([world.path("pristine"), world.path("repo")]).status().unwrap();
    assert!(status.success());
    // The index remembers the files of another folder, and a sparse checkout leaves out only what git knows to be unchanged.
    world.git("repo", &["status", "--porcelain"]);
}

fn git(world: &World, commands: &[&[&str]]) {
    for command in commands {
        world.git("repo", command);
    }
}

fn new_answer(world: &World) {
    let toml = world.path("repo/factory.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("roadrunners", "coyotes")).unwrap();
}

#[test]
fn indexes_of_every_kind_are_written() {
    if !need("git") {
        return;
    }
    let world = situation();
    let submodule = world.path("pristine/.git").display().to_string();
    let kinds: [(&str, &[&[&str]]); 6] = [
        ("split", &[&["config", "core.splitIndex", "true"], &["update-index", "--split-index"]]),
        ("version 4", &[&["config", "index.version", "4"], &["update-index", "--index-version", "4"]]),
        (
            "untracked cache",
            &[&["config", "core.untrackedCache", "true"], &["update-index", "--force-untracked-cache"]],
        ),
        ("monitored", &[&["config", "core.fsmonitor", "false"], &["update-index", "--fsmonitor"], &["status"]]),
        ("many files", &[&["config", "feature.manyFiles", "true"], &["status"]]),
        (
            "submodule",
            &[
                &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &submodule, "vendor/lib"],
                &["commit", "-qm", "vendored"],
            ],
        ),
    ];
    for (kind, commands) in kinds {
        reset(&world);
        git(&world, commands);
        new_answer(&world);
        let (code, _, err) = world.factoryup("repo", &IN_PLACE);
        assert_eq!(code, 2, "{kind}: {err}");
        git(&world, &[&["add", "--all"], &["commit", "-qm", "upgraded"]]);
        assert!(world.git("repo", &["show", "HEAD:README.md"]).contains("coyotes"), "{kind}");
        let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--proposal"]);
        assert_eq!(code, 2, "{kind}: the other one waits: {err}");
        let staged = world.git("repo", &["diff", "--cached", "--name-only"]);
        assert!(staged.contains(ONE) && staged.contains(".factory/manifest.toml"), "{kind}: {staged}");
        git(&world, &[&["commit", "-qm", "settled"], &["fsck", "--strict", "--no-dangling"]]);
        assert_eq!(world.git("repo", &["status", "--porcelain"]), "", "{kind}");
        assert!(world.git("repo", &["show", &format!("HEAD:{ONE}")]).starts_with("# Glossary"), "{kind}");
    }
}

/// What git overlooks would be in no commit, so that half an upgrade would be committed: refused, and nothing is written.
#[test]
fn files_that_git_overlooks_are_not_written() {
    if !need("git") {
        return;
    }
    let world = situation();
    let cases: [(&[&[&str]], &str); 4] = [
        (&[&["update-index", "--skip-worktree", "README.md", ONE]], "update-index --no-skip-worktree"),
        (&[&["update-index", "--assume-unchanged", "README.md", ONE]], "update-index --no-assume-unchanged"),
        (
            &[&["sparse-checkout", "init", "--cone"], &["sparse-checkout", "set", "infra"]],
            "git sparse-checkout disable",
        ),
        (
            &[
                &["config", "index.sparse", "true"],
                &["sparse-checkout", "init", "--cone"],
                &["sparse-checkout", "set", "infra"],
            ],
            "git sparse-checkout disable",
        ),
    ];
    for (commands, told) in cases {
        reset(&world);
        git(&world, commands);
        let refused = |arguments: &[&str]| {
            let before = files(&world.path("repo"));
            let (code, _, err) = world.factoryup("repo", arguments);
            assert!(code == 64 && err.contains(told), "{told}: {arguments:?}: {code} {err}");
            assert!(err.len() < 4000, "{err}");
            assert!(files(&world.path("repo")) == before, "{told}: {arguments:?}");
            assert!(!world.path("repo/.git/factoryup-upgrade").exists());
        };
        let (code, out, _) = world.factoryup("repo", &["resolve"]);
        assert!(code == 2 && out.contains(ONE), "{told}: {out}");
        refused(&["resolve", ONE, "--proposal"]);
        new_answer(&world);
        refused(&IN_PLACE);
        // A branch needs no work tree, and has all of it.
        let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
        assert_eq!(code, 2, "{told}: {err}");
        let branch = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory/answers-*"]);
        assert!(world.git("repo", &["show", &format!("{branch}:README.md")]).contains("coyotes"), "{told}");
        // As it is told: what git sees again can be written.
        git(
            &world,
            &[
                &["update-index", "--no-skip-worktree", "README.md"],
                &["update-index", "--no-assume-unchanged", "README.md"],
            ],
        );
        git(&world, &[&["update-index", "--no-skip-worktree", ONE], &["update-index", "--no-assume-unchanged", ONE]]);
        if told.contains("sparse") {
            git(&world, &[&["sparse-checkout", "disable"]]);
        }
        assert_eq!(world.factoryup("repo", &IN_PLACE).0, 2, "{told}");
    }
}
