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

    fn config(&self) -> HostPath {
        HostPath::home(&self.user, &format!("{}/.git/config", self.below))
    }

    /// Whether it is there, and is a clone of this repo: of another one, nothing is run or trusted.
    pub(crate) fn is_on(&self, seen: &Observed) -> bool {
        let config = self.config().on(seen).and_then(|path| seen.text(&path)).unwrap_or_default();
        let origins = origins(&config);
        !origins.is_empty() && origins.iter().all(|url| repo(url).eq_ignore_ascii_case(&repo(&self.url)))
    }

    /// Whether something else is in its place.
    pub(super) fn is_kept_out(&self, seen: &Observed) -> bool {
        self.path().is_on(seen) && !self.is_on(seen)
    }

    /// Whether it is there, or there is a token to log in to GitLab with.
    pub(super) fn can_be(&self, seen: &Observed) -> bool {
        !matches!(self.token, Token::Unknown) || self.is_on(seen) || self.credential.is_file_on(seen)
    }
}

/// The addresses of the remote `origin` in git's configuration, as `git clone` writes it.
fn origins(config: &str) -> Vec<&str> {
    let mut is_origin = false;
    let mut urls = Vec::new();
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            is_origin = line == "[remote \"origin\"]";
        } else if let Some((key, value)) = line.split_once('=')
            && is_origin
            && key.trim().eq_ignore_ascii_case("url")
        {
            urls.push(value.trim().trim_matches('"'));
        }
    }
    urls
}

/// What an address says of the repo: not who logs in, nor how the address ends.
fn repo(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{scheme}://{}/{path}", authority.rsplit('@').next().unwrap_or_default())
}

impl Resource for GitClone {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path().to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.paths.extend([self.path(), self.git(), self.credential.clone()]);
        questions.text(&self.config());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let path = self.path();
        if self.is_kept_out(seen) {
            let is = if self.git().is_on(seen) { "a clone of another repo" } else { "no clone of a repo" };
            return in_the_way(&path, is, "its clone of the control repo");
        }
        if self.is_on(seen) {
            return Ok(Verdict::right());
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
                let (path, origin) = path.split_once(' ').unwrap_or((path, ""));
                let kind = if path == "credential" { 'f' } else { 'd' };
                seen.paths.insert(format!("/home/a/{path}"), PathState::of(kind, "750", "agent"));
                let config = format!("[core]\n\tbare = false\n[remote \"origin\"]\n\turl = {origin}\n\tfetch = x\n");
                seen.texts.insert(format!("/home/a/{path}/config"), config.into());
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
        for same in ["https://gitlab.example/a/acme.git", "https://agent@gitlab.example/A/acme/"] {
            assert_eq!(verdict(known(), &["work/acme", &format!("work/acme/.git {same}")]), (None, None), "{same}");
        }
        let (change, note) = verdict(known(), &["work/acme"]);
        assert!(change.is_none() && note.unwrap().contains("~agent/work/acme is there and is no clone of a repo"));
        for other in ["", "https://gitlab.example/a/acme-2.git", "https://gitlab.example@evil.example/a/acme.git"] {
            let (change, note) = verdict(known(), &["work/acme", &format!("work/acme/.git {other}")]);
            let note = note.unwrap();
            assert!(change.is_none() && note.contains("is a clone of another repo, and stays"), "{other}: {note}");
        }
    }

    #[test]
    fn each_address_of_the_origin_counts_and_no_other_remotes() {
        let config =
            "[remote \"fork\"]\n\turl = x\n[remote \"origin\"]\n\tURL = \"a\"\n\turl = b\n[url \"c\"]\n\turl = c\n";
        assert_eq!(origins(config), ["a", "b"]);
    }
}
