//! `factoryup` without a command.

use std::path::Path;

use clap::{Args, Command};

use super::Ending;
use super::apply::Apply;
use super::init::Init;
use super::plan::Plan;
use crate::error::{Error, Result};
use crate::factory::FILE_NAME;
use crate::ui::Ui;

/// Shows pending changes in a control repo, or runs the whole setup in an empty or new directory.
pub(super) fn run(dir: &Path, ui: &Ui) -> Result<Ending> {
    if dir.join(FILE_NAME).exists() {
        let ending = without_flags::<Plan>()?.run(dir, ui)?;
        if ending == Ending::Pending {
            ui.say("\nReview the changes: factoryup plan --diff. Apply them: factoryup apply.");
        }
        return Ok(ending);
    }
    let place = dir.display();
    let problem = match dir.read_dir() {
        Ok(mut entries) => entries.next().is_some().then(|| format!("{place} is neither empty nor a control repo")),
        // It is created with the control repo.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("cannot read {place}: {error}")),
    };
    if let Some(problem) = problem {
        return Err(Error::usage(problem)
            .hint("create a control repo in a new directory: factoryup init DIR")
            .hint("or add the files to an existing git repo, on a branch: factoryup init")
            .hint("or use an existing control repo: factoryup --dir DIR")
            .hint("or list all commands: factoryup --help"));
    }
    without_flags::<Init>()?.make(dir, ui)?;
    without_flags::<Apply>()?.run(dir, ui)?;
    Ok(Ending::Done)
}

/// Returns a command without flags: its defaults and the environment variables.
fn without_flags<T: Args>() -> Result<T> {
    let name = "factoryup";
    let matches = T::augment_args(Command::new(name)).try_get_matches_from([name]);
    matches.and_then(|matches| T::from_arg_matches(&matches)).map_err(|error| Error::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_runs_without_flags_can() {
        assert!(without_flags::<Plan>().is_ok());
        assert!(without_flags::<Init>().is_ok());
        assert!(without_flags::<Apply>().is_ok());
    }
}
