//! Tokens and records that the GitLab setup stores in the state directory, because GitLab shows them only once.
//!
//! | file | holds |
//! |---|---|
//! | `gitlab.json` | which project the rest belongs to; ids of runners; whose token the agent's is |
//! | `agent-token` | the agent's token, which the host target brings to the host |
//! | `runner-trusted-token`, `runner-untrusted-token` | the runners' tokens, likewise |
//! | `state-passphrase-PROJECT-ROOT` | the passphrase of a root's state, named after the digest of the project's URL |
//!
//! All of them have mode 0600 in a folder of mode 0700. The text of a token is the file's only line. Losing a token costs a new one, and
//! nothing else. Losing a passphrase costs the state, so one is never removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::error::GitlabResult;
use crate::digest::sha256;
use crate::error::Error;
use crate::plan::{write_atomically, write_json};
use crate::secret::Secret;

/// The agent's token.
pub(super) const AGENT_TOKEN: &str = "agent-token";
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
    /// Whether GitLab has service accounts and refused to make one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) no_service_account: bool,
    /// Where GitLab refused to make a service account for CI: `group`, `project`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) refused_accounts: BTreeSet<String>,
}

/// What is remembered of the agent's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenMemory {
    /// Id of the account.
    pub(super) account: u64,
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
        let path = self.path(MEMORY);
        let fresh = || Memory {
            schema: SCHEMA,
            project: self.project.clone(),
            runners: BTreeMap::new(),
            agent: None,
            no_service_account: false,
            refused_accounts: BTreeSet::new(),
        };
        let text = match crate::budget::read_text(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(fresh()),
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
        Ok(if memory.project == self.project { memory } else { fresh() })
    }

    /// Changes what is remembered.
    pub(super) fn remember(&self, change: impl FnOnce(&mut Memory)) -> GitlabResult<()> {
        let mut memory = self.memory()?;
        change(&mut memory);
        Ok(write_json(&self.path(MEMORY), &memory)?)
    }

    /// A kept secret of this project.
    pub(super) fn secret(&self, name: &str) -> GitlabResult<Option<Secret>> {
        let path = self.path(name);
        // A token of another project, or of another instance, must not be sent to this one.
        if !path.exists() || !self.is_ours()? {
            return Ok(None);
        }
        Ok(Some(Secret::from_file(&path)?))
    }

    /// Keeps a secret.
    pub(super) fn put_secret(&self, name: &str, secret: &Secret) -> GitlabResult<()> {
        if !self.is_ours()? {
            self.disown()?;
        }
        write(&self.path(name), secret)
    }

    /// The file with the passphrase of a root's state. It is this project's alone by its name, since it outlives every change of project.
    pub(super) fn passphrase_file(&self, root: &str) -> PathBuf {
        self.path(&format!("{PASSPHRASE}{}-{root}", self.digest()))
    }

    fn digest(&self) -> String {
        sha256(self.project.as_bytes())[..12].to_owned()
    }

    /// The stored passphrase of a root's state.
    pub(super) fn passphrase(&self, root: &str) -> GitlabResult<Option<Secret>> {
        let path = self.passphrase_file(root);
        if path.exists() { Ok(Some(Secret::from_file(&path)?)) } else { Ok(None) }
    }

    /// Stores the passphrase of a root's state.
    pub(super) fn put_passphrase(&self, root: &str, secret: &Secret) -> GitlabResult<()> {
        write(&self.passphrase_file(root), secret)
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

    /// Whether the files are this project's.
    fn is_ours(&self) -> GitlabResult<bool> {
        if !self.path(MEMORY).exists() {
            return Ok(false);
        }
        let text = crate::budget::read_text(&self.path(MEMORY)).map_err(|e| Error::data(e.to_string()))?;
        Ok(serde_json::from_str::<Memory>(&text).is_ok_and(|memory| memory.project == self.project))
    }

    /// Removes the secrets of another project, and begins anew.
    fn disown(&self) -> GitlabResult<()> {
        let names = [AGENT_TOKEN.to_owned(), Self::runner_token("trusted"), Self::runner_token("untrusted")];
        names.iter().try_for_each(|name| self.forget(name))?;
        self.remember(|_| ())
    }
}

fn write(path: &Path, secret: &Secret) -> GitlabResult<()> {
    let line = zeroize::Zeroizing::new(format!("{}\n", secret.expose()));
    Ok(write_atomically(path, line.as_bytes(), 0o600)?)
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
