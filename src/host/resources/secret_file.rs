//! A file of one line or few that nobody but its owner reads, such as a token.
//!
//! It is known by its digest only, and never shown. What it replaces or removes is not kept: a secret that is over should be
//! nowhere, and the way back from one is to remove it.
//!
//! The agent's tokens are renewed on the host. Then the one from here is over, and is not put back: the record of the renewals has its digest.

use super::{Resource, ResourceKind, Verdict, WayBack, in_the_way};
use crate::error::Result;
use crate::host::accounts::AGENT;
use crate::host::observed::{Observed, PathState};
use crate::host::program::{Before, Expect, HostPath, Payload, Questions, Step};
use crate::plan::{Action, Change, Undo};
use crate::secret::Secret;

/// Nothing is kept of the state before.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "secret",
    shell: include_str!("secret_file.sh"),
    title: |name| format!("the secret in {name}"),
    way_back: WayBack::Write(|name, _, back| {
        back.at("drop_secret", &HostPath::shown(name), &[]);
        back.comes_first = true;
    }),
};

/// The record of the renewals, below the agent's home.
pub(crate) const RENEWALS: &str = ".config/factory/renewal/replaced";

/// The only mode.
const MODE: &str = "600";

/// What the file is to hold.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// Whatever is there: this machine does not have it.
    Any,
    /// What the hand-off is about to make.
    Coming,
    /// This.
    Text(Secret),
    /// There must be no such file.
    Nothing,
}

/// A file with a secret.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile {
    /// Where.
    pub(crate) path: HostPath,
    /// Owner, and name of the group.
    pub(crate) owner: String,
    /// For people, as in `the agent's token`.
    pub(crate) what: &'static str,
    /// What it is to hold.
    pub(crate) wish: Wish,
}

impl SecretFile {
    fn is_right(&self, state: &PathState, hash: Option<&String>, text: &Secret) -> bool {
        let is = (state.kind, state.mode.as_str(), state.owner.as_str(), state.group.as_str());
        is == ('f', MODE, self.owner.as_str(), self.owner.as_str())
            && hash == Some(&Payload::Sealed(text.clone()).sha256())
    }

    /// The record of the renewals of the agent's tokens: a digest for each file that one of them replaced.
    fn renewals(&self) -> Option<HostPath> {
        (self.owner == AGENT).then(|| HostPath::home(AGENT, RENEWALS))
    }

    /// Whether the host has replaced this text by a newer one.
    fn is_renewed(&self, seen: &Observed, state: &PathState, text: &Secret) -> bool {
        let record = self.renewals().and_then(|path| seen.text(&path.on(seen)?)).unwrap_or_default();
        let is_private = state.kind == 'f' && state.mode == MODE && state.owner == self.owner;
        is_private && record.lines().any(|line| line == Payload::Sealed(text.clone()).sha256())
    }

    fn change(&self, action: Action, summary: String) -> Verdict {
        Verdict::differs(Change::new(self.id(), action, summary))
    }
}

impl Resource for SecretFile {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path.to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.file(&self.path, Expect::HashOnly);
        if let Some(record) = self.renewals() {
            questions.text(&record);
        }
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let path = self.path.on(seen);
        let state = path.as_ref().and_then(|path| seen.paths.get(path));
        let (what, place) = (self.what, &self.path);
        if state.is_some_and(|state| state.kind == 'd') {
            return in_the_way(place, "a folder", "a file");
        }
        let made = if matches!(self.wish, Wish::Coming) { ", which the hand-off makes," } else { "" };
        Ok(match (&self.wish, state) {
            (Wish::Nothing, Some(_)) => self.change(Action::Delete, format!("remove {what}, {place}")),
            (Wish::Any, None) => Verdict {
                change: None,
                note: Some(format!(
                    "{what} is not in {place} yet; `factoryup apply` brings it there after the hand-off"
                )),
            },
            (Wish::Nothing, None) | (Wish::Any, Some(_)) => Verdict::right(),
            (Wish::Coming | Wish::Text(_), None) => {
                self.change(Action::Create, format!("put {what}{made} into {place} ({MODE} {})", self.owner))
            }
            (Wish::Text(text), Some(state)) => {
                let hash = path.as_ref().and_then(|path| seen.hashes.get(path));
                if self.is_right(state, hash, text) {
                    Verdict::right()
                } else if self.is_renewed(seen, state, text) {
                    Verdict { change: None, note: Some(format!("the host has renewed {what} in {place}")) }
                } else {
                    self.change(Action::Update, format!("replace {what} in {place} ({MODE} {})", self.owner))
                }
            }
            (Wish::Coming, Some(_)) => self.change(
                Action::Update,
                format!("replace {what} in {place} by the new one{made}").trim_end_matches(',').into(),
            ),
        })
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(match self.wish {
            Wish::Nothing => Undo::Never { reason: "a secret that is over is not kept".into() },
            _ => Undo::Remove,
        })
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        match &self.wish {
            Wish::Text(text) => {
                step.feed_at("put_secret", &self.path, &[&self.owner], &Payload::Sealed(text.clone()));
                if self.owner == AGENT {
                    // What failed with the token before succeeds with this one, or says why not. On a new host there is no such service yet.
                    step.call("systemctl --no-block restart factory-renew.service 2>/dev/null || true", &[]);
                }
            }
            Wish::Nothing => step.at("drop_secret", &self.path, &[]),
            Wish::Any | Wish::Coming => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::host::program::Show;

    fn file(wish: Wish) -> SecretFile {
        SecretFile { path: HostPath::new("/etc/x-token"), owner: "root".into(), what: "the token", wish }
    }

    fn seen(text: &str, mode: &str) -> Observed {
        let mut seen = Observed::default();
        let state = PathState::of('f', mode, "root");
        seen.paths.insert("/etc/x-token".into(), state);
        seen.hashes.insert("/etc/x-token".into(), sha256(text.as_bytes()));
        seen
    }

    fn summary(wish: Wish, seen: &Observed) -> Option<String> {
        let change = file(wish).compare(seen).unwrap().change;
        if let Some(change) = &change {
            let json = serde_json::to_string(change).unwrap();
            assert!(
                !json.contains("hunter2") && !json.contains(&sha256(b"hunter2\n")) && change.diff.is_none(),
                "{json}"
            );
        }
        change.map(|change| change.summary)
    }

    #[test]
    fn only_the_same_text_with_the_same_rights_is_right() {
        let wish = || Wish::Text(Secret::new("hunter2\n"));
        assert_eq!(summary(wish(), &seen("hunter2\n", "600")), None);
        let replace = Some("replace the token in /etc/x-token (600 root)".to_owned());
        assert_eq!(summary(wish(), &seen("hunter2\n", "640")), replace);
        assert_eq!(summary(wish(), &seen("old\n", "600")), replace);
        assert_eq!(
            summary(wish(), &Observed::default()).as_deref(),
            Some("put the token into /etc/x-token (600 root)")
        );
    }

    #[test]
    fn what_is_not_known_here_stays_and_what_comes_is_announced() {
        assert_eq!(summary(Wish::Any, &seen("other\n", "600")), None);
        let absent = file(Wish::Any).compare(&Observed::default()).unwrap();
        assert!(absent.change.is_none() && absent.note.unwrap().contains("after the hand-off"));
        let coming = |seen: &Observed| summary(Wish::Coming, seen).unwrap();
        assert_eq!(
            coming(&Observed::default()),
            "put the token, which the hand-off makes, into /etc/x-token (600 root)"
        );
        assert_eq!(
            coming(&seen("old\n", "600")),
            "replace the token in /etc/x-token by the new one, which the hand-off makes"
        );
        assert_eq!(summary(Wish::Nothing, &Observed::default()), None);
        assert_eq!(summary(Wish::Nothing, &seen("x", "600")).as_deref(), Some("remove the token, /etc/x-token"));
    }

    /// Otherwise an apply would put back a token that GitLab has ended.
    #[test]
    fn what_the_host_has_renewed_stays() {
        let ours = "hunter2\n";
        let path = HostPath::home(AGENT, "token");
        let file = SecretFile { path, owner: AGENT.into(), what: "the token", wish: Wish::Text(Secret::new(ours)) };
        let compare = |record: &str, mode: &str| {
            let mut seen = Observed::default();
            let passwd = "agent:x:1001:1001::/home/agent:/bin/bash";
            seen.take("passwd", passwd);
            seen.paths.insert("/home/agent/token".into(), PathState::of('f', mode, AGENT));
            seen.hashes.insert("/home/agent/token".into(), sha256(b"newer\n"));
            seen.texts.insert(format!("/home/agent/{RENEWALS}"), record.into());
            let verdict = file.compare(&seen).unwrap();
            (verdict.change.is_some(), verdict.note.unwrap_or_default())
        };
        let record = format!("{}\n{}\n", sha256(b"older\n"), sha256(ours.as_bytes()));
        assert_eq!(compare(&record, "600"), (false, "the host has renewed the token in ~agent/token".into()));
        for (record, mode) in [(record.as_str(), "640"), (&record[..64], "600"), ("", "600")] {
            assert_eq!(compare(record, mode), (true, String::new()), "{record} {mode}");
        }
    }

    #[test]
    fn the_program_holds_the_text_only_to_run_and_keeps_nothing_of_what_was_there() {
        let text = |wish, show| {
            let change = Change::new("secret:/etc/x-token", Action::Update, "");
            file(wish).step(&change, &seen("old\n", "600"), show).body()
        };
        let run = text(Wish::Text(Secret::new("hunter2\n")), Show::Run);
        assert!(run.contains("put_secret root /etc/x-token root <<'END'\nhunter2\nEND\n"), "{run}");
        assert!(run.contains("\"how\":\"remove\"") && !run.contains("keep"), "{run}");
        let shown = text(Wish::Text(Secret::new("hunter2\n")), Show::Read);
        assert!(!shown.contains("hunter2") && !shown.contains(&sha256(b"hunter2\n")), "{shown}");
        assert!(text(Wish::Nothing, Show::Run).contains("drop_secret root /etc/x-token\n"));
    }
}
