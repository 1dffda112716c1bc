//! The command line: one file per command, each a struct of flags and a `run` that puts the rooms together. No logic lives here.
//!
//! A doc comment on a command or flag *is* its help text.
#![allow(clippy::doc_markdown, reason = "these doc comments are shown as plain text")]

mod access;
mod app;
mod apply;
mod completions;
mod doctor;
mod evidence;
mod init;
mod itself;
mod keys;
mod man;
mod plan;
mod rehearse;
mod resolve;
mod revert;
mod schema;
mod start;
mod status;
mod upgrade;

use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::error::{Error, Kind, Result};
use crate::ui::{Color, Settings, Ui};

/// How a successful command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done, or no changes.
    Done,
    /// Changes are pending.
    Pending,
}

impl Ending {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Pending => Kind::Pending.exit_code(),
        }
    }
}

/// Set up a software factory on your own host and GitLab group
///
/// Without a command, factoryup runs the guided setup in an empty directory and shows pending changes in a control repo.
///
/// Exit codes: 0 success; 2 changes pending, or a check failed; 64 usage error; 65 invalid factory.toml, manifest or input;
/// 69 host or GitLab unreachable; 70 internal error; 73 cannot write, or a change failed; 75 interrupted or incomplete, run
/// again to continue; 76 reverted because no new login worked; 77 permission denied; 130 canceled
#[derive(Debug, Parser)]
#[command(name = "factoryup", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// Print JSON lines on standard output instead of text
    #[arg(long, global = true)]
    json: bool,

    /// When to use color; `auto` respects NO_COLOR and TERM=dumb
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,

    /// Use this control repo [default: the current directory]
    #[arg(long, short = 'C', global = true, value_name = "DIR", value_parser = path())]
    dir: Option<PathBuf>,

    /// Append requests, host scripts and git commands to FILE, without secrets, for debugging and bug reports
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    trace: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Upgrade(upgrade::Upgrade),
    Resolve(resolve::Resolve),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Revert(revert::Revert),
    Rehearse(rehearse::Rehearse),
    App(app::App),
    Keys(keys::Keys),
    Evidence(evidence::Evidence),
    Schema(schema::Schema),
    #[command(name = "self")]
    Itself(itself::Itself),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Cli {
    /// Returns the output settings from the flags.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let diff = match &self.command {
            Some(Command::Plan(plan)) => Some(plan.diff),
            Some(Command::Apply(apply)) => Some(apply.diff),
            Some(Command::Upgrade(upgrade)) => Some(upgrade.diff),
            _ => None,
        };
        Settings { json: self.json, diff: diff == Some(true), can_diff: diff.is_some(), color: self.color }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Whatever stopped it; its kind is the exit code.
    pub fn run(&self, ui: &Ui) -> Result<Ending> {
        if let Some(file) = &self.trace {
            crate::trace::start(file)?;
        }
        let dir = self.dir.clone().map_or_else(|| absolute(Path::new(".")), Ok).map_err(Error::usage)?;
        match &self.command {
            None => return start::run(&dir, ui),
            Some(Command::Init(command)) => return command.run(&dir, ui),
            Some(Command::Plan(command)) => return command.run(&dir, ui),
            Some(Command::Upgrade(command)) => return command.run(&dir, ui),
            Some(Command::Resolve(command)) => return command.run(&dir, ui),
            Some(Command::Revert(command)) => return command.run(&dir, ui),
            Some(Command::Status(command)) => return command.run(&dir, ui),
            Some(Command::Doctor(command)) => return command.run(&dir, ui),
            Some(Command::Itself(command)) => return command.run(ui),
            Some(Command::Apply(command)) => command.run(&dir, ui),
            Some(Command::Rehearse(command)) => command.run(ui),
            Some(Command::App(command)) => command.run(&dir, ui),
            Some(Command::Keys(command)) => command.run(&dir, ui),
            Some(Command::Evidence(command)) => command.run(&dir, ui),
            Some(Command::Schema(command)) => command.run(ui),
            Some(Command::Completions(command)) => command.run(ui),
            Some(Command::Man(command)) => command.run(ui),
        }
        .map(|()| Ending::Done)
    }
}

/// Makes a typed path absolute. Programs that factoryup starts run in other directories, where a relative path names another
/// file, so every path on the command line passes here.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|typed| absolute(Path::new(&typed)))
}

fn absolute(typed: &Path) -> std::result::Result<PathBuf, String> {
    std::path::absolute(typed).map_err(|error| format!("cannot use the path `{}`: {error}", typed.display()))
}

/// Returns a directory as the user would type it: relative if it is below the current one, empty if it is the current one.
fn typed(dir: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    dir.strip_prefix(here).unwrap_or(dir).display().to_string()
}

/// Converts a usage error of clap: its first paragraph is the message, its tips are the hints.
#[must_use]
pub fn usage_error(error: &clap::Error) -> Error {
    use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::usage("a command or an argument is missing").hint("see --help");
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let tips = paragraphs.flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty());
    let tips = tips.map(|line| line.trim_start_matches("tip: ").trim_end_matches('.').to_owned());
    tips.fold(Error::usage(message), Error::hint)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::{Arg, Command, CommandFactory};

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    fn paths(command: &Command) -> Vec<&Arg> {
        let path = |arg: &&Arg| arg.get_value_parser().type_id() == clap::builder::ValueParser::path_buf().type_id();
        command.get_arguments().filter(path).chain(command.get_subcommands().flat_map(paths)).collect()
    }

    #[test]
    fn every_path_on_the_command_line_becomes_absolute() {
        let root = super::Cli::command();
        let found = paths(&root);
        assert!(found.len() >= 12, "{found:?}");
        for arg in found {
            let command = Command::new("x").arg(Arg::new("x").value_parser(arg.get_value_parser().clone()));
            let parsed = command.try_get_matches_from(["x", "./a"]).unwrap();
            let path = parsed.get_one::<PathBuf>("x").unwrap();
            assert_eq!(path, &std::env::current_dir().unwrap().join("a"), "{}", arg.get_id());
        }
        assert!(super::absolute(Path::new("")).is_err());
        assert_eq!(super::typed(Path::new("/")), "/");
    }
}
