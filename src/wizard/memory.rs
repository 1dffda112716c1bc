//! Saved answers of a canceled wizard, so that the next one can continue with them.
//!
//! They are written after each answer, not at the end: a wizard that is cut off by a lost connection is as well kept as one that was
//! left on purpose. Only what a person answered is in it, and all of that has passed the rule that it holds no secret.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{FIELDS, Value};
use crate::plan::{StateDir, write_atomically};

/// Format number of the file.
const VERSION: i64 = 1;
/// The file's name in `$XDG_STATE_HOME/factoryup`.
const FILE: &str = "wizard-answers.toml";

/// Where answers are kept; or nowhere.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    path: Option<PathBuf>,
    /// The directory that the answers are for.
    folder: PathBuf,
}

/// What was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) answers: Answers,
    pub(super) folder: String,
}

impl Memory {
    /// Keeps answers in the folder `state`, that is `$XDG_STATE_HOME/factoryup`. They are for a factory in `folder`.
    #[must_use]
    pub fn at(state: &Path, folder: &Path) -> Self {
        Self { path: Some(state.join(FILE)), folder: folder.to_owned() }
    }

    /// Saves nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// What was kept, if anything was that can be used. Values that no longer keep the rules are left out.
    pub(super) fn recall(&self) -> Option<Kept> {
        let text = crate::budget::read_text(self.path.as_ref()?).ok()?;
        let table: toml::Table = text.parse().ok()?;
        if table.get("version").and_then(toml::Value::as_integer) != Some(VERSION) {
            return None;
        }
        let mut answers = Answers::default();
        for field in FIELDS {
            let value = table.get("answers").and_then(|all| all.get(field.key)).and_then(Value::from_toml);
            if let Some(value) = value.filter(|value| field.check(value).is_ok()) {
                answers.set(field, value, Source::Saved);
            }
        }
        let folder = table.get("folder").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        (!answers.is_empty()).then_some(Kept { answers, folder })
    }

    /// Saves the user's answers.
    ///
    /// # Errors
    /// `CannotWrite` with the path.
    pub(super) fn keep(&self, answers: &Answers) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut kept = toml_edit::Table::new();
        for field in FIELDS {
            let answer = answers.answer(field).filter(|answer| matches!(answer.source, Source::Asked | Source::Saved));
            if let Some(answer) = answer {
                kept.insert(field.key, toml_edit::value(answer.value.to_toml()));
            }
        }
        let mut document = toml_edit::DocumentMut::new();
        document.insert("version", toml_edit::value(VERSION));
        document.insert("folder", toml_edit::value(self.folder.display().to_string()));
        document.insert("answers", toml_edit::Item::Table(kept));
        let text = format!(
            "# Saved answers of a wizard that was not finished; the next one offers to continue with them. Never a secret.\n{document}"
        );
        if let Some(folder) = path.parent() {
            StateDir::at(folder)?;
        }
        write_atomically(path, text.as_bytes(), 0o600)
    }

    /// The directory that the saved answers are for.
    pub(super) fn folder(&self) -> String {
        self.folder.display().to_string()
    }

    /// Forgets what was kept.
    pub(super) fn forget(&self) {
        if let Some(path) = &self.path {
            // What cannot be removed will be offered again, and can be declined.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::factory::fields::by_key;

    #[test]
    fn only_what_a_person_said_is_kept_and_privately() {
        let temp = tempfile::tempdir().unwrap();
        let memory = Memory::at(&temp.path().join("state"), Path::new("/home/ada/acme"));
        let mut answers = Answers::default();
        answers.set(by_key("factory.name").unwrap(), Value::Text("acme".into()), Source::Asked);
        answers.set(by_key("gitlab.group").unwrap(), Value::Text("flagged".into()), Source::Flag);
        memory.keep(&answers).unwrap();
        let path = temp.path().join("state").join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let kept = memory.recall().unwrap();
        assert_eq!((kept.answers.len(), kept.folder.as_str()), (1, "/home/ada/acme"));
        memory.forget();
        assert!(memory.recall().is_none() && !path.exists());
    }

    #[test]
    fn what_cannot_be_used_is_not_recalled() {
        let temp = tempfile::tempdir().unwrap();
        let memory = Memory::at(temp.path(), Path::new("/"));
        for text in [
            "",
            "garbage",
            "version = 2\n[answers]\n\"factory.name\" = \"acme\"",
            "version = 1\n[answers]\n\"factory.name\" = \"-\"",
        ] {
            std::fs::write(temp.path().join(FILE), text).unwrap();
            assert!(memory.recall().is_none(), "{text}");
        }
    }
}
