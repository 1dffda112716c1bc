//! Evidence: an append-only log in which each line names the hash of the line before it.
//!
//! Each line is an [in-toto Statement v1](https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with two more
//! keys: `prev`, the SHA-256 of the previous line as it stands in the file (64 zeros for the first), and `at`. Changing or removing
//! a line breaks every later link; [`Evidence::verify`] says at which line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// What a statement is about: a name and the digest that fixes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// A URL or path.
    pub name: String,
    /// Digests by algorithm, such as `sha256`.
    pub digest: BTreeMap<String, String>,
}

/// One thing that was done or proved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Always the in-toto Statement v1 type.
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What sort of statement it is: `urn:factoryup:evidence:apply:v1`, `…:revert:v1` or `…:proof:v1`.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What was done, by whom, with which outcome.
    pub predicate: serde_json::Value,
    /// When, RFC 3339 UTC.
    pub at: String,
    /// SHA-256 of the previous line.
    pub prev: String,
}

/// An evidence log.
#[derive(Debug)]
pub struct Evidence {
    path: PathBuf,
}

impl Evidence {
    /// The log at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Appends a statement about `name`, whose state `sha256` names, and syncs it.
    ///
    /// # Errors
    /// `Data` when the log so far does not verify, `CannotWrite` when it cannot be appended to.
    pub fn append(&self, name: &str, sha256: &str, predicate: &str, value: serde_json::Value) -> Result<()> {
        let cannot = |e: std::io::Error| {
            Error::new(Kind::CannotWrite, format!("cannot write the evidence log {}: {e}", self.path.display()))
        };
        let is_new = std::fs::metadata(&self.path).is_ok_and(|file| file.len() == 0) || !self.path.exists();
        let prev = if is_new { "0".repeat(64) } else { self.verify()?.1 };
        let statement = Statement {
            kind: STATEMENT.into(),
            subject: vec![Subject {
                name: name.to_owned(),
                digest: BTreeMap::from([("sha256".to_owned(), sha256.to_owned())]),
            }],
            predicate_type: format!("urn:factoryup:evidence:{predicate}:v1"),
            predicate: value,
            at: jiff::Timestamp::now().to_string(),
            prev,
        };
        let mut line = serde_json::to_vec(&statement).map_err(|e| Error::internal(e.to_string()))?;
        line.push(b'\n');
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(cannot)?;
        }
        let mut file = File::options().create(true).append(true).open(&self.path).map_err(cannot)?;
        let before = file.metadata().map_err(cannot)?.len();
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(|error| {
            // Half a line, as a full disk leaves it, would break the chain for good.
            let _ = file.set_len(before);
            cannot(error)
        })
    }

    /// The whole log. A line without its end may be one that another process writes right now.
    fn read(&self) -> std::io::Result<String> {
        for _ in 0..10 {
            let text = std::fs::read_to_string(&self.path)?;
            if text.is_empty() || text.ends_with('\n') {
                return Ok(text);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::read_to_string(&self.path)
    }

    /// Checks every link. Returns the number of statements and the hash of the last line.
    ///
    /// # Errors
    /// `Data` when there is no log, or naming the first line that is damaged or does not follow from the one before.
    pub fn verify(&self) -> Result<(usize, String)> {
        let mut prev = "0".repeat(64);
        let text = self.read().map_err(|e| {
            Error::data(format!("cannot read the evidence log {}: {e}", self.path.display()))
                .hint("it is written by what makes changes: `factoryup init` and `factoryup apply`")
        })?;
        let broken = |line: usize, why: &str| {
            Error::data(format!("{}:{line}: the evidence does not hold: {why}", self.path.display()))
                .hint("compare with the copy in the control repo; keep this file as it is for the inquiry")
        };
        if text.is_empty() {
            return Err(Error::data(format!("the evidence log {} is empty", self.path.display())).hint(
                "factoryup never leaves one so unless the disk was full: if something was applied, its record is gone",
            ));
        }
        for (index, line) in text.lines().enumerate() {
            let statement: Statement =
                serde_json::from_str(line).map_err(|e| broken(index + 1, &format!("not a statement: {e}")))?;
            if statement.prev != prev {
                return Err(broken(index + 1, "it does not follow from the line before"));
            }
            prev = crate::digest::sha256(line.as_bytes());
        }
        Ok((text.lines().count(), prev))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_log_that_is_gone_does_not_verify() {
        let temp = tempfile::tempdir().unwrap();
        let error = Evidence::at(temp.path().join("log.jsonl")).verify().unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains("log.jsonl"), "{error}");
    }

    #[test]
    fn a_changed_or_missing_line_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log.jsonl");
        let log = Evidence::at(&path);
        for n in 0..3 {
            log.append("repo", &"a".repeat(64), "apply", json!({ "n": n })).unwrap();
        }
        assert_eq!(log.verify().unwrap().0, 3);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"n\":1", "\"n\":7", 1)).unwrap();
        assert!(log.verify().unwrap_err().to_string().contains(":3: "));
        let without_second: String =
            text.split_inclusive('\n').enumerate().filter(|(i, _)| *i != 1).map(|(_, l)| l).collect();
        std::fs::write(&path, without_second).unwrap();
        assert!(log.verify().unwrap_err().to_string().contains(":2: "));
    }
}
