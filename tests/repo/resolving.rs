//! `factoryup resolve` on a terminal, with three versions to look at, and with the merge tool of git's configuration.

use std::fs;

use serde_json::{Value, json};

use crate::pty::Pty;
use crate::support::need;
use crate::world::{World, files};

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
    pty.expect("Keep your version of docs/evidence.md?").send("y");
    pty.expect("Keep your version of docs/glossary.md?").send("n");
    pty.expect("Take the template version instead").send("y");
    pty.expect("All conflicts are resolved and staged");
    let (code, transcript) = pty.end();
    // Without a merge tool in git's configuration none is offered.
    assert!(code == 0 && !transcript.contains("Merge both"), "{transcript}");
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
    pty.expect("Keep your version of docs/evidence.md?").send("y");
    pty.expect("Keep your version of docs/glossary.md?").send("\u{3}");
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
    pty.expect("Keep your version of docs/glossary.md?").send("n");
    pty.expect("Take the template version instead").send("n");
    pty.expect("Merge both versions in mine?").send("y");
    pty.expect("1 conflict is left");
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
    let (code, out, err) = world.factoryup("repo", &["doctor", "repo"]);
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
    refused(&["--tool=nonexistent"], "` failed");
    world.configure(&tool(&world, "exit 1"));
    refused(&["--tool"], "` failed");
    world.configure(&tool(&world, "exit 0"));
    refused(&["--tool"], "still has conflict markers");
    // Work that is not committed is not written over, and the tool is not even started.
    fs::remove_file(world.path("seen")).unwrap();
    fs::write(world.path("repo").join(ONE), "dirty").unwrap();
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--tool"]);
    assert!(code == 64 && err.contains("uncommitted") && !world.path("seen").exists(), "{err}");
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

/// Kill -9 at each write and rename: the conflict waits as before, or the next start ends what was begun, staged as ever.
#[test]
fn killed_at_any_step_a_conflict_waits_or_is_settled() {
    if !need("git") {
        return;
    }
    let mut world = situation();
    let look = |world: &World| (files(&world.path("repo")), world.git("repo", &["ls-files", "--stage"]));
    let settle = ["resolve", ONE, "--proposal"];
    let old = look(&world);
    assert_eq!(world.factoryup("repo", &settle).0, 2, "the other one waits");
    let new = look(&world);
    let touched = old.0.keys().chain(new.0.keys()).filter(|path| old.0.get(*path) != new.0.get(*path));
    // The file, the manifest and the former text are written, the proposal goes, with a former text.
    assert!(touched.collect::<std::collections::BTreeSet<_>>().len() >= 4 && old.1 != new.1);
    let mut kills = [0, 0, 0];
    let numbered = ["aside", "draft", "step"].into_iter().flat_map(|name| (0..8).map(move |at| format!("{name}-{at}")));
    let fixed = ["aside", "draft", "journal", "written", "in-index", "ended"].map(str::to_owned);
    for step in fixed.into_iter().chain(numbered) {
        world.git("repo", &["reset", "-q", "--hard"]);
        world.git("repo", &["clean", "-qfd"]);
        assert!(look(&world) == old, "the situation cannot be had again");
        world.env("FACTORYUP_KILL_AT", &step);
        let (code, _, _) = world.factoryup("repo", &settle);
        world.env("FACTORYUP_KILL_AT", "");
        if code != -1 {
            assert!(step.contains('-') && step != "in-index", "{step} is not reached");
            continue;
        }
        let decided = world.path("repo/.git/factoryup-upgrade/journal.json").exists();
        let (mut cut, index) = look(&world);
        cut.retain(|path, _| !path.contains(".factoryup-step-"));
        let known = |path: &String| cut.get(path) == old.0.get(path) || cut.get(path) == new.0.get(path);
        assert!(old.0.keys().chain(new.0.keys()).chain(cut.keys()).all(known), "{step}");
        assert!(index == old.1 || index == new.1, "{step}");
        let state = if cut == old.0 {
            0
        } else if cut == new.0 {
            2
        } else {
            1
        };
        assert!(decided || cut == old.0 && index == old.1 || cut == new.0 && index == new.1, "{step}: half of it");
        kills[state] += 1;
        // A listing writes nothing, and says that something is left to do.
        let (_, _, err) = world.factoryup("repo", &["resolve"]);
        assert_eq!(err.contains("was interrupted"), decided, "{step}: {err}");
        let again = if decided { &["resolve", ONE, "--mine"] } else { &settle };
        let (code, _, err) = world.factoryup("repo", again);
        // The last kill of all leaves nothing to do, and then there is no such conflict.
        let done = step == "ended";
        assert_eq!(code, if done { 64 } else { 2 }, "{step}: {err}");
        assert!(look(&world) == new, "{step}");
        assert!(!world.path("repo/.git/factoryup-upgrade").exists(), "{step}");
    }
    let [before, between, after] = kills;
    assert!(before > 6 && between > 6 && after > 2, "{before} before, {between} in between, {after} after");
}

#[test]
fn an_edit_after_a_cut_is_not_written_over() {
    if !need("git") {
        return;
    }
    let mut world = situation();
    world.env("FACTORYUP_KILL_AT", "journal");
    assert_eq!(world.factoryup("repo", &["resolve", ONE, "--proposal"]).0, -1);
    world.env("FACTORYUP_KILL_AT", "");
    fs::write(world.path("repo").join(ONE), "mine since\n").unwrap();
    let before = files(&world.path("repo"));
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--mine"]);
    assert!(code == 64 && err.contains("was changed after") && err.contains("rm -r "), "{err}");
    assert!(files(&world.path("repo")) == before);
    // Given up as it is told, the edit is there and the conflict waits.
    let told = err.split("rm -r ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_else(|| panic!("{err}"));
    fs::remove_dir_all(told.trim()).unwrap();
    let (code, out, err) = world.factoryup("repo", &["resolve"]);
    assert!(code == 2 && out.contains(ONE), "{out}{err}");
    assert!(files(&world.path("repo")) == before);
}

/// Where git would merge what could belong in more than one place, its guess is not what an editor that is left offers.
#[test]
fn a_guess_of_gits_is_shown_as_a_conflict() {
    if !need("git") {
        return;
    }
    let world = situation();
    let (dir, text) = (world.path("repo"), world.text("factory.toml"));
    let factory = factoryup::factory::parse(&text, "factory.toml").unwrap();
    let resolver = factoryup::repo::resolve::Resolver::open(&dir, &factory, &text).unwrap();
    let mut pending = resolver.pending().remove(0);
    pending.base = Some(b"a\nb\nc\nd\ne\n".to_vec());
    pending.mine = Some(b"mine\nb\nc\nd\ne\n".to_vec());
    pending.proposal = b"a\nb\nc\nd\ntheirs\n".to_vec();
    let shown = resolver.with_markers(&pending).unwrap();
    assert!(factoryup::repo::merge::has_markers(shown.as_bytes()), "{shown}");
    assert!(["mine\n", "a\n", "theirs\n", "e\n"].iter().all(|line| shown.contains(line)), "{shown}");
}

/// For machines: one object a line, and the last says how it ended; nothing else is printed.
#[test]
fn what_it_says_to_machines() {
    if !need("git") {
        return;
    }
    let world = situation();
    let resolve = |wanted: i32, arguments: &[&str]| -> Vec<Value> {
        let (code, out, err) = world.factoryup("repo", &[&["--json", "resolve"], arguments].concat());
        assert_eq!((code, err.as_str()), (wanted, ""), "{arguments:?}: {out}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let conflict = |id: &str, path: &str| json!({ "event": "conflict", "id": id, "path": path });
    let left = |count: usize| json!({ "event": "conflicts", "left": count });
    let both = [conflict("doc-evidence", TWO), conflict("doc-glossary", ONE), left(2)];
    assert_eq!(resolve(2, &[]), both);
    assert_eq!(resolve(2, &[ONE]), [conflict("doc-glossary", ONE), left(2)]);
    let shown = resolve(2, &["--show", ONE]);
    assert_eq!(
        (&shown[0]["event"], &shown[0]["id"], &shown[0]["path"]),
        (&json!("conflict-text"), &both[1]["id"], &json!(ONE))
    );
    let text = shown[0]["text"].as_str().unwrap();
    assert!(text.contains("<<<<<<<") && text.contains("# My Glossary\n") && text.contains("# Glossary\n"), "{text}");
    assert_eq!(shown[1..], [conflict("doc-glossary", ONE), left(2)]);

    // Refused, and nothing is changed.
    let before = files(&world.path("repo"));
    let refused = |arguments: &[&str], message: &str, hint: &str| {
        let said = resolve(64, arguments);
        let [error] = &said[..] else { panic!("{said:?}") };
        let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
        assert!(
            ["event", "kind", "exit_code", "message", "hints"].iter().all(|key| keys.iter().any(|k| k == key)),
            "{error}"
        );
        let is = (error["event"].as_str(), error["kind"].as_str(), error["exit_code"].as_i64());
        assert_eq!(is, (Some("error"), Some("usage"), Some(64)));
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
        assert!(error["hints"].as_array().unwrap().iter().any(|h| h.as_str().unwrap().contains(hint)), "{error}");
    };
    refused(&["README.md", "--mine"], "no conflict in README.md", "factoryup resolve");
    refused(&["--mine", "--proposal"], "cannot be used with", "--help");
    fs::write(world.path("repo").join(ONE), "mine since\n").unwrap();
    refused(&[ONE, "--proposal"], "uncommitted changes: docs/glossary.md", "commit or stash");
    world.git("repo", &["checkout", "-q", ONE]);
    assert!(files(&world.path("repo")) == before);

    // Settled one by one; a proposal that is gone is told as well.
    assert_eq!(resolve(2, &[TWO, "--mine"]), [left(1)]);
    world.git("repo", &["commit", "-qm", "settled"]);
    world.git("repo", &["rm", "-q", ".factory/conflicts/doc-glossary"]);
    world.git("repo", &["commit", "-qm", "tidied"]);
    let said = resolve(2, &[]);
    let note = said[0]["text"].as_str().unwrap();
    assert!(
        said[0]["event"] == "note" && note.contains("the template version of docs/glossary.md is missing"),
        "{said:?}"
    );
    assert_eq!(said[1..], [left(1)]);
    world.git("repo", &["revert", "--no-edit", "HEAD"]);
    assert_eq!(resolve(0, &[ONE, "--proposal"]), [left(0)]);
    assert_eq!(resolve(0, &[]), [left(0)]);
    assert!(world.text(ONE).starts_with("# Glossary") && world.text(TWO).starts_with("# My "));
}

/// A proposal that somebody removed is missed, and put back; what else lies beside the records stays.
#[test]
fn a_proposal_that_is_gone_comes_back_and_notes_beside_it_stay() {
    if !need("git") {
        return;
    }
    let world = situation();
    let proposal = ".factory/conflicts/doc-glossary";
    let notes = [".factory/notes.md", ".factory/base/notes.md", ".factory/conflicts/notes.md"];
    fs::remove_file(world.path("repo").join(proposal)).unwrap();
    for note in notes {
        fs::write(world.path("repo").join(note), "mine\n").unwrap();
    }
    world.git("repo", &["add", "--all", "--force"]);
    world.git("repo", &["commit", "-qm", "tidied"]);
    let (code, _, err) = world.factoryup("repo", &["resolve", TWO, "--mine"]);
    assert!(code == 2 && err.contains(ONE) && err.contains("`factoryup upgrade`"), "{code} {err}");
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--mine"]);
    assert!(
        code == 64 && err.contains("the template version of") && err.contains("`factoryup upgrade`"),
        "{code} {err}"
    );
    world.git("repo", &["commit", "-qm", "settled"]);
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
    assert_eq!(code, 2, "{err}");
    let there = files(&world.path("repo"));
    assert!(there.contains_key(proposal) && notes.iter().all(|note| there.contains_key(*note)), "{:?}", there.keys());
    world.git("repo", &["add", "--all"]);
    world.git("repo", &["commit", "-qm", "again"]);
    assert_eq!(world.factoryup("repo", &["resolve", ONE, "--proposal"]).0, 0);
    world.git("repo", &["commit", "-qm", "settled too"]);
    let (_, out, err) = world.factoryup("repo", &["doctor", "repo"]);
    assert!(!out.contains("belongs to no file") && !err.contains("belongs to no file"), "{out}{err}");
}

/// What an upgrade in place has written waits for a commit before anything can be settled, and says so.
#[test]
fn after_an_upgrade_in_place_the_commit_comes_first() {
    if !need("git") {
        return;
    }
    let world = World::new();
    world.apply("repo");
    world.older("repo", ONE, &world.text(ONE).replacen("# ", "# Older ", 1));
    fs::write(world.path("repo").join(ONE), world.text(ONE).replacen("# Older ", "# My ", 1)).unwrap();
    world.git("repo", &["commit", "-qam", "mine"]);
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
    assert!(
        code == 2 && err.contains("Commit the changes with") && !err.contains("Check out the branch"),
        "{code} {err}"
    );
    for arguments in [&["resolve"][..], &["resolve", ONE, "--mine"]] {
        let (code, _, err) = world.factoryup("repo", arguments);
        let said = err.contains("is not committed yet") && err.contains("git add --all && git commit");
        assert!(code != 0 && said && !err.contains("factoryup upgrade"), "{code} {err}");
    }
    world.git("repo", &["add", "--all"]);
    world.git("repo", &["commit", "-qm", "upgrade"]);
    assert_eq!(world.factoryup("repo", &["resolve", ONE, "--mine"]).0, 0);
    assert!(world.text(ONE).starts_with("# My "));
}
