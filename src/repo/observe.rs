//! Reads the current state: nothing, a control repo, or something that factoryup must not touch. Writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::control::{ControlRepo, Current, SUBMODULE};
use super::desired::Desired;
use super::error::{RepoError, RepoResult};
use super::manifest::{self, Manifest};
use super::migrate;
use super::record::{ANSWERS, BASE, CONFLICTS};
use super::stage::Stage;
use crate::budget;
use crate::factory::{FILE_NAME, SCHEMA};
use crate::git::Git;
use crate::git::read::TreeEntry;
use crate::migrations::Migration;
use crate::templating::error::TemplateError;

/// What is there.
#[derive(Debug)]
pub(crate) enum Observed {
    /// A place for a new repo.
    Vacant {
        /// The repo whose work tree it would lie in.
        inside: Option<PathBuf>,
    },
    /// A control repo whose work tree a killed run did not finish.
    CutShort,
    /// A control repo.
    Control(Box<ControlRepo>),
    /// A repo that factoryup did not make, with an empty manifest: what it holds is the user's.
    Foreign(Box<ControlRepo>),
}

/// The folder that a path means: absolute, with links followed as far as it exists.
pub(crate) fn resolve(dir: &Path) -> RepoResult<PathBuf> {
    let absolute = std::path::absolute(dir).map_err(RepoError::io("find", dir))?;
    match fs::canonicalize(&absolute) {
        Ok(path) => Ok(path),
        Err(_) if fs::symlink_metadata(&absolute).is_ok() => {
            let why = "it is a broken link".into();
            Err(RepoError::Occupied { dir: absolute, why })
        }
        Err(_) => match (absolute.parent().map(fs::canonicalize), absolute.file_name()) {
            (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
            _ => Ok(absolute),
        },
    }
}

/// Looks at the folder of `git`, which [`resolve`] returned.
pub(crate) fn observe(git: &Git, desired: &Desired) -> RepoResult<Observed> {
    observe_for(crate::migrations::all().map_err(|e| TemplateError::Catalogue(e.to_string()))?, git, desired)
}

/// The same for another list of migrations than this binary's.
pub(crate) fn observe_for(list: &[Migration], git: &Git, desired: &Desired) -> RepoResult<Observed> {
    let dir = git.dir();
    if fs::symlink_metadata(dir.join(".git")).is_err() {
        vacant(dir, desired)?;
        return Ok(Observed::Vacant { inside: surrounding(dir) });
    }
    if !Stage::left_behind(dir)?.is_empty() {
        return Ok(Observed::CutShort);
    }
    control(list, git.clone(), desired)
}

/// Whether a folder is a repo by itself: gitrepository-layout(5).
pub(crate) fn is_bare(dir: &Path) -> bool {
    dir.join("HEAD").is_file() && dir.join("objects").is_dir() && dir.join("refs").is_dir()
}

/// Refuses a folder that holds anything but a `factory.toml` that is the desired one.
fn vacant(dir: &Path, desired: &Desired) -> RepoResult<()> {
    let occupied = |why: String| RepoError::Occupied { dir: dir.to_owned(), why };
    if fs::symlink_metadata(dir).is_err() {
        return Ok(());
    }
    if is_bare(dir) {
        return Err(RepoError::Bare(dir.to_owned()));
    }
    if !dir.is_dir() {
        return Err(occupied("it is not a directory".into()));
    }
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.map_err(RepoError::io("read", dir))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        match name.to_str() {
            Some(FILE_NAME) => {
                let path = entry.path();
                if !entry.file_type().is_ok_and(|t| t.is_file()) {
                    return Err(occupied(format!("its {FILE_NAME} is not a regular file")));
                }
                if budget::read(&path).map_err(RepoError::io("read", &path))? != desired.factory_toml.as_bytes() {
                    return Err(occupied(format!("its {FILE_NAME} differs from the one to commit")));
                }
            }
            _ if Stage::is_in(dir, &name)? => {}
            _ => return Err(occupied(format!("it is not empty: it contains {}", name.display()))),
        }
    }
    Ok(())
}

/// The work tree that `dir` lies in, when it does.
fn surrounding(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().skip(1).find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

fn control(list: &[Migration], git: Git, desired: &Desired) -> RepoResult<Observed> {
    let Some((head, branch)) = git.head()? else {
        let dir = git.dir().to_owned();
        let why = "its .git is not a valid git directory".into();
        return Err(if git.is_top()? { RepoError::NoCommit(dir) } else { RepoError::Occupied { dir, why } });
    };
    let (entries, unnamed) = git.whole_tree(&head)?;
    let Some(found) = entries.get(manifest::PATH) else {
        refuse_own_names(git.dir(), entries.keys().chain(&unnamed))?;
        let none = Manifest::none();
        return read(list, git, (head, branch), (&entries, unnamed), none, desired).map(Observed::Foreign);
    };
    let text = git.contents(&[&found.oid])?.pop().unwrap_or_default();
    let manifest = Manifest::parse(&String::from_utf8_lossy(&text))?;
    migrate::refuse_unknown(list, &manifest)?;
    if manifest.is_ahead_of(&desired.tree.version) {
        let why =
            format!("it has the templates {}; this version has {}", manifest.template.version, desired.tree.version);
        return Err(RepoError::Newer { file: manifest::PATH, why });
    }
    read(list, git, (head, branch), (&entries, unnamed), manifest, desired).map(Observed::Control)
}

/// The names under which factoryup keeps its records are not merged, so nothing else may have them.
fn refuse_own_names<'a>(dir: &Path, mut paths: impl Iterator<Item = &'a String>) -> RepoResult<()> {
    let folder = BASE.split('/').next().unwrap_or_default();
    let own = |path: &&String| {
        let top = path.split('/').next().unwrap_or_default();
        top.eq_ignore_ascii_case(folder) || top.eq_ignore_ascii_case(FILE_NAME) && *path != FILE_NAME
    };
    match paths.find(own) {
        Some(path) => Err(RepoError::OwnName { dir: dir.to_owned(), path: path.clone() }),
        None => Ok(()),
    }
}

/// Reads what matters here of the commit `head`.
fn read(
    list: &[Migration],
    git: Git,
    (head, branch): (String, Option<String>),
    (entries, unnamed): (&BTreeMap<String, TreeEntry>, Vec<String>),
    manifest: Manifest,
    desired: &Desired,
) -> RepoResult<Box<ControlRepo>> {
    let known = manifest.files.iter().map(|record| record.path.as_str());
    let wanted = desired.tree.files.iter().map(|file| file.path.as_str());
    let own = entries.keys().map(String::as_str).filter(|path| path.starts_with(BASE) || path.starts_with(CONFLICTS));
    let mut read: Vec<&str> = known
        .chain(wanted)
        .chain(own)
        .chain(entries.keys().map(String::as_str).filter(|path| migrate::touches(list, &manifest, path)))
        .chain([FILE_NAME, ANSWERS])
        .filter(|path| entries.get(*path).is_some_and(|e| e.mode != SUBMODULE))
        .collect();
    read.sort_unstable();
    read.dedup();
    let oids: Vec<&str> = read.iter().map(|path| entries[*path].oid.as_str()).collect();
    let mut contents: BTreeMap<&str, Vec<u8>> = read.iter().copied().zip(git.contents(&oids)?).collect();
    let files = entries
        .iter()
        .map(|(path, entry)| {
            (path.clone(), Current { mode: entry.mode.clone(), bytes: contents.remove(path.as_str()) })
        })
        .collect();
    let repo = ControlRepo { git, head, branch, manifest, files, unnamed };
    match repo.answers().and_then(crate::factory::schema_of) {
        Some(number) if number > SCHEMA => Err(RepoError::Newer {
            file: ANSWERS,
            why: format!("it has schema {number}; this version supports up to {SCHEMA}"),
        }),
        _ => Ok(Box::new(repo)),
    }
}
