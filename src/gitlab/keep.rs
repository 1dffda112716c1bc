//! Tokens and records that the GitLab setup stores in the state directory, because GitLab shows them only once.
//!
//! | file | holds |
//! |---|---|
//! | `gitlab.json` | which project the rest belongs to; ids of runners; whose token the agent's is |
//! | `agent-token` | the agent's token, which the host target brings to the host |
//! | `desk-token` | the token for the agent's issues and reviews, likewise |
//! | `runner-trusted-token`, `runner-untrusted-token` | the runners' tokens, likewise |
//! | `state-passphrase-PROJECT-GITLAB-ROOT` | the passphrase of a root's state: PROJECT is the project's id, GITLAB a digest of the instance's address |
//!
//! All of them have mode 0600 in a folder of mode 0700. The text of a token is the file's only line. Losing a token costs a new one, and
//! nothing else. Losing a passphrase costs the state. So no passphrase is removed or overwritten, and its name has nothing in it that changes
//! when the project moves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::error::GitlabResult;
use super::http::BaseUrl;
use crate::digest::sha256;
use crate::error::Error;
use crate::plan::{create_atomically, write_atomically, write_json};
use crate::secret::Secret;

/// The agent's token.
pub(super) const AGENT_TOKEN: &str = "agent-token";
/// The token for the agent's issues and reviews.
pub(super) const DESK_TOKEN: &str = "desk-token";
/// What is remembered.
pub(super) const MEMORY: &str = "gitlab.json";
/// How the name of a passphrase's file begins.
const PASSPHRASE: &str = "state-passphrase-";
const SCHEMA: u32 = 1;

/// The part of the state folder that this target writes.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    dir: PathBuf,
    project: String,
}

/// `gitlab.json`.
// A key too many is no damage: earlier files have an empty `variables`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Format number.
    pub(super) schema: u32,
    /// URL of the project that all of it belongs to.
    pub(super) project: String,
    /// Ids of the runners, by name.
    pub(super) runners: BTreeMap<String, u64>,
    /// Whose the kept agent token is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) agent: Option<TokenMemory>,
    /// Where GitLab refused to make a service account: `group`, `project`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) refused_accounts: BTreeSet<String>,
    /// Whether the policy checks that need a job passed since the last change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) jobs_passed: bool,
}

/// What is remembered of the agent's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenMemory {
    /// Id of the account.
    pub(super) account: u64,
    /// The day on which it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) made: Option<Date>,
    /// The day on which it ends, at 0:00 UTC.
    pub(super) ends: Date,
    /// Whether the account is a user, and no service account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) user: bool,
}

impl Keep {
    /// The files in `dir` for the project at URL `project`.
    pub(super) fn new(dir: &Path, project: String) -> Self {
        Self { dir: dir.to_owned(), project }
    }

    /// Where a file is, for people.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The file with a runner's token.
    pub(super) fn runner_token(name: &str) -> String {
        format!("runner-{name}-token")
    }

    /// What is remembered about this project; nothing when the file is about another one.
    pub(super) fn memory(&self) -> GitlabResult<Memory> {
        Ok(self.read()?.unwrap_or_else(|| Memory {
            schema: SCHEMA,
            project: self.project.clone(),
            runners: BTreeMap::new(),
            agent: None,
            refused_accounts: BTreeSet::new(),
            jobs_passed: false,
        }))
    }

    /// What the file says about this project.
    fn read(&self) -> GitlabResult<Option<Memory>> {
        let path = self.path(MEMORY);
        let text = match crate::budget::read_text(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::data(format!("cannot read {}: {e}", path.display())).into()),
        };
        let damaged = |why: String| {
            Error::data(format!("{} is damaged: {why}", path.display()))
                .hint("delete it; factoryup then recreates its records, with new tokens for the runners")
        };
        let memory: Memory = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if memory.schema != SCHEMA {
            return Err(damaged(format!("its schema is {}, not {SCHEMA}", memory.schema)).into());
        }
        Ok(Some(memory).filter(|memory| memory.project == self.project))
    }

    /// Changes what is remembered.
    pub(super) fn remember(&self, change: impl FnOnce(&mut Memory)) -> GitlabResult<()> {
        let mut memory = self.memory()?;
        change(&mut memory);
        Ok(write_json(&self.path(MEMORY), &memory)?)
    }

    /// A kept secret of this project.
    pub(super) fn secret(&self, name: &str) -> GitlabResult<Option<Secret>> {
        // A token of another project, or of another instance, must not be sent to this one.
        if self.read()?.is_none() { Ok(None) } else { read(&self.path(name)) }
    }

    /// Keeps a secret.
    pub(super) fn put_secret(&self, name: &str, secret: &Secret) -> GitlabResult<()> {
        if self.read()?.is_none() {
            self.disown()?;
        }
        Ok(write_atomically(&self.path(name), line(secret).as_bytes(), 0o600)?)
    }

    /// The file with the passphrase of a root's state in the project of this id, on the instance at `base`.
    pub(super) fn passphrase_file(&self, base: &BaseUrl, id: u64, root: &str) -> PathBuf {
        let digest = sha256(base.place().as_bytes());
        self.path(&format!("{PASSPHRASE}{id}-{}-{root}", &digest[..12]))
    }

    /// All files with passphrases, sorted.
    pub(super) fn passphrase_files(&self) -> GitlabResult<Vec<PathBuf>> {
        let unread = |e: std::io::Error| Error::data(format!("cannot read {}: {e}", self.dir.display()));
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(files),
            entries => entries.map_err(unread)?,
        };
        for entry in entries {
            let entry = entry.map_err(unread)?;
            if entry.file_name().to_string_lossy().starts_with(PASSPHRASE) {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    /// A stored passphrase.
    pub(super) fn passphrase(file: &Path) -> GitlabResult<Option<Secret>> {
        read(file)
    }

    /// Stores a passphrase in a file that does not exist yet.
    pub(super) fn put_passphrase(file: &Path, secret: &Secret) -> GitlabResult<()> {
        Ok(create_atomically(file, line(secret).as_bytes(), 0o600)?)
    }

    /// Removes a secret that has no use any more.
    pub(super) fn forget(&self, name: &str) -> GitlabResult<()> {
        let path = self.path(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::new(crate::Kind::CannotWrite, format!("cannot remove {}: {e}", path.display())).into())
            }
            _ => Ok(()),
        }
    }

    /// Removes the secrets of another project, and begins anew.
    fn disown(&self) -> GitlabResult<()> {
        let own = [AGENT_TOKEN, DESK_TOKEN].map(str::to_owned);
        let runners = [Self::runner_token("trusted"), Self::runner_token("untrusted")];
        own.iter().chain(&runners).try_for_each(|name| self.forget(name))?;
        self.remember(|_| ())
    }
}

/// A secret in a file; none if there is no such file. A file that cannot be seen is an error, since it may exist.
fn read(path: &Path) -> GitlabResult<Option<Secret>> {
    let unseen = |e: std::io::Error| Error::data(format!("cannot read {}: {e}", path.display()));
    // A link that leads nowhere is there.
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unseen(e).into()),
        Ok(_) => Ok(Some(Secret::from_file(path)?)),
    }
}

fn line(secret: &Secret) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(format!("{}\n", secret.expose()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_private_and_belong_to_one_project() {
        let temp = tempfile::tempdir().unwrap();
        let keep = Keep::new(temp.path(), "https://a/x".into());
        keep.put_secret(AGENT_TOKEN, &Secret::new("glpat-1")).unwrap();
        keep.remember(|memory| {
            memory.runners.insert("trusted".into(), 7);
        })
        .unwrap();
        assert_eq!(std::fs::metadata(keep.path(AGENT_TOKEN)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(keep.secret(AGENT_TOKEN).unwrap().unwrap().expose(), "glpat-1");

        let other = Keep::new(temp.path(), "https://b/x".into());
        assert!(other.secret(AGENT_TOKEN).unwrap().is_none());
        assert!(other.memory().unwrap().runners.is_empty());
        other.put_secret(&Keep::runner_token("trusted"), &Secret::new("glrt-2")).unwrap();
        assert!(other.secret(AGENT_TOKEN).unwrap().is_none());
        assert!(keep.secret(AGENT_TOKEN).unwrap().is_none());
    }

    #[test]
    fn a_damaged_memory_costs_no_secret() {
        let temp = tempfile::tempdir().unwrap();
        let keep = Keep::new(temp.path(), "https://a/x".into());
        keep.put_secret(AGENT_TOKEN, &Secret::new("glpat-1")).unwrap();
        std::fs::write(keep.path(MEMORY), "{").unwrap();
        assert!(keep.secret(AGENT_TOKEN).is_err());
        assert!(keep.put_secret(&Keep::runner_token("trusted"), &Secret::new("glrt-2")).is_err());
        assert_eq!(std::fs::read_to_string(keep.path(AGENT_TOKEN)).unwrap(), "glpat-1\n");
    }

    #[test]
    fn a_passphrase_is_never_overwritten_nor_taken_for_missing() {
        let temp = tempfile::tempdir().unwrap();
        let keep = Keep::new(temp.path(), "https://a/x".into());
        let base = |url: &str| BaseUrl::parse(url).unwrap();
        let file = keep.passphrase_file(&base("https://A:8443/git"), 7, "control-plane");
        assert_eq!(file, keep.passphrase_file(&base("https://a:8443/git/"), 7, "control-plane"));
        for (url, id) in [("https://a:8443/git", 8), ("https://a:8443/Git", 7), ("https://a/git", 7)] {
            assert_ne!(file, keep.passphrase_file(&base(url), id, "control-plane"), "{url} {id}");
        }
        assert!(Keep::passphrase(&file).unwrap().is_none());
        Keep::put_passphrase(&file, &Secret::new("one")).unwrap();
        assert!(Keep::put_passphrase(&file, &Secret::new("two")).is_err());
        assert_eq!(Keep::passphrase(&file).unwrap().unwrap().expose(), "one");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(keep.passphrase_files().unwrap(), std::slice::from_ref(&file));
        // What cannot be followed is there all the same.
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();
        assert!(Keep::passphrase(&file).is_err());
        assert!(Keep::put_passphrase(&file, &Secret::new("two")).is_err());
    }

    #[test]
    fn a_memory_with_fingerprints_of_variables_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let text = r#"{ "schema": 1, "project": "x", "runners": { "trusted": 7 }, "variables": {} }"#;
        std::fs::write(temp.path().join(MEMORY), text).unwrap();
        assert_eq!(Keep::new(temp.path(), "x".into()).memory().unwrap().runners["trusted"], 7);
    }

    #[test]
    fn a_damaged_memory_names_its_file() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join(MEMORY), "{").unwrap();
        let error: Error = Keep::new(temp.path(), "x".into()).memory().unwrap_err().into();
        assert!(error.to_string().contains("gitlab.json is damaged"), "{error}");
    }
}
