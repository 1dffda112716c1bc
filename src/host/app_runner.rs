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
