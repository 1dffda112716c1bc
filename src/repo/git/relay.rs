//! A throw-away repo between a repo and a remote.
//!
//! A token must not depend on what stands in the repo's own `.git/config`, which comes with a folder that somebody packed: a proxy, a
//! switched-off certificate check or a helper there would have it. So no command that gets a token reads that file: it runs in an empty
//! bare repo that borrows the other's objects. What the user configured for themselves and for the machine holds as ever; the
//! throw-away repo lies in the other's git folder, so that an `includeIf "gitdir:…"` finds it too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Git;
use crate::error::Kind;
use crate::repo::error::{RepoError, RepoResult};

/// The protocols that a remote is spoken to by.
const PROTOCOLS: &str = "http:https";

/// The throw-away repo. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    repo: &'a Git,
    git: Git,
    objects: PathBuf,
    _folder: TempDir,
}

impl Git {
    /// Writes entries into the index, in the form of `git update-index -z --index-info`. git looks again at files that were changed in the
    /// moment of the last write, and would start the repo's filters for them; in the throw-away repo there are none.
    pub(crate) fn update_index(&self, entries: &[u8]) -> RepoResult<()> {
        let relay = Relay::new(self)?;
        let index = self.dir().join(self.line(&["rev-parse", "--git-path", "index"])?);
        let list = relay.folder().join("entries");
        fs::write(&list, entries).map_err(RepoError::io("write", &list))?;
        let input = fs::File::open(&list).map_err(RepoError::io("read", &list))?;
        let mut command = relay.command();
        command.current_dir(self.dir()).env("GIT_WORK_TREE", self.dir()).env("GIT_INDEX_FILE", index);
        let args = ["update-index", "-z", "--index-info"];
        let output = command.args(args).stdin(input).output().map_err(RepoError::GitDoesNotRun)?;
        self.checked(&args, output).map(drop)
    }
}

impl<'a> Relay<'a> {
    /// Makes one that has the objects of `repo`, and no refs.
    pub(super) fn new(repo: &'a Git) -> RepoResult<Self> {
        let facts = repo.run(&["rev-parse", "--show-object-format", "--git-path", "objects"])?;
        let facts = String::from_utf8_lossy(&facts).into_owned();
        let (format, objects) = facts.trim_end_matches('\n').split_once('\n').unwrap_or(("sha1", ".git/objects"));
        let objects = repo.dir().join(objects);
        let common = objects.parent().unwrap_or(repo.dir());
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("factoryup-remote-");
        // Elsewhere when nothing can be written there, as a listing needs no write.
        let folder = builder
            .tempdir_in(common)
            .or_else(|_| builder.tempdir())
            .map_err(RepoError::io("make a folder in", &std::env::temp_dir()))?;
        let git = Git::new(folder.path())?;
        git.run(&["init", "--quiet", "--bare", "--template=", &format!("--object-format={format}")])?;
        let shallow = common.join("shallow");
        if shallow.is_file() {
            let copy = folder.path().join("shallow");
            fs::copy(&shallow, &copy).map_err(RepoError::io("write", &copy))?;
        }
        Ok(Self { repo, git, objects, _folder: folder })
    }

    /// A git command in it, which may speak HTTP.
    pub(super) fn command(&self) -> Command {
        let mut command = self.git.command();
        // Named, since `safe.bareRepository` can forbid to find one.
        command.env("GIT_DIR", self.git.dir()).env("GIT_OBJECT_DIRECTORY", &self.objects);
        command.env("GIT_ALLOW_PROTOCOL", PROTOCOLS);
        command
    }

    /// A refspec for a push, with the object's id in place of a name that only the repo knows.
    pub(super) fn outgoing(&self, refspec: &str) -> RepoResult<String> {
        let (force, rest) = refspec.strip_prefix('+').map_or(("", refspec), |rest| ("+", rest));
        let (from, to) = rest.split_once(':').unwrap_or((rest, rest));
        let oid = if from.is_empty() { None } else { self.repo.resolve(from)? };
        // A name that there is not is left to git, which says so.
        Ok(format!("{force}{}:{to}", oid.as_deref().unwrap_or(from)))
    }

    /// Copies the repo's refs, so that a fetch brings only what is new.
    pub(super) fn know_refs(&self) -> RepoResult<()> {
        let commands = self.repo.run(&["for-each-ref", "--format=create %(refname) %(objectname)"])?;
        let copy = self.folder().join("refs-to-copy");
        fs::write(&copy, commands).map_err(RepoError::io("write", &copy))?;
        let input = fs::File::open(&copy).map_err(RepoError::io("read", &copy))?;
        let args = ["update-ref", "--stdin"];
        let output = self.command().args(args).stdin(input).output().map_err(RepoError::GitDoesNotRun)?;
        self.git.checked(&args, output).map(drop)
    }

    /// Gives the repo the ref that a fetch brought.
    pub(super) fn hand_over(&self, refspec: &str) -> RepoResult<()> {
        let Some((_, to)) = refspec.split_once(':').filter(|(_, to)| !to.is_empty()) else { return Ok(()) };
        let args = ["rev-parse", "--verify", "--end-of-options", to];
        let output = self.command().args(args).output().map_err(RepoError::GitDoesNotRun)?;
        let oid = String::from_utf8_lossy(&self.git.checked(&args, output)?).trim().to_owned();
        self.repo.run(&["update-ref", to, &oid]).map(drop)
    }

    /// Refuses to fetch into the branch that is checked out, as git does: index and work tree would lag behind it.
    pub(super) fn refuse_checked_out(&self, refspec: &str, url: &str) -> RepoResult<()> {
        let to = refspec.split_once(':').map_or("", |(_, to)| to);
        let on = self.repo.head()?.and_then(|(_, branch)| branch).map(|name| format!("refs/heads/{name}"));
        if on.as_deref() != Some(to) {
            return Ok(());
        }
        let why = format!("{to} is checked out in {}", self.repo.dir().display());
        Err(RepoError::Remote { url: url.to_owned(), why, kind: Kind::CannotWrite })
    }

    fn folder(&self) -> &Path {
        self.git.dir()
    }
}
