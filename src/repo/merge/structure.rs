//! A merge of what texts mean: maps by key, lists by element, everything else as a whole.
//!
//! It never becomes the result, which keeps the user's comments and layout. It says what the result must mean: where the merge by
//! lines means anything else, a change went to another key than the one it was made under.

use std::collections::{BTreeMap, BTreeSet};

use similar::MergeResolution;

use super::Conflict;
use super::lines::{patience, split};
use super::parse::{DEPTH, Format, Node};
use super::regions::regions;

/// Checks that `merged` means what the changes of both sides mean together. A file whose name tells no format passes.
pub(super) fn check(path: &str, [base, current, new]: [&[u8]; 3], merged: &[u8]) -> Result<(), Conflict> {
    let Some(format) = Format::of(path) else { return Ok(()) };
    let expected = (|| {
        let (base, current, new) = (format.parse(base)?, format.parse(current)?, format.parse(new)?);
        merge([Some(&base), Some(&current), Some(&new)], DEPTH).ok().flatten()
    })();
    // Without an expectation there is doubt, and doubt is a conflict.
    if expected.is_some() && expected == format.parse(merged) { Ok(()) } else { Err(Conflict::Structure) }
}

/// No rule says how two changes go together.
struct Doubt;

/// What `current` and `new` mean together, as deep as `depth`. `None` is what is not there.
fn merge([base, current, new]: [Option<&Node>; 3], depth: usize) -> Result<Option<Node>, Doubt> {
    if current == new || base == new {
        return Ok(current.cloned());
    }
    if base == current {
        return Ok(new.cloned());
    }
    let below = depth.checked_sub(1).ok_or(Doubt)?;
    let merged = match (base, current, new) {
        (Some(Node::Map(base)), Some(Node::Map(current)), Some(Node::Map(new))) => maps(base, current, new, below)?,
        (None, Some(Node::Map(current)), Some(Node::Map(new))) => maps(&BTreeMap::new(), current, new, below)?,
        (Some(Node::List(base)), Some(Node::List(current)), Some(Node::List(new))) => lists(base, current, new, below)?,
        (Some(Node::Text(base)), Some(Node::Text(current)), Some(Node::Text(new))) => {
            let (base, current, new) = (split(base.as_bytes()), split(current.as_bytes()), split(new.as_bytes()));
            let lines = patience(&base, &current, &new).ok_or(Doubt)?;
            Node::Text(String::from_utf8(lines.concat()).map_err(|_| Doubt)?)
        }
        _ => return Err(Doubt),
    };
    Ok(Some(merged))
}

type Map = BTreeMap<Node, Node>;

fn maps(base: &Map, current: &Map, new: &Map, depth: usize) -> Result<Node, Doubt> {
    let keys: BTreeSet<&Node> = base.keys().chain(current.keys()).chain(new.keys()).collect();
    let mut merged = Map::new();
    for key in keys {
        if let Some(value) = merge([base.get(key), current.get(key), new.get(key)], depth)? {
            merged.insert(key.clone(), value);
        }
    }
    Ok(Node::Map(merged))
}

fn lists(base: &[Node], current: &[Node], new: &[Node], depth: usize) -> Result<Node, Doubt> {
    let mut merged = Vec::new();
    for region in regions(base, current, new).ok_or(Doubt)? {
        let (base, current, new) =
            (&base[region.base_range()], &current[region.ours_range()], &new[region.theirs_range()]);
        match region.resolution() {
            MergeResolution::Unchanged => merged.extend_from_slice(base),
            MergeResolution::Ours | MergeResolution::Both => merged.extend_from_slice(current),
            MergeResolution::Theirs => merged.extend_from_slice(new),
            // As many elements on each side: the same ones, changed.
            _ if base.len() == current.len() && base.len() == new.len() => {
                for ((base, current), new) in base.iter().zip(current).zip(new) {
                    merged.extend(merge([Some(base), Some(current), Some(new)], depth)?);
                }
            }
            _ => return Err(Doubt),
        }
    }
    Ok(Node::List(merged))
}
