//! What of an application has to reach GitLab: the branch with its entry, and the branches and tags of its own repo.
//!
//! Nothing is pushed here, and nothing is written. The history goes to GitLab as it is, so a project whose history is not in this repo is
//! refused, and so is a repo that would lose something on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::adopt::Repo;
use super::control::Control;
use super::entry::AppEntry;
use super::scaffold::{contract, is_named};
use super::{ADOPT_BRANCH, AppError, name};
use crate::error::{Error, Kind, Result};
use crate::factory::Factory;
use crate::git::Git;
use crate::git::objects::is_object_id;

/// Object ids of branches and tags, by their full names.
type Refs = BTreeMap<String, String>;

/// An application's entry in the control repo, as GitLab has it.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    entry: AppEntry,
    default: String,
}

impl Registered {
    /// Reads the text of `file`. `default` is the factory's default branch.
    ///
    /// # Errors
    /// `Data` if it is not an entry.
    pub(crate) fn read(file: &str, text: &str, default: &str) -> Result<Self> {
        Ok(Self { entry: AppEntry::parse(file, text.as_bytes())?, default: default.to_owned() })
    }

    /// The branch that its releases are made from.
    pub(crate) fn branch(&self) -> &str {
        self.entry.default_branch.as_deref().unwrap_or(&self.default)
    }

    /// How the ports in the text of `.factory/app.conf` differ from the entry's; nothing if they are the same.
    fn differs_from(&self, conf: &str) -> Option<String> {
        self.entry.environments.iter().find_map(|(environment, place)| {
            let key = format!("port.{environment}=");
            let port = conf.lines().find_map(|line| line.strip_prefix(&key))?.trim();
            let differs = port != place.port.to_string();
            differs
                .then(|| format!("its .factory/app.conf has {key}{port}, and its entry in GitLab has {}", place.port))
        })
    }

    /// The port of an environment.
    pub(crate) fn port(&self, environment: &str) -> Option<u16> {
        self.entry.environments.get(environment).map(|place| place.port)
    }
}

/// The branch of the control repo with the entry of an application.
pub(crate) fn branch_of(name: &str) -> String {
    format!("{}{name}", super::control::BRANCHES)
}

/// Refuses a name that no application can have.
///
/// # Errors
/// `Usage` with the reason.
pub(crate) fn check_name(name: &str, factory: &Factory) -> Result<()> {
    Ok(name::check(name, factory)?)
}

/// Whether the control repo in `dir` has a branch with the application's entry that waits to be pushed.
///
/// # Errors
/// As `app add`.
pub(crate) fn waits_here(dir: &Path, factory: &Factory, name: &str) -> Result<bool> {
    Ok(Control::open(dir, factory)?.find(name)?.is_some_and(|found| found.branch.is_some()))
}

/// Where an application's repo is, unless a place was named: in the directory that has the control repo.
///
/// # Errors
/// As `app add`.
pub(crate) fn folder_of(dir: &Path, factory: &Factory, name: &str) -> Result<PathBuf> {
    Ok(Control::open(dir, factory)?.sibling(name))
}

/// An application's repo on this machine.
#[derive(Debug)]
pub(crate) struct Source {
    git: Git,
    /// Branches and tags, without the branch that adds the contract.
    pub(crate) refs: Refs,
    /// That branch's commit.
    pub(crate) adoption: Option<String>,
    /// Whether the default branch has the contract.
    has_contract: bool,
}

/// How the project's branches and tags differ from those here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    /// These are to be pushed, the default branch first: GitLab takes the first branch for that.
    pub(crate) lacks: Vec<(String, String)>,
    /// Whether GitLab then has the contract on the default branch.
    pub(crate) brings_contract: bool,
    /// These have commits that are not in this repo.
    pub(crate) unknown: Vec<String>,
    /// These are others here, and a push would have to be forced.
    pub(crate) differs: Vec<String>,
}

impl Source {
    /// Looks at the repo in `folder`, from which the application `name` goes to GitLab as it is registered there.
    ///
    /// # Errors
    /// `CannotWrite` with the reason if it is another repo, or would lose history or work.
    pub(crate) fn open(folder: &Path, name: &str, registered: &Registered) -> Result<Self> {
        let branch = registered.branch();
        let not = |why: String, hint: String| AppError::NotPublishable { dir: folder.to_owned(), why, hint };
        if !folder.exists() {
            let hint = format!("name the application's repo: factoryup app publish {name} --path DIR");
            let error = Error::from(not("it does not exist".into(), hint));
            return Err(error.hint(format!(
                "or, if there is none yet, update the control repo (git pull), and create it: factoryup app add {name} --kind http"
            )));
        }
        // What is not committed stays here. To look for it would have git start what the repo's configuration names.
        let repo = Repo::open(folder).map_err(|error| match error {
            AppError::NotAdoptable { why, hint, .. } => not(why.into(), hint.into()),
            other => other,
        })?;
        let git = repo.git;
        let adoption = format!("refs/heads/{ADOPT_BRANCH}");
        let (head, adopted) = (contract(&git, "HEAD")?, contract(&git, &adoption)?);
        if ![&head, &adopted].into_iter().flatten().any(|text| is_named(text, name)) {
            let why = format!("its .factory/app.conf does not name the application {name}");
            let hint = format!("name the application's repo: factoryup app publish {name} --path DIR");
            return Err(not(why, hint).into());
        }
        if let Some(why) = [&head, &adopted].into_iter().flatten().find_map(|conf| registered.differs_from(conf)) {
            return Err(not(why, "set the entry's port in .factory/app.conf, and commit it".into()).into());
        }
        let listing = git.run(&["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"])?;
        let listing = String::from_utf8_lossy(&listing).into_owned();
        let all = listing.lines().filter_map(|line| line.split_once(' '));
        let mut refs: Refs = all.map(|(oid, name)| (name.to_owned(), oid.to_owned())).collect();
        let adoption = refs.remove(&adoption);
        let default = format!("refs/heads/{branch}");
        if !refs.contains_key(&default) {
            let why = format!("it has no branch {branch}, which the application's entry names as default_branch");
            return Err(not(why, format!("create it, or change infra/apps/{name}.json by merge request")).into());
        }
        let has_contract = contract(&git, &default)?.is_some();
        Ok(Self { git, refs, adoption, has_contract })
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        self.git.dir()
    }

    /// The first commit of a branch; of several, the one that git names last.
    ///
    /// # Errors
    /// If git fails.
    pub(crate) fn root(&self, branch: &str) -> Result<String> {
        let all = self.git.run(&["rev-list", "--max-parents=0", &format!("refs/heads/{branch}")])?;
        Ok(String::from_utf8_lossy(&all).lines().last().unwrap_or_default().to_owned())
    }

    /// Compares the project's refs with those here. A branch that is ahead in GitLab, or that only GitLab has, is no difference.
    pub(crate) fn compare(&self, branch: &str, there: &Refs) -> Compared {
        let has =
            |oid: &str| is_object_id(oid) && self.git.run(&["cat-file", "-e", &format!("{oid}^{{commit}}")]).is_ok();
        let within = |part: &str, whole: &str| self.git.run(&["merge-base", "--is-ancestor", part, whole]).is_ok();
        let mut compared = Compared::default();
        for (name, oid) in there.iter().filter(|(name, _)| **name != format!("refs/heads/{ADOPT_BRANCH}")) {
            let here = self.refs.get(name);
            if here == Some(oid) {
                continue;
            }
            if !has(oid) {
                compared.unknown.push(name.clone());
            } else if let Some(here) = here
                && (name.starts_with("refs/tags/") || !within(oid, here) && !within(here, oid))
            {
                compared.differs.push(name.clone());
            }
        }
        let is_there = |name: &String, here: &String| match there.get(name) {
            Some(oid) => oid == here || compared.unknown.contains(name) || within(here, oid),
            None => false,
        };
        let first = format!("refs/heads/{branch}");
        let mut lacks: Vec<(String, String)> = self
            .refs
            .iter()
            .filter(|(name, here)| !is_there(name, here))
            .map(|(name, oid)| (name.clone(), oid.clone()))
            .collect();
        lacks.sort_by_key(|(name, _)| *name != first);
        // No one pushes to the default branch once it is there, so the commit that adds the contract comes with the history.
        if let Some((_, tip)) = lacks.first_mut().filter(|(name, _)| *name == first && !there.contains_key(name)) {
            compared.brings_contract = self.has_contract;
            if let Some(adoption) = self.adoption.as_ref().filter(|oid| !self.has_contract && within(tip, oid)) {
                compared.brings_contract = true;
                adoption.clone_into(tip);
            }
        }
        Compared { lacks, ..compared }
    }

    /// Refuses a repo with files in Git LFS if git-lfs is missing: GitLab rejects commits whose files it does not have.
    ///
    /// # Errors
    /// `CannotWrite` with what to install.
    pub(crate) fn refuse_without_lfs(&self, branch: &str) -> Result<()> {
        if !self.uses_lfs(branch)? || which::which("git-lfs").is_ok() {
            return Ok(());
        }
        let text = format!("{} has files in Git LFS, and git-lfs is not installed", self.dir().display());
        Err(Error::new(Kind::CannotWrite, text)
            .hint("install git-lfs, and fetch all files: git lfs fetch --all")
            .hint("then run the command again"))
    }

    /// Whether attributes on the default branch send files to Git LFS.
    ///
    /// # Errors
    /// If git fails.
    pub(crate) fn uses_lfs(&self, branch: &str) -> Result<bool> {
        let files = self.git.tree(&format!("refs/heads/{branch}"))?;
        let is_one = |path: &&String| path.rsplit('/').next() == Some(".gitattributes");
        let attributes: Vec<&str> =
            files.keys().filter(is_one).filter_map(|path| files.get(path)).map(|file| file.oid.as_str()).collect();
        let texts = self.git.contents(&attributes)?;
        Ok(texts.iter().any(|text| String::from_utf8_lossy(text).contains("filter=lfs")))
    }
}
