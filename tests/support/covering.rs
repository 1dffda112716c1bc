//! Covering arrays: few rows of values in which every two values of different factors meet in at least one row.
//!
//! Faults that depend on answers depend mostly on one or two of them (Kuhn, Wallace and Gallo, "Software Fault Interactions and
//! Implications for Software Testing", IEEE TSE 30(6), 2004), so such rows find nearly what all combinations would.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

/// A value of a factor met by a value of a later factor: `((factor, value), (factor, value))`.
type Pair = ((usize, usize), (usize, usize));

/// Rows with one value for each factor, given how many values each has. Greedy, and the same rows on every run: each row begins with
/// the first pair that is still missing, and every other factor takes the value that meets most of what is missing.
pub fn pairwise(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut missing = pairs(sizes);
    let mut rows = Vec::new();
    while let Some(&((a, x), (b, y))) = missing.iter().next() {
        let mut row = vec![None; sizes.len()];
        row[a] = Some(x);
        row[b] = Some(y);
        for factor in 0..sizes.len() {
            if row[factor].is_some() {
                continue;
            }
            let gain = |value: usize| {
                let met = |(other, v): (usize, &Option<usize>)| {
                    v.is_some_and(|v| missing.contains(&ordered((factor, value), (other, v))))
                };
                row.iter().enumerate().filter(|&(other, v)| met((other, v))).count()
            };
            // Where nothing is to be gained, rows differ by turns, so that no value is rare.
            let turn = |value: usize| (value + rows.len()) % sizes[factor];
            row[factor] = (0..sizes[factor]).max_by_key(|&value| (gain(value), turn(value)));
        }
        let row: Vec<usize> = row.into_iter().flatten().collect();
        for pair in met_by(&row) {
            missing.remove(&pair);
        }
        rows.push(row);
    }
    rows
}

/// Every pair of values that factors of these sizes can make.
pub fn pairs(sizes: &[usize]) -> BTreeSet<Pair> {
    let mut all = BTreeSet::new();
    for a in 0..sizes.len() {
        for b in a + 1..sizes.len() {
            all.extend((0..sizes[a]).flat_map(|x| (0..sizes[b]).map(move |y| ((a, x), (b, y)))));
        }
    }
    all
}

/// The pairs that a row holds.
pub fn met_by(row: &[usize]) -> impl Iterator<Item = Pair> {
    (0..row.len()).flat_map(move |a| (a + 1..row.len()).map(move |b| ((a, row[a]), (b, row[b]))))
}

fn ordered(one: (usize, usize), other: (usize, usize)) -> Pair {
    if one.0 < other.0 { (one, other) } else { (other, one) }
}
