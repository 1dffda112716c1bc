//! Places that cannot take a control repo, or are not what they seem: refused with a remedy, and nothing changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{need, root};
use crate::world::{Ended, NOBODY, World};

/// Names, types and contents of everything below a folder.
fn snapshot(dir: &Path) -> String {
    let output = Command::new("find")
        .arg(dir)
        .args(["-printf", "%P %y %m %l "])
        .args(["-type", "f", "-exec", "cat", "{}", ";"])
        .output();
    String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
}

#[test]
fn a_folder_with_something_in_it_is_left_as_it_is() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::create_dir_all(world.path("repo/src")).unwrap();
    fs::write(world.path("repo/notes.txt"), "mine").unwrap();
    let before = snapshot(&world.path("repo"));
    let said = world.apply("repo").failure("cannot-write");
    assert!(said.contains("it contains notes.txt") && said.contains("choose a new or empty directory"), "{said}");
    assert_eq!(snapshot(&world.path("repo")), before);
}

#[test]
fn a_factory_toml_with_other_answers_is_not_overwritten() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("repo")).unwrap();
    fs::write(world.path("repo/factory.toml"), "mine").unwrap();
    assert!(world.apply("repo").failure("cannot-write").contains("differs from the one to commit"));
    assert_eq!(fs::read_to_string(world.path("repo/factory.toml")).unwrap(), "mine");
}

#[test]
fn a_repo_that_factoryup_did_not_make_is_refused() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("repo")).unwrap();
    world.git("repo", &["init", "-q"]);
    assert!(world.apply("repo").failure("cannot-write").contains("a git repo without a commit"));
    world.git("repo", &["commit", "-q", "--allow-empty", "-m", "mine"]);
    let before = snapshot(&world.path("repo"));
    assert!(world.apply("repo").failure("cannot-write").contains("a git repo that factoryup did not create"));
    assert_eq!(snapshot(&world.path("repo")), before);
}

#[test]
fn files_and_links() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::write(world.path("file"), "mine").unwrap();
    assert!(world.apply("file").failure("cannot-write").contains("not a directory"));
    assert!(world.apply("file/below").failure("cannot-write").contains("cannot create"));
    symlink("nowhere", world.path("dangling")).unwrap();
    assert!(world.apply("dangling").failure("cannot-write").contains("a broken link"));
    fs::create_dir(world.path("real")).unwrap();
    symlink("real", world.path("link")).unwrap();
    assert!(matches!(world.apply("link"), Ended::Changed(_)));
    assert!(fs::symlink_metadata(world.path("link")).unwrap().is_symlink());
    world.assert_whole("real");
    assert_eq!(world.apply("link"), Ended::Right);
}

#[test]
fn inside_another_repo_the_outer_one_is_not_touched() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("outer")).unwrap();
    world.git("outer", &["init", "-q"]);
    world.git("outer", &["commit", "-q", "--allow-empty", "-m", "outer"]);
    let before = snapshot(&world.path("outer/.git"));
    assert!(matches!(world.apply("outer/inner"), Ended::Changed(_)));
    world.assert_whole("outer/inner");
    assert_eq!(snapshot(&world.path("outer/.git")), before);
    // A damaged inner repo must not be taken for the outer one.
    fs::remove_file(world.path("outer/inner/.git/HEAD")).unwrap();
    assert!(world.apply("outer/inner").failure("cannot-write").contains("is not a valid git directory"));
    assert_eq!(snapshot(&world.path("outer/.git")), before);
}

#[test]
fn where_the_user_may_not_write() {
    if !need("git") || !root() {
        return;
    }
    let world = World::of_nobody();
    fs::create_dir_all(world.path("locked/empty")).unwrap();
    fs::set_permissions(world.path("locked"), fs::Permissions::from_mode(0o755)).unwrap();
    let said = world.apply("locked/repo").failure("cannot-write");
    assert!(said.contains("cannot write in") && said.contains("choose a directory that you can write to"), "{said}");
    assert_eq!(fs::read_dir(world.path("locked")).unwrap().count(), 1);
    // A folder of one's own in a folder that is not: enough.
    std::os::unix::fs::chown(world.path("locked/empty"), Some(NOBODY), Some(NOBODY)).unwrap();
    assert!(matches!(world.apply("locked/empty"), Ended::Changed(_)));
    world.assert_whole("locked/empty");
}

#[test]
fn on_a_read_only_and_on_a_full_file_system() {
    if !need("git") || !root() || !need("unshare") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("mount")).unwrap();
    let read_only = world.apply_under("mount -t tmpfs -o ro tmpfs mount && exec \"$@\"", "mount/repo");
    assert!(read_only.failure("cannot-write").contains("on a writable file system"));
    let full = "mount -t tmpfs -o size=16k tmpfs mount && \"$@\"; ls -A mount > left";
    let said = world.apply_under(full, "mount/repo").failure("cannot-write");
    assert!(said.contains("free space"), "{said}");
    assert_eq!(fs::read_to_string(world.path("left")).unwrap(), "");
    // A mount point cannot be renamed over, and can be filled.
    let mount_point = "mount -t tmpfs tmpfs mount && \"$@\"; git -C mount status --porcelain > status";
    assert!(matches!(world.apply_under(mount_point, "mount"), Ended::Changed(_)));
    assert_eq!(fs::read_to_string(world.path("status")).unwrap(), "");
}

#[test]
fn a_repo_of_another_user_is_not_trusted_until_the_user_says_so() {
    if !need("git") || !root() {
        return;
    }
    let world = World::new();
    world.apply("repo");
    let chown = Command::new("chown").args(["-R", "65534:65534"]).arg(world.path("repo")).status().unwrap();
    assert!(chown.success());
    let said = world.apply("repo").failure("not-permitted");
    assert!(said.contains("git config --global --add safe.directory"), "{said}");
    world.configure(&format!("[safe]\n\tdirectory = {}\n", fs::canonicalize(world.path("repo")).unwrap().display()));
    assert_eq!(world.apply("repo"), Ended::Right);
}

#[test]
fn without_git() {
    let mut world = World::new();
    world.env("PATH", "/nonexistent");
    let said = world.apply("repo").failure("cannot-write");
    assert!(said.contains("git is not on PATH") && said.contains("apt install git"), "{said}");
    assert!(!world.path("repo").exists());
}

#[test]
fn two_factories_of_one_name_do_not_share_their_state() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    let record = world.path("state/factoryup/acme/factory.json");
    // A look takes nothing.
    assert_eq!(world.factoryup("repo", &["doctor", "repo"]).0, 0);
    assert!(!record.exists());
    let apply = ["apply", "repo", "--yes"];
    assert_eq!(world.factoryup("repo", &apply).0, 0);
    let known = fs::read(&record).unwrap();
    // The same one in another place, by move or clone: whoever works on it is asked whether it is theirs.
    fs::rename(world.path("repo"), world.path("moved")).unwrap();
    for command in
        [&["doctor", "repo"][..], &["plan", "repo"], &["upgrade", "--yes", "--no-push"], &["evidence", "verify"]]
    {
        let (code, _, said) = world.factoryup("moved", command);
        assert_eq!(code, 0, "{command:?}: {said}");
        assert_eq!(fs::read(&record).unwrap(), known, "{command:?}");
    }
    let (code, _, said) = world.factoryup("moved", &apply);
    assert!(code == 65 && said.contains("the control repo was in") && said.contains("factory.json"), "{code} {said}");
    assert_eq!(fs::read(&record).unwrap(), known);
    fs::remove_file(&record).unwrap();
    assert_eq!(world.factoryup("moved", &apply).0, 0);
    world.git("", &["clone", "-q", "moved", "other"]);
    assert_eq!(world.factoryup("other", &["doctor", "repo"]).0, 0);
    assert_eq!(world.factoryup("moved", &["doctor", "repo"]).0, 0);
    // Another one.
    let path = world.path("other/factory.toml");
    let text = fs::read_to_string(&path).unwrap().replace("group = \"acme\"", "group = \"coyotes\"");
    fs::write(&path, text).unwrap();
    for command in [&["plan", "repo"][..], &["doctor", "repo"], &["evidence", "verify"]] {
        let (code, _, said) = world.factoryup("other", command);
        assert!(
            code == 65 && said.contains("another factory with this name keeps its state in"),
            "{command:?}: {code} {said}"
        );
        assert!(said.contains("/acme/") && said.contains("choose another name"), "{said}");
    }
    assert_eq!(world.factoryup("moved", &["doctor", "repo"]).0, 0);
}

#[test]
fn no_repo_is_made_among_settings_or_the_files_of_the_system() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    fs::create_dir_all(world.path("home/.ssh")).unwrap();
    symlink("home/.ssh", world.path("link")).unwrap();
    let before = snapshot(&world.path(""));
    let at = |name: &str| world.path(name).display().to_string();
    for (folder, why) in [
        (at("home/.ssh"), "its name begins with a dot"),
        (at("home/.ssh/x"), "home/.ssh contains settings"),
        (at("link/x/y"), "home/.ssh contains settings"),
        (at("home/x/../.config/y"), "it goes up from a directory that does not exist"),
        (at("home"), "it is a home directory"),
        (at("repo/.git/x"), "inside git's own directory"),
        (at("state/factoryup/x"), "factoryup keeps its records in"),
        ("/etc/factoryup-test/x".to_owned(), "/etc belongs to the system"),
        ("/usr".to_owned(), "it is a system directory"),
    ] {
        let app = ["app", "add", "shop", "--kind", "http", "--path", &folder];
        let init = ["init", &folder, "--defaults", "--name", "shop", "--host-kind", "none", "--gitlab-group", "shop"];
        for arguments in [&app[..], &init] {
            let (code, _, said) = world.factoryup("repo", arguments);
            // What is not empty is refused before it is looked at any closer.
            let occupied = arguments[0] == "app" && code == 73 && said.contains("is not empty");
            assert!(occupied || code == 64 && said.contains(why), "{arguments:?}: {code} {said}");
            assert!(occupied || said.contains("next: choose a directory for projects"), "{said}");
        }
    }
    assert_eq!(snapshot(&world.path("")), before);
    assert_eq!(world.git("repo", &["branch", "--list", "factory/*"]), "");
}
