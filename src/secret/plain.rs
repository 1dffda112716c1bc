//! Foreign text, as it may be shown.

use std::borrow::Cow;

use super::redact;

/// `text` as it may be shown: without what could act on a terminal, which is control characters (C0, C1, DEL) other than newline and tab
/// and the invisible characters that reorder text, and without the [secrets](crate::secret::redact) of this process. For all text that
/// came from a host or the network.
///
/// Shorten a text only after this: half a secret is not found.
#[must_use]
pub fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|&c| c == '\n' || c == '\t' || !acts_on_a_terminal(c)).collect();
    match redact(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

/// Whether a character is a control character, or an invisible one that reorders text.
#[must_use]
pub fn acts_on_a_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn plain_removes_what_acts_on_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\u{9b}2Jc\n\td\u{202e}e"), "a[31mb2Jc\n\tde");
    }
}
