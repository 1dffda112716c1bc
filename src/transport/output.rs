//! The output of a command: standard output in lines, and the end of standard error.

use std::collections::VecDeque;

use crate::dialog::plain;

/// How much of standard error is kept, in bytes.
const KEPT: usize = 64 * 1024;

/// How much more is looked at, and then dropped: longer than a secret that the start of what is kept could cut in two.
const MARGIN: usize = 4 * 1024;

/// The longest line that is taken: a host's answer about a large file is well below it.
const LONGEST: usize = 16 * 1024 * 1024;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
}

/// A line was longer than 16 MiB.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    /// Takes the next bytes and passes on every line that is complete.
    pub(super) fn push(&mut self, mut bytes: &[u8], on_line: &mut dyn FnMut(&str)) -> Result<(), TooLong> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            if self.pending.is_empty() {
                on_line(&String::from_utf8_lossy(line));
            } else {
                self.pending.extend_from_slice(line);
                on_line(&String::from_utf8_lossy(&self.pending));
                self.pending.clear();
            }
            bytes = &rest[1..];
        }
        if self.pending.len() + bytes.len() > LONGEST {
            return Err(TooLong);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Passes on a last line that has no line ending.
    pub(super) fn finish(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.pending.is_empty() {
            on_line(&String::from_utf8_lossy(&std::mem::take(&mut self.pending)));
        }
    }
}

/// How many lines end in these bytes.
pub(super) fn line_ends(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count().saturating_sub(1)
}

/// Keeps the end of a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend(&bytes[bytes.len().saturating_sub(KEPT + MARGIN)..]);
        self.0.drain(..self.0.len().saturating_sub(KEPT + MARGIN));
    }

    /// What was kept, fit to be shown.
    pub(super) fn text(mut self) -> String {
        let is_cut = self.0.len() == KEPT + MARGIN;
        let text = plain(&String::from_utf8_lossy(self.0.make_contiguous()));
        let start = text.len().saturating_sub(KEPT).max(if is_cut { MARGIN } else { 0 });
        let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text[start..].trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, LONGEST, Lines, MARGIN, Tail, TooLong};

    #[test]
    fn lines_are_whole_however_the_bytes_come() {
        let text = "one\r\n\nz\u{fc}rich \u{1b}[1m\nlast".as_bytes();
        for size in 1..text.len() {
            let (mut lines, mut got) = (Lines::default(), Vec::new());
            for piece in text.chunks(size) {
                assert_eq!(lines.push(piece, &mut |line| got.push(line.to_owned())), Ok(()));
            }
            lines.finish(&mut |line| got.push(line.to_owned()));
            assert_eq!(got, ["one\r", "", "z\u{fc}rich \u{1b}[1m", "last"]);
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let (mut lines, piece) = (Lines::default(), vec![b'x'; LONGEST / 2]);
        assert_eq!(lines.push(&piece, &mut |_| ()), Ok(()));
        assert_eq!(lines.push(&piece, &mut |_| ()), Ok(()));
        assert_eq!(lines.push(b"x", &mut |_| ()), Err(TooLong));
    }

    #[test]
    fn a_secret_is_not_cut_in_two() {
        let secret = "canary-0123456789-tail";
        let _kept = crate::secret::Secret::new(secret);
        for kept in 1..secret.len() {
            let mut tail = Tail::default();
            tail.push(secret.as_bytes());
            tail.push(&vec![b' '; KEPT - kept]);
            assert!(!tail.text().contains(&secret[secret.len() - kept..]), "{kept}");
            let mut tail = Tail::default();
            tail.push(secret.as_bytes());
            tail.push(&vec![b'.'; KEPT + MARGIN - kept]);
            assert!(!tail.text().contains(&secret[secret.len() - kept..]), "{kept}");
        }
    }

    #[test]
    fn the_end_is_kept() {
        let mut tail = Tail::default();
        tail.push(&vec![b'a'; KEPT * 2]);
        tail.push(b"\x1b[31mend\n");
        let text = tail.text();
        assert!(text.ends_with("aa[31mend") && text.len() <= KEPT);
    }
}
