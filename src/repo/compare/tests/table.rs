//! The decision table in whole repos: by class, by what stands at a place, and by what moved.

use super::*;

fn two_classes(version: &str, class: &'static str, text: &'static str) -> Desired {
    desired(version, &[("a", "a", class, text)])
}

/// What becomes of a file that the user edited, or left alone, when the templates give it another class and another text.
#[test]
fn a_class_that_changes_loses_no_edit() {
    const ONE: &str = "1\n2\n3\n4\n5\n";
    const TWO: &str = "1\n2\n3\n4\nfive\n";
    const MINE: &str = "mine\n2\n3\n4\n5\n";
    let both = "mine\n2\n3\n4\nfive\n";
    for (before, after, wanted) in [
        ("merge", "managed", Ok(both)),
        ("merge", "merge", Ok(both)),
        ("merge", "seeded", Ok(MINE)),
        ("managed", "merge", Err(Conflict::MissingBase)),
        ("managed", "managed", Err(Conflict::Tampered)),
        ("managed", "seeded", Ok(MINE)),
        ("seeded", "merge", Err(Conflict::MissingBase)),
        ("seeded", "managed", Err(Conflict::Tampered)),
        ("seeded", "seeded", Ok(MINE)),
        ("merge", "block", Err(Conflict::NoBlock)),
        ("seeded", "block", Err(Conflict::NoBlock)),
    ] {
        let text = if after == "block" { "factoryup:begin\nfive\nfactoryup:end\n" } else { TWO };
        let two = two_classes("2.0.0", after, text);
        let repo = Repo::of(&two_classes("1.0.0", before, ONE));
        repo.edit(&[("a", Some(MINE))]);
        let comparison = repo.follow(&two);
        match wanted {
            Ok(text) => assert_eq!(repo.read("a"), text, "{before} to {after}"),
            Err(why) => {
                assert_eq!(said(&comparison), [conflict("a", why)], "{before} to {after}");
                assert_eq!(repo.read("a"), MINE, "{before} to {after}");
            }
        }
        assert!(repo.follow(&two).is_empty(), "{before} to {after}");
        // Left alone, it follows, unless it is the user's from now on.
        let repo = Repo::of(&two_classes("1.0.0", before, ONE));
        repo.follow(&two_classes("2.0.0", if after == "block" { "merge" } else { after }, TWO));
        assert_eq!(repo.read("a"), if after == "seeded" { ONE } else { TWO }, "{before} to {after}");
    }
}

/// To the templates the old one was deleted; what the user made of it is none of theirs.
#[test]
fn a_file_that_the_user_renamed_is_the_users_under_its_new_name() {
    let one = desired("1.0.0", &[("a", "a", "merge", "1"), ("b", "b", "merge", "1")]);
    let repo = Repo::of(&one);
    repo.git(&["mv", "a", "mine"]);
    repo.edit(&[]);
    let two = desired("2.0.0", &[("a", "a", "merge", "2"), ("b", "b", "merge", "2")]);
    assert_eq!(said(&repo.follow(&two)), [("a", "deleted-by-you".into())]);
    assert_eq!((repo.read("mine"), repo.read("b"), repo.has("a")), ("1\n".into(), "2\n".into(), false));
    // Renamed to where the templates put it later, it is found again.
    let repo = Repo::of(&one);
    repo.edit(&[("a", Some("1\nmine\n"))]);
    repo.git(&["mv", "a", "docs"]);
    repo.edit(&[]);
    let two = desired("2.0.0", &[("a", "docs", "merge", "0\n1"), ("b", "b", "merge", "2")]);
    repo.follow(&two);
    assert_eq!(repo.read("docs").lines().last(), Some("mine"));
    assert!(!repo.has("a") && repo.follow(&two).is_empty());
}

#[test]
fn a_rename_goes_with_every_other_change() {
    let one = desired("1.0.0", &[("a", "old", "merge", "1\n2\n3\n4\n5")]);
    let two = desired("2.0.0", &[("a", "docs/new", "merge mode = \"755\"", "1\n2\n3\n4\nfive")]);
    // Line endings and an edit of the user's, permission bits and an edit of the templates'.
    let repo = Repo::of(&one);
    repo.edit(&[("old", Some("mine\r\n2\r\n3\r\n4\r\n5\r\n"))]);
    assert_eq!(said(&repo.follow(&two)), [("docs/new", "merged".into())]);
    assert_eq!(repo.read("docs/new"), "mine\r\n2\r\n3\r\n4\r\nfive\r\n");
    assert!(repo.git(&["ls-files", "-s", "docs/new"]).starts_with("100755") && !repo.has("old"));
    // Deleted by the user, it stays deleted under either name.
    let repo = Repo::of(&one);
    repo.edit(&[("old", None)]);
    assert_eq!(said(&repo.follow(&two)), [("docs/new", "deleted-by-you".into())]);
    assert!(!repo.has("old") && !repo.has("docs/new"));
    // Dropped by the templates and replaced by another file of that name, the user's stays.
    let repo = Repo::of(&one);
    repo.edit(&[("old", Some("mine\n"))]);
    let other = desired("2.0.0", &[("b", "old", "merge", "other")]);
    assert_eq!(said(&repo.follow(&other)), [conflict("old", Conflict::BothAdded), ("old", "yours-now".into())]);
    assert_eq!((repo.read("old"), repo.read(".factory/conflicts/b")), ("mine\n".into(), "other\n".into()));
}

/// A new file that waits for its place goes on waiting, whatever its class, until the place is free.
#[test]
fn a_new_file_whose_place_is_taken_waits() {
    for class in ["merge", "managed", "seeded"] {
        let repo = Repo::of(&desired("1.0.0", &[("a", "a", "merge", "1")]));
        repo.edit(&[("Docs", Some("mine\n"))]);
        let two = desired("2.0.0", &[("a", "a", "merge", "1"), ("b", "docs/b", class, "2")]);
        for _ in 0..3 {
            assert_eq!(said(&repo.follow(&two)), [conflict("docs/b", Conflict::PathTaken)], "{class}");
        }
        repo.git(&["mv", "Docs", "notes"]);
        repo.edit(&[]);
        assert!(said(&repo.follow(&two)).is_empty());
        assert_eq!((repo.read("docs/b"), repo.has(".factory/conflicts")), ("2\n".into(), false), "{class}");
    }
}

#[test]
fn a_submodule_in_the_place_of_a_file_is_left_alone() {
    let repo = Repo::of(&desired("1.0.0", &[("a", "a", "merge", "1"), ("b", "b", "merge", "1")]));
    let head = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["rm", "-q", "a"]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},a", head.trim())]);
    repo.git(&["commit", "-qm", "mine"]);
    let two = desired("2.0.0", &[("a", "a", "merge", "2"), ("b", "b", "merge", "2")]);
    let comparison = repo.follow(&two);
    assert_eq!(said(&comparison), [conflict("a", Conflict::Type)]);
    assert!(repo.git(&["ls-files", "-s", "a"]).starts_with("160000"));
    assert_eq!(repo.read("b"), "2\n");
    // Nor is it deleted with the file.
    assert_eq!(said(&repo.follow(&desired("3.0.0", &[("b", "b", "merge", "2")]))), [("a", "yours-now".into())]);
    assert!(repo.git(&["ls-files", "-s", "a"]).starts_with("160000"));
}

/// A deleted file that the templates put where another one waits does not take its place from it.
#[test]
fn a_deleted_file_owns_no_place() {
    let one = desired("1.0.0", &[("a", "x", "merge", "1"), ("b", "y", "merge", "1")]);
    let two = desired("2.0.0", &[("a", "z", "merge", "2"), ("b", "x", "merge", "2")]);
    let repo = Repo::of(&one);
    repo.edit(&[("x", Some("mine\n")), ("y", None)]);
    for _ in 0..3 {
        let comparison = repo.follow(&two);
        assert_eq!(comparison.report.conflicts().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["x"]);
        assert_eq!((repo.read("x"), repo.has("y"), repo.has("z")), ("mine\n".into(), false, false));
    }
}
