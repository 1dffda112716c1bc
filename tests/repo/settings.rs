//! The user's git configuration and environment change neither what is made nor whether a program runs.

use std::fs;

use crate::support::{make_program, need};
use crate::world::{Ended, World};

/// A program that leaves the file `ran` when it runs.
fn trap(world: &World, name: &str) -> String {
    let path = world.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    make_program(&path, format!("#!/bin/sh\ntouch '{}'\nexit 1\n", world.path("ran").display()));
    path.display().to_string()
}

fn commit_of(world: &World) -> String {
    world.git("repo", &["rev-parse", "HEAD^{tree}"])
}

#[test]
fn the_same_tree_whatever_is_configured() {
    if !need("git") {
        return;
    }
    let plain = World::new();
    plain.apply("repo");
    let mut odd = World::new();
    let gpg = trap(&odd, "gpg");
    let monitor = trap(&odd, "monitor");
    let editor = trap(&odd, "editor");
    for hook in ["post-checkout", "post-commit", "reference-transaction", "post-index-change"] {
        trap(&odd, &format!("hooks/{hook}"));
        trap(&odd, &format!("template/hooks/{hook}"));
    }
    odd.configure(&format!(
        "[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = {gpg}\n[core]\n\tautocrlf = true\n\teol = crlf\n\thooksPath = {hooks}\n\
         \tfsmonitor = {monitor}\n\teditor = {editor}\n\texcludesFile = {excludes}\n\tattributesFile = {attributes}\n\
         [init]\n\tdefaultBranch = trunk\n\ttemplateDir = {template}\n\tdefaultObjectFormat = sha256\n\
         [fastimport]\n\tunpackLimit = 0\n[filter \"odd\"]\n\tclean = {editor}\n\tsmudge = {editor}\n",
        hooks = odd.path("hooks").display(),
        excludes = odd.path("excludes").display(),
        attributes = odd.path("attributes").display(),
        template = odd.path("template").display(),
    ));
    fs::write(odd.path("excludes"), "*\n").unwrap();
    fs::write(odd.path("attributes"), "*.md text eol=crlf\n").unwrap();
    let elsewhere = odd.path("elsewhere").display().to_string();
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_TEMPLATE_DIR"] {
        odd.env(name, &elsewhere);
    }
    for (name, value) in [("GIT_DEFAULT_HASH", "sha256"), ("GIT_AUTHOR_NAME", "Eve"), ("GIT_AUTHOR_DATE", "1 +0000")] {
        odd.env(name, value);
    }
    let ended = odd.apply("repo");
    assert!(matches!(ended, Ended::Changed(_)), "{ended:?}");
    assert_eq!(odd.apply("repo"), Ended::Right);
    assert!(!odd.path("ran").exists(), "a program of the user's configuration ran");
    assert!(!odd.path("elsewhere").exists());
    let mut reader = World::new();
    reader.env("GIT_CONFIG_COUNT", "1");
    reader.env("GIT_CONFIG_KEY_0", "safe.directory");
    reader.env("GIT_CONFIG_VALUE_0", "*");
    let odd_tree = reader.git(odd.path("repo"), &["rev-parse", "HEAD^{tree}"]);
    assert_eq!(odd_tree, commit_of(&plain));
    assert_eq!(reader.git(odd.path("repo"), &["branch", "--show-current"]), "main");
    assert_eq!(reader.git(odd.path("repo"), &["log", "-1", "--format=%an %G?"]), "Ada Lovelace N");
    let hooks = odd.path("repo/.git/hooks");
    assert!(!hooks.exists(), "{}", hooks.display());
}

#[test]
fn line_endings_stay_and_the_tree_is_clean_under_autocrlf() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.configure("[core]\n\tautocrlf = true\n");
    world.apply("repo");
    world.assert_whole("repo");
    assert!(!fs::read_to_string(world.path("repo/README.md")).unwrap().contains('\r'));
}

#[test]
fn without_a_name_of_the_user_the_owner_is_the_author() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.configure("[user]\n\tuseConfigOnly = true\n");
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
    world.answer("roadrunners", "coyotes");
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
}
