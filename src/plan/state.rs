//! The state directory of a factory.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lock::Lock;
use super::whole::write_json;
use crate::dialog::{Dialog, Silent};
use crate::error::{Error, Kind, Result};
use crate::shell;

/// `$XDG_STATE_HOME/factoryup/NAME/`, mode 0700: journal, receipts, evidence, generated keys. One process at a time changes it.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: Option<Lock>,
}

/// See [`StateDir::hold`].
pub(crate) struct Held {
    _lock: Option<Lock>,
}

impl StateDir {
    /// The folder for the factory `name`, made if it is not there. `XDG_STATE_HOME` when set and absolute, else
    /// `~/.local/state`, as the XDG Base Directory Specification 0.8 says.
    ///
    /// # Errors
    /// `CannotWrite` when there is no home folder, or the folder cannot be made private.
    pub fn open(name: &str) -> Result<Self> {
        Self::at(Self::place(name)?)
    }

    /// Returns the directory of the factory `name` for reading, without creating it.
    ///
    /// # Errors
    /// `CannotWrite` if there is no home directory.
    pub fn locate(name: &str) -> Result<Self> {
        Ok(Self { path: Self::place(name)?, lock: None })
    }

    /// Refuses a factory that has another name than the one that its control repo was made with, while this machine's records of it are
    /// under that one: a name is a state folder, so that its tokens, receipts and evidence would be left behind without a word.
    ///
    /// # Errors
    /// `Data` when there are records under the former name and none under the new one.
    pub fn refuse_new_name(former: &str, name: &str) -> Result<()> {
        if former == name {
            return Ok(());
        }
        let (before, now) = (Self::place(former)?, Self::place(name)?);
        // An unclaimed directory contains no records: a failed command may have left it.
        if now.join(CLAIM).exists() || !before.is_dir() {
            return Ok(());
        }
        let (from, to) = (shell::word(&before.display().to_string()), shell::word(&now.display().to_string()));
        // `mv` would move one directory into the other.
        let away = if now.exists() { format!("mv {to} {to}.old && ") } else { String::new() };
        Err(Error::data(format!(
            "this control repo was created as `{former}`, but `factory.name` is `{name}`; its tokens, receipts and evidence are still in {}",
            before.display()
        ))
        .hint(format!("restore `name = \"{former}\"` under [factory] in factory.toml"))
        .hint(format!("or rename its state directory too, then run the command again: {away}mv {from} {to}"))
        .hint("after that, review with `factoryup plan` which runners and files are recreated under the new name"))
    }

    /// The path of the state directory of the factory `name`, which need not exist.
    fn place(name: &str) -> Result<PathBuf> {
        Ok(Self::all()?.join(name))
    }

    /// Where the folders of all factories are.
    pub(crate) fn all() -> Result<PathBuf> {
        let home = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
            .or_else(|| std::env::home_dir().map(|h| h.join(".local/state")))
            .ok_or_else(|| {
                Error::new(Kind::CannotWrite, "no state directory: neither XDG_STATE_HOME nor HOME is set")
                    .hint("set HOME, or XDG_STATE_HOME to an absolute path")
            })?;
        Ok(home.join("factoryup"))
    }

    /// Lists the factories with state on this machine: control repo and state directory. Skips unreadable ones.
    #[must_use]
    pub fn known_factories() -> Vec<(PathBuf, PathBuf)> {
        let folders = Self::all().and_then(|all| all.read_dir().map_err(|e| Error::data(e.to_string())));
        let claimed = |folder: PathBuf| {
            let path = folder.join(CLAIM);
            Some((Claim::parse(&fs::read(&path).ok()?, &path).ok()?.repo, folder))
        };
        let mut found: Vec<_> = folders.into_iter().flatten().filter_map(|entry| claimed(entry.ok()?.path())).collect();
        found.sort();
        found
    }

    /// Creates or opens the state directory at a path.
    ///
    /// # Errors
    /// `CannotWrite` if the directory cannot be made private.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let cannot = |e: std::io::Error| {
            Error::new(Kind::CannotWrite, format!("cannot use the state directory {}: {e}", path.display()))
                .hint("make it your own with mode 0700, or set XDG_STATE_HOME to a directory that you can write to")
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(cannot)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(cannot)?;
        Ok(Self { path, lock: None })
    }

    /// Locks the directory for `command` until `self` is dropped, so that two runs do not change one factory at once. A command that
    /// only reads needs no lock: every file in the directory is replaced whole or grows by whole lines.
    ///
    /// # Errors
    /// `CannotWrite` with the process that holds the lock.
    pub fn lock(&mut self, command: &str) -> Result<()> {
        self.lock = Some(Lock::take(&self.file("lock"), command)?);
        Ok(())
    }

    /// Keeps other commands from changing the factory until what it returns is dropped; nothing if one is at it now.
    pub(crate) fn hold(&self, command: &str) -> Option<Held> {
        let lock = if self.lock.is_some() { None } else { Some(Lock::take(&self.file("lock"), command).ok()?) };
        Some(Held { _lock: lock })
    }

    /// Records that the directory belongs to the factory with this `repo`, `project` URL and `host`.
    ///
    /// `host` is given if the command changes the host. The same repo or the same project identifies a factory, since each can move. If
    /// the other one changed, or the host that receives the tokens, the user must confirm.
    ///
    /// # Errors
    /// `Data` if the directory belongs to another factory, its record is damaged, or there is no terminal to confirm on; `Interrupted`
    /// if the user declines; `CannotWrite` if the record cannot be written.
    pub fn claim(&self, repo: &Path, project: &str, host: Option<&str>, dialog: &dyn Dialog) -> Result<()> {
        let known = self.known(repo, project)?;
        let host = host.map(str::to_owned).or_else(|| known.as_ref().and_then(|known| known.host.clone()));
        let claim = Claim { schema: CLAIM_SCHEMA, repo: real_place(repo), project: project.to_owned(), host };
        if known.as_ref() == Some(&claim) {
            return Ok(());
        }
        let changes = known.map(|known| known.changes(&claim)).unwrap_or_default();
        if !changes.is_empty() {
            self.confirm(&changes.join("; "), dialog)?;
        }
        write_json(&self.file(CLAIM), &claim)
    }

    /// Claims an unclaimed directory for this factory; otherwise only checks the claim.
    ///
    /// # Errors
    /// As [`look`](Self::look), and `CannotWrite` if the record cannot be written.
    pub fn claim_if_new(&self, repo: &Path, project: &str) -> Result<()> {
        if self.known(repo, project)?.is_some() { Ok(()) } else { self.claim(repo, project, None, &Silent) }
    }

    /// Checks that the directory does not belong to another factory. Writes nothing.
    ///
    /// # Errors
    /// `Data` if the directory belongs to another factory, or its record is damaged.
    pub fn look(&self, repo: &Path, project: &str) -> Result<()> {
        self.known(repo, project).map(drop)
    }

    /// Reads the claim of the directory; fails if it is another factory's.
    fn known(&self, repo: &Path, project: &str) -> Result<Option<Claim>> {
        let path = self.file(CLAIM);
        let known = match crate::budget::read(&path) {
            Ok(text) => Claim::parse(&text, &path)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::data(format!("cannot read {}: {e}", path.display()))),
        };
        if known.repo != real_place(repo) && known.project != project {
            return Err(known.is_another(&self.path));
        }
        Ok(Some(known))
    }

    fn confirm(&self, changes: &str, dialog: &dyn Dialog) -> Result<()> {
        let what = format!("this may be another factory: {changes}");
        if !dialog.is_interactive() {
            return Err(Error::data(what)
                .hint("if it is still your factory, run the command on a terminal and confirm")
                .hint(format!(
                    "or delete the record of the old values: rm {}",
                    shell::word(&self.file(CLAIM).display().to_string())
                )));
        }
        dialog.warn(&what);
        if dialog.confirm("Is this still your factory? Its tokens will be used with the new values.", false)? {
            return Ok(());
        }
        Err(Error::new(Kind::Interrupted, "declined; nothing was changed")
            .hint("if one of these values is wrong, fix it in factory.toml and run the command again"))
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Resolves the links in a repo's path, which need not exist yet.
pub(crate) fn real_place(repo: &Path) -> PathBuf {
    let place = std::path::absolute(repo).unwrap_or_else(|_| repo.to_owned());
    let known = place.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match known {
        Some((above, real)) if above == place => real,
        Some((above, real)) => real.join(place.strip_prefix(above).unwrap_or(&place)),
        None => place,
    }
}

/// The claim's file.
const CLAIM: &str = "factory.json";
/// The format number of a claim.
const CLAIM_SCHEMA: u32 = 1;

/// `factory.json`: the factory that the directory belongs to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    schema: u32,
    /// The last path of its control repo on this machine.
    repo: PathBuf,
    /// URL of its GitLab project.
    project: String,
    /// The host that was last changed, as `factory.toml` names it; missing before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
}

impl Claim {
    fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let damaged = |why: String| {
            Error::data(format!("{} is damaged: {why}", path.display())).hint(
                "it records which factory the directory belongs to; if it is this factory, delete the file and run the command again",
            )
        };
        let claim: Self = serde_json::from_slice(text).map_err(|e| damaged(e.to_string()))?;
        if claim.schema != CLAIM_SCHEMA {
            return Err(damaged(format!("its schema is {}, not {CLAIM_SCHEMA}", claim.schema)));
        }
        Ok(claim)
    }

    /// Describes the differences from `new`.
    fn changes(&self, new: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.repo != new.repo {
            let (old, new) = (self.repo.display(), new.repo.display());
            changes.push(format!("the control repo was in {old} and is now in {new}"));
        }
        if self.project != new.project {
            changes.push(format!("the GitLab project was {} and is now {}", self.project, new.project));
        }
        if let (Some(old), Some(new)) = (&self.host, &new.host)
            && old != new
        {
            changes.push(format!("the host was {old} and is now {new}"));
        }
        changes
    }

    fn is_another(&self, folder: &Path) -> Error {
        Error::data(format!(
            "another factory with this name keeps its state in {}: {}, with the control repo in {}",
            folder.display(),
            self.project,
            self.repo.display()
        ))
        .hint("choose another name: `name` under [factory] in factory.toml, or --name")
        .hint(format!(
            "or, if the other factory no longer exists: mv {0} {0}.old",
            shell::word(&folder.display().to_string())
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_private_and_held_by_one() {
        let temp = tempfile::tempdir().unwrap();
        let mut first = StateDir::at(temp.path().join("a/b")).unwrap();
        assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o700);
        first.lock("apply").unwrap();
        let mut second = StateDir::at(first.path()).unwrap();
        assert_eq!(second.lock("apply").unwrap_err().kind(), Kind::CannotWrite);
        drop(first);
        second.lock("apply").unwrap();
    }

    #[test]
    fn a_folder_belongs_to_one_factory_wherever_that_moves() {
        let temp = tempfile::tempdir().unwrap();
        let [one, moved, other] = ["one", "moved", "other"].map(|name| temp.path().join(name));
        let state = StateDir::at(temp.path().join("state")).unwrap();
        let here = Some("h:22");
        state.claim(&one, "https://a/x/y", here, &Silent).unwrap();
        state.claim(&one, "https://a/x/y", None, &Silent).unwrap();
        let error = state.claim(&other, "https://b/x/y", here, &Silent).unwrap_err();
        assert_eq!(error.kind(), Kind::Data);
        assert!(error.to_string().contains("https://a/x/y") && error.hints().len() == 2, "{error}");
        let record = fs::read(state.file(CLAIM)).unwrap();
        // A look takes nothing, and what changed needs a yes, one by one.
        for (repo, project, host, word) in [
            (&moved, "https://a/x/y", here, "the control repo was"),
            (&one, "https://a/new/y", here, "the GitLab project was"),
            (&one, "https://a/x/y", Some("i:22"), "the host was h:22 and is now i:22"),
        ] {
            state.look(repo, project).unwrap();
            let error = state.claim(repo, project, host, &Silent).unwrap_err();
            assert!(error.kind() == Kind::Data && error.to_string().contains(word), "{error}");
            let error = state.claim(repo, project, host, &Answer(false)).unwrap_err();
            assert_eq!(error.kind(), Kind::Interrupted);
            assert_eq!(fs::read(state.file(CLAIM)).unwrap(), record);
        }
        state.claim(&moved, "https://a/x/y", Some("i:22"), &Answer(true)).unwrap();
        state.claim(&moved, "https://a/new/y", None, &Answer(true)).unwrap();
        assert!(state.look(&one, "https://a/x/y").is_err());
        state.claim(&moved, "https://a/new/y", Some("i:22"), &Silent).unwrap();
        // Made behind a link, after the folder was claimed for it.
        let (real, behind) = (temp.path().join("real"), temp.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &behind).unwrap();
        fs::remove_file(state.file(CLAIM)).unwrap();
        state.claim_if_new(&behind.join("acme"), "p").unwrap();
        fs::create_dir(real.join("acme")).unwrap();
        state.claim(&behind.join("acme"), "p", None, &Silent).unwrap();
        // Written before hosts were: the first one needs no yes.
        let claim = format!(r#"{{"schema":1,"repo":"{}","project":"p"}}"#, one.display());
        fs::write(state.file(CLAIM), claim).unwrap();
        state.claim(&one, "p", here, &Silent).unwrap();
        assert!(state.claim(&one, "p", Some("i:22"), &Silent).is_err());
        fs::write(state.file(CLAIM), "{").unwrap();
        assert!(state.look(&moved, "https://a/new/y").unwrap_err().to_string().contains("factory.json is damaged"));
    }

    /// A person who always answers the same.
    struct Answer(bool);

    impl Dialog for Answer {
        fn is_interactive(&self) -> bool {
            true
        }
        fn confirm(&self, _question: &str, _default: bool) -> Result<bool> {
            Ok(self.0)
        }
        fn secret(&self, prompt: &str) -> Result<crate::secret::Secret> {
            Silent.secret(prompt)
        }
        fn note(&self, _text: &str) {}
        fn warn(&self, _text: &str) {}
        fn busy(&self, _text: &str) {}
    }
}
