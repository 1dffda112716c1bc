//! What other template tools do to a user's edits, and what happens here instead. Each was seen with copier 9.19.1 or cruft 2.16.0,
//! with exit code 0 unless said otherwise.

use super::*;

const JOB: &str = "  stage: test\n  image: debian:12\n  retry: 1\n  script:\n    - check\n  timeout: 10m\n";

fn jobs(names: &[&str]) -> &'static str {
    let text = names.iter().fold(String::new(), |text, name| format!("{text}{name}:\n{JOB}\n"));
    Box::leak(text.into_boxed_str())
}

fn one_file(version: &str, path: &'static str, text: &'static str) -> Desired {
    desired(version, &[("a", path, "merge", text)])
}

/// copier put `timeout: 3h` into `job_a` and set `job_b` back.
#[test]
fn an_edit_of_one_of_several_equal_jobs_stays_in_its_job() {
    let one = one_file("1.0.0", "ci.yml", jobs(&["job_a", "job_b", "job_c"]));
    let two = one_file("2.0.0", "ci.yml", jobs(&["job_new", "job_a", "job_b", "job_c"]));
    let repo = Repo::of(&one);
    let mine =
        repo.read("ci.yml").replacen(&format!("job_b:\n{JOB}"), &format!("job_b:\n{}", JOB.replace("10m", "3h")), 1);
    repo.edit(&[("ci.yml", Some(&mine))]);
    repo.follow(&two);
    let text = repo.read("ci.yml");
    assert!(text.contains(&format!("job_b:\n{}", JOB.replace("10m", "3h"))), "{text}");
    assert_eq!(text.matches("3h").count(), 1);
}

/// Both tools write over the edit, or misplace it, when the former text cannot be found or is another one: a tag that moved, a
/// formatter before the first commit.
#[test]
fn a_base_that_is_missing_or_altered_makes_a_conflict() {
    let one = one_file("1.0.0", "ci.yml", "a: 1\nb: 1\nc: 1\nd: 1\n");
    let two = one_file("2.0.0", "ci.yml", "a: 1\nb: 1\nc: 1\nd: 2\n");
    for altered in [None, Some("a: 0\nb: 1\nc: 1\nd: 1\n")] {
        let repo = Repo::of(&one);
        let base = format!("{BASE}{}", repo.observe(&one).manifest.files[0].base);
        repo.edit(&[("ci.yml", Some("a: 2\nb: 1\nc: 1\nd: 1\n")), (&base, altered)]);
        assert_eq!(said(&repo.follow(&two)), [conflict("ci.yml", Conflict::MissingBase)]);
        assert_eq!(repo.read("ci.yml"), "a: 2\nb: 1\nc: 1\nd: 1\n");
        assert_eq!(repo.read(".factory/conflicts/a"), "a: 1\nb: 1\nc: 1\nd: 2\n");
    }
}

/// copier makes the new file fresh: the edit is gone.
#[test]
fn an_edit_follows_a_renamed_file() {
    let repo = Repo::of(&one_file("1.0.0", "old.md", "one\ntwo\nthree\n"));
    repo.edit(&[("old.md", Some("one\ntwo\nthree\nmine\n"))]);
    let comparison = repo.follow(&one_file("2.0.0", "docs/new.md", "ONE\ntwo\nthree\n"));
    assert_eq!(said(&comparison), [("docs/new.md", "merged".into())]);
    assert_eq!(repo.read("docs/new.md"), "ONE\ntwo\nthree\nmine\n");
    assert!(!repo.has("old.md"));
    let comparison = repo.follow(&one_file("3.0.0", "newer.md", "ONE\ntwo\nthree\n"));
    assert_eq!(said(&comparison), [("newer.md", "moved".into())]);
    assert_eq!(repo.read("newer.md"), "ONE\ntwo\nthree\nmine\n");
}

/// Two files that change places, one of them edited.
#[test]
fn files_may_change_places() {
    let rows = |one, other| [("a", one, "merge", "a\na\n"), ("b", other, "merge", "b\nb\n")];
    let repo = Repo::of(&desired("1.0.0", &rows("x", "y")));
    repo.edit(&[("x", Some("a\na\nmine\n"))]);
    repo.follow(&desired("2.0.0", &rows("y", "x")));
    assert_eq!((repo.read("y"), repo.read("x")), ("a\na\nmine\n".into(), "b\nb\n".into()));
}

/// A file that cannot move, since its new place is taken, may be in the way of the next.
#[test]
fn a_conflict_may_bring_another() {
    let rows = |a, b| [("a", a, "merge", "a"), ("b", b, "merge", "b")];
    let repo = Repo::of(&desired("1.0.0", &rows("1", "2")));
    repo.edit(&[("3", Some("mine\n"))]);
    let comparison = repo.follow(&desired("2.0.0", &rows("2", "3")));
    assert_eq!(said(&comparison), [conflict("1", Conflict::PathTaken), conflict("2", Conflict::PathTaken)]);
    assert_eq!((repo.read("1"), repo.read("2"), repo.read("3")), ("a\n".into(), "b\n".into(), "mine\n".into()));
}

/// copier and projen delete it, with the edit.
#[test]
fn an_edited_file_that_the_templates_drop_stays() {
    let repo = Repo::of(&desired("1.0.0", &[("a", "a", "merge", "1"), ("b", "b", "merge", "1")]));
    repo.edit(&[("a", Some("mine\n"))]);
    let comparison = repo.follow(&desired("2.0.0", &[("b", "b", "merge", "1")]));
    assert_eq!(said(&comparison), [("a", "yours-now".into())]);
    assert_eq!(repo.read("a"), "mine\n");
    // It comes back: there is no base any more, so nothing is guessed.
    let comparison = repo.follow(&desired("3.0.0", &[("a", "a", "merge", "3"), ("b", "b", "merge", "1")]));
    assert_eq!(said(&comparison), [conflict("a", Conflict::BothAdded)]);
    assert!(comparison.manifest.tombstones.is_empty());
}

/// copier overwrites it, and it is in no commit: it cannot be had back.
#[test]
fn a_file_that_git_ignores_is_never_touched() {
    let one = desired("1.0.0", &[("env", ".env", "merge", "KEY=1"), ("b", "b", "merge", "1")]);
    let two = desired("2.0.0", &[("env", ".env", "merge", "KEY=2"), ("b", "b", "merge", "2")]);
    let repo = Repo::of(&one);
    repo.git(&["rm", "-q", "--cached", ".env"]);
    repo.edit(&[(".gitignore", Some(".env\n*.rej\n"))]);
    fs::write(repo.dir().join(".env"), "KEY=secret\n").unwrap();
    // copier also removes what looks like its own leavings.
    fs::write(repo.dir().join("b.rej"), "mine").unwrap();
    assert_eq!(said(&repo.follow(&two)), [(".env", "deleted-by-you".into())]);
    assert_eq!(
        (repo.read(".env"), repo.read("b.rej"), repo.read("b")),
        ("KEY=secret\n".into(), "mine".into(), "2\n".into())
    );
}

/// copier puts the template's image back, although the template did not touch it.
#[test]
fn a_binary_that_the_user_replaced_stays() {
    let rows = |logo, text| [("logo", "logo.png", "merge raw = true", logo), ("b", "b", "merge", text)];
    let repo = Repo::of(&desired("1.0.0", &rows("\0one", "1")));
    repo.edit(&[("logo.png", Some("\0mine"))]);
    assert!(said(&repo.follow(&desired("2.0.0", &rows("\0one", "2")))).is_empty());
    assert_eq!(repo.read("logo.png"), "\0mine");
    // Both replaced it. There is no base of a binary, and it would not help.
    assert_eq!(
        said(&repo.follow(&desired("3.0.0", &rows("\0two", "2")))),
        [conflict("logo.png", Conflict::MissingBase)]
    );
    assert_eq!(repo.read("logo.png"), "\0mine");
}

/// copier drops the byte, cruft gives up.
#[test]
fn bytes_that_are_not_utf_8_survive() {
    let repo = Repo::of(&one_file("1.0.0", "a", "one\ntwo\nthree\n"));
    fs::write(repo.dir().join("a"), b"caf\xe9\ntwo\nthree\n").unwrap();
    repo.git(&["commit", "-qam", "mine"]);
    assert_eq!(said(&repo.follow(&one_file("2.0.0", "a", "one\ntwo\nTHREE\n"))), [("a", "merged".into())]);
    assert_eq!(fs::read(repo.dir().join("a")).unwrap(), b"caf\xe9\ntwo\nTHREE\n");
}

/// copier keeps a removed link, and replaces an edited file by a new one.
#[test]
fn links_and_files_that_become_each_other() {
    let two = desired("2.0.0", &[("a", "a", "merge link", "b"), ("b", "b", "merge", "1")]);
    let one = desired("1.0.0", &[("a", "a", "merge", "1"), ("b", "b", "merge", "1")]);
    let repo = Repo::of(&one);
    repo.follow(&two);
    assert_eq!(fs::read_link(repo.dir().join("a")).unwrap(), Path::new("b"));
    repo.follow(&desired("3.0.0", &[("b", "b", "merge", "1")]));
    assert!(!repo.has("a"));
    let repo = Repo::of(&one);
    repo.edit(&[("a", Some("mine\n"))]);
    assert_eq!(said(&repo.follow(&two)), [conflict("a", Conflict::Type)]);
    assert_eq!(repo.read("a"), "mine\n");
}

/// A link in the place of a folder would lead a write out of the repo.
#[test]
fn nothing_is_written_through_a_link() {
    let repo = Repo::of(&one_file("1.0.0", "a", "1"));
    std::os::unix::fs::symlink("/tmp", repo.dir().join("docs")).unwrap();
    repo.edit(&[]);
    let two = desired("2.0.0", &[("a", "a", "merge", "1"), ("b", "docs/b", "merge", "1")]);
    assert_eq!(said(&repo.follow(&two)), [conflict("docs/b", Conflict::PathTaken)]);
    assert_eq!(fs::read_link(repo.dir().join("docs")).unwrap(), Path::new("/tmp"));
}

/// copier and cruft leave markers, merge into markers, and call it done.
#[test]
fn markers_are_neither_left_nor_merged_into() {
    let repo = Repo::of(&one_file("1.0.0", "a", "1\n2\n3\n"));
    let mine = "<<<<<<< mine\n1\n=======\none\n>>>>>>> theirs\n2\n3\n";
    repo.edit(&[("a", Some(mine))]);
    assert_eq!(said(&repo.follow(&one_file("2.0.0", "a", "1\n2\nthree\n"))), [conflict("a", Conflict::Markers)]);
    assert_eq!(repo.read("a"), mine);
}

/// cruft moves its state on although the patch failed, so that the change never comes again.
#[test]
fn a_conflict_does_not_move_the_base() {
    let repo = Repo::of(&one_file("1.0.0", "a", "1\n2\n3\n"));
    repo.edit(&[("a", Some("one\n2\n3\n"))]);
    assert_eq!(said(&repo.follow(&one_file("2.0.0", "a", "ONE\n2\n3\n"))), [conflict("a", Conflict::SameLines)]);
    let record = repo.observe(&one_file("2.0.0", "a", "ONE\n2\n3\n")).manifest.files[0].clone();
    assert_eq!((record.state, record.since.as_str()), (State::Conflict, "1.0.0"));
    assert!(repo.has(&format!("{BASE}{}", record.base)));
    // The templates take back what was in conflict: it is settled, and the proposal goes.
    let three = one_file("3.0.0", "a", "1\n2\nthree\n");
    assert_eq!(said(&repo.follow(&three)), [("a", "merged".into())]);
    assert_eq!(repo.read("a"), "one\n2\nthree\n");
    assert!(!repo.has(".factory/conflicts"));
    assert_eq!(repo.observe(&three).manifest.files[0].state, State::Ok);
}

/// The user ends a conflict by writing what both want.
#[test]
fn a_conflict_that_was_mended_by_hand_is_over() {
    let repo = Repo::of(&one_file("1.0.0", "a", "1\n2\n3\n4\n5\n"));
    repo.edit(&[("a", Some("one\n2\n3\n4\n5\n"))]);
    let two = one_file("2.0.0", "a", "ONE\n2\n3\n4\nfive\n");
    assert_eq!(repo.follow(&two).report.conflicts().count(), 1);
    repo.edit(&[("a", Some("ONE\n2\n3\n4\nfive\n"))]);
    assert!(said(&repo.follow(&two)).is_empty());
    assert!(!repo.has(".factory/conflicts"));
}

/// projen, spec-kit and cruft overwrite what they think is theirs.
#[test]
fn a_managed_file_that_was_edited_is_a_conflict() {
    let file = |version, text| desired(version, &[("a", "a", "managed", text)]);
    let repo = Repo::of(&file("1.0.0", "1"));
    repo.edit(&[("a", Some("mine\n"))]);
    assert_eq!(said(&repo.follow(&file("2.0.0", "2"))), [conflict("a", Conflict::Tampered)]);
    assert_eq!(repo.read("a"), "mine\n");
}

/// copier says nothing of a deleted file, for ever.
#[test]
fn a_deleted_file_stays_deleted_and_each_change_of_it_is_said_once() {
    let rows = |a, b| [("a", "a", "merge", a), ("b", "b", "merge", b)];
    let repo = Repo::of(&desired("1.0.0", &rows("1", "1")));
    repo.edit(&[("a", None)]);
    assert!(said(&repo.follow(&desired("1.1.0", &rows("1", "2")))).is_empty());
    let two = desired("2.0.0", &rows("2", "3"));
    assert_eq!(said(&repo.follow(&two)), [("a", "deleted-by-you".into())]);
    assert!(said(&repo.follow(&two)).is_empty() && !repo.has("a"));
}

/// A merge's result is not mistaken for what the templates rendered.
#[test]
fn an_edit_survives_a_second_upgrade_and_new_answers() {
    let repo = Repo::of(&one_file("1.0.0", "a", "1\n2\n3\n4\n5\n"));
    repo.edit(&[("a", Some("mine\n2\n3\n4\n5\n"))]);
    repo.follow(&one_file("2.0.0", "a", "1\n2\nthree\n4\n5\n"));
    repo.follow(&one_file("3.0.0", "a", "1\n2\nthree\n4\nfive\n"));
    assert_eq!(repo.read("a"), "mine\n2\nthree\n4\nfive\n");
}

/// A manifest from a hostile branch names files that are none of the repo's.
#[test]
fn a_manifest_that_leads_out_of_the_repo_is_refused() {
    let one = one_file("1.0.0", "a", "1");
    for (from, to) in [
        ("path = \"a\"", "path = \"../a\""),
        ("id = \"a\"", "id = \"../../a\""),
        ("path = \"a\"", "path = \".git/config\""),
    ] {
        let repo = Repo::of(&one);
        let text = repo.read(".factory/manifest.toml").replace(from, to);
        repo.edit(&[(".factory/manifest.toml", Some(&text))]);
        let error = observe(&repo.at(), &one).unwrap_err().to_string();
        assert!(error.contains("it lists a file"), "{error}");
    }
}

/// copier puts markers into the markers of the update before.
#[test]
fn conflicts_of_several_upgrades_do_not_pile_up() {
    let repo = Repo::of(&one_file("1.0.0", "a", "1\n2\n3\n"));
    repo.edit(&[("a", Some("one\n2\n3\n"))]);
    for (version, text) in [("2.0.0", "ONE\n2\n3\n"), ("3.0.0", "uno\n2\n3\n"), ("4.0.0", "eins\n2\n3\n")] {
        assert_eq!(said(&repo.follow(&one_file(version, "a", text))), [conflict("a", Conflict::SameLines)]);
        assert_eq!((repo.read("a"), repo.read(".factory/conflicts/a")), ("one\n2\n3\n".into(), text.into()));
        assert_eq!(fs::read_dir(repo.dir().join(".factory/conflicts")).unwrap().count(), 1);
    }
    // It was rendered from the first version's text, so that this is what the three are compared with.
    let record = repo.observe(&one_file("4.0.0", "a", "eins\n2\n3\n")).manifest.files[0].clone();
    assert_eq!(repo.read(&format!("{BASE}{}", record.base)), "1\n2\n3\n");
}

/// copier reads the answers that the user edited as those of the last update, renders a wrong base from them and drops the change.
#[test]
fn answers_that_were_edited_by_hand_are_new_answers() {
    const TEXT: &str = "# {{ factory.name }}\n2\n3\n4\n5\n";
    let one = one_file("1.0.0", "a", TEXT);
    let two = renamed(&one_file("2.0.0", "a", "# {{ factory.name }}\n2\n3\n4\nfive\n"), "zeta");
    let repo = Repo::of(&one);
    assert_eq!(repo.read("a"), TEXT.replace("{{ factory.name }}", "acme"));
    // Both edits in one commit, as one makes them.
    repo.edit(&[("a", Some("# acme\n2\nmine\n4\n5\n")), (FILE_NAME, Some(&two.factory_toml))]);
    assert_eq!(said(&repo.follow(&two)), [("a", "merged".into())]);
    assert_eq!(repo.read("a"), "# zeta\n2\nmine\n4\nfive\n");
    assert!(repo.read(record::ANSWERS).contains("name = \"zeta\""));
    assert!(repo.follow(&two).is_empty());
}

/// `desired` with another name of the factory.
fn renamed(desired: &Desired, name: &str) -> Desired {
    let text = desired.factory_toml.replace("acme", name);
    let factory: Factory = toml::from_str(&text).unwrap();
    let mut tree = desired.tree.clone();
    for file in &mut tree.files {
        file.bytes = String::from_utf8_lossy(&file.bytes).replace("acme", name).into_bytes();
    }
    Desired::of(&factory, &text, tree)
}

/// copier runs the template's tasks after writing: when one fails, the tree is written over and the answers name the new version.
/// Here there are no tasks, and what fails leaves everything: version, branch and work tree.
#[test]
fn an_upgrade_that_fails_leaves_the_old_version() {
    let two = one_file("2.0.0", "a", "2");
    let repo = Repo::of(&one_file("1.0.0", "a", "1"));
    // A branch that is in the way of every branch below it.
    repo.git(&["branch", "factory"]);
    let (head, status) = (repo.git(&["for-each-ref"]), repo.git(&["status", "--porcelain", "--ignored"]));
    let observed = repo.observe(&two);
    let comparison = compare(&two, &observed);
    let name = branch::name(&two, &observed, &comparison);
    assert!(branch::commit(&two, &observed, &comparison, &name).is_err());
    assert_eq!((repo.git(&["for-each-ref"]), repo.git(&["status", "--porcelain", "--ignored"])), (head, status));
    assert_eq!(repo.observe(&two).manifest.template.version, "1.0.0");
    repo.git(&["branch", "-D", "factory"]);
    assert_eq!(edited(&repo.follow(&two)), [("a", true)]);
}

/// spec-kit replaces an edited file when it is forced to, without a copy. There is nothing here that forces.
#[test]
fn no_second_run_replaces_what_the_first_one_kept() {
    let file = |version, text| desired(version, &[("a", "a", "managed", text)]);
    let repo = Repo::of(&file("1.0.0", "1"));
    repo.edit(&[("a", Some("mine\n"))]);
    for _ in 0..3 {
        assert_eq!(said(&repo.follow(&file("2.0.0", "2"))), [conflict("a", Conflict::Tampered)]);
        assert_eq!(repo.read("a"), "mine\n");
    }
}
