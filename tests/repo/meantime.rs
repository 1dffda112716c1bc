//! What somebody commits, edits or settles while a prompt, an editor or a merge tool waits is not taken back.

use std::fs;

use crate::pty::Pty;
use crate::support::need;
use crate::world::{World, files};
use crate::{in_place, resolving};

const ONE: &str = "docs/glossary.md";
const TWO: &str = "docs/evidence.md";
/// A file that `upgrade --in-place` merges here.
const MERGED: &str = "README.md";

fn append(world: &World, file: &str) -> String {
    let path = world.path("repo").join(file);
    let text = fs::read_to_string(&path).unwrap() + "\nMine since.\n";
    fs::write(&path, &text).unwrap();
    text
}

#[test]
fn an_upgrade_in_place_takes_back_nothing_that_came_while_it_asked() {
    if !need("git") {
        return;
    }
    // The file, whether it is committed, and the exit code.
    let cases = [(MERGED, true, 75), ("docs/evidence.md", true, 75), ("factory.toml", false, 75), (MERGED, false, 64)];
    for (file, commit, wanted) in cases {
        let world = in_place::situation();
        let mut pty = Pty::start(world.terminal("repo", &["upgrade", "--in-place"]), 250);
        pty.expect("Apply these");
        if file == "factory.toml" {
            let path = world.path("repo/factory.toml");
            fs::write(&path, fs::read_to_string(&path).unwrap() + "# Mine since.\n").unwrap();
        } else {
            append(&world, file);
        }
        if commit {
            world.git("repo", &["commit", "-qm", "since", "--", file]);
        }
        let before = (files(&world.path("repo")), world.git("repo", &["ls-files", "--stage"]));
        pty.send("y");
        let (code, said) = pty.end();
        let told = if wanted == 75 { "while factoryup was running" } else { "uncommitted changes: README.md" };
        assert!(
            code == wanted && said.contains(told) && said.contains("run the command again"),
            "{file}: {code} {said}"
        );
        assert!(before == (files(&world.path("repo")), world.git("repo", &["ls-files", "--stage"])), "{file}: {said}");
        assert!(!world.path("repo/.git/factoryup-upgrade").exists(), "{file}");

        // And again it starts from what is there now.
        if !commit && file == MERGED {
            world.git("repo", &["commit", "-qm", "since", "--", file]);
        }
        let (code, _, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
        let now = fs::read_to_string(world.path("repo").join(file)).unwrap();
        assert!(code == 0 && now.contains("Mine since."), "{file}: {code} {err}\n{now}");
        assert!(fs::read_to_string(world.path("repo").join(MERGED)).unwrap().contains("coyotes"));
    }
}

#[test]
fn an_upgrade_on_a_branch_holds_no_other_answers_than_it_says() {
    if !need("git") {
        return;
    }
    let world = in_place::situation();
    let mut pty = Pty::start(world.terminal("repo", &["upgrade", "--no-push"]), 250);
    pty.expect("Apply these");
    let path = world.path("repo/factory.toml");
    let mine = fs::read_to_string(&path).unwrap() + "# Mine since.\n";
    fs::write(&path, &mine).unwrap();
    pty.send("y");
    let (code, said) = pty.end();
    assert!(
        code == 75 && said.contains("was changed while factoryup was running; nothing was written"),
        "{code} {said}"
    );
    assert_eq!(world.git("repo", &["for-each-ref", "refs/heads/factory"]), "");
    assert_eq!(fs::read_to_string(&path).unwrap(), mine);
    // The same command again takes them.
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--no-push", "--yes"]);
    assert_eq!(code, 0, "{err}");
    let branch = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"]);
    assert!(world.git("repo", &["show", &format!("{}:factory.toml", branch.trim())]).contains("# Mine since."));
}

/// A script that does `deed` in the repo, then takes the lines that conflict out of `$1` and adds one.
fn editor(world: &World, deed: &str) -> String {
    let path = world.path("editor");
    let text = format!(
        "unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE\n\
         git() {{ command git -c user.name=U -c user.email=u@x \"$@\"; }}\n\
         (cd '{}'\n{deed}) || exit\n\
         sed -i -e '/^<<<<<<</,/^>>>>>>>/d' -e '$a # Seen' \"$1\"\n",
        world.path("repo").display()
    );
    fs::write(&path, text).unwrap();
    format!("sh {}", path.display())
}

/// The text that a refusal says it has kept.
fn kept(err: &str) -> String {
    let path = err.split("is saved in ").nth(1).and_then(|rest| rest.lines().next());
    fs::read_to_string(path.unwrap_or_else(|| panic!("{err}")).trim()).unwrap()
}

#[test]
fn what_came_while_the_editor_was_open_stays_and_so_does_its_text() {
    if !need("git") {
        return;
    }
    let commit = |file: &str| format!("echo 'Mine since.' >> {file} && git commit -qm since -- {file}");
    // Of another user, say, whose records do not keep the two apart.
    let elsewhere =
        format!("XDG_STATE_HOME=$HOME/other '{}' resolve {TWO} --mine; test $? = 2", env!("CARGO_BIN_EXE_factoryup"));
    let cases = [
        (commit(ONE), 75, "HEAD"),
        (commit(MERGED), 75, "HEAD"),
        (format!("echo 'Mine since.' >> {ONE}"), 64, "uncommitted changes: docs/glossary.md"),
        (elsewhere.clone(), 75, ".factory/manifest.toml"),
    ];
    for (deed, wanted, told) in cases {
        let mut world = resolving::situation();
        world.env("EDITOR", &editor(&world, &deed));
        let mut expected = files(&world.path("repo"));
        let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--edit"]);
        assert!(code == wanted && err.contains(told) && err.contains("run the command again"), "{deed}: {code} {err}");
        assert!(wanted == 64 || err.contains("while factoryup was running"), "{err}");
        assert!(kept(&err).ends_with("\n# Seen\n"), "{err}");
        let now = files(&world.path("repo"));
        if deed == elsewhere {
            // The other one stays settled.
            assert_eq!(world.factoryup("repo", &["resolve"]).1.trim(), ONE);
            assert_eq!(now[ONE], expected[ONE]);
        } else {
            let file = if deed == commit(MERGED) { MERGED } else { ONE };
            expected.get_mut(file).unwrap().extend(b"Mine since.\n");
            assert!(now == expected, "{deed}");
            assert_eq!(world.git("repo", &["diff", "--cached", "--name-only"]), "");
        }
        if wanted == 64 {
            world.git("repo", &["commit", "-qam", "since"]);
        }
        world.env("EDITOR", &editor(&world, "true"));
        let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--edit"]);
        assert_eq!(code, if deed == elsewhere { 0 } else { 2 }, "{deed}: {err}");
        let text = String::from_utf8(files(&world.path("repo"))[ONE].clone()).unwrap();
        assert!(
            text.ends_with("# Seen\n") && text.contains("Mine since.") == deed.contains(&format!(">> {ONE}")),
            "{text}"
        );
        world.git("repo", &["commit", "-qm", "settled"]);
        let (_, out, _) = world.factoryup("repo", &["resolve"]);
        assert_eq!(out.trim(), if deed == elsewhere { "" } else { TWO });
    }
}

#[test]
fn what_came_while_the_merge_tool_or_a_question_waited_stays() {
    if !need("git") {
        return;
    }
    let world = resolving::situation();
    let run = editor(&world, &format!("echo 'Mine since.' >> {ONE} && git commit -qm since -- {ONE}"));
    world.configure(&format!("[mergetool \"mine\"]\n\ttrustExitCode = true\n\tcmd = {run} $MERGED\n"));
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--tool=mine"]);
    assert!(
        code == 75 && err.contains("while factoryup was running") && kept(&err).ends_with("\n# Seen\n"),
        "{code} {err}"
    );
    let text = fs::read_to_string(world.path("repo").join(ONE)).unwrap();
    assert!(text.starts_with("# My ") && text.ends_with("Mine since.\n"), "{text}");

    for proposal in [false, true] {
        let mut pty = Pty::start(world.terminal("repo", &["resolve", TWO]), 250);
        pty.expect("Keep your version of");
        let text = append(&world, TWO);
        world.git("repo", &["commit", "-qm", "since", "--", TWO]);
        if proposal {
            pty.send("n").expect("Take the template version instead");
        }
        pty.send("y");
        let (code, said) = pty.end();
        assert!(
            code == 75 && said.contains("while factoryup was running") && said.contains("run the command again"),
            "{code} {said}"
        );
        assert_eq!(fs::read_to_string(world.path("repo").join(TWO)).unwrap(), text);
        assert_eq!(world.git("repo", &["status", "--porcelain"]), "");
    }
}

/// An editor that was left too early: the markers are refused, and what was made so far is there.
#[test]
fn a_text_in_which_markers_were_left_is_kept() {
    if !need("git") {
        return;
    }
    let mut world = resolving::situation();
    world.env("EDITOR", "sed -i '$a # Seen'");
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--edit"]);
    assert!(
        code == 64 && err.contains("still has conflict markers") && kept(&err).ends_with("\n# Seen\n"),
        "{code} {err}"
    );
    // Of one that was only looked at there is nothing to keep.
    world.env("EDITOR", "true");
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--edit"]);
    assert!(code == 64 && err.contains("still has conflict markers") && !err.contains("is saved"), "{code} {err}");
}

/// What another has pushed to the branch may be the text of a conflict: resolved without it, it would be lost or in the way.
#[test]
fn a_branch_that_is_behind_origins_is_not_resolved() {
    if !need("git") {
        return;
    }
    let world = resolving::situation();
    let branch = world.git("repo", &["branch", "--show-current"]);
    let more = world.git("repo", &["commit-tree", "-p", "HEAD", "-m", "text", "HEAD^{tree}"]);
    let there = format!("refs/remotes/origin/{branch}");
    world.git("repo", &["update-ref", &there, &more]);
    let before = files(&world.path("repo"));
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--mine"]);
    assert!(code == 64 && err.contains(&format!("git merge --ff-only origin/{branch}")), "{err}");
    assert!(files(&world.path("repo")) == before);
    world.git("repo", &["merge", "-q", "--ff-only", &more]);
    let (code, _, err) = world.factoryup("repo", &["resolve", ONE, "--mine"]);
    assert_eq!(code, 2, "{err}");
}
