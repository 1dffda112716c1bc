//! A merge of three texts by lines, with every opinion that is to be had about where a change belongs.

use std::collections::HashMap;

use similar::{MergeRegion, MergeResolution};

use super::Conflict;
use super::place::places;
use super::regions::{LONGEST, regions};

type Lines<'a> = Vec<&'a [u8]>;

/// Merges three texts that differ from each other.
pub(super) fn merge(base: &[u8], current: &[u8], new: &[u8]) -> Result<Vec<u8>, Conflict> {
    let sides = [split(base), split(current), split(new)];
    if sides.iter().any(|side| side.len() > LONGEST) {
        return Err(Conflict::TooLong);
    }
    let merged = patience(&sides[0], &sides[1], &sides[2]).ok_or(Conflict::SameLines)?;
    let agreed = diffy::merge_bytes(base, current, new).is_ok_and(|second| second == merged.concat())
        && backwards(&sides).as_ref() == Some(&merged)
        && by_place(&sides).as_ref() == Some(&merged)
        && sides[1..].iter().all(|side| holds_what_was_added(&sides[0], side, &merged));
    if agreed { Ok(merged.concat()) } else { Err(Conflict::Ambiguous) }
}

/// The merge by patience diffs alone, or `None` when changes meet.
pub(super) fn patience<'a>(base: &[&'a [u8]], current: &[&'a [u8]], new: &[&'a [u8]]) -> Option<Lines<'a>> {
    put_together(&regions(base, current, new)?, base, current, new)
}

/// The same, read from the last line to the first: what could slide up or down slides the other way.
fn backwards<'a>(sides: &[Lines<'a>; 3]) -> Option<Lines<'a>> {
    let [base, current, new] = sides.clone().map(|mut side| {
        side.reverse();
        side
    });
    let mut merged = patience(&base, &current, &new)?;
    merged.reverse();
    Some(merged)
}

/// The same with lines that are only equal when they stand below the same headings.
fn by_place<'a>([base, current, new]: &[Lines<'a>; 3]) -> Option<Lines<'a>> {
    put_together(&regions(&places(base), &places(current), &places(new))?, base, current, new)
}

fn put_together<'a>(
    regions: &[MergeRegion],
    base: &[&'a [u8]],
    current: &[&'a [u8]],
    new: &[&'a [u8]],
) -> Option<Lines<'a>> {
    let mut merged = Vec::with_capacity(current.len().max(new.len()));
    for region in regions {
        let taken = match region.resolution() {
            MergeResolution::Unchanged => &base[region.base_range()],
            MergeResolution::Ours | MergeResolution::Both => &current[region.ours_range()],
            MergeResolution::Theirs => &new[region.theirs_range()],
            _ => return None,
        };
        merged.extend_from_slice(taken);
    }
    Some(merged)
}

/// The lines of a text, each with its LF.
pub(super) fn split(text: &[u8]) -> Lines<'_> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Whether every line that `side` has more often than `base` is in `merged` that often.
fn holds_what_was_added(base: &[&[u8]], side: &[&[u8]], merged: &[&[u8]]) -> bool {
    let mut left: HashMap<&[u8], i64> = HashMap::new();
    for (lines, step) in [(merged, 1), (base, 1), (side, -1)] {
        for line in lines {
            *left.entry(line).or_default() += step;
        }
    }
    left.values().all(|count| *count >= 0)
}
