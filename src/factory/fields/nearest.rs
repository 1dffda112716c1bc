//! Finds the nearest known word to a mistyped one.

/// The candidate that takes the fewest single-character edits to become, if so few that a slip explains them: one for each three
/// characters, and one at least. A swap of two neighbours counts as one.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_few(word, candidates, 1).pop()
}

/// The same for several candidates, `count` at most, the nearest first.
#[must_use]
pub fn nearest_few<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let word = normal(word);
    let length = word.chars().count();
    let allowed = (length / 3).max(1);
    // The distance takes time by both lengths, and what differs more in length alone is no slip.
    let may_be = |candidate: &&str| candidate.chars().count().abs_diff(length) <= allowed;
    let near = candidates
        .into_iter()
        .filter(may_be)
        .map(|candidate| (strsim::osa_distance(&word, &normal(candidate)), candidate));
    let mut near: Vec<(usize, &str)> = near.filter(|(distance, _)| *distance <= allowed).collect();
    near.sort_by_key(|(distance, _)| *distance);
    // What differs in capitals only is meant.
    let count = if near.first().is_some_and(|(distance, _)| *distance == 0) { 1 } else { count };
    near.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

fn normal(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const WORDS: [&str; 4] = ["address", "port", "authorized_keys", "sudo"];

    #[test]
    fn a_slip_is_recognised() {
        for (slip, meant) in [("adress", "address"), ("prot", "port"), ("authorised-keys", "authorized_keys")] {
            assert_eq!(nearest(slip, WORDS), Some(meant), "{slip}");
        }
    }

    #[test]
    fn another_word_is_not_a_slip() {
        assert_eq!(nearest("password", WORDS), None);
        assert_eq!(nearest("", WORDS), None);
    }

    #[test]
    fn a_long_text_is_no_slip_and_takes_no_time() {
        let begun = std::time::Instant::now();
        let zones = std::iter::repeat_n("America/Argentina/Buenos_Aires", 600);
        assert_eq!(nearest(&"America/".repeat(8000), zones), None);
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}
