//! The journal: each step, written and synced before it runs, so that an interrupted run can be located.
//!
//! The journal decides nothing. What is left to do is always found by observing again; the journal says *that* a run was cut, and
//! at which change, and it is the record a person reads when something went wrong.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::TargetName;
use crate::error::{Error, Kind, Result};
use crate::secret::redact;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalLine {
    /// Run this line belongs to.
    pub(crate) run: String,
    /// When, RFC 3339 UTC.
    pub(crate) at: String,
    /// On which target.
    pub(crate) target: TargetName,
    /// What happened.
    pub(crate) event: Mark,
    /// The change it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<String>,
    /// The plan's digest, what a change that begins does, in words for people, or why one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// What a line records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mark {
    /// A plan was confirmed and begins.
    Begun,
    /// A change starts.
    Started,
    /// The change is applied.
    Done,
    /// The change failed.
    Failed,
    /// The run ended, successful or not.
    Ended,
    /// The promises were tried, and all of them held.
    Proved,
}

/// A run that has begun and never ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// When it began, RFC 3339 UTC.
    pub at: String,
    /// The change that was in flight, if one was.
    pub change: Option<String>,
    /// What it does, in one line for people; unknown in journals that are older than this.
    pub summary: Option<String>,
}

/// An append-only file of JSON lines, synced at each append.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    run: String,
}

impl Journal {
    /// Opens the journal at `path` for a new run, named by its time and process.
    ///
    /// # Errors
    /// `CannotWrite` when it cannot be opened for appending.
    pub fn open(path: &Path) -> Result<Self> {
        let file =
            File::options().create(true).append(true).read(true).open(path).map_err(|e| {
                Error::new(Kind::CannotWrite, format!("cannot open the journal {}: {e}", path.display()))
            })?;
        let mut file = file;
        let cannot = |e| Error::new(Kind::CannotWrite, format!("cannot write the journal {}: {e}", path.display()));
        // A line that a crash cut must not swallow the next one.
        if !ends_whole(&mut file).map_err(cannot)? {
            file.write_all(b"\n").map_err(cannot)?;
        }
        let run = format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ"), std::process::id());
        Ok(Self { path: path.to_owned(), file, run })
    }

    /// The id of this run: letters, digits, `-` and `.` only.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The last run on `target` that began and never ended, if the last one did so. A last line cut by a crash is passed over.
    ///
    /// # Errors
    /// `CannotWrite` when the journal cannot be read.
    pub fn unfinished(&self, target: TargetName) -> Result<Option<Unfinished>> {
        let mut open: Option<Unfinished> = None;
        for line in self.lines()?.into_iter().filter(|line| line.target == target) {
            match line.event {
                Mark::Begun => open = Some(Unfinished { at: line.at, change: None, summary: None }),
                Mark::Started => {
                    if let Some(run) = &mut open {
                        (run.change, run.summary) = (line.change, line.detail);
                    }
                }
                Mark::Done | Mark::Failed => {
                    if let Some(run) = &mut open {
                        (run.change, run.summary) = (None, None);
                    }
                }
                Mark::Ended => open = None,
                Mark::Proved => {}
            }
        }
        Ok(open)
    }

    /// Whether the promises of `target` are still to be proved: they were not tried, or did not all hold, since its last change.
    ///
    /// # Errors
    /// `CannotWrite` when the journal cannot be read.
    pub fn proof_due(&self, target: TargetName) -> Result<bool> {
        let lines = self.lines()?;
        let last =
            lines.iter().rev().filter(|l| l.target == target).find(|l| matches!(l.event, Mark::Begun | Mark::Proved));
        Ok(last.is_none_or(|line| line.event == Mark::Begun))
    }

    /// Whether a run on `target` has begun with the plan of this digest.
    ///
    /// # Errors
    /// `CannotWrite` when the journal cannot be read.
    pub fn began(&self, target: TargetName, digest: &str) -> Result<bool> {
        let begun = |line: &JournalLine| line.target == target && line.event == Mark::Begun;
        Ok(self.lines()?.iter().any(|line| begun(line) && line.detail.as_deref() == Some(digest)))
    }

    /// What can be read of the journal; a line that a crash cut is passed over.
    fn lines(&self) -> Result<Vec<JournalLine>> {
        let bytes =
            crate::budget::read_within(&self.path, crate::budget::Budget::LOG).map_err(|e| self.cannot("read", &e))?;
        // What a crash left of the last line need not be UTF-8.
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    pub(crate) fn append(
        &mut self,
        target: TargetName,
        event: Mark,
        change: Option<&str>,
        detail: Option<String>,
    ) -> Result<()> {
        let line = JournalLine {
            run: self.run.clone(),
            at: jiff::Timestamp::now().to_string(),
            target,
            event,
            change: change.map(|id| redact(id).into_owned()),
            detail: detail.map(|text| redact(&text).into_owned()),
        };
        let mut bytes = serde_json::to_vec(&line).map_err(|e| Error::internal(e.to_string()))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).map_err(|e| self.cannot("write", &e))
    }

    fn cannot(&self, verb: &str, error: &std::io::Error) -> Error {
        Error::new(Kind::CannotWrite, format!("cannot {verb} the journal {}: {error}", self.path.display()))
    }
}

/// Whether a file ends with a line ending, or is empty.
fn ends_whole(file: &mut File) -> std::io::Result<bool> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_run_says_where_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("journal.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(TargetName::Host, Mark::Begun, None, None).unwrap();
        journal.append(TargetName::Host, Mark::Started, Some("file:/a"), None).unwrap();
        journal.append(TargetName::Host, Mark::Done, Some("file:/a"), None).unwrap();
        journal.append(TargetName::Host, Mark::Started, Some("file:/b"), Some("write /b".into())).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"{\"run\":\"cut").unwrap();
        let cut = journal.unfinished(TargetName::Host).unwrap().unwrap();
        assert_eq!((cut.change.as_deref(), cut.summary.as_deref()), (Some("file:/b"), Some("write /b")));
        assert_eq!(journal.unfinished(TargetName::Repo).unwrap(), None);
    }

    #[test]
    fn a_torn_line_costs_nothing_but_itself() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("journal.jsonl");
        std::fs::write(&path, b"{\"run\":\"Z\xc3").unwrap();
        let mut journal = Journal::open(&path).unwrap();
        journal.append(TargetName::Host, Mark::Begun, None, None).unwrap();
        assert!(journal.unfinished(TargetName::Host).unwrap().is_some());
        assert_eq!(std::fs::read(&path).unwrap().split(|b| *b == b'\n').count(), 3);
    }

    #[test]
    fn an_ended_run_is_finished() {
        let temp = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&temp.path().join("j")).unwrap();
        journal.append(TargetName::Repo, Mark::Begun, None, None).unwrap();
        journal.append(TargetName::Repo, Mark::Ended, None, None).unwrap();
        assert_eq!(journal.unfinished(TargetName::Repo).unwrap(), None);
    }
}
