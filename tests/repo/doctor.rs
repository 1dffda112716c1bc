//! `factoryup doctor`: a sound control repo passes, and each thing that can be wrong with one is named.

use std::fs;

use crate::support::need;
use crate::world::World;

/// What doctor must name, and what harms the repo so.
type Harm<'a> = (&'a str, &'a dyn Fn(&World));

/// What doctor says of a repo after `harm` was done to it and committed.
fn said(harm: impl Fn(&World)) -> (i32, String) {
    let world = World::new();
    world.apply("repo");
    harm(&world);
    world.git("repo", &["add", "-A"]);
    world.git("repo", &["commit", "-q", "--allow-empty", "-m", "harm"]);
    let (code, out, err) = world.factoryup("repo", &["doctor", "repo"]);
    (code, out + &err)
}

fn change(world: &World, path: &str, from: &str, to: &str) {
    let path = world.path("repo").join(path);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_sound_repo_passes_with_edits_and_new_answers() {
    if !need("git") {
        return;
    }
    assert_eq!(said(|_| ()).0, 0);
    let (code, out) = said(|world| {
        change(world, "docs/glossary.md", "# Glossary", "# Words");
        change(world, "factory.toml", "roadrunners", "coyotes");
        fs::remove_file(world.path("repo/docs/evidence.md")).unwrap();
    });
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("FAILS") && !out.contains("not checked"), "{out}");
}

#[test]
fn each_harm_is_named() {
    if !need("git") {
        return;
    }
    let managed = "templates/check/template.yml";
    let harms: [Harm<'_>; 6] = [
        ("- docs/glossary.md", &|w| {
            change(w, "docs/glossary.md", "# Glossary", "<<<<<<< mine\n=======\n>>>>>>> theirs");
        }),
        (managed, &|w| change(w, managed, "\n", "\n# mine\n")),
        ("the base version of", &|w| {
            let base = w.path("repo/.factory/base");
            fs::remove_file(fs::read_dir(base).unwrap().next().unwrap().unwrap().path()).unwrap();
        }),
        ("belongs to no file", &|w| fs::write(w.path("repo/.factory/base").join("0".repeat(64)), "x").unwrap()),
        ("answers.lock does not match", &|w| change(w, ".factory/answers.lock", "roadrunners", "coyotes")),
        ("- docs/glossary.md", &|w| {
            let text = fs::read_to_string(w.path("repo/.factory/manifest.toml")).unwrap();
            let record = text.split("[[file]]").find(|part| part.contains("\"docs/glossary.md\"")).unwrap();
            let digest = record.lines().find_map(|line| line.strip_prefix("base = ")).unwrap().trim_matches('"');
            let text = text.replace(digest, &"0".repeat(64));
            fs::write(w.path("repo/.factory/manifest.toml"), text).unwrap();
        }),
    ];
    for (wanted, harm) in harms {
        let (code, out) = said(harm);
        assert!(code == 2 && out.contains("FAILS") && out.contains(wanted), "{wanted}: {code}\n{out}");
    }
    let (code, out) = said(|world| change(world, ".factory/manifest.toml", "schema = 1", "schema = 2"));
    assert!(code == 65 && out.contains("written by a newer factoryup"), "{out}");
}

/// A commit can hold any name, and a terminal obeys some.
#[test]
fn a_name_in_the_commit_acts_on_no_terminal() {
    if !need("git") {
        return;
    }
    let (code, out) = said(|w| {
        let folder = w.path("repo/.factory/conflicts");
        fs::create_dir(&folder).unwrap();
        let name = "\u{1b}]0;PWNED\u{7}\u{1b}[31mx\nok    no unresolved conflicts";
        fs::write(folder.join(name), "<<<<<<< mine\n=======\n>>>>>>> theirs\n").unwrap();
    });
    assert!(code == 2 && out.contains("PWNED"), "{out}");
    assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
    assert_eq!(out.lines().filter(|line| line.starts_with("ok    no unresolved conflicts")).count(), 1, "{out}");
}

#[test]
fn what_terraform_leaves_open_is_said() {
    if !need("git") {
        return;
    }
    for (engine, says) in [("terraform", true), ("opentofu", false)] {
        let world = World::new();
        world.answer("[host]", &format!("[infra]\nengine = \"{engine}\"\n\n[host]"));
        world.apply("repo");
        for arguments in [["doctor", "repo"], ["plan", "repo"]] {
            let (code, out, err) = world.factoryup("repo", &arguments);
            let said = out + &err;
            assert!(
                code == 0 && said.contains("GitLab stores it as plain text") == says,
                "{engine} {arguments:?}: {code}\n{said}"
            );
        }
    }
}
