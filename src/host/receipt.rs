//! The receipt on the host.

use std::collections::BTreeSet;

use super::observed::Observed;
use crate::dialog::plain;
use crate::error::{Error, Result};
use crate::plan::{Entry, Receipt};

/// What the receipt names and nothing is for any more.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) entries: Vec<Entry>,
    /// Files that are not what factoryup wrote.
    pub(super) edited: BTreeSet<String>,
    /// The accounts that paths depend on.
    pub(super) seen: Observed,
}

/// The entries of the receipt on the host.
///
/// # Errors
/// `Data` when it is damaged, or of a newer schema.
pub(super) fn entries(text: &str, subject: &str) -> Result<Vec<Entry>> {
    let damaged = |why: String| {
        Error::data(format!("the receipt on {subject} cannot be used: {why}"))
            .hint("it is /var/lib/factoryup/receipt.json there")
    };
    let receipt: Receipt = serde_json::from_str(text).map_err(|e| damaged(plain(&e.to_string())))?;
    if receipt.schema > 1 {
        return Err(damaged(format!("its schema is {}, and this factoryup knows 1", receipt.schema)));
    }
    // An id becomes a line of a program that root runs.
    if let Some(entry) = receipt.entries.iter().find(|entry| entry.id.contains(char::is_control)) {
        return Err(damaged(format!("it names `{}`, with control characters", plain(&entry.id))));
    }
    Ok(receipt.entries)
}
