//! `factoryup man`

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};

use crate::error::{Error, Kind, Result};
use crate::plan::write_atomically;
use crate::ui::Ui;

/// Print the manual page of a command, or write the pages of all commands
///
/// The pages are roff. Without an argument, it prints the page of factoryup itself. To read one: `factoryup man plan | man -l -`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command, such as `plan` or `app add`
    #[arg(value_name = "COMMAND", conflicts_with = "all")]
    command: Vec<String>,

    /// Write the pages of all commands to this directory, one file each; overwrites existing pages
    #[arg(long, value_name = "DIR", value_parser = super::path())]
    all: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, ui: &Ui) -> Result<()> {
        ui.refuse_json("man", "a manual page is roff")?;
        // `help` repeats the pages.
        let mut root = super::Cli::command().disable_help_subcommand(true);
        root.build();
        if let Some(dir) = &self.all {
            std::fs::create_dir_all(dir)
                .map_err(|e| Error::new(Kind::CannotWrite, format!("cannot create {}: {e}", dir.display())))?;
            return write_all(&root, dir, ui);
        }
        let mut command = &root;
        for name in &self.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                let names: Vec<_> = subcommands(command).map(Command::get_name).collect();
                Error::usage(format!("unknown command `{}`", self.command.join(" "))).hint(if names.is_empty() {
                    format!("`{}` has no subcommands", command.get_name())
                } else {
                    format!("the commands of `{}` are {}", command.get_name(), names.join(", "))
                })
            })?;
        }
        ui.result(&String::from_utf8_lossy(&page(command)?.1))
    }
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

/// A page's file name and text.
fn page(command: &Command) -> Result<(String, Vec<u8>)> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text).map_err(|e| Error::internal(format!("cannot create the manual page: {e}")))?;
    Ok((page.get_filename(), text))
}

fn write_all(command: &Command, dir: &Path, ui: &Ui) -> Result<()> {
    let (name, text) = page(command)?;
    let path = dir.join(name);
    write_atomically(&path, &text, 0o644)?;
    ui.result(&path.display().to_string())?;
    subcommands(command).try_for_each(|command| write_all(command, dir, ui))
}
