//! `factoryup completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::error::Result;
use crate::ui::Ui;

/// Print the completion script for a shell
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell to print it for
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, ui: &Ui) -> Result<()> {
        ui.refuse_json("completions", "a completion script is shell")?;
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "factoryup", &mut script);
        ui.result(&String::from_utf8_lossy(&script))
    }
}
