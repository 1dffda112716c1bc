//! `factoryup status`

use std::path::Path;

use clap::Args;

use super::Ending;
use super::access::Access;
use crate::error::Result;
use crate::ui::Ui;
use crate::workspace::{Compare, Purpose, Workspace};

/// Show the state of the factory, and what is left for you to do
///
/// status reads the control repo, the host and GitLab, and changes nothing. It shows a line for each part: `!` marks what needs you, and
/// `?` what status cannot tell, with the reason. A list of steps follows, each with what to type or the page to open.
///
/// Exit codes: 0 nothing to do; 2 something to do, or something that status cannot tell; 69 the host or GitLab does not answer, and status
/// shows everything else.
#[derive(Debug, Default, Args)]
pub(super) struct Status {
    #[command(flatten)]
    access: Access,
}

impl Status {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<Ending> {
        let card = Workspace::open(dir, self.access.keys(), Purpose::Look, ui)?.status(Compare::Now)?;
        ui.card(&card)?;
        Ok(if card.verdict()? { Ending::Done } else { Ending::Pending })
    }
}
