//! The progress of a target during apply, and its records.

use std::path::Path;
use std::time::Instant;

use super::{Event, Watch};
use crate::error::{Error, Kind, Result};
use crate::plan::change::{Change, TargetName};
use crate::plan::journal::{Journal, Mark};
use crate::plan::receipt::{Receipt, Undo};

/// What a target tells the engine while it applies.
pub struct Log<'a> {
    pub(super) watch: &'a dyn Watch,
    pub(super) journal: &'a mut Journal,
    pub(super) receipt: &'a mut Receipt,
    /// Where the receipt lies; written at each change, so that a kill loses no way back.
    pub(super) receipt_path: &'a Path,
    pub(super) target: TargetName,
    pub(super) subject: &'a str,
    pub(super) total: usize,
    pub(super) index: usize,
    pub(super) made: usize,
    pub(super) since: Instant,
}

impl Log<'_> {
    /// The watcher of the run, for questions and notes.
    #[must_use]
    pub fn watch(&self) -> &dyn Watch {
        self.watch
    }

    /// The id of the run: letters, digits, `-` and `.` only.
    #[must_use]
    pub fn run(&self) -> &str {
        self.journal.run()
    }

    /// Returns the error for an interrupt between two changes.
    #[must_use]
    pub fn interrupted(&self) -> Error {
        let Self { made, total, subject, .. } = self;
        Error::new(
            Kind::Interrupted,
            format!("interrupted after {made} of {total} changes on {subject}; no change is incomplete"),
        )
        .hint("run the command again; it applies the remaining changes")
    }

    /// Logs the start of a change. Synced to the journal before this returns.
    ///
    /// # Errors
    /// `CannotWrite` if the journal cannot be written. Then the change must not be applied.
    pub fn started(&mut self, change: &Change) -> Result<()> {
        self.journal.append(self.target, Mark::Started, Some(&change.id), Some(change.summary.clone()))?;
        self.index += 1;
        self.since = Instant::now();
        self.watch.event(&Event::Started { change, index: self.index, total: self.total });
        Ok(())
    }

    /// Logs the end of a change, with how to undo it.
    ///
    /// # Errors
    /// `CannotWrite` when the receipt or the journal cannot be written.
    pub fn done(&mut self, change: &Change, undo: Undo) -> Result<()> {
        self.receipt.record(&change.id, change.action, undo);
        self.receipt.write(self.receipt_path)?;
        self.journal.append(self.target, Mark::Done, Some(&change.id), None)?;
        self.made += 1;
        self.watch.event(&Event::Ended { change, failure: None, took: self.since.elapsed() });
        Ok(())
    }

    /// The change was made, and the target does not show it, or not in full. Keeps how to undo it.
    ///
    /// # Errors
    /// `CannotWrite` when the receipt or the journal cannot be written.
    pub fn unsettled(&mut self, change: &Change, undo: Undo, why: &str) -> Result<()> {
        self.receipt.record(&change.id, change.action, undo);
        self.receipt.write(self.receipt_path)?;
        self.failed(change, why)
    }

    /// Removes a reverted change from the receipt.
    ///
    /// # Errors
    /// `CannotWrite` when the receipt or the journal cannot be written.
    pub fn undone(&mut self, change: &Change) -> Result<()> {
        self.receipt.forget(&change.id);
        self.receipt.write(self.receipt_path)?;
        self.journal.append(self.target, Mark::Done, Some(&change.id), None)?;
        self.made += 1;
        self.watch.event(&Event::Ended { change, failure: None, took: self.since.elapsed() });
        Ok(())
    }

    /// The change failed.
    ///
    /// # Errors
    /// `CannotWrite` when the journal cannot be written.
    pub fn failed(&mut self, change: &Change, why: &str) -> Result<()> {
        self.journal.append(self.target, Mark::Failed, Some(&change.id), Some(why.to_owned()))?;
        self.watch.event(&Event::Ended { change, failure: Some(why), took: self.since.elapsed() });
        Ok(())
    }
}
