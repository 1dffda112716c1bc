//! `factoryup evidence`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::access::Token;
use crate::error::Result;
use crate::plan::{Evidence as Log, Standing};
use crate::ui::Ui;
use crate::workspace::{Compared, Purpose, Workspace};

/// Work with the evidence of what was done
#[derive(Debug, Args)]
pub(super) struct Evidence {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the evidence log, and that it has every statement that GitLab's anchors name
    ///
    /// Each statement has the hash of the one before, so a changed or removed one breaks the chain. A log that was shortened, or
    /// computed again with statements removed, is a whole chain too. Only a head that is kept elsewhere shows that: after each apply of
    /// gitlab, factoryup writes one into a tag evidence/NUMBER of the project. GitLab protects these tags. The agent can neither make nor
    /// move one.
    ///
    /// GitLab is asked if a token is found. Without one, and for a FILE, the log is checked by itself.
    ///
    /// Exit codes: 0 nothing is missing, as far as could be told; 2 the log does not have a statement that GitLab's anchors name, or GitLab
    /// does not protect an anchor; 65 the log is damaged; 69 GitLab does not answer; 77 GitLab refuses the token.
    Verify {
        /// The log to check, by itself [default: this factory's, in the state folder]
        #[arg(value_parser = super::path())]
        file: Option<PathBuf>,

        #[command(flatten)]
        token: Token,
    },
}

impl Evidence {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let Command::Verify { file, token } = &self.command;
        let compared = if let Some(path) = file {
            Compared { path: path.clone(), hashes: Log::at(path).hashes()?, anchors: None }
        } else {
            Workspace::open(dir, token.keys(), Purpose::Look, ui)?.compare_evidence()?
        };
        let (count, head) = (compared.hashes.len(), compared.hashes.last().cloned().unwrap_or_default());
        if ui.is_json() {
            ui.json(json!({ "event": "evidence", "statements": count, "head": head, "anchor": anchor(&compared) }))?;
        } else {
            ui.show(&format!(
                "{count} statements in {}, each follows from the one before; head {head}\n{}",
                compared.path.display(),
                words(&compared)
            ))?;
        }
        compared.verdict()
    }
}

fn anchor(compared: &Compared) -> Value {
    let (state, anchor) = match compared.standing() {
        None => ("not-asked", None),
        Some(Standing::Unanchored) => ("none", None),
        Some(Standing::Unknown(anchor)) => ("another-log", Some(anchor)),
        Some(Standing::Missing(anchor, _)) => ("missing", Some(anchor)),
        Some(Standing::Holds(anchor)) if anchor.is_protected => ("holds", Some(anchor)),
        Some(Standing::Holds(anchor)) => ("not-protected", Some(anchor)),
    };
    let mut value = json!({ "state": state });
    if let Some(anchor) = anchor {
        value["name"] = anchor.name.as_str().into();
        value["at"] = anchor.at.as_str().into();
        value["statement"] = anchor.head.statements.into();
        value["sha256"] = anchor.head.sha256.as_str().into();
    }
    value
}

fn words(compared: &Compared) -> String {
    let alone = "That none is missing at the end, only a head that you noted earlier or keep elsewhere can show.";
    let Some(standing) = compared.standing() else {
        return format!("GitLab's anchors were not read. {alone}");
    };
    let (anchor, verdict) = match standing {
        Standing::Unanchored => {
            return format!("GitLab has no anchor yet; `factoryup apply gitlab` writes one. {alone}");
        }
        Standing::Holds(anchor) => (anchor, "holds".to_owned()),
        Standing::Missing(anchor, _) | Standing::Unknown(anchor) => (anchor, "is missing here".to_owned()),
    };
    let after = compared.hashes.len().saturating_sub(anchor.head.statements);
    let after = match verdict.as_str() {
        "holds" if after > 0 => format!("; for the {after} after it: {alone}"),
        _ => String::new(),
    };
    format!(
        "GitLab's anchor {} of {} names statement {} with the hash {}: {verdict}{after}",
        anchor.name, anchor.at, anchor.head.statements, anchor.head.sha256
    )
}
