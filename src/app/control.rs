//! The control repo as far as an application is concerned: its default branch, the entries on it and on branches that wait.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::entry::AppEntry;
use super::{AppError, Request};
use crate::factory::Factory;
use crate::git::Blob;
use crate::git::Git;
use crate::git::write::{Edit, NewCommit};

const ENTRIES: &str = "infra/apps/";
/// Branches with an entry that is not merged yet.
pub(super) const BRANCHES: &str = "factory/app-";
/// What an application repo includes or relies on.
const NEEDED: [&str; 4] = [
    "infra/apps/README.md",
    "templates/check/template.yml",
    "templates/build/template.yml",
    "templates/deploy/template.yml",
];

/// The control repo in one folder.
#[derive(Debug)]
pub(super) struct Control {
    git: Git,
    commit: String,
    entries: BTreeMap<String, AppEntry>,
}

/// An entry that is there.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: AppEntry,
    /// The branch that waits to be merged, unless the default branch has the entry.
    pub(super) branch: Option<String>,
}

impl Control {
    /// Reads the control repo in `dir`.
    pub(super) fn open(dir: &Path, factory: &Factory) -> Result<Self, AppError> {
        let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let none = |why| AppError::NoControlRepo { dir: dir.clone(), why };
        let git = Git::new(&dir)?;
        if std::fs::symlink_metadata(dir.join(".git")).is_err() || !git.is_top()? {
            return Err(none("it is not the top directory of a git repo"));
        }
        let branch = &factory.gitlab.default_branch;
        // GitLab's own, when it is known here: applications name its commit in their pipelines.
        let mut commit = None;
        for name in [format!("refs/remotes/origin/{branch}"), format!("refs/heads/{branch}"), "HEAD".into()] {
            commit = git.resolve(&format!("{name}^{{commit}}"))?;
            if commit.is_some() {
                break;
            }
        }
        let commit = commit.ok_or_else(|| none("it has no commit"))?;
        let files = git.tree(&commit)?;
        if let Some(missing) = NEEDED.into_iter().find(|path| !files.contains_key(*path)) {
            return Err(AppError::TooOld { dir, missing, commit: commit.chars().take(12).collect() });
        }
        let entries = entries(&git, &commit)?;
        Ok(Self { git, commit, entries })
    }

    /// The names of the applications that are merged.
    pub(super) fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// The commit whose components applications include.
    pub(super) fn commit(&self) -> &str {
        &self.commit
    }

    /// Where a new repo lands that nobody named a place for.
    pub(super) fn sibling(&self, name: &str) -> PathBuf {
        self.git.dir().parent().unwrap_or(self.git.dir()).join(name)
    }

    /// The entry of an application, merged or waiting.
    pub(super) fn find(&self, name: &str) -> Result<Option<Found>, AppError> {
        if let Some(entry) = self.entries.get(name) {
            return Ok(Some(Found { entry: entry.clone(), branch: None }));
        }
        let branch = format!("{BRANCHES}{name}");
        let Some(commit) = self.git.resolve(&format!("refs/heads/{branch}^{{commit}}"))? else { return Ok(None) };
        let entry = entries(&self.git, &commit)?.remove(name);
        Ok(entry.map(|entry| Found { entry, branch: Some(branch) }))
    }

    /// Every port that an application has or is about to have.
    pub(super) fn taken(&self) -> Result<BTreeSet<u16>, AppError> {
        let pattern = format!("refs/heads/{BRANCHES}*");
        let listing = self.git.run(&["for-each-ref", "--format=%(objectname)", &pattern])?;
        let mut all: Vec<AppEntry> = self.entries.values().cloned().collect();
        for commit in String::from_utf8_lossy(&listing).lines() {
            all.extend(entries(&self.git, commit)?.into_values());
        }
        Ok(all.iter().flat_map(|entry| entry.environments.values()).map(|place| place.port).collect())
    }

    /// Makes the branch that brings the entry; returns its name.
    pub(super) fn propose(&self, request: &Request<'_>, entry: &AppEntry) -> Result<String, AppError> {
        let name = request.name;
        let branch = format!("{BRANCHES}{name}");
        let section = &request.factory.factory;
        let message = format!(
            "Add the application {name}\n\nMerging this takes its ports. `apply:control-plane` then makes its project in GitLab.\n\nMade by factoryup {}.\n",
            env!("CARGO_PKG_VERSION")
        );
        self.git.commit(&NewCommit {
            branch: &branch,
            parent: Some(&self.commit),
            owner: (&section.owner_name, &section.owner_email),
            at: jiff::Timestamp::now().as_second(),
            message: &message,
            edits: &[Edit::Put(Blob::file(format!("{ENTRIES}{name}.json"), entry.to_text()))],
        })?;
        Ok(branch)
    }
}

/// The entries in a commit, by application.
fn entries(git: &Git, commit: &str) -> Result<BTreeMap<String, AppEntry>, AppError> {
    let files = git.tree(commit)?;
    let found: Vec<_> = files
        .iter()
        .filter_map(|(path, file)| {
            let name = path.strip_prefix(ENTRIES)?.strip_suffix(".json")?;
            (!name.contains('/')).then_some((path, name, file.oid.as_str()))
        })
        .collect();
    let oids: Vec<&str> = found.iter().map(|(_, _, oid)| *oid).collect();
    let texts = git.contents(&oids)?;
    found
        .iter()
        .zip(texts)
        .map(|((path, name, _), text)| Ok(((*name).to_owned(), AppEntry::parse(path, &text)?)))
        .collect()
}
