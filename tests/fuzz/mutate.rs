//! Changes inputs in ways that keep much of their structure: bytes, lines, numbers, words of the formats, parts of one another.

use crate::random::Random;

/// Makes new inputs out of known ones.
pub(crate) struct Mutator(Random);

/// What the formats are made of, and what has been wrong with readers before.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"'",
    b"\\",
    b"\r\n",
    b"\n",
    b"\r",
    b"\t",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"=",
    b"#",
    b"*",
    b"?",
    b"!",
    b"|1|",
    b"|",
    b"-",
    b"~",
    b"%",
    b"%00",
    b"\\u0000",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\xc3",
    b"\xff",
    b"\xf0\x9f\x98\x80",
    b"\x1b[2J",
    b"\x1b]52;c;",
    b"\x9b",
    b"true",
    b"null",
    b"-1",
    b"0",
    b"18446744073709551616",
    b"9223372036854775807",
    b"1e999",
    b"NaN",
    b"4294967296",
    b"{}",
    b"[]",
    b"\"\"",
    b"[[",
    b"{\"",
    b"\"\"\"",
    b"'''",
    b"<<<<<<< a\n",
    b"=======\n",
    b">>>>>>> b\n",
    b"../",
    b"/",
    b"//",
    b"a.",
    b".git/",
    b"schema",
    b"&a",
    b"*a",
    b"<<: *a",
    b"- ",
    b"? ",
    b"--- ",
    b"!!binary ",
    b"@revoked ",
    b"rel=\"next\"",
    b"<http://x/?page=",
    b"Link: ",
    b"\"event\":",
    b"blob ",
    b"tree ",
    b" 99999999999\n",
    b"40000 a\0",
];

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.below(end.max(1))
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let (a, b) = (self.below(length + 1), self.below(length + 1));
        // Mostly short ones.
        let b = if self.below(4) > 0 { a + self.below(16).min(length - a) } else { b };
        (a.min(b), a.max(b))
    }

    /// A new input out of those that are known: one to eight changes of one of them.
    pub(crate) fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(64 * 1024);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let (from, to) = self.range(bytes.len());
        match self.below(12) {
            0 if !bytes.is_empty() => {
                let at = self.below(bytes.len());
                bytes[at] ^= 1 << self.below(8);
            }
            1 => drop(bytes.drain(from..to)),
            2 => {
                let part = bytes[from..to].to_vec();
                let at = self.below(bytes.len() + 1);
                bytes.splice(at..at, part);
            }
            3 => bytes.truncate(to),
            4 => {
                let other = &corpus[self.below(corpus.len())];
                let (a, b) = self.range(other.len());
                bytes.splice(from..to, other[a..b].iter().copied());
            }
            5 => self.lines(bytes),
            6 => self.number(bytes),
            7 => {
                // What takes more than its share of time shows when there is much of it.
                let word = WORDS[self.below(WORDS.len())];
                let times = 1 << self.below(13);
                bytes.splice(from..from, word.iter().copied().cycle().take((word.len() * times).min(32 * 1024)));
            }
            8 if to > from => {
                let part = bytes[from..to].to_vec();
                let times = 1 << self.below(11);
                bytes.splice(from..from, part.iter().copied().cycle().take((part.len() * times).min(32 * 1024)));
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                let end = if self.below(2) == 0 { from } else { to };
                bytes.splice(from..end, word.iter().copied());
            }
        }
    }

    /// Swaps, repeats or removes a line.
    fn lines(&mut self, bytes: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let (a, b) = (self.below(lines.len()), self.below(lines.len()));
        if lines.is_empty() {
            return;
        }
        match self.below(3) {
            0 => lines.swap(a, b),
            1 => lines.insert(a, lines[b].clone()),
            _ => drop(lines.remove(a)),
        }
        *bytes = lines.concat();
    }

    /// Puts another number in the place of one.
    fn number(&mut self, bytes: &mut Vec<u8>) {
        let starts: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).take(64).collect();
        if starts.is_empty() {
            return;
        }
        let from = starts[self.below(starts.len())];
        let to = from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = match self.below(4) {
            0 => self.0.next().to_string(),
            1 => self.below(300).to_string(),
            2 => (u64::MAX - self.below(2) as u64).to_string(),
            _ => format!("{}.5e{}", self.below(10), self.below(400)),
        };
        bytes.splice(from..to, number.into_bytes());
    }
}
