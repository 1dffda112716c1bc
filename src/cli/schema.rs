//! `factoryup schema`

use clap::Args;

use crate::error::{Error, Result};
use crate::factory;
use crate::ui::Ui;

/// Print the JSON Schema of factory.toml, for editors and checks
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Print a reference of all fields as Markdown instead
    #[arg(long)]
    markdown: bool,
}

impl Schema {
    pub(super) fn run(&self, ui: &Ui) -> Result<()> {
        if self.markdown {
            return ui.result(&factory::markdown());
        }
        let schema =
            serde_json::to_string_pretty(&factory::json_schema()).map_err(|e| Error::internal(e.to_string()))?;
        ui.result(&schema)
    }
}
