//! What must hold of every merge, whatever the texts.

use std::collections::BTreeMap;

use factoryup::repo::merge::{Base, Decision, Version, decide, has_markers, text};
use factoryup::templating::tree::Mode;
use sha2::{Digest, Sha256};

use crate::oracle;
use crate::random::Random;
use crate::support::need;

/// A random text: of few distinct lines or many, with any line ending, perhaps without a last one.
fn random_text(random: &mut Random) -> Vec<u8> {
    let distinct = *random.pick(&[2, 5, 1000]);
    let lines = random.below(25);
    let mut text: Vec<u8> = (0..lines).flat_map(|_| line(random, distinct)).collect();
    if random.once_in(6) {
        text.pop();
    }
    if random.once_in(8) {
        text = text.into_iter().flat_map(|b| if b == b'\n' { vec![b'\r', b'\n'] } else { vec![b] }).collect();
    }
    text
}

fn line(random: &mut Random, distinct: usize) -> Vec<u8> {
    let word = random.below(distinct);
    match random.below(40) {
        0 => b"\n".to_vec(),
        1 => b"caf\xe9\n".to_vec(),
        2 => b"  indented\n".to_vec(),
        _ => format!("line {word}\n").into_bytes(),
    }
}

/// `text` with some lines changed, added and removed.
fn edited(random: &mut Random, text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    for _ in 0..random.below(4) {
        let at = random.below(lines.len() + 1);
        match random.below(3) {
            0 => lines.insert(at, line(random, 1000)),
            1 if at < lines.len() => drop(lines.remove(at)),
            _ if at < lines.len() => lines[at] = line(random, 1000),
            _ => {}
        }
    }
    lines.concat()
}

fn counts(text: &[u8]) -> BTreeMap<&[u8], usize> {
    let mut counts = BTreeMap::new();
    for line in text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        *counts.entry(line).or_default() += 1;
    }
    counts
}

/// Whether every line that `side` has more often than `base` is in `merged` that often.
pub(crate) fn holds_what_was_added(base: &[u8], side: &[u8], merged: &[u8]) -> bool {
    let (base, merged) = (counts(base), counts(merged));
    let of = |counts: &BTreeMap<&[u8], usize>, line| counts.get(line).copied().unwrap_or_default();
    counts(side).iter().all(|(line, count)| of(&merged, line) >= count.saturating_sub(of(&base, line)))
}

/// Plays `count` histories of texts.
pub(crate) fn texts(mut random: Random, count: u32) {
    if !need("git") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut clean, mut git_clean, mut differs, mut steps) = (0, 0, 0, (0, 0));
    for _ in 0..count {
        let base = random_text(&mut random);
        let (current, new) = (edited(&mut random, &base), edited(&mut random, &base));
        let merged = text("file", &base, &current, &new);
        // P3, P4: who changes nothing gets the other's.
        assert_eq!(text("file", &base, &base, &new).unwrap(), new);
        assert_eq!(text("file", &base, &current, &base).unwrap(), current);
        assert_eq!(text("file", &base, &new, &new).unwrap(), new);
        let by_git = oracle::git(folder.path(), &base, &current, &new);
        git_clean += u32::from(by_git.is_some());
        let Ok(merged) = merged else { continue };
        clean += 1;
        differs += u32::from(by_git.as_ref().is_some_and(|text| *text != merged));
        // P1: what a side added is there.
        let shown = || [&base, &current, &new, &merged].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(holds_what_was_added(&base, &current, &merged), "{:#?}", shown());
        assert!(holds_what_was_added(&base, &new, &merged), "{:#?}", shown());
        assert!(!has_markers(&merged));
        // P5: the second time changes nothing.
        assert_eq!(text("file", &new, &merged, &new).unwrap(), merged);
        // P14: two steps end where one does.
        let newer = edited(&mut random, &new);
        let two = text("file", &new, &merged, &newer);
        if let (Ok(one), Ok(two)) = (text("file", &base, &current, &newer), two) {
            steps.0 += 1;
            steps.1 += u32::from(one != two);
        }
    }
    println!("texts: {count} histories, {clean} clean; git merge-file {git_clean} clean, other text {differs}");
    println!("  in two steps and in one: {} clean both ways, other text {}", steps.0, steps.1);
    assert!(differs * 1000 <= clean, "{differs} clean merges read other than git's");
    assert!(steps.1 * 1000 <= steps.0, "{} of {} end elsewhere in two steps", steps.1, steps.0);
}

type Owned = Option<(Mode, Vec<u8>)>;

fn random_version(random: &mut Random, near: &Owned) -> Owned {
    match (random.below(8), near) {
        (0, _) => None,
        (1, _) => Some((Mode::Link, b"elsewhere".to_vec())),
        (2, _) => Some((Mode::File, vec![0, 1, u8::try_from(random.below(3)).unwrap()])),
        (3, _) => Some((Mode::File, b"<<<<<<< a\nb\n=======\nc\n>>>>>>> d\n".to_vec())),
        (4 | 5, Some(near)) => Some(near.clone()),
        (_, Some((Mode::Link, bytes))) => Some((Mode::Link, bytes.clone())),
        (_, Some((_, bytes))) => {
            let mode = *random.pick(&[Mode::File, Mode::File, Mode::Executable]);
            Some((mode, edited(random, bytes)))
        }
        (_, None) => Some((Mode::File, random_text(random))),
    }
}

/// Plays `count` histories of files that come, go, and change type and mode.
pub(crate) fn versions(mut random: Random, count: u32) {
    let mut conflicts: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..count {
        let base = random_version(&mut random, &None);
        let (current, new) = (random_version(&mut random, &base), random_version(&mut random, &base));
        let kept = !random.once_in(10);
        let decision = decided(base.as_ref(), kept, current.as_ref(), new.as_ref());
        let result: Owned = match &decision {
            Decision::Keep | Decision::Abandon | Decision::StaysDeleted { .. } | Decision::Conflict(_) => {
                current.clone()
            }
            Decision::Take => new.clone(),
            Decision::Delete => None,
            Decision::Merge(merged) => Some((merged.mode, merged.bytes.clone())),
        };
        let shown = || format!("{base:?}\n{current:?}\n{new:?}\n{decision:?}");
        // P3, P4, P13
        if base == current {
            assert_eq!(result, new, "{}", shown());
        }
        if base == new || base.is_some() && current.is_none() {
            assert_eq!(result, current, "{}", shown());
        }
        if base.is_some() && current.is_none() && new.is_some() {
            assert_eq!(decision, Decision::StaysDeleted { changed: base != new }, "{}", shown());
        }
        // P1, P7: what is not the user's own version or the template's holds the changes of both, and no markers.
        match &decision {
            Decision::Merge(merged) => {
                let bytes = |version: &Owned| version.as_ref().unwrap().1.clone();
                assert!(holds_what_was_added(&bytes(&base), &bytes(&current), &merged.bytes), "{}", shown());
                assert!(holds_what_was_added(&bytes(&base), &bytes(&new), &merged.bytes), "{}", shown());
                let from_a_side = merged.bytes == bytes(&current) || merged.bytes == bytes(&new);
                assert!(from_a_side || !has_markers(&merged.bytes), "{}", shown());
                // P10
                assert!(kept || from_a_side, "{}", shown());
            }
            Decision::Take => assert!(base == current, "{}", shown()),
            Decision::Delete => assert!(base == current && new.is_none(), "{}", shown()),
            Decision::Conflict(why) => *conflicts.entry(why.as_str()).or_default() += 1,
            _ => {}
        }
        // P5
        if !matches!(decision, Decision::Conflict(_)) {
            let again = decided(new.as_ref(), true, result.as_ref(), new.as_ref());
            assert!(
                matches!(again, Decision::Keep | Decision::StaysDeleted { changed: false }),
                "{}\n{again:?}",
                shown()
            );
        }
    }
    println!("versions: {count} histories, conflicts {conflicts:?}");
    if count > 1000 {
        assert_eq!(conflicts.len(), 7, "a sort of conflict was not met");
    }
}

fn decided(
    base: Option<&(Mode, Vec<u8>)>,
    kept: bool,
    current: Option<&(Mode, Vec<u8>)>,
    new: Option<&(Mode, Vec<u8>)>,
) -> Decision {
    let digest = base.map(|(_, bytes)| hex(&Sha256::digest(bytes)));
    let base = base.zip(digest.as_deref()).map(|((mode, bytes), sha256)| Base {
        mode: *mode,
        sha256,
        bytes: kept.then_some(bytes.as_slice()),
    });
    decide(
        "file",
        base,
        current.map(|(mode, bytes)| Version { mode: *mode, bytes }),
        new.map(|(mode, bytes)| Version { mode: *mode, bytes }),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
