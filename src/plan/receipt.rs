//! The receipt: factoryup's changes on a target with the state before, enough to undo them.
//!
//! One receipt per target grows over the runs. For each resource the *first* `before` is kept, since that is the state an undo
//! must lead back to, however often the resource changed after.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::change::{Action, TargetName};
use super::whole::write_json;
use crate::error::{Error, Kind, Result};
use crate::secret::{redact, redact_json};

/// The `schema` number of a receipt.
pub(crate) const SCHEMA: u32 = 1;

/// How to restore the state before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Undo {
    /// It was not there: remove it.
    Remove,
    /// It was there in another form, described by this text; for files, the path of a backup on the target.
    Restore {
        /// The earlier form.
        before: String,
    },
    /// It cannot be restored, with the reason.
    Never {
        /// Why not.
        reason: String,
    },
}

impl Undo {
    /// The earlier state as JSON, for the kinds that can restore it.
    pub(crate) fn restore(before: &impl Serialize) -> Self {
        Self::Restore { before: serde_json::to_string(before).unwrap_or_default() }
    }

    /// Adds what a later change says of the earlier state, where this says nothing.
    fn gain(&mut self, later: &Self) {
        let (Self::Restore { before }, Self::Restore { before: later }) = (self, later) else { return };
        let read = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
        let (Ok(mut all), Ok(later)) = (read(before), read(later)) else { return };
        for (name, value) in later {
            all.entry(name).or_insert(value);
        }
        *before = serde_json::Value::Object(all).to_string();
    }

    /// The earlier state from [`restore`](Self::restore); `None` when there was none.
    pub(crate) fn before<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>> {
        let Self::Restore { before } = self else { return Ok(None) };
        let parsed = serde_json::from_str(before);
        parsed.map(Some).map_err(|e| Error::data(format!("the receipt has an earlier state that is not readable: {e}")))
    }
}

/// One resource that factoryup changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The change's id.
    pub id: String,
    /// What was done first.
    pub action: Action,
    /// When it was last changed, RFC 3339 UTC.
    pub at: String,
    /// How to undo it.
    pub undo: Undo,
}

/// All that factoryup changed on one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Format number.
    pub schema: u32,
    /// Which target.
    pub target: TargetName,
    /// Which one of its kind.
    pub subject: String,
    /// The version of factoryup that wrote it last.
    pub generator: String,
    /// The digest of the plan that was applied last; not in receipts that are older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The changes, oldest first.
    pub entries: Vec<Entry>,
}

impl Receipt {
    /// An empty receipt.
    pub fn new(target: TargetName, subject: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA,
            target,
            subject: subject.into(),
            generator: env!("CARGO_PKG_VERSION").into(),
            plan: None,
            entries: Vec::new(),
        }
    }

    /// Reads a receipt; `None` when there is no file.
    ///
    /// # Errors
    /// `Data` when it is damaged or of a newer schema.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match crate::budget::read_text(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::new(Kind::Data, format!("cannot read the receipt {}: {e}", path.display()))),
        };
        let receipt: Self = serde_json::from_str(&text)
            .map_err(|e| Error::data(format!("the receipt {} is damaged: {e}", path.display())))?;
        if receipt.schema > SCHEMA {
            return Err(Error::data(format!(
                "the receipt {} has schema {}; this factoryup supports up to {SCHEMA}",
                path.display(),
                receipt.schema
            ))
            .hint("use the factoryup that wrote it, or a newer one"));
        }
        Ok(Some(receipt))
    }

    /// Whether it is about `subject`, as far as that may be written.
    pub(crate) fn is_about(&self, subject: &str) -> bool {
        self.subject == redact(subject)
    }

    /// Adds a change, keeping the first way to undo it. An earlier state that is a JSON object gains the names that it did not have.
    pub fn record(&mut self, id: &str, action: Action, undo: Undo) {
        let (id, at) = (&*redact(id), jiff::Timestamp::now().to_string());
        if let Some(known) = self.entries.iter_mut().find(|e| e.id == id) {
            known.at = at;
            known.undo.gain(&undo);
        } else {
            self.entries.push(Entry { id: id.to_owned(), action, at, undo });
        }
    }

    /// Removes a reverted change.
    pub fn forget(&mut self, id: &str) {
        let id = redact(id);
        self.entries.retain(|entry| entry.id != id);
    }

    /// Writes it, whole or not at all, mode 0600.
    ///
    /// # Errors
    /// `CannotWrite` with the path.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut value = serde_json::to_value(self).map_err(|e| Error::internal(e.to_string()))?;
        redact_json(&mut value);
        write_json(path, &value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_state_is_the_one_to_return_to() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("host.json");
        assert_eq!(Receipt::read(&path).unwrap(), None);
        let mut receipt = Receipt::new(TargetName::Host, "ssh://x");
        receipt.record("file:/a", Action::Create, Undo::Remove);
        receipt.record("file:/a", Action::Update, Undo::Restore { before: "mine".into() });
        receipt.write(&path).unwrap();
        let read = Receipt::read(&path).unwrap().unwrap();
        assert_eq!(read.entries.len(), 1);
        assert_eq!(read.entries[0].undo, Undo::Remove);
    }

    #[test]
    fn an_earlier_state_gains_only_what_it_did_not_have() {
        let mut receipt = Receipt::new(TargetName::Gitlab, "x");
        for before in [r#"{"a":1}"#, r#"{"a":2,"b":3}"#] {
            receipt.record("project-settings:x", Action::Update, Undo::Restore { before: before.into() });
        }
        assert_eq!(receipt.entries[0].undo, Undo::Restore { before: r#"{"a":1,"b":3}"#.into() });
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("r.json");
        let mut receipt = Receipt::new(TargetName::Repo, "x");
        receipt.schema = SCHEMA + 1;
        receipt.write(&path).unwrap();
        assert_eq!(Receipt::read(&path).unwrap_err().kind(), Kind::Data);
    }
}
