//! Resolves conflicts: for each file that an upgrade could not merge, the user chooses the content.
//!
//! It is settled in the work tree, since that is where the user looks at the result: the file, its record, and the proposal, which
//! goes. Only over paths that are as the commit has them that was read, while it is checked out, and staged, so that `git commit` ends
//! it. One conflict is settled as a whole: killed in the middle, it waits as before, or the next start ends it
//! (`journal`).

mod keep;
mod tool;
mod view;

use std::fs;
use std::path::Path;

use super::clean::{Changed, changed, refuse_overlooked};
use super::compare::paths::Paths;
use super::control::ControlRepo;
use super::desired::{Desired, blob};
use super::error::{RepoError, RepoResult};
use super::journal::Steps;
use super::manifest::{self, FileRecord, Manifest, State};
use super::merge::has_markers;
use super::observe::{Observed, observe, resolve};
use super::record::{BASE, CONFLICTS};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::factory::Factory;
use crate::git::Blob;
use crate::git::Git;
use crate::git::write::Edit;
use crate::templating::block;
use crate::templating::catalogue::Class;
use crate::templating::tree::{Mode, RenderedFile, owned};

/// What a file is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// What the user has.
    Mine,
    /// What the templates propose.
    Proposal,
    /// This text.
    Text(Vec<u8>),
}

/// One conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Names the file.
    pub id: String,
    /// Where the user has it, or where it should land.
    pub path: String,
    /// What the templates rendered before, when it is known.
    pub base: Option<Vec<u8>>,
    /// What the user has, when it is there.
    pub mine: Option<Vec<u8>>,
    /// What the templates propose.
    pub proposal: Vec<u8>,
}

/// A conflict whose proposal is in no commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// Where the user has the file.
    pub path: String,
    /// Whether the proposal is in the work tree: an upgrade in place wrote it, and is not committed. Otherwise somebody removed it, and
    /// the next upgrade puts it back.
    pub is_written: bool,
}

impl Unsettled {
    /// Why it cannot be resolved yet.
    #[must_use]
    pub fn why(&self) -> String {
        let path = &self.path;
        if self.is_written {
            format!("the template version of {path} is not committed yet")
        } else {
            format!("the template version of {path} is missing")
        }
    }

    /// What to do first.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        if self.is_written {
            "commit the files of the upgrade first: git add --all && git commit"
        } else {
            "run `factoryup upgrade` to restore it, then run the command again"
        }
    }
}

/// The conflicts of a control repo.
#[derive(Debug)]
pub struct Resolver {
    desired: Desired,
    repo: Box<ControlRepo>,
    /// The digest of the manifest in the work tree, as it was read or written last.
    manifest_sha256: Option<String>,
}

/// Refuses a branch of which origin has more, as far as was fetched: its conflicts may be resolved there, or their texts be written.
fn refuse_behind(git: &Git) -> Result<()> {
    let Some((_, Some(branch))) = git.head()? else { return Ok(()) };
    let there = format!("refs/remotes/origin/{branch}");
    if git.resolve(&there)?.is_none() {
        return Ok(());
    }
    let more = git.run(&["rev-list", "--count", &format!("HEAD..{there}")])?;
    match String::from_utf8_lossy(&more).trim() {
        "0" => Ok(()),
        more => Err(Error::usage(format!("origin/{branch} has {more} commits more than {branch} here"))
            .hint(format!("take them first: git merge --ff-only origin/{branch}"))),
    }
}

impl Resolver {
    /// Reads the conflicts of the commit that is checked out in `dir`.
    ///
    /// # Errors
    /// `Usage` when there is no control repo, or the branch is behind origin's; as [`RepoTarget`](super::RepoTarget)'s otherwise.
    pub fn open(dir: &Path, factory: &Factory, factory_toml: &str) -> Result<Self> {
        let desired = Desired::new(factory, factory_toml)?;
        match observe(&Git::new(&resolve(dir)?)?, &desired)? {
            Observed::Control(mut repo) => {
                refuse_behind(&repo.git)?;
                // What was settled before is staged there and not committed yet.
                // Where it is not there, as in a sparse checkout, nothing was settled.
                let text = manifest::in_work_tree(repo.git.dir())?;
                if let Some(text) = &text {
                    repo.manifest = Manifest::parse(text)?;
                }
                Ok(Self { desired, repo, manifest_sha256: text.map(|text| sha256(text.as_bytes())) })
            }
            Observed::Vacant { .. } | Observed::CutShort | Observed::Foreign(_) => {
                Err(Error::usage(format!("{} has no control repo yet", dir.display())))
            }
        }
    }

    /// Whether the checked-out branch follows one of a remote, which then has the conflict too.
    #[must_use]
    pub fn is_pushed(&self) -> bool {
        self.repo.git.run(&["rev-parse", "--verify", "--quiet", "@{upstream}"]).is_ok()
    }

    /// The conflicts, sorted by path.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        let waiting = self.repo.manifest.files.iter().filter(|record| record.state == State::Conflict);
        waiting
            .filter_map(|record| {
                let content = |path: &str| self.repo.files.get(path).and_then(|current| current.bytes.clone());
                Some(Pending {
                    id: record.id.clone(),
                    path: record.path.clone(),
                    base: content(&format!("{BASE}{}", record.base)).filter(|bytes| sha256(bytes) == record.base),
                    mine: content(&record.path),
                    proposal: content(&format!("{CONFLICTS}{}", record.id))?,
                })
            })
            .collect()
    }

    /// The files of those conflicts whose proposal is in no commit, so that they cannot be settled here.
    #[must_use]
    pub fn without_proposal(&self) -> Vec<Unsettled> {
        let pending: Vec<String> = self.pending().into_iter().map(|pending| pending.id).collect();
        let waiting = self.repo.manifest.files.iter().filter(|record| record.state == State::Conflict);
        waiting
            .filter(|record| !pending.contains(&record.id))
            .map(|record| {
                let proposal = self.repo.git.dir().join(format!("{CONFLICTS}{}", record.id));
                Unsettled { path: record.path.clone(), is_written: fs::symlink_metadata(proposal).is_ok() }
            })
            .collect()
    }

    /// Gives the file of the conflict `id` the content chosen, and stages it.
    ///
    /// # Errors
    /// `Usage` when the choice cannot be made here: the work tree has changes that are not committed, the templates moved on, the
    /// place is taken, or the text contains conflict markers. `CutShort` when somebody committed or settled something since it was opened.
    /// `CannotWrite` when writing fails. A text that was chosen is kept then, and a hint says where.
    pub fn settle(&mut self, id: &str, choice: &Choice) -> Result<()> {
        match (self.settle_as(id, choice), choice) {
            (Err(error), Choice::Text(text)) => Err(self.keep(id, text, error)),
            (settled, _) => settled,
        }
    }

    fn settle_as(&mut self, id: &str, choice: &Choice) -> Result<()> {
        let refused = |why: String| Error::usage(format!("cannot resolve the conflict of {id}: {why}"));
        let record = self.repo.manifest.files.iter().find(|r| r.id == id && r.state == State::Conflict).cloned();
        let record = record.ok_or_else(|| refused("there is no such conflict".into()))?;
        let proposal = format!("{CONFLICTS}{id}");
        let file = self.desired.tree.files.iter().find(|file| file.id == id);
        let proposed = self.repo.files.get(&proposal).and_then(|current| current.bytes.as_ref());
        let Some(file) = file.filter(|file| proposed == Some(&file.bytes)).cloned() else {
            let moved_on = "the templates or the settings have changed since";
            return Err(refused(moved_on.into()).hint("run `factoryup upgrade` first"));
        };
        let at = if record.base.is_empty() { &file.path } else { &record.path };
        let mine = self.repo.files.get(at);
        let taken = Paths::new(self.repo.paths().filter(|path| *path != at));
        // Also one's own version moves with the file.
        if (*choice != Choice::Mine || at != &file.path) && taken.collides(&file.path) {
            return Err(refused(format!("the path {} is in use", file.path))
                .hint("move that file, then run `factoryup upgrade`"));
        }
        let mode = mine.and_then(|current| Mode::parse(&current.mode));
        let content = match choice {
            Choice::Mine => mine.and_then(|c| Some(Blob { path: String::new(), mode: mode?, bytes: c.bytes.clone()? })),
            Choice::Proposal => Some(Self::proposed(&file, mine.and_then(|c| c.bytes.as_deref()), mode)),
            Choice::Text(bytes) if has_markers(bytes) => {
                return Err(refused("the text contains conflict markers".into()));
            }
            Choice::Text(bytes) => {
                let mode = mode.filter(|mode| *mode != Mode::Link).unwrap_or(file.mode);
                Some(Blob { path: String::new(), mode, bytes: bytes.clone() })
            }
        };
        let base = format!("{BASE}{}", file.sha256());
        let former = format!("{BASE}{}", record.base);
        let mut touched = vec![at.as_str(), &file.path, manifest::PATH, &proposal, &base];
        if !record.base.is_empty() {
            touched.push(&former);
        }
        let (edits, manifest) = self.edits(&file, &record, content.as_ref(), &base, &proposal)?;
        let git = self.repo.git.clone();
        let steps = Steps::new(&git, &edits)?;
        self.refuse_uncommitted(&touched)?;
        // Another conflict may have been settled meanwhile, which leaves the commit as it is.
        if steps.before(manifest::PATH).map(|(_, digest)| digest) != self.manifest_sha256.as_ref() {
            return Err(RepoError::Meanwhile(format!("{} was changed", manifest::PATH)).into());
        }
        steps.carry_out(true)?;
        self.manifest_sha256 = Some(sha256(manifest.to_text()?.as_bytes()));
        self.repo.manifest = manifest;
        Ok(())
    }

    /// The proposal as it would be written: of a block only the body.
    fn proposed(file: &RenderedFile, mine: Option<&[u8]>, mode: Option<Mode>) -> Blob {
        let whole = blob(file);
        let body = std::str::from_utf8(file.owned()).ok().filter(|_| file.class == Class::Block);
        let around = mine.and_then(|bytes| std::str::from_utf8(bytes).ok());
        match body.zip(around).and_then(|(body, text)| block::replace(text, body)) {
            Some(text) => Blob { bytes: text.into_bytes(), mode: mode.unwrap_or(whole.mode), ..whole },
            None => whole,
        }
    }

    /// Of some paths those that git knows or that are there: it takes no others.
    fn known<'a>(&self, paths: &[&'a str]) -> Vec<&'a str> {
        let there = |path: &&str| {
            self.repo.files.contains_key(*path) || fs::symlink_metadata(self.repo.git.dir().join(path)).is_ok()
        };
        paths.iter().copied().filter(there).collect()
    }

    fn refuse_uncommitted(&self, paths: &[&str]) -> RepoResult<()> {
        let known = self.known(paths);
        refuse_overlooked(&self.repo.git, &known)?;
        // What was settled before left staged files in `.factory/`.
        let settled = |change: &Changed| change.staged && change.path.starts_with(".factory/");
        let changed = changed(&self.repo.git, &self.repo.head, &known)?;
        let dirty: Vec<String> = changed.into_iter().filter(|c| !settled(c)).map(|c| c.path).collect();
        if dirty.is_empty() { Ok(()) } else { Err(RepoError::Uncommitted(dirty)) }
    }

    /// What settles a conflict: what is written and removed, and the manifest that is then right.
    fn edits(
        &self,
        file: &RenderedFile,
        record: &FileRecord,
        content: Option<&Blob>,
        base: &str,
        proposal: &str,
    ) -> Result<(Vec<Edit>, Manifest)> {
        let fresh = FileRecord::of(file, &self.desired.tree.version);
        let written =
            content.map_or(fresh.written.clone(), |b| sha256(owned(file.class, &b.bytes).unwrap_or(&b.bytes)));
        let state = if content.is_some() { State::Ok } else { State::DeletedByUser };
        let settled = FileRecord { written, state, ..fresh };
        let mut manifest = self.repo.manifest.clone();
        for known in &mut manifest.files {
            if known.id == settled.id {
                known.clone_from(&settled);
            }
        }
        let mut edits = vec![Edit::Remove(proposal.to_owned())];
        // The text that it was rendered from before is not needed any more, unless another file began with the same one.
        let needed = |other: &FileRecord| other.keeps_base() && other.base == record.base;
        if record.keeps_base() && !manifest.files.iter().any(needed) {
            edits.push(Edit::Remove(format!("{BASE}{}", record.base)));
        }
        if record.path != file.path && !record.base.is_empty() {
            edits.push(Edit::Remove(record.path.clone()));
        }
        if let Some(content) = content {
            edits.push(Edit::Put(Blob { path: file.path.clone(), ..content.clone() }));
        }
        if settled.keeps_base() {
            edits.push(Edit::Put(Blob::file(base, file.owned())));
        }
        edits.push(Edit::Put(Blob::file(manifest::PATH, manifest.to_text()?)));
        Ok((edits, manifest))
    }
}
