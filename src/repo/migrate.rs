//! Runs the pending [migrations](crate::migrations) of a control repo on its manifest and tree in memory.
//!
//! They come before anything is compared: a file whose id changed is then paired as before, and what the user has in a folder that
//! moves is already where the templates will look for it. What they do ends up in the upgrade's one commit, with a record of each.
//! A migration that cannot do what it says stops the upgrade before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::paths::Paths;
use super::compare::{Comparison, FileEdit};
use super::control::{ControlRepo, Current, SUBMODULE};
use super::desired::Desired;
use super::error::{RepoError, RepoResult};
use super::manifest::{self, Manifest};
use super::report::{Answered, Sort};
use crate::digest::sha256;
use crate::error::Result;
use crate::factory::answered_since;
use crate::git::Blob;
use crate::migrations::{Change, Migration, numbers};

/// What was run, and what it did to the tree.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    migrations: Vec<Migration>,
    /// Where a file is now, with where it is in the commit, and what it is.
    moved: BTreeMap<String, (String, Current)>,
    removed: BTreeMap<String, Current>,
}

/// Refuses a manifest that records what is not in `list`: a newer factoryup ran it.
pub(crate) fn refuse_unknown(list: &[Migration], manifest: &Manifest) -> RepoResult<()> {
    let known = |id: &str| list.iter().any(|migration| migration.id == id);
    match manifest.migrations.iter().find(|record| !known(&record.id)) {
        Some(record) => Err(RepoError::Newer {
            file: manifest::PATH,
            why: format!("it records the migration `{}`, which this version does not know", record.id),
        }),
        None => Ok(()),
    }
}

/// Those that a repo has before it: they came after its templates, and are not recorded.
fn pending<'a>(list: &'a [Migration], manifest: &Manifest) -> impl Iterator<Item = &'a Migration> {
    let at = numbers(&manifest.template.version);
    let recorded: Vec<String> = manifest.migrations.iter().map(|record| record.id.clone()).collect();
    list.iter().filter(move |m| numbers(&m.version) > at && !recorded.contains(&m.id))
}

/// Whether one that is pending looks at the content of `path`.
pub(crate) fn touches(list: &[Migration], manifest: &Manifest, path: &str) -> bool {
    pending(list, manifest).any(|migration| match &migration.change {
        Change::MovePath { from, .. } => below(path, from).is_some(),
        Change::RemovePath { path: gone, .. } => path == gone,
        _ => false,
    })
}

/// What follows `folder` in `path`: nothing when they are the same, `None` when `path` is not below it.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Runs what is pending, in order.
pub(crate) fn run(list: &[Migration], repo: &mut ControlRepo) -> RepoResult<Ran> {
    let mut ran = Ran::default();
    let now: Vec<Migration> = pending(list, &repo.manifest).cloned().collect();
    for migration in now {
        ran.one(&migration.change, repo).map_err(|why| RepoError::Migration { id: migration.id.clone(), why })?;
        let (id, version) = (migration.id.clone(), migration.version.clone());
        repo.manifest.migrations.push(manifest::Migration { id, version });
        ran.migrations.push(migration);
    }
    Ok(ran)
}

impl Ran {
    fn one(&mut self, change: &Change, repo: &mut ControlRepo) -> Result<(), String> {
        match change {
            Change::RenameFile { from, to } => rename(&mut repo.manifest, from, to),
            Change::MovePath { from, to } => self.move_path(repo, from, to),
            Change::RemovePath { path, sha256: known } => self.remove_path(repo, path, known),
            // The answers were brought forward with the text that they are in.
            Change::RenameAnswer { .. } | Change::SetAnswer { .. } | Change::RetireAnswer { .. } => Ok(()),
        }
    }

    fn move_path(&mut self, repo: &mut ControlRepo, from: &str, to: &str) -> Result<(), String> {
        let moving: Vec<(String, String)> =
            repo.files.keys().filter_map(|p| Some((p.clone(), format!("{to}{}", below(p, from)?)))).collect();
        let staying = repo.files.keys().filter(|path| below(path, from).is_none());
        // A name that is not UTF-8 cannot be moved.
        let staying = Paths::new(staying.chain(&repo.unnamed).map(String::as_str));
        for (old, new) in &moving {
            if repo.files[old].mode == SUBMODULE {
                return Err(format!("{old} is a submodule, which cannot be moved"));
            }
            if staying.collides(new) {
                return Err(format!("{old} should move to {new}, which collides with an existing path"));
            }
        }
        for (old, new) in moving {
            let Some(current) = repo.files.remove(&old) else { continue };
            let (first, was) = self.moved.remove(&old).unwrap_or_else(|| (old.clone(), current.clone()));
            if first != new {
                self.moved.insert(new.clone(), (first, was));
            }
            for record in repo.manifest.files.iter_mut().filter(|record| record.path == old) {
                record.path.clone_from(&new);
            }
            repo.files.insert(new, current);
        }
        Ok(())
    }

    fn remove_path(&mut self, repo: &mut ControlRepo, path: &str, known: &[String]) -> Result<(), String> {
        if repo.manifest.files.iter().any(|record| record.path == path) {
            return Err(format!("{path} is a file of the templates"));
        }
        let is_known = |current: &Current| current.bytes.as_ref().is_some_and(|bytes| known.contains(&sha256(bytes)));
        if repo.files.get(path).is_some_and(is_known)
            && let Some(current) = repo.files.remove(path)
        {
            self.removed.insert(path.to_owned(), current);
        }
        Ok(())
    }

    /// Adds what was run to what an upgrade does and says: moved and removed files, the new answers, the records.
    pub(crate) fn add_to(self, comparison: &mut Comparison, desired: &Desired, repo: &ControlRepo) -> Result<()> {
        let edits = &mut comparison.edits;
        // What the comparison takes away from where a file moved to was never there.
        let gone = |edit: &FileEdit| edit.after.is_none() && self.moved.contains_key(&edit.path);
        let taken: BTreeSet<String> = edits.iter().filter(|edit| gone(edit)).map(|edit| edit.path.clone()).collect();
        edits.retain(|edit| !gone(edit));
        for (path, (first, was)) in &self.moved {
            match edits.iter_mut().find(|edit| edit.path == *path) {
                Some(edit) => edit.before = None,
                None if taken.contains(path) => {}
                None => {
                    let after = repo.files.get(path).and_then(Current::blob).map(|b| Blob { path: path.clone(), ..b });
                    edits.push(FileEdit { path: path.clone(), before: None, after });
                    comparison.report.push(path, Sort::Moved { from: first.clone() });
                }
            }
            if edits.iter().all(|edit| edit.path != *first) {
                edits.push(FileEdit { path: first.clone(), before: was.bytes.clone(), after: None });
            }
        }
        for (path, was) in self.removed {
            if edits.iter().all(|edit| edit.path != path) {
                edits.push(FileEdit { path, before: was.bytes, after: None });
            }
        }
        for (field, value) in repo.answers().map_or(Ok(Vec::new()), |lock| answered_since(lock, &desired.factory))? {
            let is_default = field.default_value().as_ref() == Some(&value);
            let (key, value) = (field.key.to_owned(), value.to_toml().to_string());
            comparison.report.answers.push(Answered { key, value, about: field.help.to_owned(), is_default });
        }
        comparison.report.migrations = self.migrations.into_iter().map(|m| format!("{}: {}", m.id, m.about)).collect();
        comparison.news |= !comparison.report.answers.is_empty() || !comparison.report.migrations.is_empty();
        comparison.sort_and_carry(desired, repo);
        Ok(())
    }
}

/// Gives the records of a file, and of its environments, another id.
fn rename(manifest: &mut Manifest, from: &str, to: &str) -> Result<(), String> {
    let renamed = |id: &str| below(id, from).map(|rest| format!("{to}{rest}"));
    if manifest.files.iter().all(|record| below(&record.id, from).is_none()) {
        return Ok(());
    }
    if let Some(record) = manifest.files.iter().find(|record| below(&record.id, to).is_some()) {
        return Err(format!("a file with the id `{}` already exists", record.id));
    }
    let ids = manifest.files.iter_mut().map(|record| &mut record.id);
    for id in ids.chain(manifest.tombstones.iter_mut().map(|tombstone| &mut tombstone.id)) {
        if let Some(new) = renamed(id) {
            *id = new;
        }
    }
    Ok(())
}
