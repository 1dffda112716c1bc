//! Runners of applications: `factory-runner` on the host gets a token and starts one, as a person would over SSH.

use super::HostTarget;
use super::event::Line;
use super::program::{Payload, Show, Word, nothing, runner_start};
use crate::dialog::{Dialog, plain};
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

impl HostTarget<'_> {
    /// Logs in to the host, and becomes root there.
    ///
    /// # Errors
    /// When the host cannot be reached, or does not let the operator become root.
    pub fn connect(&mut self, dialog: &dyn Dialog) -> Result<()> {
        self.root(dialog)?.run(&nothing(), dialog, &mut |_| ())
    }

    /// Starts the runner of this kind of an application, with a new token or with the one that the host has. The token is on the standard
    /// input of `factory-runner`, and nowhere else.
    ///
    /// # Errors
    /// `CutShort` with the words of `factory-runner` if GitLab or a program is missing there; `CannotWrite` if the runner does not run;
    /// when the host cannot be reached.
    pub fn start_runner(
        &mut self,
        kind: &str,
        application: &str,
        url: &str,
        token: Option<&Secret>,
        dialog: &dyn Dialog,
    ) -> Result<()> {
        let (kind_word, name) = (Word::text(kind), Word::text(application));
        let line = token.map(|token| Secret::new(format!("{}\n", token.expose())));
        let keep = line.map(|line| {
            let command = format!("/usr/local/sbin/factory-runner token {kind_word} {name}");
            Payload::Sealed(line).feed(&command, Show::Run)
        });
        let start = format!("/usr/local/sbin/factory-runner start {kind_word} {name} {}", Word::text(url));
        let (mut said, mut code) = (String::new(), None);
        let program = runner_start(keep.as_deref(), &start);
        self.root(dialog)?.run(&program, dialog, &mut |line| {
            if let Line::Seen { section, line } = line {
                match section.as_str() {
                    "runner" if !line.trim().is_empty() => said = line,
                    "code" => code = line.trim().parse::<i32>().ok(),
                    _ => {}
                }
            }
        })?;
        if code == Some(0) {
            return Ok(());
        }
        let why = plain(said.trim().trim_start_matches("factory-runner: "));
        let kind = if code == Some(69) { Kind::CutShort } else { Kind::CannotWrite };
        let code = code.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        Err(Error::new(kind, format!("on {}, `{start}` failed ({code}): {why}", self.subject))
            .hint("if the host lacks a program, bring it up to date: factoryup apply host")
            .hint("then run the command again; or see docs/runbooks/runner-down.md in the control repo"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// The lines of both, and the exit code, as a shell sends them.
    fn run(shell: &[&str], keep: Option<&str>, start: &str) -> Vec<(String, String)> {
        let mut child = Command::new(shell[0])
            .args(&shell[1..])
            .arg("-s")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(runner_start(keep, start).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let seen = |line: &str| match Line::read(line) {
            Some(Line::Seen { section, line }) => (section, line),
            other => panic!("{line}: {other:?}"),
        };
        lines.lines().map(seen).collect()
    }

    #[test]
    fn a_runner_starts_only_once_its_token_is_kept_and_the_code_is_of_what_failed() {
        let line = |section: &str, text: &str| (section.to_owned(), text.to_owned());
        let token = |command: &str| Payload::Sealed(Secret::new("glrt-0123456789\n")).feed(command, Show::Run);
        for shell in crate::skip::host_shells() {
            let (kept, refused) = (token("wc -l >&2"), token("sh -c 'echo no token; exit 64'"));
            assert_eq!(
                run(shell, Some(&kept), "echo runs"),
                [line("runner", "1"), line("runner", "runs"), line("code", "0")],
                "{shell:?}"
            );
            assert_eq!(run(shell, Some(&refused), "echo runs"), [line("runner", "no token"), line("code", "64")]);
            let failed = run(shell, None, "sh -c 'echo missing >&2; exit 69'");
            assert_eq!(failed, [line("runner", "missing"), line("code", "69")], "{shell:?}");
        }
    }
}
