//! Opens a directory's factory and its state directory.

use std::io::ErrorKind;
use std::path::Path;

use crate::budget;
use crate::dialog::Dialog;
use crate::error::{Error, Result};
use crate::factory::fields::by_key;
use crate::factory::{FILE_NAME, Factory, HostKind, parse, read_text};
use crate::plan::StateDir;
use crate::shell;

/// What a command is about to do, as far as the state folder is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only read, also while another process works on the factory.
    Look,
    /// Change what is not in the state folder, as this command.
    Hold(&'static str),
    /// Work on the control repo, with nothing that the state folder keeps. A folder of no factory becomes this one's.
    Repo,
    /// Apply targets. If the factory moved, the user is asked whether it is theirs.
    Apply,
    /// Apply the host as well, so that the factory's tokens may go there.
    ApplyHost,
}

/// Reads the text of `factory.toml` in `dir`, before anything in it is judged.
///
/// # Errors
/// `Usage` if there is none; `Data` if it cannot be read.
pub(super) fn text_in(dir: &Path) -> Result<String> {
    let path = dir.join(FILE_NAME);
    if path.exists() {
        return read_text(&path);
    }
    Err(crate::repo::bare(dir).unwrap_or_else(|| {
        let error = Error::usage(format!("no {FILE_NAME} in {}", dir.display()));
        let above = dir.canonicalize().ok().and_then(|dir| {
            let is_one = |above: &&Path| above.join(FILE_NAME).is_file() && above.join(".factory").is_dir();
            dir.ancestors().skip(1).find(is_one).map(Path::to_path_buf)
        });
        if let Some(above) = above {
            let above = above.display().to_string();
            return error.hint(format!("to use the control repo above it, add: --dir {}", shell::word(&above)));
        }
        error.hint("run this in a control repo, or choose one with --dir DIR").hint("or create one: factoryup init DIR")
    }))
}

/// Reads `toolchain.lock` in `dir`. A control repo that has none names no programs.
///
/// # Errors
/// `Data` if it cannot be read.
pub(super) fn lock_in(dir: &Path) -> Result<String> {
    let path = dir.join("toolchain.lock");
    budget::read_text(&path).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(String::new()),
        _ => Err(Error::data(format!("cannot read {}: {error}", path.display()))),
    })
}

/// Reads the factory whose control repo is in `dir`.
///
/// # Errors
/// As [`Workspace::open`](super::Workspace::open), except for the state folder.
pub fn factory_in(dir: &Path) -> Result<Factory> {
    parse(&text_in(dir)?, &dir.join(FILE_NAME).display().to_string())
}

/// Refuses a factory in `dir` whose name is not the one that its control repo was created with; see [`StateDir::refuse_new_name`].
///
/// # Errors
/// `Data` if the name is another one; `CannotWrite` if git does not run.
pub fn refuse_new_name(dir: &Path, name: &str) -> Result<()> {
    let lock = crate::repo::answers_lock(dir)?.and_then(|text| text.parse::<toml::Table>().ok());
    let former = lock.as_ref().and_then(|lock| lock.get("factory")?.get("name")?.as_str());
    // The folder may come from anyone, and the name becomes a path.
    let is_one = |name: &&str| by_key("factory.name").is_some_and(|field| field.check_text(name).is_ok());
    former.filter(is_one).map_or(Ok(()), |former| StateDir::refuse_new_name(former, name))
}

impl Purpose {
    pub(super) fn state(self, dir: &Path, factory: &Factory, dialog: &dyn Dialog) -> Result<StateDir> {
        refuse_new_name(dir, &factory.factory.name)?;
        let project = factory.gitlab.project_url();
        let command = match self {
            Self::Look => {
                let state = StateDir::locate(&factory.factory.name)?;
                state.look(dir, &project)?;
                return Ok(state);
            }
            Self::Hold(command) => command,
            Self::Repo => "upgrade",
            Self::Apply | Self::ApplyHost => "apply",
        };
        let mut state = StateDir::open(&factory.factory.name)?;
        state.lock(command)?;
        match self {
            Self::Look | Self::Hold(_) => state.look(dir, &project)?,
            Self::Repo => state.claim_if_new(dir, &project)?,
            Self::Apply => state.claim(dir, &project, None, dialog)?,
            Self::ApplyHost => state.claim(dir, &project, host_of(factory).as_deref(), dialog)?,
        }
        Ok(state)
    }
}

/// The host as the answers name it: address, port, and the key that is pinned.
fn host_of(factory: &Factory) -> Option<String> {
    let host = &factory.host;
    match host.kind {
        HostKind::None => None,
        HostKind::Local => Some("this machine".into()),
        _ if host.host_key.is_empty() => Some(format!("{}:{}", host.address, host.port)),
        HostKind::Ssh => Some(format!("{}:{} with the key {}", host.address, host.port, host.host_key)),
    }
}
