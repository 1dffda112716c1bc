//! Texts that a program carries: as readable here-documents where that keeps them byte for byte, else as base64.

use super::Word;
use crate::digest::sha256;
use crate::secret::{Secret, base64_lines};

/// Whether a program is to run, or to be shown to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Secrets are in it; it goes nowhere but to the host.
    Run,
    /// Secrets are replaced by `[secret]`.
    Read,
}

/// What goes to a command's standard input.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// May be seen by anybody who sees the plan.
    Plain(Vec<u8>),
    /// Must not be seen.
    Sealed(Secret),
}

impl Payload {
    /// Plain text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Plain(text.into().into_bytes())
    }

    /// SHA-256 of the content, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        match self {
            Self::Plain(bytes) => sha256(bytes),
            Self::Sealed(secret) => sha256(secret.expose().as_bytes()),
        }
    }

    /// The content, unless it must not be seen.
    pub(crate) fn visible(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(bytes) => Some(bytes),
            Self::Sealed(_) => None,
        }
    }

    /// `command` with this content as its standard input, as lines of shell.
    pub(crate) fn feed(&self, command: &str, show: Show) -> String {
        match self {
            Self::Plain(bytes) => feed(command, bytes),
            Self::Sealed(_) if show == Show::Read => feed(command, b"[secret]\n"),
            Self::Sealed(secret) => feed(command, secret.expose().as_bytes()),
        }
    }
}

fn feed(command: &str, bytes: &[u8]) -> String {
    let readable =
        |text: &&str| text.ends_with('\n') && text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control());
    match std::str::from_utf8(bytes).ok().filter(readable) {
        Some(text) => {
            let end = delimiter(text);
            format!("{command} <<'{end}'\n{text}{end}\n")
        }
        None if bytes.is_empty() => format!("{command} </dev/null\n"),
        None => {
            let text = base64_lines(bytes);
            format!("base64 -d <<'END' | {command}\n{}\nEND\n", *text)
        }
    }
}

/// A line that the text does not have.
fn delimiter(text: &str) -> String {
    let taken = |end: &str| text.lines().any(|line| line == end);
    let mut end = "END".to_owned();
    while taken(&end) {
        end.push('_');
    }
    end
}

/// A command line of words.
pub(crate) fn line(command: &str, words: &[Word]) -> String {
    words.iter().fold(command.to_owned(), |line, word| line + " " + word.as_str())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn every_shell_gets_the_payload_byte_for_byte() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let long = "a line of some length\n".repeat(5000);
        let payloads: [&[u8]; 9] = [
            b"",
            b"no newline",
            b"plain\n",
            b"END\nEND_\n  END\n",
            b"$HOME `id` $(id) \\ \\\n '\"\n",
            b"\n\n",
            b"crlf\r\n",
            &every_byte,
            long.as_bytes(),
        ];
        for shell in crate::skip::host_shells() {
            for payload in payloads {
                let mut child = Command::new(shell[0])
                    .args(&shell[1..])
                    .arg("-s")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                let program = super::super::frame("x", &Payload::Plain(payload.to_vec()).feed("cat", Show::Run));
                let mut stdin = child.stdin.take().unwrap();
                stdin.write_all(program.as_bytes()).unwrap();
                drop(stdin);
                assert_eq!(child.wait_with_output().unwrap().stdout, payload, "{shell:?}");
            }
        }
    }

    #[test]
    fn a_sealed_payload_shows_only_in_a_program_that_runs() {
        let payload = Payload::Sealed(Secret::new("hunter2\n"));
        assert!(payload.feed("cat", Show::Run).contains("hunter2"));
        let shown = payload.feed("cat", Show::Read);
        assert!(!shown.contains("hunter2") && shown.contains("[secret]"));
        assert!(payload.visible().is_none() && !format!("{payload:?}").contains("hunter2"));
    }
}
