//! `factoryup self`: runs the embedded installer, so that an update is verified like an installation.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, thread};

use clap::{Args, Subcommand};
use disposable_host::Image;

use super::{Ending, path};
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::plan::StateDir;
use crate::process;
use crate::ui::Ui;

const INSTALLER: &str = include_str!("../../install.sh");

/// Update, roll back or remove a factoryup that install.sh installed
///
/// If Nix, a package manager or cargo installed factoryup, use that tool instead: these commands refuse with exit code 65.
#[derive(Debug, Args)]
pub(super) struct Itself {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Install the newest release from the source of this one
    ///
    /// The installer verifies the release like the first one: by SHA-256, and by the key that signed the first one. It refuses an older
    /// release. It keeps the replaced program for `factoryup self rollback`. To update a control repo, run `factoryup upgrade` there.
    Update {
        /// Only check for a newer release, with exit code 2 if there is one
        #[arg(long)]
        check: bool,

        /// Download from this URL instead
        #[arg(long, value_name = "URL")]
        base_url: Option<String>,

        /// Require a signature by this OpenSSH public key instead of the recorded one
        #[arg(long, value_name = "FILE", value_parser = path())]
        signing_key: Option<PathBuf>,

        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Restore the program that the last update replaced
    ///
    /// Run it again to undo the rollback.
    Rollback {
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Remove the program and the lines that install.sh added to shell files
    ///
    /// Factories, their state and what rehearsals made stay; the command lists them.
    Uninstall {
        /// Do not ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

impl Itself {
    pub(super) fn run(&self, ui: &Ui) -> Result<Ending> {
        ui.refuse_json("self", "its result is its exit code")?;
        let mut words: Vec<String> = Vec::new();
        let yes = match &self.what {
            What::Update { check, base_url, signing_key, yes } => {
                words.extend(["--update", "--newer-than", env!("CARGO_PKG_VERSION")].map(str::to_owned));
                words.extend(check.then(|| "--check".to_owned()));
                words.extend(base_url.iter().flat_map(|url| ["--base-url".to_owned(), url.clone()]));
                words.extend(
                    signing_key.iter().flat_map(|file| ["--signing-key".to_owned(), file.display().to_string()]),
                );
                yes
            }
            What::Rollback { yes } => {
                words.push("--rollback".to_owned());
                yes
            }
            What::Uninstall { yes } => {
                let mut kept = kept();
                for (repo, state) in StateDir::known_factories() {
                    kept.retain(|path| *path != state);
                    ui.say(&plain(&format!(
                        "Keeps the factory in {}, and its state in {}",
                        repo.display(),
                        state.display()
                    )));
                }
                for path in kept {
                    ui.say(&plain(&format!("Keeps {}", path.display())));
                }
                words.push("--uninstall".to_owned());
                yes
            }
        };
        words.extend(yes.then(|| "--yes".to_owned()));
        let program =
            env::current_exe().map_err(|e| Error::internal(format!("cannot find the path of this program: {e}")))?;
        // The installer takes a folder, and would look after another program there.
        if program.file_name() != Some("factoryup".as_ref()) {
            let message = format!(
                "this program is {}, and the installer looks after factoryup",
                plain(&program.display().to_string())
            );
            return Err(Error::new(Kind::Data, message).hint("run `factoryup self` as it was installed"));
        }
        installer(program.parent().unwrap_or(Path::new("/")), &words)
    }
}

/// Returns what commands left on this machine outside of factories: state, answers, and the images of disposable hosts.
fn kept() -> Vec<PathBuf> {
    let state = StateDir::all().ok().and_then(|all| all.read_dir().ok()).into_iter().flatten();
    // The installer keeps its record there, which goes with the program.
    let state = state.flatten().map(|entry| entry.path()).filter(|path| !path.ends_with("install.d"));
    let mut kept: Vec<_> = state.chain(Image::folder().filter(|folder| folder.is_dir())).collect();
    kept.sort();
    kept
}

/// Runs the installer for the program in `folder`.
fn installer(folder: &Path, words: &[String]) -> Result<Ending> {
    let mut command = process::command("sh");
    command.args(["-s", "--", "--to"]).arg(folder).args(words).stdin(Stdio::piped()).stderr(Stdio::piped());
    let cannot = |e: std::io::Error| Error::internal(format!("cannot run the installer with sh: {e}"));
    let mut child = command.spawn().map_err(cannot)?;
    let (input, output) = (child.stdin.take(), child.stderr.take());
    // A shell that ended early has said why.
    let feed = thread::spawn(move || input.map(|mut input| input.write_all(INSTALLER.as_bytes())));
    let mut said = Vec::new();
    if let Some(mut output) = output {
        output.read_to_end(&mut said).map_err(cannot)?;
    }
    let status = child.wait().map_err(cannot)?;
    let _ = feed.join();
    let kind = match status.code() {
        Some(0) => return Ok(Ending::Done),
        Some(2) => return Ok(Ending::Pending),
        Some(64) => Kind::Usage,
        Some(65) => Kind::Data,
        Some(69) => Kind::Unreachable,
        Some(73) => Kind::CannotWrite,
        Some(129..=143) => Kind::Interrupted,
        _ => Kind::Internal,
    };
    let said = String::from_utf8_lossy(&said);
    let (before, after) = said.split_once("install.sh: error: ").unwrap_or((&said, "the installer failed"));
    let mut lines = after.lines().chain(before.lines()).map(|line| plain(line.trim())).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let (unchanged, lines): (Vec<_>, Vec<_>) = lines.partition(|line| line == "Nothing was installed.");
    let message = first + if unchanged.is_empty() { "" } else { "; nothing was installed" };
    let (facts, hints): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| is_fact(line));
    let error = hints.into_iter().fold(Error::new(kind, message), Error::hint);
    Err(if facts.is_empty() { error } else { error.caused_by(facts.join(", ")) })
}

/// Whether a line below an error of the installer says why, and not what to do.
fn is_fact(line: &str) -> bool {
    line.contains(" says: ") || ["curl: ", "expected ", "got ", "it said: "].iter().any(|begin| line.starts_with(begin))
}
