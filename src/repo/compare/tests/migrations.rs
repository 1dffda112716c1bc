//! Migrations of files, run before the comparison.

use super::*;
use crate::migrations::{self, Migration};
use crate::repo::error::{RepoError, RepoResult};
use crate::repo::migrate;
use crate::repo::observe::observe_for;

/// A list with these changes, each of the version 2.0.0, named by its place.
fn list(changes: &[&str]) -> Vec<Migration> {
    let entry = |(index, change): (usize, &&str)| {
        format!("[[migration]]\nid = \"m{index}\"\nversion = \"2.0.0\"\nabout = \"why\"\nchange = {{ {change} }}\n")
    };
    migrations::parse(&changes.iter().enumerate().map(entry).collect::<String>()).unwrap()
}

impl Repo {
    /// As `follow`, with the migrations of a list before it.
    fn migrate(&self, list: &[Migration], desired: &Desired) -> RepoResult<Comparison> {
        let Observed::Control(mut repo) = observe_for(list, &self.at(), desired)? else { panic!("no control repo") };
        let ran = migrate::run(list, &mut repo)?;
        let mut comparison = compare(desired, &repo);
        ran.add_to(&mut comparison, desired, &repo).unwrap();
        if !comparison.is_empty() {
            let name = branch::name(desired, &repo, &comparison);
            branch::commit(desired, &repo, &comparison, &name)?;
            self.git(&["merge", "-q", "--ff-only", &name]);
            self.git(&["fsck", "--strict"]);
        }
        Ok(comparison)
    }
}

fn recorded(comparison: &Comparison) -> Vec<(&str, &str)> {
    comparison.manifest.migrations.iter().map(|m| (m.id.as_str(), m.version.as_str())).collect()
}

#[test]
fn a_file_whose_id_changed_is_still_the_same_file() {
    let repo = Repo::of(&desired("1.0.0", &[("old", "a.md", "merge", "1\n2\n3\n4")]));
    repo.edit(&[("a.md", Some("1\n2\n3\n4\nmine\n"))]);
    let two = desired("2.0.0", &[("new", "b.md", "merge", "one\n2\n3\n4")]);
    let list = list(&["rename-file = { from = \"old\", to = \"new\" }"]);
    let comparison = repo.migrate(&list, &two).unwrap();
    assert_eq!(said(&comparison), [("b.md", "merged".into())]);
    assert_eq!((repo.read("b.md"), repo.has("a.md")), ("one\n2\n3\n4\nmine\n".into(), false));
    assert_eq!(recorded(&comparison), [("m0", "2.0.0")]);
    // It ran once: it neither runs again nor is recorded again.
    let again = repo.migrate(&list, &two).unwrap();
    assert!(again.is_empty() && again.report.migrations.is_empty());
    assert_eq!(recorded(&again), [("m0", "2.0.0")]);
}

/// Without the migration the edit would stay at the old place and the new file would come fresh.
#[test]
fn ids_of_environments_follow() {
    let row = |id, text| [(id, "infra/ENVIRONMENT", "merge each = \"environments\"", text)];
    let repo = Repo::of(&desired("1.0.0", &row("env", "1\n2")));
    let two = desired("2.0.0", &row("environment", "1\ntwo"));
    repo.edit(&[("infra/staging", Some("mine\n1\n2\n"))]);
    repo.migrate(&list(&["rename-file = { from = \"env\", to = \"environment\" }"]), &two).unwrap();
    assert_eq!(
        (repo.read("infra/staging"), repo.read("infra/production")),
        ("mine\n1\ntwo\n".into(), "1\ntwo\n".into())
    );
}

#[test]
fn a_folder_moves_with_all_that_the_user_put_there() {
    let one = [("a", "old/a.md", "merge", "1\n2\n3"), ("b", "old/b.md", "merge", "b"), ("c", "old/c.md", "merge", "c")];
    let two = [("a", "new/a.md", "merge", "1\n2\nthree"), ("b", "new/b.md", "merge", "b")];
    let repo = Repo::of(&desired("1.0.0", &one));
    repo.edit(&[("old/a.md", Some("mine\n1\n2\n3\n")), ("old/deep/own.md", Some("own\n")), ("older", Some("x\n"))]);
    fs::write(repo.dir().join("old/untracked"), "untracked").unwrap();
    let list =
        list(&["move-path = { from = \"old\", to = \"between\" }", "move-path = { from = \"between\", to = \"new\" }"]);
    let comparison = repo.migrate(&list, &desired("2.0.0", &two)).unwrap();
    assert_eq!(
        edited(&comparison),
        [
            ("new/a.md", true),
            ("new/b.md", true),
            ("new/deep/own.md", true),
            ("old/a.md", false),
            ("old/b.md", false),
            ("old/c.md", false),
            ("old/deep/own.md", false),
        ]
    );
    assert_eq!((repo.read("new/a.md"), repo.read("new/deep/own.md")), ("mine\n1\n2\nthree\n".into(), "own\n".into()));
    // What git does not know stays where it is, and so does what only has a similar name.
    assert_eq!((repo.read("old/untracked"), repo.read("older")), ("untracked".into(), "x\n".into()));
    assert!(!repo.has("new/c.md") && !repo.has("between") && !repo.has("old/a.md"));
    assert!(said(&comparison).contains(&("new/deep/own.md", "moved".into())));
    assert_eq!(recorded(&comparison), [("m0", "2.0.0"), ("m1", "2.0.0")]);
    assert!(repo.migrate(&list, &desired("2.0.0", &two)).unwrap().is_empty());
}

#[test]
fn a_file_that_is_in_no_manifest_goes_only_as_it_is_known() {
    let rows = [("a", "a", "merge", "1")];
    for (text, stays) in [("made by a script\n", false), ("made by a script\nmine\n", true)] {
        let repo = Repo::of(&desired("1.0.0", &rows));
        repo.edit(&[("cache", Some(text))]);
        let change = format!("remove-path = {{ path = \"cache\", sha256 = [\"{}\"] }}", sha256(b"made by a script\n"));
        let comparison = repo.migrate(&list(&[&change]), &desired("2.0.0", &rows)).unwrap();
        assert_eq!(repo.has("cache"), stays);
        assert_eq!(recorded(&comparison).len(), 1);
    }
}

#[test]
fn one_that_cannot_be_done_stops_everything() {
    let one = desired("1.0.0", &[("a", "a", "merge", "1"), ("b", "b", "merge", "1")]);
    let two = desired("2.0.0", &[("a", "a", "merge", "2"), ("b", "b", "merge", "1")]);
    let digest = "0".repeat(64);
    let remove = format!("remove-path = {{ path = \"b\", sha256 = [\"{digest}\"] }}");
    for (change, why) in [
        ("rename-file = { from = \"a\", to = \"b\" }", "a file with the id `b` already exists"),
        ("move-path = { from = \"own\", to = \"B\" }", "own should move to B, which collides with an existing path"),
        (
            "move-path = { from = \"own\", to = \"b/own\" }",
            "own should move to b/own, which collides with an existing path",
        ),
        (&remove, "b is a file of the templates"),
    ] {
        let repo = Repo::of(&one);
        repo.edit(&[("own", Some("mine\n"))]);
        let before = repo.git(&["rev-parse", "HEAD"]);
        let error = repo.migrate(&list(&[change]), &two).unwrap_err();
        assert!(error.to_string().contains(&format!("cannot run the migration `m0`: {why}")), "{error}");
        assert_eq!(crate::Error::from(error).kind().exit_code(), 65);
        assert_eq!(repo.git(&["for-each-ref", "--format=%(objectname)"]), before);
    }
}

#[test]
fn one_that_nobody_knows_was_run_by_a_newer_version() {
    let one = desired("1.0.0", &[("a", "a", "merge", "1")]);
    let repo = Repo::of(&one);
    let text = repo.read(".factory/manifest.toml") + "\n[[migration]]\nid = \"of-tomorrow\"\nversion = \"1.0.0\"\n";
    repo.edit(&[(".factory/manifest.toml", Some(&text))]);
    let error = observe(&repo.at(), &one).unwrap_err();
    assert!(matches!(error, RepoError::Newer { .. }) && error.to_string().contains("`of-tomorrow`"), "{error}");
}

/// Every path of the list in this binary is one that the templates may have, and none is ahead of them.
#[test]
fn the_list_fits_the_templates() {
    use crate::migrations::{Change, numbers};
    use crate::templating::path::problem;
    let pack = Pack::embedded().unwrap();
    let list = migrations::all().unwrap();
    for migration in list {
        assert!(numbers(&migration.version) <= numbers(&pack.version), "{} is ahead of the templates", migration.id);
        let paths: Vec<&String> = match &migration.change {
            Change::RenameFile { from, to } => {
                let later = |id: &String| {
                    list.iter().any(|m| matches!(&m.change, Change::RenameFile { from, .. } if from == id))
                };
                assert!(pack.entries.iter().all(|entry| entry.id != *from), "{from} is still there");
                assert!(later(to) || pack.entries.iter().any(|entry| entry.id == *to), "{to} is not there");
                vec![]
            }
            Change::MovePath { from, to } => vec![from, to],
            Change::RemovePath { path, .. } => vec![path],
            _ => vec![],
        };
        for path in paths {
            assert_eq!(problem(path), None, "{path}");
        }
    }
}
