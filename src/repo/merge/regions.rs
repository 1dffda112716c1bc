//! Three sequences of anything that can be compared, cut into regions by patience diffs.

use std::collections::HashMap;
use std::hash::Hash;

use similar::{Algorithm, MergeRegion, TextMerge};

/// How many elements a sequence may have. Twice the longest file of the templates; what a diff costs can grow with the square.
pub(super) const LONGEST: usize = 4_000;

/// The regions of a three-way merge, in order. Its ranges count elements. `None` if a sequence is too long.
///
/// The library merges lines of text: each distinct element is given a number, and the numbers are the lines.
pub(super) fn regions<T: Eq + Hash>(base: &[T], current: &[T], new: &[T]) -> Option<Vec<MergeRegion>> {
    if [base, current, new].iter().any(|side| side.len() > LONGEST) {
        return None;
    }
    let mut numbers = HashMap::new();
    let mut lines = |side| {
        let mut text = String::new();
        for element in side {
            let next = numbers.len();
            let number = *numbers.entry(element).or_insert(next);
            text.push_str(&format!("{number}\n"));
        }
        text
    };
    let (base, current, new): (String, String, String) = (lines(base), lines(current), lines(new));
    let merge = TextMerge::configure().algorithm(Algorithm::Patience).merge_lines::<_, _, _, str>(
        base.as_str(),
        current.as_str(),
        new.as_str(),
    );
    Some(merge.regions().to_vec())
}
