//! Lines broken at words, where a terminal would break them in the middle of one.

use console::measure_text_width;

/// Breaks every line that is longer than `width` columns at a blank, and indents what follows under the line's first text. A word
/// that is longer than that is left to the terminal, so that paths and commands can be copied.
pub(super) fn wrap(text: &str, width: usize) -> String {
    text.split('\n').map(|line| wrap_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn wrap_line(line: &str, width: usize) -> String {
    if measure_text_width(line) <= width {
        return line.to_owned();
    }
    let first = line.len() - line.trim_start().len();
    // What follows hangs under the text, not under a mark such as `+` or `next:`, as far as that leaves room.
    let indent = if first + 2 < width / 2 { first + 2 } else { 0 };
    let mut wrapped = line[..first].to_owned();
    let mut used = first;
    let mut at_start = true;
    for word in line[first..].split(' ') {
        let columns = measure_text_width(word);
        if !at_start && used + 1 + columns > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            used = indent;
            at_start = true;
        }
        if !at_start {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += columns;
        at_start = false;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_breaks_between_words_and_hangs() {
        let text = "  + create nftables and\n  x";
        assert_eq!(wrap(text, 80), text);
        assert_eq!(wrap(text, 14), "  + create\n    nftables\n    and\n  x");
        assert_eq!(wrap("a https://a.example/long b", 10), "a\n  https://a.example/long\n  b");
    }

    #[test]
    fn colours_take_no_room() {
        let text = "\u{1b}[32mdone\u{1b}[0m it all";
        assert_eq!(wrap(text, 11), text);
        assert_eq!(wrap(text, 8), "\u{1b}[32mdone\u{1b}[0m it\n  all");
    }
}
