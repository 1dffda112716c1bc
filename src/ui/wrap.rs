//! Lines broken at words, where a terminal would break them in the middle of one.

use console::measure_text_width;

/// Breaks every line that is longer than `width` columns at a blank, and indents what follows under the line's first text. A word
/// that is longer than that stays whole on a line of its own, so that paths and commands can be copied.
pub(super) fn wrap(text: &str, width: usize) -> String {
    let wrap_line = |line: &str| {
        let text = line.trim_start();
        let first = &line[..line.len() - text.len()];
        // What follows hangs under the text, not under a mark such as `+` or `next:`, as far as that leaves room.
        let indent = if first.len() + 2 < width / 2 { first.len() + 2 } else { 0 };
        fill_line(text, width, first, &" ".repeat(indent))
    };
    text.split('\n').map(wrap_line).collect::<Vec<_>>().join("\n")
}

/// The same with `first` before the first line, and `rest` before all others.
pub(super) fn fill(text: &str, width: usize, first: &str, rest: &str) -> String {
    let mut margin = first;
    let lines = text.split('\n').map(|line| fill_line(line, width, std::mem::replace(&mut margin, rest), rest));
    lines.collect::<Vec<_>>().join("\n")
}

fn fill_line(text: &str, width: usize, first: &str, rest: &str) -> String {
    if width == usize::MAX {
        return format!("{first}{text}");
    }
    // How wide a tab is depends on its column. A line of a host's file can have some.
    let text = text.replace('\t', "    ");
    let mut used = measure_text_width(first);
    if measure_text_width(&text).saturating_add(used) <= width {
        return format!("{first}{text}");
    }
    let mut filled = first.to_owned();
    let mut is_start = true;
    for word in text.split(' ') {
        let columns = measure_text_width(word);
        if !is_start && used + 1 + columns > width {
            let margin = if measure_text_width(rest) + columns > width { "" } else { rest };
            filled.push('\n');
            filled.push_str(margin);
            used = measure_text_width(margin);
            is_start = true;
        }
        if is_start && word.is_empty() {
            continue;
        }
        if !is_start {
            filled.push(' ');
            used += 1;
        }
        filled.push_str(word);
        used += columns;
        is_start = false;
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_breaks_between_words_and_hangs() {
        let text = "  + create nftables and\n  x";
        assert_eq!(wrap(text, 80), text);
        assert_eq!(wrap(text, 14), "  + create\n    nftables\n    and\n  x");
        assert_eq!(wrap(text, usize::MAX), text);
    }

    #[test]
    fn a_long_word_stays_whole_and_is_not_pushed_out_of_the_window() {
        assert_eq!(wrap("a https://a.example/long b", 10), "a\nhttps://a.example/long\n  b");
        assert_eq!(wrap("the 123456789 b", 10), "the\n123456789\n  b");
    }

    #[test]
    fn a_tab_has_the_width_that_is_counted() {
        assert_eq!(wrap("ada\tALL=(ALL) ALL", 14), "ada   \n  ALL=(ALL)\n  ALL");
        assert_eq!(wrap("a\tb", usize::MAX), "a\tb");
    }

    #[test]
    fn a_margin_is_kept_from_line_to_line() {
        assert_eq!(fill("one two three\nfour", 9, "! ", "  "), "! one two\n  three\n  four");
    }

    #[test]
    fn width_is_that_of_the_screen() {
        let text = "\u{1b}[32mdone\u{1b}[0m it all";
        assert_eq!(wrap(text, 11), text);
        assert_eq!(wrap(text, 8), "\u{1b}[32mdone\u{1b}[0m it\n  all");
        assert_eq!(wrap("日本 日本 日本", 10), "日本 日本\n  日本");
    }
}
