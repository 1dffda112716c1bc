//! The headings that a line is below.
//!
//! Two jobs, two records or two chapters may read the same but for their names. A line that is told by its text alone is the same
//! line in all of them, and a diff may take one for the other. Told by its text and the headings above it, it is not. Headings are
//! what a reader takes for them: the lines above that are indented less, TOML's `[section]`, Markdown's `# title`.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A line, told by its text and its headings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place<'a> {
    line: &'a [u8],
    headings: u64,
}

/// A heading: its rank, lower for higher ones, and what it and those above it read.
type Heading = (usize, u64);

/// Sections rank above everything that is indented.
const SECTION_RANKS: usize = 7;

/// Where each line stands.
pub(super) fn places<'a>(lines: &[&'a [u8]]) -> Vec<Place<'a>> {
    let mut open: Vec<Heading> = Vec::new();
    let mut places = Vec::with_capacity(lines.len());
    for line in lines.iter().copied() {
        let Some(rank) = rank(line) else {
            // A blank line belongs to what is above it.
            places.push(Place { line, headings: open.last().map_or(0, |heading| heading.1) });
            continue;
        };
        while open.last().is_some_and(|heading| heading.0 >= rank) {
            open.pop();
        }
        let headings = open.last().map_or(0, |heading| heading.1);
        places.push(Place { line, headings });
        let mut hasher = DefaultHasher::new();
        (headings, line).hash(&mut hasher);
        open.push((rank, hasher.finish()));
    }
    places
}

/// How high a line ranks as a heading; `None` for a blank one.
fn rank(line: &[u8]) -> Option<usize> {
    let indent = line.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let text = &line[indent..];
    let hashes = text.iter().take_while(|byte| **byte == b'#').count();
    Some(match text[0] {
        b'#' if indent == 0 && (2..=6).contains(&hashes) && text.get(hashes) == Some(&b' ') => hashes,
        b'[' if indent == 0 => 1,
        _ => SECTION_RANKS + indent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(text: &str, one: usize, other: usize) -> bool {
        let lines: Vec<&[u8]> = text.as_bytes().split_inclusive(|b| *b == b'\n').collect();
        let places = places(&lines);
        assert_eq!(places[one].line, places[other].line, "the lines do not read the same");
        places[one] == places[other]
    }

    #[test]
    fn equal_lines_below_other_headings_differ() {
        assert!(!same("a:\n  x: 1\nb:\n  x: 1\n", 1, 3));
        assert!(!same("[a]\nx = 1\n[b]\nx = 1\n", 1, 3));
        assert!(!same("## A\nx\n\n## B\nx\n", 1, 4));
        assert!(!same("r \"a\" {\n  x = 1\n}\nr \"b\" {\n  x = 1\n}\n", 1, 4));
        assert!(same("a:\n  x: 1\n  x: 1\n", 1, 2));
        assert!(same("x\ny\nx\n", 0, 2));
    }
}
