//! Finds out what need not be asked: from git, SSH, GitLab's own tools, the clock's zone and `PATH`. Reads only, never the network.
//!
//! Everything found keeps the rules of its field, or is not taken. What is as good as certain, such as the owner's name in git's
//! configuration, becomes an answer; what is a good guess becomes the preset of a question.

#[cfg(test)]
#[path = "../../../tests/fuzz/wizard.rs"]
pub(crate) mod fuzz;
mod git;
mod gitlab;
mod ssh;
mod zone;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

pub use gitlab::{agent_token, gitlab_token, token_for_another_instance};
pub use ssh::{Alias, PublicKey};

use crate::budget::Budget;
use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{Value, by_key};

/// How long another program may take to say what it knows.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where to look for defaults: this machine, seen from a directory.
pub struct Surroundings {
    /// The home directory.
    pub home: PathBuf,
    /// The directory of the future factory; it need not exist.
    pub folder: PathBuf,
    /// Looks up an environment variable.
    pub variable: fn(&str) -> Option<OsString>,
    /// The link that says which zone the clock shows: `/etc/localtime`, see localtime(5).
    pub clock: PathBuf,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("home", &self.home).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// What need not be asked.
    pub answers: Answers,
    /// What a question may begin with.
    pub presets: Answers,
    /// The user's public SSH keys.
    pub keys: Vec<PublicKey>,
    /// Hosts in `~/.ssh/config`.
    pub aliases: Vec<Alias>,
    /// Where a GitLab token is, such as `GITLAB_TOKEN`; never the token itself.
    pub token: Option<String>,
}

impl Surroundings {
    /// This process's own: `HOME`, its environment, and the folder given.
    #[must_use]
    pub fn here(folder: &Path) -> Self {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self {
            home: std::env::home_dir().unwrap_or_else(|| PathBuf::from("/")),
            folder,
            variable: |name| std::env::var_os(name),
            clock: PathBuf::from("/etc/localtime"),
        }
    }

    /// Where factoryup keeps what is in flight: `$XDG_STATE_HOME/factoryup`, or else `~/.local/state/factoryup`.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.base("XDG_STATE_HOME", ".local/state").join("factoryup")
    }

    /// A directory of the XDG Base Directory Specification: the variable if it is an absolute path, else below the home directory.
    fn base(&self, variable: &str, below_home: &str) -> PathBuf {
        let set = (self.variable)(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        set.unwrap_or_else(|| self.home.join(below_home))
    }

    /// A variable's text, if it is set and not empty.
    fn text(&self, variable: &str) -> Option<String> {
        (self.variable)(variable)?.into_string().ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The nearest existing directory: the factory's own, or one above it.
    fn standing(&self) -> &Path {
        self.folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"))
    }

    /// The standard output of a program that succeeds in time.
    fn ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let mut command = crate::process::command(program);
        command.args(arguments).current_dir(self.standing()).env("HOME", &self.home).stdin(Stdio::null());
        let output = crate::process::output(&mut command, None, Budget { time: PATIENCE, ..Budget::LOCAL }).ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
    }
}

/// Looks around.
#[must_use]
pub fn discover(around: &Surroundings) -> Discovered {
    let mut found = Discovered { keys: ssh::keys(around), aliases: ssh::aliases(around), ..Discovered::default() };
    git::identity(around, &mut found);
    if let Some(name) = around.folder.file_name().and_then(|name| name.to_str()) {
        preset(&mut found, "factory.name", &name.to_lowercase(), "the directory name");
    }
    gitlab::instance(around, &mut found);
    zone::of_the_clock(around, &mut found);
    age_key(around, &mut found);
    let path = (around.variable)("PATH");
    let has = |program: &str| which::which_in(program, path.as_ref(), around.standing()).is_ok();
    if has("codex") && !has("claude") {
        preset(&mut found, "agent.kind", "codex", "codex is on PATH");
    }
    found
}

/// The recipient of the key that SOPS would use. Which of several is the owner's, only the owner knows.
fn age_key(around: &Surroundings, found: &mut Discovered) {
    let file = crate::age::place(&around.home, around.variable);
    let text = zeroize::Zeroizing::new(crate::budget::read_text(&file).unwrap_or_default());
    if let [pair] = &crate::age::pairs(&text)[..] {
        answer(found, "secrets.owner_recipient", pair.recipient(), &file.display().to_string());
    }
}

fn answer(found: &mut Discovered, key: &str, text: &str, place: &str) {
    put(&mut found.answers, key, text, place);
}

fn preset(found: &mut Discovered, key: &str, text: &str, place: &str) {
    put(&mut found.presets, key, text, place);
}

/// Takes what was found, unless there is something better already or it breaks the field's rules.
fn put(answers: &mut Answers, key: &str, text: &str, place: &str) {
    let Some(field) = by_key(key) else { return };
    if answers.answer(field).is_some() {
        return;
    }
    let value = Value::from_text(field.kind, text).ok().filter(|value| !value.is_empty() && field.check(value).is_ok());
    if let Some(value) = value {
        answers.set(field, value, Source::Found(place.to_owned()));
    }
}
