//! The last login that worked, kept between runs: who logs in first, and with which key, so that none is tried in vain.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use crate::plan::write_atomically;

/// A login, and the host that it was for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Login {
    host: String,
    pub(super) user: String,
    /// The key's fingerprint, if it is known.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// Why the system's client was used.
    #[serde(default)]
    pub(super) client: Option<String>,
}

/// The file with the last login.
#[derive(Clone, Debug, Default)]
pub(super) struct LastLogin {
    file: Option<PathBuf>,
    host: String,
    known: Option<Login>,
}

impl LastLogin {
    /// Reads the file. One that cannot be read, or is about another host, says nothing.
    pub(super) fn read(file: Option<PathBuf>, host: &str) -> Self {
        let text = file.as_deref().and_then(|file| crate::budget::read_text(file).ok());
        let known = text.and_then(|text| serde_json::from_str::<Login>(&text).ok());
        Self { file, host: host.to_owned(), known: known.filter(|login| login.host == host) }
    }

    pub(super) fn get(&self) -> Option<&Login> {
        self.known.as_ref()
    }

    /// Keeps a login that worked. A file that cannot be written costs the next run a few attempts, and nothing else.
    pub(super) fn keep(&mut self, user: &str, key: Option<Fingerprint>, client: Option<&str>) {
        let key = key.map(|key| key.to_string());
        let login = Login { host: self.host.clone(), user: user.to_owned(), key, client: client.map(str::to_owned) };
        if self.known.as_ref() == Some(&login) {
            return;
        }
        if let (Some(file), Ok(text)) = (&self.file, serde_json::to_string(&login)) {
            // A plan may be the first to need the directory, which is private.
            let folder = file.parent().map(|folder| DirBuilder::new().recursive(true).mode(0o700).create(folder));
            drop(folder);
            let _ = write_atomically(file, format!("{text}\n").as_bytes(), 0o600);
        }
        self.known = Some(login);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Fingerprint, LastLogin};

    #[test]
    fn a_login_is_kept_for_its_host() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("new/login.json"));
        let read = |host| LastLogin::read(file.clone(), host);
        let mut last = read("box:22");
        assert_eq!(last.get(), None);
        last.keep("ada", Some(Fingerprint::of(b"key")), None);
        assert_eq!(read("box:22").get(), last.get());
        assert_eq!((read("box:22").get().unwrap().user.as_str(), read("box:2222").get()), ("ada", None));
        std::fs::write(file.clone().unwrap(), "{\"host\"").unwrap();
        assert_eq!(read("box:22").get(), None);
    }
}
