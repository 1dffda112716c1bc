//! `factoryup evidence`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::access::Token;
use crate::error::Result;
use crate::plan::{Evidence as Log, Standing};
use crate::ui::Ui;
use crate::workspace::{Compared, Purpose, Workspace};

/// Work with the evidence log
#[derive(Debug, Args)]
pub(super) struct Evidence {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify the evidence log and compare it with GitLab's anchors
    ///
    /// Each entry contains the hash of the entry before it, so a changed or removed entry breaks the chain. A log that was cut at the
    /// end, or recomputed without some entries, is still a valid chain. Only a head that is stored elsewhere reveals that. After each
    /// apply of gitlab, factoryup stores the head in a protected tag evidence/NUMBER of the project: an anchor. The agent can neither
    /// create nor move these tags.
    ///
    /// verify reads the anchors if it finds a GitLab token. Without a token, and for a FILE, it checks only the log.
    ///
    /// Exit codes: 0 the log is valid, and no anchored entry is missing; 2 an anchored entry is missing, or GitLab does not protect an
    /// anchor; 65 the log is damaged; 69 GitLab does not answer; 77 GitLab rejects the token.
    Verify {
        /// Check this log, without GitLab [default: the log in this factory's state directory]
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
                "{count} entries in {}; the hash chain is valid; head {head}\n{}",
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
    let alone = "To rule out missing entries at the end, compare the head with one that you stored elsewhere.";
    let Some(standing) = compared.standing() else {
        return format!("The anchors in GitLab were not read. {alone}");
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
        "holds" if after > 0 => format!("; {after} entries follow it. {alone}"),
        _ => String::new(),
    };
    format!(
        "GitLab's anchor {} of {} names statement {} with the hash {}: {verdict}{after}",
        anchor.name, anchor.at, anchor.head.statements, anchor.head.sha256
    )
}
