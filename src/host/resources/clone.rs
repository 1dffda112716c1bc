//! A user's clone of a repo, created with the user's own credential.
//!
//! A path that exists is never changed: a clone may hold work that is nowhere else. For the same reason there is no way back.

use super::{Resource, ResourceKind, Verdict, WayBack, in_the_way};
use crate::error::Result;
use crate::hand_over::Token;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step};
use crate::plan::{Action, Change, Undo};

/// Named by its path.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "clone",
    shell: include_str!("clone.sh"),
    title: |name| format!("the clone {name}"),
    way_back: WayBack::None(STAYS),
};

const STAYS: &str = "it may contain work that was not pushed; delete it yourself if you do not need it";

/// A clone in a user's home.
#[derive(Clone, Debug)]
pub(crate) struct GitClone {
    /// Whose it is.
    pub(crate) user: String,
    /// Its path below the home.
    pub(crate) below: String,
    /// Address of the repo.
    pub(crate) url: String,
    /// The branch to check out.
    pub(crate) branch: String,
    /// The token to clone with, as far as it is known on this machine.
    pub(crate) token: Token,
    /// The file on the host with the token.
    pub(crate) credential: HostPath,
}

impl GitClone {
    /// Where it is.
    pub(super) fn path(&self) -> HostPath {
        HostPath::home(&self.user, &self.below)
    }

    fn git(&self) -> HostPath {
        HostPath::home(&self.user, &format!("{}/.git", self.below))
    }

    /// Whether it is there, or there is a token to log in to GitLab with.
    pub(super) fn can_be(&self, seen: &Observed) -> bool {
        !matches!(self.token, Token::Unknown) || self.git().is_on(seen) || self.credential.is_file_on(seen)
    }
}

impl Resource for GitClone {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path().to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.paths.extend([self.path(), self.git(), self.credential.clone()]);
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let path = self.path();
        if self.git().is_on(seen) {
            return Ok(Verdict::right());
        }
        if path.is_on(seen) {
            return in_the_way(&path, "no clone of a repo", "its clone of the control repo");
        }
        if !self.can_be(seen) {
            return Ok(Verdict::right());
        }
        let summary = format!("clone {} to {path} as {}", self.url, self.user);
        Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)))
    }

    fn is_last(&self) -> bool {
        true
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Never { reason: STAYS.into() })
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.at("clone_repo", &self.path(), &[&self.below, &self.url, &self.branch]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::{Account, PathState};
    use crate::secret::Secret;

    #[test]
    fn only_what_is_missing_is_cloned_and_only_with_a_token() {
        let verdict = |token: Token, paths: &[&str]| {
            let clone = GitClone {
                user: "agent".into(),
                below: "work/acme".into(),
                url: "https://gitlab.example/a/acme.git".into(),
                branch: "main".into(),
                token,
                credential: HostPath::home("agent", "credential"),
            };
            let mut seen = Observed::default();
            let account = Account { uid: 1000, gid: 1000, home: "/home/a".into(), shell: "/bin/sh".into() };
            seen.accounts.insert("agent".into(), account);
            for path in paths {
                let kind = if *path == "credential" { 'f' } else { 'd' };
                seen.paths.insert(format!("/home/a/{path}"), PathState::of(kind, "750", "agent"));
            }
            let verdict = clone.compare(&seen).unwrap();
            (verdict.change.map(|change| change.summary), verdict.note)
        };
        let known = || Token::Known(Secret::new("x"));
        let planned = Some("clone https://gitlab.example/a/acme.git to ~agent/work/acme as agent".to_owned());
        assert_eq!(verdict(known(), &["work"]), (planned.clone(), None));
        assert_eq!(verdict(Token::Coming, &[]), (planned.clone(), None));
        assert_eq!(verdict(Token::Unknown, &["work"]), (None, None));
        assert_eq!(verdict(Token::Unknown, &["credential"]), (planned, None));
        assert_eq!(verdict(known(), &["work/acme", "work/acme/.git"]), (None, None));
        let (change, note) = verdict(known(), &["work/acme"]);
        assert!(change.is_none() && note.unwrap().contains("~agent/work/acme is there and is no clone of a repo"));
    }
}
