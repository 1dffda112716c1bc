//! Real repos, made from one pack and compared with another.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::factory::Factory;
use crate::git::Git;
use crate::repo::manifest::State;
use crate::repo::observe::{Observed, observe};
use crate::repo::{ObjectFormat, apply, branch, record};
use crate::templating::catalogue::Pack;
use crate::templating::render::Renderer;

/// A pack: id, path, class, template. The class may be followed by another line of the catalogue, or by `link`.
type Row = (&'static str, &'static str, &'static str, &'static str);

fn desired(version: &str, rows: &[Row]) -> Desired {
    use std::fmt::Write;
    let mut catalogue = format!("version = \"{version}\"\n");
    for (id, path, class, _) in rows {
        let (class, more) = class.split_once(' ').unwrap_or((class, ""));
        write!(catalogue, "[[file]]\nid = \"{id}\"\npath = \"{path}\"\nclass = \"{class}\"\n").unwrap();
        let template = rows.iter().find(|row| row.0 == *id).unwrap().3;
        match more {
            "link" => writeln!(catalogue, "link = \"{template}\"").unwrap(),
            more => write!(catalogue, "template = \"{id}\"\n{more}\n").unwrap(),
        }
    }
    let files = rows
        .iter()
        .filter(|row| !row.2.ends_with(" link"))
        .map(|r| (r.0.to_owned(), Cow::Borrowed(r.3.as_bytes())))
        .collect();
    let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"a@b.c\"\n[gitlab]\ngroup = \"g\"\n";
    let factory: Factory = toml::from_str(text).unwrap();
    let tree = Renderer::new(Pack::new(&catalogue, files).unwrap()).render(&factory).unwrap();
    Desired::of(&factory, text, tree)
}

mod failures;
mod migrations;
mod table;
mod trees;

struct Repo(tempfile::TempDir);

impl Repo {
    fn of(desired: &Desired) -> Self {
        let temp = tempfile::tempdir().unwrap();
        apply::create(&temp.path().join("repo"), desired, ObjectFormat::Sha1).unwrap();
        Self(temp)
    }

    fn dir(&self) -> std::path::PathBuf {
        self.0.path().join("repo")
    }

    fn at(&self) -> Git {
        Git::new(&self.dir()).unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        let identity = ["-c", "user.name=U", "-c", "user.email=u@x", "-c", "commit.gpgsign=false"];
        let output = command.current_dir(self.dir()).args(identity).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The user's own commit.
    fn edit(&self, edits: &[(&str, Option<&str>)]) {
        for (path, text) in edits {
            let path = self.dir().join(path);
            match text {
                Some(text) => {
                    let _ = fs::remove_file(&path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, text).unwrap();
                }
                None => fs::remove_file(path).unwrap(),
            }
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "mine"]);
    }

    fn read(&self, path: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir().join(path)).unwrap()).into_owned()
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.dir().join(path)).is_ok()
    }

    fn observe(&self, desired: &Desired) -> Box<ControlRepo> {
        match observe(&self.at(), desired).unwrap() {
            Observed::Control(repo) => repo,
            other => panic!("{other:?}"),
        }
    }

    /// Compares, commits, and merges the branch.
    fn follow(&self, desired: &Desired) -> Comparison {
        let repo = self.observe(desired);
        let comparison = compare(desired, &repo);
        if !comparison.is_empty() {
            let name = branch::name(desired, &repo, &comparison);
            branch::commit(desired, &repo, &comparison, &name).unwrap();
            self.git(&["merge", "-q", "--ff-only", &name]);
            self.git(&["fsck", "--strict"]);
        }
        comparison
    }
}

fn edited(comparison: &Comparison) -> Vec<(&str, bool)> {
    comparison.edits.iter().map(|e| (e.path.as_str(), e.after.is_some())).collect()
}

/// Path and what is said of it, by its name in JSON, and why for a conflict.
fn said(comparison: &Comparison) -> Vec<(&str, String)> {
    let sort = |finding: &Finding| match &finding.sort {
        Sort::Conflict { why, .. } => (*why).to_owned(),
        other => serde_json::to_value(other).unwrap()["what"].as_str().unwrap().to_owned(),
    };
    comparison.report.findings.iter().map(|f| (f.path.as_str(), sort(f))).collect()
}

fn conflict(path: &'static str, why: Conflict) -> (&'static str, String) {
    (path, why.as_str().to_owned())
}

fn bases(dir: &Path) -> usize {
    fs::read_dir(dir.join(".factory/base")).unwrap().count()
}

#[test]
fn untouched_files_follow_and_the_second_time_nothing_is_left() {
    let one = desired("1.0.0", &[("a", "a", "merge", "1"), ("b", "b", "managed", "1"), ("c", "c", "seeded", "1")]);
    let two = desired("1.1.0", &[("a", "a", "merge", "2"), ("b", "b", "managed", "2"), ("c", "c", "seeded", "2")]);
    let repo = Repo::of(&one);
    assert!(edited(&compare(&one, &repo.observe(&one))).is_empty());
    let followed = repo.follow(&two);
    assert_eq!(edited(&followed), [("a", true), ("b", true)]);
    // What is the user's since it was made stays, and is named once.
    let yours = Finding { path: "c".into(), sort: Sort::Yours { lacks: vec!["2".into()] } };
    assert_eq!(followed.report.findings, [yours]);
    assert_eq!(fs::read_to_string(repo.dir().join("a")).unwrap(), "2\n");
    assert_eq!(fs::read_to_string(repo.dir().join("c")).unwrap(), "1\n");
    assert_eq!(bases(&repo.dir()), 1);
    let again = repo.follow(&two);
    assert!(again.is_empty() && again.report.findings.is_empty());
    assert_eq!(again.unchanged, 3);
}

#[test]
fn what_the_user_did_is_left_alone_and_said() {
    let one = desired(
        "1.0.0",
        &[
            ("edited", "edited", "merge", "1"),
            ("deleted", "deleted", "merge", "1"),
            ("mode", "mode", "merge", "1"),
            ("same", "same", "merge", "1"),
            ("gone", "gone", "merge", "1"),
            ("plain", "plain", "merge", "1"),
        ],
    );
    let two = desired(
        "1.1.0",
        &[
            ("edited", "edited", "merge", "2"),
            ("deleted", "deleted", "merge", "2"),
            ("mode", "mode", "merge", "2"),
            ("same", "same", "merge", "2"),
            ("new", "taken", "merge", "2"),
            ("below", "file/below", "merge", "2"),
            ("case", "UPPER", "merge", "2"),
            ("plain", "plain", "merge", "2"),
        ],
    );
    let repo = Repo::of(&one);
    repo.edit(&[
        ("edited", Some("mine\n")),
        ("deleted", None),
        ("same", Some("2\n")),
        ("gone", Some("mine\n")),
        ("taken", Some("mine\n")),
        ("file", Some("mine\n")),
        ("upper", Some("mine\n")),
    ]);
    repo.git(&["update-index", "--chmod=+x", "mode"]);
    repo.git(&["commit", "-qm", "mode"]);
    repo.git(&["reset", "-q", "--hard"]);
    let comparison = repo.follow(&two);
    assert_eq!(edited(&comparison), [("mode", true), ("plain", true)]);
    assert_eq!(
        said(&comparison),
        [
            conflict("UPPER", Conflict::PathTaken),
            ("deleted", "deleted-by-you".into()),
            conflict("edited", Conflict::SameLines),
            conflict("file/below", Conflict::PathTaken),
            ("gone", "yours-now".into()),
            ("mode", "merged".into()),
            conflict("taken", Conflict::BothAdded),
        ]
    );
    // The second time says the same of what waits, and commits nothing.
    let again = repo.follow(&two);
    assert!(again.is_empty());
    assert_eq!(again.report.conflicts().count(), 4);
    for path in ["edited", "gone", "taken", "file", "upper"] {
        assert_eq!(fs::read_to_string(repo.dir().join(path)).unwrap(), "mine\n", "{path}");
    }
    let manifest = repo.observe(&two).manifest;
    let record = |id: &str| manifest.files.iter().find(|r| r.id == id);
    assert_eq!(record("edited").unwrap().since, "1.0.0");
    assert_eq!(record("same").unwrap().since, "1.1.0");
    assert_eq!(record("deleted").unwrap().state, State::DeletedByUser);
    assert_eq!(record("new").unwrap().base, "");
    assert!(record("gone").is_none());
    assert_eq!(repo.git(&["ls-tree", "HEAD", "mode"]).split(' ').next(), Some("100755"));
    assert_eq!(manifest.tombstones[0].path, "gone");
    // The base of the edited file is still there for the merge that is to come.
    assert!(repo.dir().join(".factory/base").join(&record("edited").unwrap().base).is_file());
}

#[test]
fn renamed_removed_and_replaced_files() {
    let one = desired("1.0.0", &[("a", "old/a", "merge", "1"), ("b", "b", "merge", "1"), ("c", "c", "merge", "1")]);
    let two = desired("1.1.0", &[("a", "new/a", "merge", "1"), ("other", "c", "merge", "other")]);
    let repo = Repo::of(&one);
    let comparison = repo.follow(&two);
    assert_eq!(edited(&comparison), [("b", false), ("c", true), ("new/a", true), ("old/a", false)]);
    assert_eq!(fs::read_to_string(repo.dir().join("c")).unwrap(), "other\n");
    assert!(!repo.dir().join("old").exists());
    assert!(repo.follow(&two).edits.is_empty());
}

#[test]
fn only_the_body_of_a_block_is_written() {
    let one = desired("1.0.0", &[("a", "a", "block", "# factoryup:begin\n1\n# factoryup:end\n")]);
    let two = desired("1.1.0", &[("a", "a", "block", "# factoryup:begin\n2\n# factoryup:end\n")]);
    let three = desired("1.2.0", &[("a", "a", "block", "# factoryup:begin\n3\n# factoryup:end\n")]);
    let repo = Repo::of(&one);
    repo.edit(&[("a", Some("mine\n# factoryup:begin\n1\n# factoryup:end\nmine\n"))]);
    assert_eq!(edited(&repo.follow(&two)), [("a", true)]);
    let text = fs::read_to_string(repo.dir().join("a")).unwrap();
    assert_eq!(text, "mine\n# factoryup:begin\n2\n# factoryup:end\nmine\n");
    repo.edit(&[("a", Some("# factoryup:begin\nmine\n# factoryup:end\n"))]);
    assert_eq!(said(&repo.follow(&three)), [conflict("a", Conflict::SameLines)]);
}

#[test]
fn a_repo_of_newer_templates_is_refused() {
    let two = desired("1.1.0", &[("a", "a", "merge", "2")]);
    let repo = Repo::of(&two);
    let one = desired("1.0.0", &[("a", "a", "merge", "1")]);
    let error = observe(&repo.at(), &one).unwrap_err();
    assert!(matches!(error, crate::repo::error::RepoError::Newer { .. }), "{error}");
}
