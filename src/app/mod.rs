//! Application repos: what `factoryup app add NAME` makes.
//!
//! An application is a repo of its own under the factory's app contract (`docs/app-contract.md` of the control repo), and one file in
//! the control repo, `infra/apps/NAME.json`, from which its GitLab project, its ports and its way through the edge follow.
//! [`add`] makes both, each in one step: the `scaffold` as a new folder that appears whole, or as a branch of an existing repo; the
//! `entry` as a branch of the control repo. No work tree is written to, nothing is pushed, and a second run changes nothing.
//!
//! What the files say stands in `templates/_app/`, and which of them there are in `catalogue.toml` here. What happens to a
//! release on the host is the affair of the application's own `.factory/deploy`, which is one of those files.
//!
//! ```no_run
//! use factoryup::app::{AppKind, Request, add};
//!
//! let factory = factoryup::factory::read("acme/factory.toml".as_ref())?;
//! let mut request = Request::new("acme".as_ref(), &factory, "shop", AppKind::Http);
//! request.description = "The web shop".into();
//! let added = add(&request)?;
//! assert!(added.folder.ends_with("shop"));
//! # Ok::<(), factoryup::Error>(())
//! ```

mod control;
mod entry;
mod error;
mod name;
mod scaffold;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::factory::Factory;

use control::Control;
use entry::AppEntry;
use error::AppError;

/// The branch of an adopted repo that brings what it lacks.
pub const ADOPT_BRANCH: &str = "factory/adopt";

/// What an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AppKind {
    /// Files that a web server shows.
    Static,
    /// A program that answers HTTP requests.
    Http,
}

/// What to add.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The control repo's folder.
    pub control: &'a Path,
    /// The factory.
    pub factory: &'a Factory,
    /// 2 to 32 of `a-z`, `0-9` and single `-`, beginning with a letter: names project, host label, folder and service.
    pub name: &'a str,
    /// One line about it; may be empty.
    pub description: String,
    /// What it is.
    pub kind: AppKind,
    /// Where the new repo lands; beside the control repo when not given.
    pub folder: Option<PathBuf>,
    /// An existing repo to adopt instead of making one.
    pub adopt: Option<PathBuf>,
    /// Whether everybody may open it from outside.
    pub public: bool,
}

impl<'a> Request<'a> {
    /// A new repo beside the control repo, not open to the public.
    #[must_use]
    pub fn new(control: &'a Path, factory: &'a Factory, name: &'a str, kind: AppKind) -> Self {
        Self { control, factory, name, description: String::new(), kind, folder: None, adopt: None, public: false }
    }
}

/// What became of the application's repo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A new repo with one commit.
    Created,
    /// A commit on [`ADOPT_BRANCH`].
    Adopted {
        /// What it adds.
        files: Vec<String>,
        /// What was there and stays as it is.
        kept: Vec<String>,
    },
    /// Nothing: an earlier run did it, or nothing was missing.
    AlreadyThere,
}

/// What [`add`] did.
#[derive(Clone, Debug)]
pub struct Added {
    /// The application's repo.
    pub folder: PathBuf,
    /// What became of it.
    pub made: Made,
    /// The branch of the control repo that waits to be merged; none when its default branch knows the application.
    pub branch: Option<String>,
    /// Whether this run made that branch.
    pub branch_is_new: bool,
    /// Environment and port, in the order of the factory's environments.
    pub ports: Vec<(String, u16)>,
}

/// Adds an application to a factory.
///
/// # Errors
/// `Usage` for a name that cannot be one; `Data` when the control repo is none, or older than this; `CannotWrite` when the folder holds
/// something else, is no repo to adopt, or cannot be written.
pub fn add(request: &Request<'_>) -> Result<Added> {
    name::check(request.name, request.factory)?;
    let control = Control::open(request.control, request.factory)?;
    let found = control.find(request.name)?;
    let entry = match &found {
        Some(found) => found.entry.clone(),
        None => AppEntry::new(request, &control.taken()?)?,
    };
    let scaffold = scaffold::render(request, &entry, control.commit())?;
    let (folder, made) = if let Some(folder) = &request.adopt {
        (folder.clone(), scaffold::adopt(folder, request, &scaffold)?)
    } else {
        let folder = request.folder.clone().unwrap_or_else(|| control.sibling(request.name));
        let made = scaffold::create(&folder, request, &scaffold)?;
        (folder, made)
    };
    let (branch, branch_is_new) = match found {
        Some(found) => (found.branch, false),
        None => (Some(control.propose(request, &entry)?), true),
    };
    let ports = entry.ports(&request.factory.environments.names);
    Ok(Added { folder, made, branch, branch_is_new, ports })
}
