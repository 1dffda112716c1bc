//! Application repos: what `factoryup app add NAME` makes.
//!
//! An application is a repo of its own under the factory's app contract (`docs/app-contract.md` of the control repo), and one file in
//! the control repo, `infra/apps/NAME.json`, from which its GitLab project, its ports and its way through the edge follow.
//! [`add`] makes both, each in one step: the `scaffold` as a new folder that appears whole, or as a branch of an existing repo; the
//! `entry` as a branch of the control repo. No work tree is written to, nothing is pushed, and a second run changes nothing. `publish` says
//! what of it has to reach GitLab; the room `workspace` pushes it.
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

mod adopt;
mod control;
mod detect;
mod entry;
mod error;
mod name;
mod publish;
mod scaffold;
mod trial;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::factory::Factory;

use adopt::Repo;
use control::Control;
use entry::AppEntry;
use error::AppError;

pub use detect::{Stack, Wishes};
pub(crate) use error::no_kind;
pub(crate) use publish::{Registered, Source, branch_of, check_name, folder_of, waits_here};

/// The branch of an adopted repo that brings what it lacks.
pub const ADOPT_BRANCH: &str = "factory/adopt";

/// What an application is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AppKind {
    /// Files that a web server shows.
    Static,
    /// A program that answers HTTP requests.
    Http,
    /// The same, in an image that a Containerfile builds.
    Container,
}

/// The names of the applications that the control repo in `dir` has on its default branch.
///
/// # Errors
/// `Data` if there is no control repo, or an entry in it cannot be read.
pub fn registered(dir: &Path, factory: &Factory) -> Result<Vec<String>> {
    Ok(Control::open(dir, factory)?.names())
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
    /// What it is; an adopted one says it itself.
    pub kind: Option<AppKind>,
    /// Where the new repo lands; beside the control repo when not given.
    pub folder: Option<PathBuf>,
    /// An existing repo to adopt instead of making one.
    pub adopt: Option<PathBuf>,
    /// Whether everybody may open it from outside.
    pub public: bool,
    /// What decides, of an adopted repo, in place of its files.
    pub wishes: Wishes,
    /// Whether an adopted repo is built and started once before anything is written.
    pub trial: bool,
}

impl<'a> Request<'a> {
    /// A new repo beside the control repo, not open to the public.
    #[must_use]
    pub fn new(control: &'a Path, factory: &'a Factory, name: &'a str, kind: impl Into<Option<AppKind>>) -> Self {
        Self {
            control,
            factory,
            name,
            description: String::new(),
            kind: kind.into(),
            folder: None,
            adopt: None,
            public: false,
            wishes: Wishes::default(),
            trial: true,
        }
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
        /// What the trial showed.
        trial: Trial,
        /// What the owner should know.
        notes: Vec<String>,
    },
    /// Nothing: an earlier run did it, or nothing was missing.
    AlreadyThere,
}

/// What became of building and starting an adopted application once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It was built, and answered 200.
    Answered {
        /// The path on which it did.
        path: String,
        /// Whether its migration ran before.
        migrated: bool,
        /// Its workers that stayed alive.
        workers: Vec<String>,
    },
    /// A site: it was built, and its first page is there. No program serves it.
    Built,
    /// It was not tried.
    NotTried {
        /// The reason.
        why: String,
    },
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
    /// The application's default branch.
    pub default_branch: String,
}

/// Adds an application to a factory.
///
/// # Errors
/// `Usage` for a name that cannot be one; `Data` when the control repo is none, or older than this; `CannotWrite` when the folder holds
/// something else, is no repo to adopt, or cannot be written.
pub fn add(request: &Request<'_>) -> Result<Added> {
    add_saying(request, &|_| {})
}

/// The same, and `say` hears what is going on in a trial.
///
/// # Errors
/// As [`add`]; `Data` when the files of an adopted repo do not tell how it is built, or it does not build or answer.
pub fn add_saying(request: &Request<'_>, say: &dyn Fn(&str)) -> Result<Added> {
    name::check(request.name, request.factory)?;
    let control = Control::open(request.control, request.factory)?;
    let found = control.find(request.name)?;
    if request.adopt.is_none() && request.kind.is_none() {
        return Err(AppError::NoKind { name: request.name.to_owned() }.into());
    }
    let adopted = request.adopt.as_deref().map(Repo::open).transpose()?;
    let branch = adopted.as_ref().map(|repo| repo.branch.as_str());
    let entry = match &found {
        Some(found) => found.entry.clone(),
        // Its default branch is read off what is checked out.
        None if branch == Some(ADOPT_BRANCH) => {
            return Err(AppError::NotAdoptable {
                dir: request.adopt.clone().unwrap_or_default(),
                why: "factory/adopt is checked out, so its default branch is unknown",
                hint: "check out its default branch: git switch BRANCH",
            }
            .into());
        }
        None => AppEntry::new(request, &control.taken()?, branch)?,
    };
    let (folder, made) = if let (Some(folder), Some(repo)) = (&request.adopt, &adopted) {
        (folder.clone(), repo.adopt(request, &entry, control.commit(), say)?)
    } else {
        let scaffold = scaffold::render(request, &entry, control.commit(), None)?;
        let folder = request.folder.clone().unwrap_or_else(|| control.sibling(request.name));
        let made = scaffold::create(&folder, request, &scaffold)?;
        (folder, made)
    };
    let (branch, branch_is_new) = match found {
        Some(found) => (found.branch, false),
        None => (Some(control.propose(request, &entry)?), true),
    };
    let ports = entry.ports(&request.factory.environments.names);
    let default_branch = entry.default_branch.unwrap_or_else(|| request.factory.gitlab.default_branch.clone());
    Ok(Added { folder, made, branch, branch_is_new, ports, default_branch })
}
