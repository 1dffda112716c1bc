//! `factoryup` without a command.

use std::path::Path;

use super::Ending;
use super::apply::Apply;
use super::init::Init;
use super::plan::Plan;
use crate::error::{Error, Result};
use crate::factory::FILE_NAME;
use crate::ui::Ui;

/// In a control repo its state; in an empty folder all of day one.
pub(super) fn run(dir: &Path, ui: &Ui) -> Result<Ending> {
    if dir.join(FILE_NAME).exists() {
        let ending = Plan::default().run(dir, ui)?;
        if ending == Ending::Pending {
            ui.say("\nTo read the changes: factoryup plan --diff. To make them: factoryup apply.");
        }
        return Ok(ending);
    }
    let empty = dir.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if !empty {
        return Err(Error::usage(format!("{} is neither empty nor a control repo", dir.display()))
            .hint("begin in a new folder: factoryup init DIR")
            .hint("or name a control repo: factoryup --dir DIR")
            .hint("all commands: factoryup --help"));
    }
    Init::default().run(dir, ui)?;
    Apply::default().run(dir, ui)?;
    Ok(Ending::Done)
}
