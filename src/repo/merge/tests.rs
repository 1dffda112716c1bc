//! The decision table, row by row, and what makes texts go together or not.

use super::*;

/// `x` is a file, `X` an executable one, `>x` a link; the letter is the content.
fn version(text: &str) -> Option<(Mode, String)> {
    match text {
        "" => None,
        _ if text.starts_with('>') => Some((Mode::Link, text[1..].to_owned())),
        _ if text == text.to_uppercase() => Some((Mode::Executable, format!("{}\n", text.to_lowercase()))),
        _ => Some((Mode::File, format!("{text}\n"))),
    }
}

fn decided(base: &str, current: &str, new: &str) -> String {
    let (base, current, new) = (version(base), version(current), version(new));
    let digest = base.as_ref().map(|(_, text)| sha256(text.as_bytes()));
    let base = base.as_ref().map(|(mode, text)| Base {
        mode: *mode,
        sha256: digest.as_deref().unwrap(),
        bytes: Some(text.as_bytes()),
    });
    let current = current.as_ref().map(|(mode, text)| Version { mode: *mode, bytes: text.as_bytes() });
    let new = new.as_ref().map(|(mode, text)| Version { mode: *mode, bytes: text.as_bytes() });
    match decide("file", base, current, new) {
        Decision::Merge(merged) => {
            format!("{} {}", merged.mode.as_str(), String::from_utf8_lossy(&merged.bytes).trim_end())
        }
        Decision::Conflict(why) => format!("{why:?}"),
        Decision::StaysDeleted { changed: true } => "StaysDeleted, changed".into(),
        Decision::StaysDeleted { changed: false } => "StaysDeleted".into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_decision_table() {
    for (base, current, new, wanted) in [
        // Nothing before.
        ("", "", "n", "Take"),
        ("", "c", "n", "BothAdded"),
        ("", "n", "n", "Keep"),
        ("", "N", "n", "BothAdded"),
        ("", ">n", "n", "BothAdded"),
        // One side changed it.
        ("b", "b", "b", "Keep"),
        ("b", "b", "n", "Take"),
        ("b", "b", "N", "Take"),
        ("b", "b", ">n", "Take"),
        ("b", "c", "b", "Keep"),
        ("b", "B", "b", "Keep"),
        ("b", ">c", "b", "Keep"),
        (">b", ">b", ">n", "Take"),
        (">b", ">c", ">b", "Keep"),
        (">b", "b", ">b", "Keep"),
        // Both did the same.
        ("b", "n", "n", "Keep"),
        ("b", "N", "N", "Keep"),
        (">b", ">n", ">n", "Keep"),
        // Both changed different things of it.
        ("b", "B", "n", "100755 n"),
        ("b", "c", "B", "100755 c"),
        ("b", "C", "N", "SameLines"),
        ("b", "N", "n", "100755 n"),
        ("b", "n", "N", "100755 n"),
        ("B", "b", "N", "100644 n"),
        // Both changed the same thing of it.
        ("b", "c", "n", "SameLines"),
        (">b", ">c", ">n", "Type"),
        ("b", ">c", "n", "Type"),
        ("b", "c", ">n", "Type"),
        ("b", "B", ">n", "Type"),
        (">b", "c", ">n", "Type"),
        // One is gone.
        ("b", "", "b", "StaysDeleted"),
        ("b", "", "n", "StaysDeleted, changed"),
        ("b", "", "", "StaysDeleted"),
        ("b", "b", "", "Delete"),
        ("b", "c", "", "Abandon"),
        ("b", "B", "", "Abandon"),
        (">b", "b", "", "Abandon"),
        ("", "c", "", "Keep"),
    ] {
        assert_eq!(decided(base, current, new), wanted, "base {base:?}, current {current:?}, new {new:?}");
    }
}

#[test]
fn a_base_that_is_only_known_by_its_digest_decides_all_but_a_merge() {
    let digest = sha256(b"a\n");
    let base = Some(Base { mode: Mode::File, sha256: &digest, bytes: None });
    let file = |bytes| Some(Version { mode: Mode::File, bytes });
    assert_eq!(decide("f", base, file(b"a\n"), file(b"b\n")), Decision::Take);
    assert_eq!(decide("f", base, file(b"b\n"), file(b"a\n")), Decision::Keep);
    assert_eq!(decide("f", base, file(b"b\n"), file(b"c\n")), Decision::Conflict(Conflict::MissingBase));
}

fn merged(path: &str, base: &str, current: &str, new: &str) -> Result<String, Conflict> {
    text(path, base.as_bytes(), current.as_bytes(), new.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn changes_apart_go_together_and_changes_that_meet_do_not() {
    assert_eq!(merged("f", "a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n").unwrap(), "A\nb\nC\n");
    assert_eq!(merged("f", "a\nb\nc\n", "b\nc\n", "a\nb\nc\nd\n").unwrap(), "b\nc\nd\n");
    assert_eq!(merged("f", "a\nb\nc\n", "A\nb\nc\n", "1\nb\nc\n"), Err(Conflict::SameLines));
    assert_eq!(merged("f", "a\nb\n", "a\n1\nb\n", "a\n2\nb\n"), Err(Conflict::SameLines));
}

#[test]
fn bytes_that_are_not_utf_8_stay_as_they_are() {
    let (base, current, new) = (b"a\nb\nc\n", b"caf\xe9\nb\nc\n", b"a\nb\nd\n");
    assert_eq!(text("f", base, current, new).unwrap(), b"caf\xe9\nb\nd\n");
    assert_eq!(text("f.yml", base, current, new), Err(Conflict::Structure));
    assert_eq!(text("f", base, b"a\0b\n", new), Err(Conflict::Binary));
}

#[test]
fn line_endings_are_the_users() {
    assert_eq!(merged("f", "a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nb\nC\n").unwrap(), "a\r\nb\r\nC\r\n");
    assert_eq!(merged("f", "a\nb\nc\n", "A\r\nb\r\nc\r\n", "a\nb\nC\n").unwrap(), "A\r\nb\r\nC\r\n");
    assert_eq!(merged("f", "a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\nb\nc\n").unwrap(), "A\nb\nc\n");
    // Some lines with CRLF are an edit of those lines.
    assert_eq!(merged("f", "a\nb\nc\n", "a\r\nb\nc\n", "a\nb\nC\n").unwrap(), "a\r\nb\nC\n");
    assert_eq!(merged("f", "a\nb\nc\n", "a\nb\nc", "A\nb\nc\n").unwrap(), "A\nb\nc");
}

#[test]
fn markers_are_refused_wherever_they_come_from() {
    let markers = "<<<<<<< mine\na\n=======\nb\n>>>>>>> theirs\n";
    for (base, current, new) in [("a\n", markers, "b\n"), ("a\n", "b\n", markers), (markers, "a\n", "b\n")] {
        assert_eq!(merged("f", base, current, new), Err(Conflict::Markers));
    }
    assert!(has_markers(b"a\r\n<<<<<<< x\r\n") && !has_markers(b"Title\n=======\n"));
}

const JOBS: &str = "a:\n  script: [x]\n  timeout: 10m\nb:\n  script: [x]\n  timeout: 10m\n";

#[test]
fn an_edit_stays_under_its_key() {
    let current = JOBS.replace("b:\n  script: [x]\n  timeout: 10m", "b:\n  script: [x]\n  timeout: 3h");
    let new = format!("new:\n  script: [x]\n  timeout: 10m\n{JOBS}");
    let result = merged("ci.yml", JOBS, &current, &new);
    assert!(
        matches!(&result, Ok(text) if text.contains("b:\n  script: [x]\n  timeout: 3h")) || result.is_err(),
        "{result:?}"
    );
}

#[test]
fn lines_that_go_together_to_mean_something_else_do_not_go_together() {
    // Each adds the same key in another place.
    let base = "a: 1\nb: 2\nc: 3\nd: 4\n";
    assert_eq!(
        merged("f.yml", base, "x: 1\na: 1\nb: 2\nc: 3\nd: 4\n", &format!("{base}x: 2\n")),
        Err(Conflict::Structure)
    );
    assert_eq!(
        merged("f.toml", "a = 1\nb = 2\nc = 3\n", "x = 1\na = 1\nb = 2\nc = 3\n", "a = 1\nb = 2\nc = 3\nx = 2\n"),
        Err(Conflict::Structure)
    );
    // One moves a line into the section that the other renames.
    let base = "[a]\nk = 1\n\n[b]\nl = 1\n";
    assert_eq!(
        merged("f.toml", base, "[a]\nk = 1\n\n[b]\nl = 1\nm = 1\n", "[c]\nk = 1\n\n[b]\nl = 1\n").unwrap(),
        "[c]\nk = 1\n\n[b]\nl = 1\nm = 1\n"
    );
    // What is no YAML is not guessed at.
    assert_eq!(merged("f.yml", "a: [\nb\nc\n", "A: [\nb\nc\n", "a: [\nb\nC\n"), Err(Conflict::Structure));
    // Texts of several lines are merged as such, lists by their elements.
    let script = "job:\n  script:\n    - |\n      one\n      two\n      three\n";
    let wanted = "job:\n  script:\n    - |\n      ONE\n      two\n      THREE\n";
    assert_eq!(
        merged("f.yml", script, &script.replace("one", "ONE"), &script.replace("three", "THREE")).unwrap(),
        wanted
    );
    assert_eq!(
        merged("f.json", "[\n1,\n2,\n3,\n4\n]", "[\n0,\n1,\n2,\n3,\n4\n]", "[\n1,\n2,\n3,\n5\n]").unwrap(),
        "[\n0,\n1,\n2,\n3,\n5\n]"
    );
}
