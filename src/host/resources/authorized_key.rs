//! A public key that must open an account over SSH. Other keys in the file stay.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD as BASE64_NO_PAD};
use sha2::{Digest, Sha256};

use super::{Back, Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::{Observed, PathState};
use crate::host::program::{Before, HostPath, Questions, Step};
use crate::plan::{Action, Change};

/// Named by user and fingerprint. The state before is a copy of the file, of which the way back needs nothing: the key goes, and
/// all others stay.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "authorized_key",
    shell: include_str!("authorized_key.sh"),
    title: |name| format!("key {name}"),
    way_back: WayBack::Write(|name, _, back| {
        let (user, fingerprint) = name.split_once('/').unwrap_or((name, ""));
        back.at("undo_key", &path(user), &[fingerprint]);
    }),
};

fn path(user: &str) -> HostPath {
    HostPath::home(user, ".ssh/authorized_keys")
}

/// The way back from a key, staged for the guard too: it can be the one that somebody logs in with.
pub(crate) fn remove_under_guard(back: &mut Back, user: &str, fingerprint: &str) {
    back.under_guard("sshd").at("stage_without_key", &path(user), &[fingerprint]);
}

/// As `ssh-keygen -l` shows a key in base64.
pub(crate) fn fingerprint(blob: &str) -> String {
    let blob = BASE64.decode(blob).unwrap_or_default();
    format!("SHA256:{}", BASE64_NO_PAD.encode(Sha256::digest(blob)))
}

/// One key of one user, in `~/.ssh/authorized_keys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizedKey {
    /// Whose account.
    pub(crate) user: String,
    /// The key as in a `.pub` file: type, base64, comment.
    pub(crate) key: String,
}

/// Type and base64 of a line without options; `sshd(8)`, "`AUTHORIZED_KEYS` FILE FORMAT".
pub(crate) fn key_parts(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    let (kind, blob) = (words.next()?, words.next()?);
    let known = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| kind.starts_with(start));
    (known && BASE64.decode(blob).is_ok()).then_some((kind, blob))
}

impl AuthorizedKey {
    /// As `ssh-keygen -l` shows it.
    fn fingerprint(&self) -> String {
        fingerprint(key_parts(&self.key).map_or("", |(_, blob)| blob))
    }

    /// sshd ignores a file that others could have written: `sshd_config(5)`, `StrictModes`.
    fn is_trusted(&self, state: &PathState) -> bool {
        let writable_by_others = u32::from_str_radix(&state.mode, 8).is_ok_and(|mode| mode & 0o022 != 0);
        state.kind == 'f' && !writable_by_others && [self.user.as_str(), "root"].contains(&state.owner.as_str())
    }
}

impl Resource for AuthorizedKey {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, format!("{}/{}", self.user, self.fingerprint()))
    }

    fn ask(&self, questions: &mut Questions) {
        questions.users.insert(self.user.clone());
        questions.text(&path(&self.user));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let comment = self.key.split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
        let what = format!("{} {comment}", self.fingerprint());
        let file = path(&self.user);
        let path = file.on(seen);
        let state = path.as_ref().and_then(|path| seen.paths.get(path));
        let (Some(path), Some(state)) = (path.as_ref(), state) else {
            let summary = format!("let key {} log in as {}", what.trim(), self.user);
            return Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)));
        };
        let wanted = key_parts(&self.key);
        let is_there = seen.text(path).is_some_and(|text| text.lines().any(|line| key_parts(line) == wanted));
        if is_there && self.is_trusted(state) {
            return Ok(Verdict::right());
        }
        let summary = if is_there {
            format!("make {file} a file that only {} writes", self.user)
        } else {
            format!("let key {} log in as {}", what.trim(), self.user)
        };
        Ok(Verdict::differs(Change::new(self.id(), Action::Update, summary)))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Path(path(&self.user))
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.at("authorize", &path(&self.user), &[&self.key]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::Account;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@laptop";

    fn seen(text: &str, mode: &str) -> Observed {
        let mut seen = Observed::default();
        let account = Account { uid: 1000, gid: 1000, home: "/home/ops".into(), shell: "/bin/bash".into() };
        seen.accounts.insert("ops".into(), account);
        let path = "/home/ops/.ssh/authorized_keys";
        let state = PathState::of('f', mode, "ops");
        seen.paths.insert(path.into(), state);
        seen.texts.insert(path.into(), text.into());
        seen
    }

    fn summary(seen: &Observed) -> Option<String> {
        AuthorizedKey { user: "ops".into(), key: KEY.into() }.compare(seen).unwrap().change.map(|c| c.summary)
    }

    #[test]
    fn the_same_key_under_another_comment_counts() {
        let renamed = KEY.replace("ada@laptop", "somebody");
        assert_eq!(summary(&seen(&format!("# mine\n{renamed}\n"), "600")), None);
        let summary = summary(&seen("", "600")).unwrap();
        // The fingerprint is what ssh-keygen -l prints for this key.
        assert_eq!(summary, "let key SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU ada@laptop log in as ops");
    }

    #[test]
    fn a_key_behind_a_comment_sign_or_options_is_not_there() {
        assert!(summary(&seen(&format!("#{KEY}\n"), "600")).is_some());
        assert!(summary(&seen(&format!("command=\"true\" {KEY}\n"), "600")).is_some());
    }

    #[test]
    fn a_file_that_others_write_is_mended() {
        assert!(summary(&seen(KEY, "664")).unwrap().starts_with("make ~ops/.ssh/authorized_keys"));
    }

    #[test]
    fn a_last_key_without_a_line_end_stays_when_another_goes() {
        if !crate::skip::available(&["ssh-keygen"]) {
            return;
        }
        let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ mine";
        let gone = AuthorizedKey { user: "root".into(), key: KEY.into() }.fingerprint();
        for (call, result) in [("undo_key", "keys-of-user"), ("stage_without_key", "guard/stage/keys-of-user")] {
            for before in [format!("{KEY}\n{other}"), format!("{other}\n{KEY}"), other.to_owned()] {
                let folder = tempfile::tempdir().unwrap();
                let at = |path: &str| folder.path().join(path);
                std::fs::create_dir_all(at("guard/stage")).unwrap();
                std::fs::write(at("keys-of-user"), &before).unwrap();
                let step = format!(
                    "staged() {{ :; }}\nchown() {{ :; }}\ncd '{}'\nGUARD=$STATE/guard\n{}\n{call} root keys-of-user '{gone}'",
                    folder.path().display(),
                    // The path is relative here, so that the staged one can be told from it.
                    KIND.shell.replace("$GUARD/stage$2", "$GUARD/stage/$2").replace("back_up \"$2\" \"$1\"", ":"),
                );
                let done = crate::host::program::try_step(folder.path(), &step);
                assert!(done.status.success(), "{done:?}");
                let after = std::fs::read_to_string(at(result)).unwrap_or_default();
                assert_eq!(after, format!("{other}\n"), "{call} {before}");
            }
        }
    }
}
