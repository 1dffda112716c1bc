//! `factoryup resolve` on a terminal, with three versions to look at, and with the merge tool of git's configuration.

use std::fs;

use crate::pty::Pty;
use crate::support::need;
use crate::world::World;

const ONE: &str = "docs/glossary.md";
const TWO: &str = "docs/evidence.md";

/// Two conflicts, in the titles of two files.
pub(crate) fn situation() -> World {
    let world = World::new();
    world.apply("repo");
    for file in [ONE, TWO] {
        let now = world.text(file);
        world.older("repo", file, &now.replacen("# ", "# Older ", 1));
    }
    for file in [ONE, TWO] {
        let mine = world.text(file).replacen("# Older ", "# My ", 1);
        fs::write(world.path("repo").join(file), mine).unwrap();
    }
    world.git("repo", &["commit", "-qam", "mine"]);
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
    assert_eq!(code, 2, "{err}");
    let branch = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"]);
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    world
}

impl World {
    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path("repo").join(file)).unwrap()
    }

    fn resolve(&self, arguments: &[&str]) -> Pty {
        Pty::start(self.terminal("repo", &[&["resolve"], arguments].concat()), 100)
    }

    fn staged(&self) -> String {
        self.git("repo", &["diff", "--cached", "--name-only"])
    }
}

/// A merge tool that notes what it was given and writes what `write` prints.
fn tool(world: &World, write: &str) -> String {
    let seen = world.path("seen").display().to_string();
    format!(
        "[merge]\n\ttool = mine\n[mergetool \"mine\"]\n\ttrustExitCode = true\n\tcmd = \"head -qn1 $BASE $LOCAL $REMOTE > {seen}; {write}\"\n"
    )
}

#[test]
fn one_by_one_with_what_each_side_changed() {
    if !need("git") {
        return;
    }
    let world = situation();
    let mut pty = world.resolve(&[]);
    pty.expect(TWO).expect("what you changed:").expect("- # Older ").expect("+ # My ");
    pty.expect("what the templates changed:").expect("- # Older ").expect("+ # ");
    pty.expect("Keep docs/evidence.md as you have it?").send("y");
    pty.expect("Keep docs/glossary.md as you have it?").send("n");
    pty.expect("Take the proposal instead").send("y");
    pty.expect("All conflicts are settled and staged");
    let (code, transcript) = pty.end();
    // Without a merge tool in git's configuration none is offered.
    assert!(code == 0 && !transcript.contains("together in"), "{transcript}");
    assert!(world.text(TWO).starts_with("# My ") && world.text(ONE).starts_with("# Glossary"));
    world.git("repo", &["commit", "-qm", "settled"]);
    assert_eq!(world.factoryup("repo", &["upgrade", "--dry-run"]).0, 0);
}

#[test]
fn who_leaves_half_way_has_half_of_it() {
    if !need("git") {
        return;
    }
    let world = situation();
    let mut pty = world.resolve(&[]);
    pty.expect("Keep docs/evidence.md as you have it?").send("y");
    pty.expect("Keep docs/glossary.md as you have it?").send("\u{3}");
    assert_eq!(pty.end().0, 130);
    assert!(world.text(ONE).starts_with("# My "));
    let (code, out, _) = world.factoryup("repo", &["resolve"]);
    assert_eq!((code, out.trim()), (2, ONE));
}

#[test]
fn in_the_merge_tool_that_git_is_configured_for() {
    if !need("git") {
        return;
    }
    let world = situation();
    world.configure(&tool(&world, "sed -n '/^# My/p' $MERGED > x; (cat x; tail -n+2 $REMOTE) > $MERGED"));
    let mut pty = world.resolve(&[ONE]);
    pty.expect("Keep docs/glossary.md as you have it?").send("n");
    pty.expect("Take the proposal instead").send("n");
    pty.expect("Put both together in mine?").send("y");
    pty.expect("1 conflicts are left");
    assert_eq!(pty.end().0, 2);
    let titles = fs::read_to_string(world.path("seen")).unwrap();
    assert_eq!(titles, "# Older Glossary\n# My Glossary\n# Glossary\n");
    assert!(world.text(ONE).starts_with("# My Glossary\n"));

    // The repo's own configuration counts too, and no terminal is needed.
    world.configure("");
    fs::write(world.path("tool"), tool(&world, "cat $REMOTE > $MERGED")).unwrap();
    world.git("repo", &["config", "include.path", &world.path("tool").display().to_string()]);
    let (code, _, err) = world.factoryup("repo", &["resolve", TWO, "--tool"]);
    assert_eq!(code, 0, "{err}");
    assert!(!world.text(TWO).contains("# My"));
    // The first reads as the user had it, so that only its record is different.
    assert!(world.staged().contains(".factory/manifest.toml") && world.staged().contains(TWO), "{}", world.staged());
    world.git("repo", &["commit", "-qm", "settled"]);
    let (code, out, err) = world.factoryup("repo", &["doctor"]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn a_tool_that_is_not_there_fails_or_leaves_markers_settles_nothing() {
    if !need("git") {
        return;
    }
    let world = situation();
    let before = world.text(ONE);
    let refused = |arguments: &[&str], wanted: &str| {
        let (code, _, err) = world.factoryup("repo", &[&["resolve", ONE], arguments].concat());
        assert!(code == 64 && err.contains(wanted), "{arguments:?}: {code} {err}");
        assert_eq!((world.text(ONE), world.staged()), (before.clone(), String::new()));
    };
    refused(&["--tool"], "git config --global merge.tool");
    refused(&["--tool=nonexistent"], "did not settle it");
    world.configure(&tool(&world, "exit 1"));
    refused(&["--tool"], "did not settle it");
    world.configure(&tool(&world, "exit 0"));
    refused(&["--tool"], "markers were left");
    // Work that is not committed is not written over, and the tool is not even started.
    fs::remove_file(world.path("seen")).unwrap();
    fs::write(world.path("repo").join(ONE), "dirty").unwrap();
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--tool"]);
    assert!(code == 64 && err.contains("not committed") && !world.path("seen").exists(), "{err}");
}

#[test]
fn the_editor_is_the_one_of_visual() {
    if !need("git") {
        return;
    }
    let mut world = situation();
    world.env("EDITOR", "false");
    world.env("VISUAL", "sed -i -e '/^<<<<<<</,/^>>>>>>>/d' -e '$a # Seen'");
    let pty = world.resolve(&[ONE, "--edit"]);
    let (code, transcript) = pty.end();
    assert_eq!(code, 2, "{transcript}");
    assert!(world.text(ONE).ends_with("\n# Seen\n"), "{}", world.text(ONE));
}
