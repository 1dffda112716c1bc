//! Checks that a control repo matches factoryup's records.
//!
//! It reads the commit that is checked out and nothing else, so that it says the same on a laptop and in a pipeline. Files that the
//! user edited are no fault: they are what an upgrade merges. A managed file that was edited is, for it will be in conflict.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::clean::changed;
use super::control::{ControlRepo, Current};
use super::desired::Desired;
use super::manifest::{FileRecord, State};
use super::merge::has_markers;
use super::observe::{Observed, observe, resolve};
use super::record::{ANSWERS, BASE, base_digest};
use crate::digest::{sha256, sha256_of_json};
use crate::error::{Error, Result};
use crate::factory::Factory;
use crate::git::Git;
use crate::templating::catalogue::Class;
use crate::templating::render::render;
use crate::templating::tree::owned;

/// One thing that should hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What should hold.
    pub claim: &'static str,
    /// What does not, one line each; empty when it holds.
    pub faults: Vec<String>,
    /// What to do about it.
    pub remedy: &'static str,
    /// Why it was not looked at, when it was not.
    pub skipped: Option<String>,
}

impl Check {
    /// Whether it holds, as far as it was looked at.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    /// A check, with what it found wrong.
    pub(crate) fn new(claim: &'static str, remedy: &'static str, faults: impl IntoIterator<Item = String>) -> Self {
        Self { claim, faults: faults.into_iter().collect(), remedy, skipped: None }
    }
}

/// Checks the control repo in `dir`.
///
/// # Errors
/// `Usage` when there is none; `Data` when its manifest cannot be read or was written by a newer factoryup.
pub fn check(dir: &Path, factory: &Factory, factory_toml: &str) -> Result<Vec<Check>> {
    let desired = Desired::new(factory, factory_toml)?;
    match observe(&Git::new(&resolve(dir)?)?, &desired)? {
        Observed::Control(repo) => Ok(vec![
            conflicts(&repo),
            markers(&repo),
            tampering(&repo),
            bases(&repo),
            answers(&repo),
            rendering(&repo, &desired),
        ]),
        Observed::Vacant { .. } | Observed::CutShort | Observed::Foreign(_) => {
            Err(Error::usage(format!("{} has no control repo yet", dir.display()))
                .hint("create it: factoryup apply repo"))
        }
    }
}

/// A control repo in brief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The commit that is checked out.
    pub head: String,
    /// Its branch.
    pub branch: Option<String>,
    /// The version of its templates.
    pub templates: String,
    /// How many files of that commit were changed since, in the index or in the work tree. New files do not count.
    pub changed: usize,
}

/// Looks at the control repo in `dir`; none where there is none.
///
/// # Errors
/// As [`check`].
pub fn glance(dir: &Path, factory: &Factory, factory_toml: &str) -> Result<Option<Glance>> {
    let desired = Desired::new(factory, factory_toml)?;
    let Observed::Control(repo) = observe(&Git::new(&resolve(dir)?)?, &desired)? else { return Ok(None) };
    let paths: Vec<&str> = repo.files.keys().map(String::as_str).collect();
    let changed = changed(&repo.git, &repo.head, &paths)?.len();
    let templates = repo.manifest.template.version.clone();
    Ok(Some(Glance { head: repo.head, branch: repo.branch, templates, changed }))
}

fn conflicts(repo: &ControlRepo) -> Check {
    let waiting = repo.manifest.files.iter().filter(|record| record.state == State::Conflict);
    Check::new("no unresolved conflicts", "resolve them: factoryup resolve", waiting.map(|record| record.path.clone()))
}

fn markers(repo: &ControlRepo) -> Check {
    let marked = |current: &Current| current.bytes.as_deref().is_some_and(has_markers);
    let found = repo.files.iter().filter(|(path, current)| !path.starts_with(BASE) && marked(current));
    Check::new(
        "no conflict markers in generated files",
        "merge the two versions and remove the lines with the markers",
        found.map(|(path, _)| path.clone()),
    )
}

fn tampering(repo: &ControlRepo) -> Check {
    let edited = |record: &&FileRecord| {
        let Some(current) = repo.files.get(&record.path) else { return false };
        let bytes = current.bytes.as_deref().and_then(|bytes| owned(record.class, bytes));
        bytes.is_none_or(|bytes| sha256(bytes) != record.written) || current.mode != record.mode
    };
    let managed = repo.manifest.files.iter().filter(|r| r.class == Class::Managed && r.state == State::Ok);
    Check::new(
        "files managed by factoryup are unchanged",
        "change the setting in factory.toml that they depend on, or ask for the missing feature upstream; then restore them from git",
        managed.filter(edited).map(|record| record.path.clone()),
    )
}

fn bases(repo: &ControlRepo) -> Check {
    let needed: BTreeMap<&str, &str> = repo
        .manifest
        .files
        .iter()
        .filter(|record| record.keeps_base())
        .map(|record| (record.base.as_str(), record.path.as_str()))
        .collect();
    let whole = |digest: &str| {
        repo.files.get(&format!("{BASE}{digest}")).and_then(|c| c.bytes.as_deref()).is_some_and(|b| sha256(b) == digest)
    };
    let missing = needed
        .iter()
        .filter(|(digest, _)| !whole(digest))
        .map(|(_, path)| format!("the base version of {path} is missing"));
    let kept: BTreeSet<&str> = repo.files.keys().filter_map(|path| base_digest(path)).collect();
    let unneeded =
        kept.iter().filter(|digest| !needed.contains_key(*digest)).map(|d| format!("{BASE}{d} belongs to no file"));
    Check::new(
        "base versions are complete",
        "restore the directory from git: git checkout COMMIT -- .factory",
        missing.chain(unneeded),
    )
}

fn answers(repo: &ControlRepo) -> Check {
    // By what stands in the file and not by what it means today, which another version may see otherwise.
    let table = repo.answers().and_then(|text| text.parse::<toml::Table>().ok());
    let fault = match table {
        Some(table) if sha256_of_json(&table) == repo.manifest.answers_sha256 => None,
        Some(_) => Some(format!("{ANSWERS} does not match the manifest")),
        None => Some(format!("cannot read {ANSWERS}")),
    };
    Check::new(
        "the last applied settings are recorded",
        "restore the directory from git: git checkout COMMIT -- .factory",
        fault,
    )
}

/// The answers last applied.
fn applied(repo: &ControlRepo) -> Option<Factory> {
    crate::factory::parse(repo.answers()?, ANSWERS).ok()
}

fn rendering(repo: &ControlRepo, desired: &Desired) -> Check {
    let claim = "the templates with the last applied settings render the recorded files";
    let remedy = "restore the manifest, which was edited, from git: git checkout COMMIT -- .factory";
    if repo.manifest.template.pack_sha256 != desired.tree.pack_sha256 {
        let (theirs, own) = (&repo.manifest.template.version, &desired.tree.version);
        let why = format!("the repo has the templates {theirs}, this factoryup has {own}");
        return Check { skipped: Some(why), ..Check::new(claim, remedy, None) };
    }
    let Some(tree) = applied(repo).and_then(|factory| render(&factory).ok()) else {
        return Check {
            skipped: Some("the last applied settings are not recorded".into()),
            ..Check::new(claim, remedy, None)
        };
    };
    let digests: BTreeMap<&str, String> = tree.files.iter().map(|file| (file.id.as_str(), file.sha256())).collect();
    // What waits for the user keeps an older base on purpose; what is the user's own was rendered by the templates of its day.
    let compared = repo.manifest.files.iter().filter(|r| r.state != State::Conflict && r.class != Class::Seeded);
    let differs = compared.filter(|record| digests.get(record.id.as_str()) != Some(&record.base));
    Check::new(claim, remedy, differs.map(|record| record.path.clone()))
}
