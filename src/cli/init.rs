//! `factoryup init`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::Result;
use crate::factory::{AnswerFlags, Factory, to_toml};
use crate::plan::{Options, StateDir, Watch, converge};
use crate::repo::RepoTarget;
use crate::ui::Ui;

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
        let dir = self.folder.as_deref().unwrap_or(dir);
        let factory = self.factory()?;
        generate(dir, &factory, ui)
    }

    fn factory(&self) -> Result<Factory> {
        let answers = self.answers.answers(|name| std::env::var_os(name))?;
        answers.to_factory()
    }
}

/// Makes the control repo of a new factory in `dir`.
fn generate(dir: &Path, factory: &Factory, ui: &dyn Watch) -> Result<()> {
    let mut state = StateDir::open(&factory.factory.name)?;
    state.lock()?;
    let mut target = RepoTarget::new(dir, factory, &to_toml(factory)?)?;
    converge(&mut target, ui, &state, Options { yes: true, ..Options::default() }).map(|_| ())
}
