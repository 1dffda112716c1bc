//! What a terminal marks as pasted: one answer's text, never a row of keys.
//!
//! With bracketed paste switched on, a terminal puts marks around what is pasted
//! (<https://invisible-island.net/xterm/ctlseqs/ctlseqs.html#h2-Bracketed-Paste-Mode>). Without the marks, each line break in it would
//! be the Enter that answers the next question.

use zeroize::Zeroizing;

/// Asks the terminal for the marks.
pub(super) const ON: &str = "\x1b[?2004h";
/// Asks it to leave them out again.
pub(super) const OFF: &str = "\x1b[?2004l";
/// The parameter of the mark before.
pub(super) const BEGIN: &[u8] = b"200";
/// The mark after.
pub(super) const END: &[u8] = b"\x1b[201~";

/// The longest text that is taken, in bytes: no answer is longer.
const LONGEST: usize = 4096;

/// A pasted text without the line breaks around it; or how many lines it has, when there are several. Of a longer text than an answer
/// can be, only the beginning counts.
pub(super) fn one_line(bytes: &[u8]) -> Result<Zeroizing<String>, usize> {
    let text = Zeroizing::new(
        String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).replace("\r\n", "\n").replace('\r', "\n"),
    );
    let text = text.trim_matches('\n');
    match text.matches('\n').count() {
        0 => Ok(Zeroizing::new(text.replace('\t', " ").chars().filter(|character| !character.is_control()).collect())),
        breaks => Err(breaks + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn line_breaks_around_it_are_dropped_and_those_in_it_refused() {
        let line = |bytes: &[u8]| one_line(bytes).map(|text| text.to_string());
        assert_eq!(line(b"\r\nglpat-x\r\n"), Ok("glpat-x".to_owned()));
        assert_eq!(line(b"a\tb\x1b[31m\x03"), Ok("a b[31m".to_owned()));
        for several in [&b"a\rb\r"[..], b"a\nb", b"a\r\nb\r\n"] {
            assert_eq!(line(several), Err(2), "{several:?}");
        }
        assert_eq!(line(b"a\n\nb"), Err(3));
    }
}
