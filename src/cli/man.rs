//! `factoryup man`

use clap::{Args, CommandFactory};

use crate::error::{Error, Result};
use crate::ui::Ui;

/// Print the manual page, as roff
#[derive(Debug, Args)]
pub(super) struct Man {}

impl Man {
    #[allow(clippy::unused_self)]
    pub(super) fn run(&self, ui: &Ui) -> Result<()> {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::Cli::command())
            .render(&mut page)
            .map_err(|e| Error::internal(format!("cannot make the manual page: {e}")))?;
        ui.result(&String::from_utf8_lossy(&page))
    }
}
