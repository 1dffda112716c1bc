//! Runs other programs, with an environment that holds no secret of the caller's.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use crate::error::Error;

/// What a program gets of this process's environment: where things are, and the way to package mirrors. Whatever else is there
/// may be a secret.
const PASSED_ON: [&str; 9] =
    ["PATH", "HOME", "TMPDIR", "APT_CONFIG", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

/// A command that inherits only [`PASSED_ON`].
#[allow(clippy::disallowed_methods)]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// Runs a program to its end and returns its output if it succeeded. `input` becomes its standard input; it is never shown.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Result<Output, Error> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::spawn(&tool))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read all of its input says so by its exit status.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(Error::spawn(&tool))?;
    if output.status.success() {
        return Ok(output);
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    Err(Error::Tool {
        command: words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" "),
        status: output.status.to_string(),
        stderr: tail(&output.stderr, 12),
    })
}

/// The last lines of a program's output, fit to be shown.
pub(crate) fn tail(bytes: &[u8], lines: usize) -> String {
    let text = plain(&String::from_utf8_lossy(bytes));
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// `text` without what could act on a terminal: control characters but newline and tab, and characters that reorder text.
pub(crate) fn plain(text: &str) -> String {
    let reorders = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&c| c == '\n' || c == '\t' || !(c.is_control() || reorders(c))).collect()
}

#[cfg(test)]
mod tests {
    use super::{command, plain, run};

    #[test]
    fn a_program_sees_nothing_of_the_environment_but_what_is_listed() {
        // Cargo sets this one for every test.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let output = run(&mut command("env"), b"").expect("env runs");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(seen.contains("PATH=") && !seen.contains("CARGO_PKG_NAME"), "{seen}");
    }

    #[test]
    fn what_is_shown_cannot_act_on_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\u{9b}2Jc\n\td\u{202e}e"), "a[31mb2Jc\n\tde");
    }
}
