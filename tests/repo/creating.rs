//! A new control repo in a folder that can take one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use factoryup::dialog::Silent;
use factoryup::plan::Target;
use factoryup::repo::RepoTarget;

use crate::support::need;
use crate::world::{Ended, World, digest};

#[test]
fn a_folder_that_is_not_there_becomes_a_control_repo() {
    if !need("git") {
        return;
    }
    let world = World::new();
    assert!(matches!(world.apply("new/repo"), Ended::Changed(_)));
    world.assert_whole("new/repo");
    assert_eq!(world.git("new/repo", &["branch", "--show-current"]), "main");
    let who = world.git("new/repo", &["log", "-1", "--format=%an <%ae>, %cn <%ce>"]);
    assert_eq!(who, "Ada Lovelace <ada@example.org>, Ada Lovelace <ada@example.org>");
    assert_eq!(world.apply("new/repo"), Ended::Right);
    world.assert_whole("new/repo");
}

#[test]
fn an_empty_folder_keeps_its_identity_and_mode() {
    if !need("git") {
        return;
    }
    let world = World::new();
    let dir = world.path("repo");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
    let before = fs::metadata(&dir).unwrap();
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
    world.assert_whole("repo");
    let after = fs::metadata(&dir).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    assert_eq!(world.apply("repo"), Ended::Right);
}

#[test]
fn a_factory_toml_that_is_there_becomes_part_of_the_commit() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("repo")).unwrap();
    fs::copy(world.path("factory.toml"), world.path("repo/factory.toml")).unwrap();
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
    world.assert_whole("repo");
}

#[test]
fn names_with_spaces_and_letters_of_any_script() {
    if !need("git") {
        return;
    }
    let world = World::new();
    let long = "x".repeat(255);
    for name in ["a b/c 'd' \"e\"", "工場/fábrica", "-rf", long.as_str()] {
        assert!(matches!(world.apply(name), Ended::Changed(_)), "{name}");
        world.assert_whole(name);
        assert_eq!(world.apply(name), Ended::Right, "{name}");
    }
}

#[test]
fn a_repo_with_sha_256_ids() {
    if !need("git") {
        return;
    }
    let mut world = World::new();
    world.env("REPO_SHA256", "1");
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
    world.assert_whole("repo");
    assert_eq!(world.git("repo", &["rev-parse", "--show-object-format"]), "sha256");
    assert_eq!(world.apply("repo"), Ended::Right);
    world.answer("roadrunners", "coyotes");
    assert!(matches!(world.apply("repo"), Ended::Changed(_)));
}

/// What the manifest says of each file is what git and the work tree have.
#[test]
fn the_manifest_tells_the_truth() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    let text = fs::read_to_string(world.path("repo/.factory/manifest.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let files = manifest["file"].as_array().unwrap();
    for file in files {
        let field = |name: &str| file[name].as_str().unwrap();
        let path = world.path("repo").join(field("path"));
        let listed = world.git("repo", &["ls-tree", "HEAD", field("path")]);
        assert!(listed.starts_with(field("mode")), "{listed}");
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!(metadata.is_symlink(), field("kind") == "link");
        if !metadata.is_symlink() {
            assert_eq!(metadata.permissions().mode() & 0o111 != 0, field("mode") == "100755", "{}", path.display());
            let bytes = fs::read(&path).unwrap();
            if field("class") != "block" {
                assert_eq!(field("written"), digest(&bytes));
            }
            if field("class") == "merge" && field("kind") == "text" {
                assert_eq!(fs::read(world.path("repo/.factory/base").join(field("base"))).unwrap(), bytes);
            }
        }
    }
    let attributes = world.git("repo", &["check-attr", "text", "diff", "linguist-generated", "--", ".factory/base/0"]);
    assert_eq!(attributes.matches(": unset").count(), 2, "{attributes}");
    assert!(attributes.contains("linguist-generated: set"));
}

#[test]
fn the_plan_names_every_file_of_the_commit_and_writes_nothing() {
    if !need("git") {
        return;
    }
    let world = World::new();
    let text = world.answers();
    let factory = factoryup::factory::parse(&text, "factory.toml").unwrap();
    let plan = RepoTarget::new(world.path("repo"), &factory, &text).unwrap().observe(&Silent).unwrap();
    assert!(!world.path("repo").exists());
    world.apply("repo");
    let listed = world.git("repo", &["ls-tree", "-r", "--name-only", "HEAD"]);
    for name in listed.lines().filter(|name| !name.starts_with(".factory/")) {
        let change = plan.changes.iter().find(|change| change.id == format!("file:{name}")).unwrap();
        assert!(change.diff.as_ref().unwrap().after.is_some(), "{name}");
    }
    assert_eq!(plan.changes.last().unwrap().id, "commit:main");
}
