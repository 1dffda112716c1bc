//! Evidence: an append-only log in which each line names the hash of the line before it.
//!
//! Each line is an [in-toto Statement v1](https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with two more
//! keys: `prev`, the SHA-256 of the previous line as it stands in the file (64 zeros for the first), and `at`. Changing or removing
//! a line breaks every later link; [`Evidence::verify`] says at which line.
//!
//! A crash, a full disk or an editor can leave a last line without its end. [`Evidence::append`] repairs that first: it adds the line
//! ending to a whole statement, and moves a torn one to a file beside the log (`log.jsonl.torn`), since what it was to announce never
//! began. Neither changes the bytes of a statement, so the links stay what they were.
//!
//! The links alone do not show that lines at the end are missing, or that all links were computed again: that takes an
//! [`Anchor`](super::Anchor).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::whole::write_atomically;
use crate::budget::{Budget, read_within};
use crate::error::{Error, Kind, Result};
use crate::secret::{redact, redact_json};

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

    /// Appends a statement about `name`, whose state `sha256` names, and syncs it. A last line that was cut is repaired first.
    ///
    /// # Errors
    /// `Data` when the log so far does not verify, `CannotWrite` when it cannot be appended to.
    pub fn append(&self, name: &str, sha256: &str, predicate: &str, mut value: serde_json::Value) -> Result<()> {
        let cannot = |e| self.cannot_write(&e);
        self.repair()?;
        redact_json(&mut value);
        let is_new = std::fs::metadata(&self.path).is_ok_and(|file| file.len() == 0) || !self.path.exists();
        let prev = if is_new { "0".repeat(64) } else { self.verify()?.1 };
        let statement = Statement {
            kind: STATEMENT.into(),
            subject: vec![Subject {
                name: redact(name).into_owned(),
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

    fn cannot_write(&self, error: &std::io::Error) -> Error {
        Error::new(Kind::CannotWrite, format!("cannot write the evidence log {}: {error}", self.path.display()))
    }

    /// Gives every whole statement a line of its own, and moves what a crash left of a last one to a file beside the log.
    fn repair(&self) -> Result<()> {
        let Ok(bytes) = self.read() else { return Ok(()) };
        let (mut whole, mut torn) = (Vec::with_capacity(bytes.len() + 1), &[][..]);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (statements, rest) = statements(line);
            // What is neither glued nor torn stays, byte for byte: if it is damaged, that is for `verify` to report.
            if line.ends_with(b"\n") && (statements.len() < 2 || !rest.is_empty()) {
                whole.extend_from_slice(line);
                continue;
            }
            for statement in statements {
                whole.extend_from_slice(statement);
                whole.push(b'\n');
            }
            torn = rest;
        }
        if whole == bytes {
            return Ok(());
        }
        let cannot = |e| self.cannot_write(&e);
        if !torn.is_empty() {
            let mut aside = self.path.clone().into_os_string();
            aside.push(".torn");
            let mut aside = File::options().create(true).append(true).open(aside).map_err(cannot)?;
            aside.write_all(&[torn, b"\n"].concat()).and_then(|()| aside.sync_data()).map_err(cannot)?;
        }
        let mode = std::fs::metadata(&self.path).map_err(cannot)?.permissions().mode() & 0o777;
        write_atomically(&self.path, &whole, mode)
    }

    /// The whole log. A line without its end may be one that another process writes right now.
    fn read(&self) -> std::io::Result<Vec<u8>> {
        for _ in 0..10 {
            let bytes = read_within(&self.path, Budget::LOG)?;
            if bytes.is_empty() || bytes.ends_with(b"\n") {
                return Ok(bytes);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        read_within(&self.path, Budget::LOG)
    }

    /// Checks every link. Returns the number of statements and the hash of the last line.
    ///
    /// # Errors
    /// `Data` when there is no log, or naming the first line that is damaged, torn, glued to the next one, or does not follow from the
    /// one before.
    pub fn verify(&self) -> Result<(usize, String)> {
        let mut hashes = self.hashes()?;
        Ok((hashes.len(), hashes.pop().unwrap_or_default()))
    }

    /// Checks every link, as [`verify`](Self::verify), and returns the hash of each line.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn hashes(&self) -> Result<Vec<String>> {
        let (mut prev, mut count, mut hashes) = ("0".repeat(64), 0, Vec::new());
        let bytes = self.read().map_err(|e| {
            Error::data(format!("cannot read the evidence log {}: {e}", self.path.display()))
                .hint("`factoryup init` and `factoryup apply` create it")
        })?;
        if bytes.is_empty() {
            return Err(Error::data(format!("the evidence log {} is empty", self.path.display()))
                .hint("an empty log means that the disk was full; records of earlier changes are lost"));
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            count += 1;
            let broken =
                |why: &str| Error::data(format!("{}:{count}: the hash chain is broken: {why}", self.path.display()));
            let of_a_crash = |why: &str| {
                broken(why).hint("run `factoryup apply`: the next change repairs a line that a crash or an editor left")
            };
            let inquiry =
                "compare the log with the copy in the control repo, and keep this file unchanged for the investigation";
            match statements(line).0[..] {
                [_, _, ..] => return Err(of_a_crash("two entries are on one line: a line ending is missing")),
                _ if line.last() != Some(&b'\n') => {
                    return Err(of_a_crash("the line is incomplete: its end is missing"));
                }
                _ => {}
            }
            let statement: Statement = serde_json::from_slice(line)
                .map_err(|e| broken(&format!("not an evidence entry: {e}")).hint(inquiry))?;
            if statement.prev != prev {
                return Err(broken("its hash of the previous line does not match").hint(inquiry));
            }
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            prev = crate::digest::sha256(line.strip_suffix(b"\r").unwrap_or(line));
            hashes.push(prev.clone());
        }
        Ok(hashes)
    }
}

/// The statements at the start of a line, each as it stands there, and the rest that is none.
fn statements(line: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (mut found, mut end) = (Vec::new(), 0);
    let mut stream = serde_json::Deserializer::from_slice(line).into_iter::<Statement>();
    while let Some(Ok(_)) = stream.next() {
        found.push(line[end..stream.byte_offset()].trim_ascii_start());
        end = stream.byte_offset();
    }
    (found, line[end..].trim_ascii())
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

    /// A log of `count` statements.
    fn log(count: usize) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log.jsonl");
        for n in 0..count {
            Evidence::at(&path).append("repo", &"a".repeat(64), "apply", json!({ "n": n, "of": "Zürich" })).unwrap();
        }
        (temp, path)
    }

    #[test]
    fn a_last_line_that_was_cut_is_reported_and_repaired() {
        let (_temp, path) = log(3);
        let text = std::fs::read(&path).unwrap();
        let second = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let third = second + text[second..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in third + 1..text.len() {
            std::fs::write(&path, &text[..length]).unwrap();
            if length % 128 == 0 || length + 2 > text.len() {
                // It waits a little for a process that may be writing, so not each of them.
                let error = Evidence::at(&path).verify().unwrap_err();
                assert!(error.to_string().contains(":3: ") && error.to_string().contains("incomplete"), "{error}");
                Evidence::at(&path).append("repo", &"b".repeat(64), "apply", json!({})).unwrap();
                let whole = length == text.len() - 1;
                assert_eq!(Evidence::at(&path).verify().unwrap().0, if whole { 4 } else { 3 });
                let aside = path.with_extension("jsonl.torn");
                let torn = std::fs::read(&aside).unwrap_or_default();
                let _ = std::fs::remove_file(&aside);
                assert_eq!(torn, if whole { vec![] } else { [&text[third..length], b"\n"].concat() });
                assert_eq!(std::fs::read(&path).unwrap()[..third], text[..third]);
            }
        }
    }

    #[test]
    fn two_statements_on_one_line_are_reported_and_repaired() {
        let (_temp, path) = log(3);
        let text = std::fs::read_to_string(&path).unwrap();
        for lines in [text.replacen('\n', "", 1), text.replacen('\n', "", 2)] {
            std::fs::write(&path, lines).unwrap();
            let error = Evidence::at(&path).verify().unwrap_err();
            assert!(error.to_string().contains(":1: ") && error.to_string().contains("one line"), "{error}");
            Evidence::at(&path).append("repo", &"b".repeat(64), "apply", json!({})).unwrap();
            assert_eq!(Evidence::at(&path).verify().unwrap().0, 4);
            assert!(std::fs::read_to_string(&path).unwrap().starts_with(&text));
        }
    }

    #[test]
    fn damage_that_no_crash_leaves_is_not_repaired() {
        let (_temp, path) = log(3);
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [text.replacen('\n', " \n", 1), text.replacen("}\n", "\n", 1), text.replacen('\n', "x\n", 1)] {
            std::fs::write(&path, &damaged).unwrap();
            let error = Evidence::at(&path).append("repo", &"b".repeat(64), "apply", json!({})).unwrap_err();
            assert_eq!(error.kind(), Kind::Data);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
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
