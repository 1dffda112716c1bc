//! `factoryup keys`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::error::Result;
use crate::ui::Ui;
use crate::wizard::discover::Surroundings;
use crate::workspace::{OwnerKey, Written, init_key};

/// Create the owner's age key, which decrypts the control repo's secrets
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create the owner's age key on this machine
    ///
    /// Run it on your own machine, never on the host: who has this key can read every secret of the factory. The key goes into the file
    /// that SOPS reads, with mode 0600. If the file exists, its key is used, and nothing is created.
    ///
    /// Before `factoryup init`, that is all: init finds the key. In a control repo whose factory.toml names no recipient, the
    /// public half is entered there; `factoryup upgrade` then proposes it as a merge request.
    ///
    /// Exit codes: 0 the key is there; 64 the file is in a git repo, has several keys or none that can be read, or factory.toml names another key;
    /// 73 a file cannot be written.
    Init {
        /// The key file [default: the one that SOPS reads: SOPS_AGE_KEY_FILE, or sops/age/keys.txt in your configuration directory]
        #[arg(long, value_name = "FILE", value_parser = super::path())]
        out: Option<PathBuf>,

        /// Write a recovery sheet to this new file: print it, put it away, delete the file
        #[arg(long, value_name = "FILE", value_parser = super::path())]
        sheet: Option<PathBuf>,
    },
}

impl Keys {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let Command::Init { out, sheet } = &self.command;
        let around = Surroundings::here(dir);
        let file = out.clone().unwrap_or_else(|| crate::age::place(&around.home, around.variable));
        let key = init_key(dir, &file, sheet.as_deref(), ui)?;
        if ui.is_json() {
            return ui.json(json!({
                "event": "key", "file": key.file, "recipient": key.recipient, "is_new": key.is_new,
                "factory_toml": match key.written { Written::NoFactory => "none", Written::Already => "named", Written::Now => "written" },
            }));
        }
        ui.show(&text(&key, sheet.as_deref()))
    }
}

fn text(key: &OwnerKey, sheet: Option<&Path>) -> String {
    let mut lines = vec![format!("your age recipient is {}", key.recipient)];
    let file = key.file.display();
    match sheet {
        Some(sheet) => lines.push(format!("next: print {}, put the page away, delete the file", sheet.display())),
        None if key.is_new => {
            lines.push(format!(
                "next: put a copy of {file} away; to get a page to print: factoryup keys init --sheet FILE"
            ));
        }
        None => {}
    }
    lines.push(match key.written {
        Written::NoFactory => "a new control repo takes it by itself; next: factoryup init DIR".into(),
        Written::Now => "factory.toml names it now; next: factoryup upgrade".into(),
        Written::Already => "factory.toml names it".into(),
    });
    lines.join("\n")
}
