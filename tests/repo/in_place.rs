//! `factoryup upgrade --in-place`: over clean paths, all or nothing, whatever kills it.

use std::fs;
use std::process::Command;

use crate::support::need;
use crate::world::{World, files};

/// A file that neither the templates nor the user change here.
const UNTOUCHED: &str = "docs/evidence.md";
/// One that comes with the other agent.
const NEW: &str = ".codex/config.toml";
const UPGRADE: [&str; 3] = ["upgrade", "--in-place", "--yes"];

/// A control repo with an edited file that older templates made, and new answers.
pub(crate) fn situation() -> World {
    let world = World::new();
    world.apply("repo");
    let now = fs::read_to_string(world.path("repo/docs/glossary.md")).unwrap();
    world.older("repo", "docs/glossary.md", &now.replacen("# Glossary", "# Words", 1));
    let edited = fs::read_to_string(world.path("repo/docs/glossary.md")).unwrap() + "\nMy own word.\n";
    fs::write(world.path("repo/docs/glossary.md"), edited).unwrap();
    world.git("repo", &["commit", "-qam", "mine"]);
    let path = world.path("repo/factory.toml");
    let text = fs::read_to_string(&path).unwrap().replace("roadrunners", "coyotes");
    fs::write(path, text).unwrap();
    world
}

/// The same with another agent, for which some files go and others come.
fn other_agent() -> World {
    let world = situation();
    let path = world.path("repo/factory.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}\n[agent]\nkind = \"codex\"\n")).unwrap();
    world
}

#[test]
fn it_writes_the_work_tree_and_leaves_the_rest() {
    if !need("git") {
        return;
    }
    let world = other_agent();
    fs::write(world.path("repo/scratch"), "mine").unwrap();
    let refs = world.git("repo", &["for-each-ref"]);
    let (code, _, err) = world.factoryup("repo", &UPGRADE);
    assert_eq!(code, 0, "{err}");
    assert_eq!(world.git("repo", &["for-each-ref"]), refs);
    let now = files(&world.path("repo"));
    let glossary = String::from_utf8_lossy(&now["docs/glossary.md"]).into_owned();
    assert!(glossary.starts_with("# Glossary") && glossary.ends_with("My own word.\n"), "{glossary}");
    assert!(String::from_utf8_lossy(&now["README.md"]).contains("coyotes"));
    assert!(!now.contains_key("CLAUDE.md") && !world.path("repo/.claude").exists());
    assert_eq!(now["scratch"], b"mine");
    // Before the commit it knows that it is written, and after it that nothing is left.
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--in-place", "--dry-run"]);
    assert!(code == 0 && out.contains("all files are written; commit them"), "{out}{err}");
    fs::remove_file(world.path("repo/scratch")).unwrap();
    world.git("repo", &["add", "--all"]);
    world.git("repo", &["commit", "-qm", "upgrade"]);
    assert_eq!(world.factoryup("repo", &["upgrade", "--dry-run"]).0, 0);
    assert_eq!(world.factoryup("repo", &["doctor", "repo"]).0, 0);
}

#[test]
fn it_writes_over_nothing_that_is_not_committed() {
    if !need("git") {
        return;
    }
    let spoil: [&dyn Fn(&World); 3] = [
        &|world| fs::write(world.path("repo/README.md"), "mine").unwrap(),
        &|world| {
            fs::write(world.path("repo/README.md"), "mine").unwrap();
            world.git("repo", &["add", "README.md"]);
        },
        // A file that git ignores is where a new one would land.
        &|world| {
            let later = world.path("repo/.codex");
            let (_, plan, _) = world.factoryup("repo", &["upgrade", "--dry-run", "--json"]);
            assert!(plan.contains(".codex/config.toml"), "{plan}");
            fs::create_dir_all(&later).unwrap();
            fs::write(later.join("config.toml"), "mine").unwrap();
            fs::create_dir_all(world.path("repo/.git/info")).unwrap();
            fs::write(world.path("repo/.git/info/exclude"), ".codex/\n").unwrap();
        },
    ];
    for (index, spoil) in spoil.into_iter().enumerate() {
        let world = other_agent();
        spoil(&world);
        let before = files(&world.path("repo"));
        let (code, _, err) = world.factoryup("repo", &UPGRADE);
        assert!(code == 64 && err.contains("uncommitted"), "{index}: {err}");
        assert!(files(&world.path("repo")) == before, "{index}");
    }
}

/// What stands where a file or its folder would come, and is nothing that git knows, is found before the first write.
#[test]
fn what_is_in_the_way_is_found_before_anything_is_written() {
    if !need("git") {
        return;
    }
    let world = other_agent();
    let (way, last) = (world.path("repo/.codex"), world.path("repo/.codex/config.toml"));
    let refused = |wanted: &str| {
        let before = files(&world.path("repo"));
        let (code, _, err) = world.factoryup("repo", &UPGRADE);
        assert!(code == 64 && err.contains(wanted) && err.contains("move it away"), "{code} {err}");
        assert!(files(&world.path("repo")) == before && !world.path("repo/.git/factoryup-upgrade").exists());
    };
    fs::write(&way, "mine").unwrap();
    refused("its directory cannot be created because of the file .codex");
    fs::remove_file(&way).unwrap();
    fs::create_dir_all(last.join("deep")).unwrap();
    refused("in its place is a directory that contains .codex/config.toml/deep");
    fs::write(last.join("deep/mine"), "mine").unwrap();
    refused("in its place is a directory that contains .codex/config.toml/deep/mine");
    // A folder that nothing is in is nothing.
    fs::remove_dir_all(last.join("deep")).unwrap();
    let (code, _, err) = world.factoryup("repo", &UPGRADE);
    assert!(code == 0 && last.is_file(), "{err}");
}

/// Kill -9 at each write and rename: before the journal is there everything is as it was, from then on the next start ends it.
#[test]
fn killed_at_any_step_it_is_the_old_state_or_becomes_the_new_one() {
    if !need("git") {
        return;
    }
    let mut world = situation();
    let old = files(&world.path("repo"));
    world.factoryup("repo", &UPGRADE);
    let new = files(&world.path("repo"));
    let differ = old.iter().filter(|(path, bytes)| new.get(*path) != Some(bytes)).count();
    assert!(differ > 2 && old != new);
    let numbered = |name: &'static str| (0..).map(move |index| format!("{name}-{index}"));
    let fixed = ["aside", "draft", "journal", "written", "ended"].map(str::to_owned);
    let series: [Box<dyn Iterator<Item = String>>; 4] = [
        Box::new(fixed.into_iter()),
        Box::new(numbered("aside")),
        Box::new(numbered("draft")),
        Box::new(numbered("step")),
    ];
    let mut kills = 0;
    for steps in series {
        let mut missed = 0;
        for step in steps {
            world.git("repo", &["reset", "-q", "--hard"]);
            world.git("repo", &["clean", "-qfd"]);
            fs::write(world.path("repo/factory.toml"), &old["factory.toml"]).unwrap();
            assert!(files(&world.path("repo")) == old, "the situation cannot be had again");
            world.env("FACTORYUP_KILL_AT", &step);
            let (code, _, _) = world.factoryup("repo", &UPGRADE);
            world.env("FACTORYUP_KILL_AT", "");
            if code != -1 {
                // A file that goes has no draft, so that some numbers are not met.
                missed += 1;
                if missed > 8 {
                    break;
                }
                continue;
            }
            (kills, missed) = (kills + 1, 0);
            let decided = world.path("repo/.git/factoryup-upgrade/journal.json").exists();
            let mut cut = files(&world.path("repo"));
            cut.retain(|path, _| !path.contains(".factoryup-step-"));
            if decided {
                let known = |path: &String| cut.get(path) == old.get(path) || cut.get(path) == new.get(path);
                assert!(old.keys().chain(new.keys()).chain(cut.keys()).all(known), "{step}");
            } else {
                assert!(cut == old || cut == new, "{step}");
            }
            let (code, _, err) = world.factoryup("repo", &UPGRADE);
            assert_eq!(code, 0, "{step}: {err}");
            assert!(files(&world.path("repo")) == new, "{step}");
            assert!(!world.path("repo/.git/factoryup-upgrade").exists(), "{step}");
        }
    }
    assert!(kills > 3 * differ, "{kills} kills for {differ} files");
}

/// Who has changed a file since the cut is told the one command that helps, and it does.
#[test]
fn a_file_that_was_changed_after_a_cut_is_not_written_over() {
    if !need("git") {
        return;
    }
    // What is done with the change, as git commands, and the remedy.
    let cases: [(&str, &[&str], &str); 5] = [
        ("README.md", &[], "git restore README.md"),
        ("README.md", &["add"], "git restore --staged --worktree README.md"),
        ("README.md", &["add", "commit -qm since"], "cp "),
        ("CLAUDE.md", &["add", "commit -qm since"], "rm CLAUDE.md"),
        (NEW, &[], "rm .codex/config.toml"),
    ];
    for (path, then, remedy) in cases {
        let mut world = other_agent();
        world.env("FACTORYUP_KILL_AT", "journal");
        assert_eq!(world.factoryup("repo", &UPGRADE).0, -1);
        world.env("FACTORYUP_KILL_AT", "");
        fs::create_dir_all(world.path("repo").join(path).parent().unwrap()).unwrap();
        fs::write(world.path("repo").join(path), "mine").unwrap();
        for command in then {
            let words: Vec<&str> = command.split(' ').chain(["--", path]).collect();
            world.git("repo", &words);
        }
        let before = files(&world.path("repo"));
        let (code, _, err) = world.factoryup("repo", &UPGRADE);
        let said = err.contains(path)
            && err.contains("after the interrupted run started")
            && err.contains("or abandon that run and keep the files as they are: rm -r");
        assert!(code == 64 && said, "{path}: {err}");
        assert!(files(&world.path("repo")) == before, "{path}");
        let told =
            err.split("elsewhere, run `").nth(1).and_then(|rest| rest.split("`, then run the command again").next());
        let told = told.unwrap_or_else(|| panic!("{err}"));
        assert!(told == remedy || remedy.ends_with(' ') && told.starts_with(remedy), "{told} for {remedy}");
        assert_eq!(told.matches("git restore").count() + told.matches("rm ").count() + told.matches("cp ").count(), 1);
        let status = Command::new("sh").args(["-c", told]).current_dir(world.path("repo")).status().unwrap();
        assert!(status.success(), "{told}");
        let (code, _, err) = world.factoryup("repo", &UPGRADE);
        let journal = world.path("repo/.git/factoryup-upgrade");
        assert!(!journal.exists() && !err.contains("after the interrupted run started"), "{told}: {code} {err}");
        let there = files(&world.path("repo"));
        assert!(there.get(path).is_none_or(|bytes| bytes != b"mine"), "{told}");
        assert_eq!((there.contains_key("CLAUDE.md"), there.contains_key(NEW)), (false, true), "{told}");
    }
}

/// A pristine text that was removed and not committed is no loss that the upgrade's commit should make last.
#[test]
fn a_pristine_text_that_is_not_there_is_not_overlooked() {
    if !need("git") {
        return;
    }
    let world = situation();
    // One that is needed before and after: that of a file in which nothing differs.
    let there = files(&world.path("repo"));
    let pristine = |path: &String| path.starts_with(".factory/base/") && there[path] == there[UNTOUCHED];
    let path = there.keys().find(|path| pristine(path)).unwrap();
    fs::remove_file(world.path("repo").join(path)).unwrap();
    let before = files(&world.path("repo"));
    let (code, _, err) = world.factoryup("repo", &UPGRADE);
    assert!(code == 64 && err.contains(path), "{code} {err}");
    assert_eq!(files(&world.path("repo")), before);
}
