//! A GitLab runner that `factory-runner start` sets up as a service: its configuration, which has the token, and its unit.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::digest::sha256;
use crate::error::Result;
use crate::hand_over::Token;
use crate::host::observed::Observed;
use crate::host::program::{Before, Expect, HostPath, Questions, Step, Word};
use crate::plan::{Action, Change, Undo};

/// Named by the runner: `trusted`, or `trusted-shop` for an application's.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "runner_service",
    shell: include_str!("runner_service.sh"),
    title: |name| format!("the runner {name} with its service, configuration and token"),
    way_back: WayBack::Write(|name, _, back| {
        // A runner starts jobs as workers, so it ends before anything that they could hold on to.
        back.comes_first = true;
        back.step.call("undo_runner", &[Word::text(name)]);
    }),
};

/// The program that takes the jobs.
pub(crate) const PROGRAM: &str = "/usr/bin/gitlab-runner";

/// A runner of the control repo that must be set up with its current token, and run.
#[derive(Clone, Debug)]
pub(crate) struct RunnerService {
    /// `trusted` or `untrusted`.
    pub(crate) name: &'static str,
    /// Base address of GitLab.
    pub(crate) url: String,
    /// Its token, as far as it is known on this machine.
    pub(crate) token: Token,
    /// The version of the settings that `factory-runner` writes for it.
    pub(crate) settings: String,
}

impl RunnerService {
    fn unit(&self) -> String {
        format!("factory-runner-{}.service", self.name)
    }

    fn token_file(&self) -> HostPath {
        HostPath::new(format!("/etc/factory/runner-{}-token", self.name))
    }

    /// What `factory-runner` notes of the token, the address and the settings that it used.
    fn note(&self) -> HostPath {
        HostPath::new(format!("/etc/factory/runner-{}/made-from", self.name))
    }

    /// Digest of the file with its token, as it is on the host when this runner is set up. Nothing without a token.
    fn digest(&self, seen: &Observed) -> Option<String> {
        match &self.token {
            Token::Known(token) => Some(sha256(format!("{}\n", token.expose()).as_bytes())),
            Token::Coming => Some(String::new()),
            Token::Unknown => self.token_file().on(seen).and_then(|path| seen.hashes.get(&path).cloned()),
        }
    }

    /// Whether there is a token to run with.
    pub(crate) fn is_wanted(&self, seen: &Observed) -> bool {
        self.digest(seen).is_some()
    }
}

impl Resource for RunnerService {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.name.into())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.units.insert(self.unit());
        questions.text(&self.note());
        questions.file(&self.token_file(), Expect::HashOnly);
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let Some(digest) = self.digest(seen) else { return Ok(Verdict::right()) };
        let state = seen.units.get(&self.unit()).cloned().unwrap_or_default();
        let runs = state.file == "enabled" && state.active == "active" && !state.stale;
        let note = self.note().on(seen).and_then(|path| seen.text(&path)).unwrap_or_default();
        if runs && note.trim_end() == format!("{digest} {} {}", self.url, self.settings) {
            return Ok(Verdict::right());
        }
        let (action, what) = match state.load.as_str() {
            "loaded" => (Action::Update, "set up again and restart"),
            _ => (Action::Create, "set up and start"),
        };
        let summary = format!("{what} the {} runner of {}: {}", self.name, self.url, self.unit());
        Ok(Verdict::differs(Change::new(self.id(), action, summary)))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Remove)
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.or_leave();
        step.call("/usr/local/sbin/factory-runner start", &[Word::text(self.name), Word::text(&self.url)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::UnitState;
    use crate::secret::Secret;

    fn summary(token: Token, note: Option<&str>, active: &str) -> Option<String> {
        let service =
            RunnerService { name: "trusted", url: "https://gitlab.example".into(), token, settings: "2".into() };
        let mut seen = Observed::default();
        if let Some(note) = note {
            seen.texts.insert("/etc/factory/runner-trusted/made-from".into(), note.into());
            let state =
                UnitState { load: "loaded".into(), active: active.into(), file: "enabled".into(), stale: false };
            seen.units.insert("factory-runner-trusted.service".into(), state);
        }
        service.compare(&seen).unwrap().change.map(|change| change.summary)
    }

    #[test]
    fn a_runner_must_run_with_its_token_its_address_and_the_settings_of_today() {
        let known = || Token::Known(Secret::new("glrt-1"));
        let right = format!("{} https://gitlab.example 2\n", sha256(b"glrt-1\n"));
        assert_eq!(summary(known(), Some(&right), "active"), None);
        assert_eq!(summary(Token::Unknown, None, ""), None);
        let start = "set up and start the trusted runner of https://gitlab.example: factory-runner-trusted.service";
        assert_eq!(summary(known(), None, "").as_deref(), Some(start));
        assert_eq!(summary(Token::Coming, None, "").as_deref(), Some(start));
        let again = start.replace("set up and start", "set up again and restart");
        for (token, note, active) in [
            (known(), right.replace("gitlab.example", "other.example"), "active"),
            (Token::Known(Secret::new("glrt-2")), right.clone(), "active"),
            (Token::Coming, right.clone(), "active"),
            (known(), right.replace(" 2\n", "\n"), "active"),
            (known(), right.replace(" 2\n", " 1\n"), "active"),
            (known(), right, "failed"),
        ] {
            assert_eq!(summary(token, Some(&note), active), Some(again.clone()), "{note} {active}");
        }
    }
}
