//! `factoryup init`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::dialog::Dialog;
use crate::error::Result;
use crate::factory::AnswerFlags;
use crate::plan::{Options, StateDir, Watch, converge};
use crate::repo::RepoTarget;
use crate::ui::Ui;
use crate::wizard::{Request, Settled, settle};

/// Ask what cannot be found out, write factory.toml and generate the control repo. Works offline, touches nothing else
#[derive(Debug, Default, Args)]
pub(super) struct Init {
    /// The folder to make, or an empty one [default: --dir, or the current folder]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Take the default of everything that has one, without asking
    #[arg(long)]
    defaults: bool,

    /// Write and commit without a last confirmation
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    answers: AnswerFlags,
}

impl Init {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        self.make(dir, ui)?;
        let folder = self.folder.as_deref().unwrap_or(dir);
        let enter = if folder == Path::new(".") { String::new() } else { format!("cd {}, then ", folder.display()) };
        ui.say(&format!("\nNext: {enter}factoryup plan --diff to read what would change on the host and GitLab, and factoryup apply to change it."));
        Ok(())
    }

    /// The same, without a word about what comes next.
    pub(super) fn make(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let folder = self.folder.as_deref().unwrap_or(dir);
        let settled = settle(&Request {
            folder,
            flags: &self.answers,
            defaults: self.defaults,
            interactive: ui.is_interactive(),
            review: !self.yes,
        })?;
        generate(folder, &settled, ui)
    }
}

/// Makes the control repo of a new factory in `dir`.
fn generate(dir: &Path, settled: &Settled, ui: &dyn Watch) -> Result<()> {
    let mut state = StateDir::open(&settled.factory.factory.name)?;
    state.lock()?;
    state.claim(dir, &settled.factory.gitlab.project_url())?;
    let mut target = RepoTarget::new(dir, &settled.factory, &settled.text)?;
    converge(&mut target, ui, &state, Options { yes: true, ..Options::default() }).map(|_| ())
}
