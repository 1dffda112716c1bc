//! A coding agent's word that it may load the settings of a directory, given before its first start.
//!
//! The file belongs to the agent's program, which rewrites it while it runs. So it is only ever created: another program's edit could
//! get lost in one that exists. The word covers all worktrees of a clone, since both programs look for that of its main checkout.

use serde_json::{Value, json};

use super::{GitClone, Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Payload, Questions, Step};
use crate::plan::{Action, Change};

/// The state before is that there is no file; the way back removes it, unless it was edited.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "trust",
    shell: include_str!("trust.sh"),
    title: str::to_owned,
    way_back: WayBack::Write(|name, before, back| back.path(HostPath::shown(name), before)),
};

/// The program whose word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Claude Code: `projects.DIRECTORY.hasTrustDialogAccepted` in `~/.claude.json`, and `hasCompletedOnboarding`.
    Claude,
    /// Codex: `projects.DIRECTORY.trust_level` in `~/.codex/config.toml`.
    Codex,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Claude => "Claude Code",
            Self::Codex => "Codex",
        }
    }
}

/// That a program trusts the clone in its user's home.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// Which one.
    pub(crate) program: Program,
    /// The clone, whose user the program's is.
    pub(crate) clone: GitClone,
}

impl Trust {
    fn path(&self) -> HostPath {
        HostPath::home(
            &self.clone.user,
            match self.program {
                Program::Claude => ".claude.json",
                Program::Codex => ".codex/config.toml",
            },
        )
    }

    /// The directory. A user who does not exist yet gets a home in `/home`: `user.sh`.
    fn directory(&self, seen: &Observed) -> String {
        let GitClone { user, below, .. } = &self.clone;
        let home = seen.accounts.get(user).map_or_else(|| format!("/home/{user}"), |account| account.home.clone());
        format!("{home}/{below}")
    }

    fn text(&self, directory: &str) -> String {
        let quoted = json!(directory).to_string();
        match self.program {
            Program::Claude => {
                // Without the second, its first start asks for a theme and a login before all else.
                let trusted = json!({ directory: { "hasTrustDialogAccepted": true } });
                let file = json!({ "projects": trusted, "hasCompletedOnboarding": true });
                format!("{file:#}\n")
            }
            // A JSON string of printable text is a TOML string as well.
            Program::Codex => format!("[projects.{quoted}]\ntrust_level = \"trusted\"\n"),
        }
    }

    /// Whether the program will not ask: it has an answer for the directory or, as with Claude Code, for one above.
    fn is_answered(&self, text: &str, directory: &str) -> bool {
        match self.program {
            Program::Claude => {
                let file: Value = serde_json::from_str(text).unwrap_or_default();
                std::path::Path::new(directory).ancestors().filter_map(std::path::Path::to_str).any(|directory| {
                    file["projects"][directory]["hasTrustDialogAccepted"].as_bool().unwrap_or_default()
                })
            }
            Program::Codex => toml::from_str::<toml::Table>(text)
                .is_ok_and(|file| file.get("projects").is_some_and(|all| all.get(directory).is_some())),
        }
    }
}

impl Resource for Trust {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path().to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        self.clone.ask(questions);
        questions.text(&self.path());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let (path, directory) = (self.path(), self.directory(seen));
        let on_host = path.on(seen).filter(|path| seen.paths.contains_key(path));
        let Some(on_host) = on_host else {
            if self.clone.is_kept_out(seen) {
                return Ok(Verdict::right());
            }
            let summary = format!("create {path}, so that {} trusts {directory}", self.program.name());
            let change = Change::new(self.id(), Action::Create, summary);
            return Ok(Verdict::differs(change.with_diff(None, Some(self.text(&directory)))));
        };
        // A longer text is the program's own by now, and it has asked long ago.
        let asks = seen.text(&on_host).is_some_and(|text| !self.is_answered(&text, &directory));
        let note = format!(
            "{path} existed before and is not changed: {} asks at its first start whether to trust {directory}; say yes",
            self.program.name()
        );
        Ok(Verdict { change: None, note: asks.then_some(note) })
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Path(self.path())
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        let payload = Payload::text(self.text(&self.directory(seen)));
        let owner = format!("{0}:{0}", self.clone.user);
        step.feed_at("put_new", &self.path(), &["600", &owner, &payload.sha256()], &payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_over::Token;
    use crate::host::observed::{Account, PathState};

    fn trust(program: Program) -> Trust {
        let clone = GitClone {
            user: "agent".into(),
            below: "work/acme".into(),
            url: "https://gitlab.example/a/acme.git".into(),
            branch: "main".into(),
            token: Token::Coming,
            credential: HostPath::home("agent", "credential"),
        };
        Trust { program, clone }
    }

    fn verdict(program: Program, text: Option<&str>) -> Verdict {
        let trust = trust(program);
        let mut seen = Observed::default();
        let account = Account { uid: 1000, gid: 1000, home: "/home/a".into(), shell: "/bin/sh".into() };
        seen.accounts.insert("agent".into(), account);
        if let Some(text) = text {
            let path = trust.path().on(&seen).unwrap();
            seen.paths.insert(path.clone(), PathState::of('f', "600", "agent"));
            seen.texts.insert(path, text.into());
        }
        trust.compare(&seen).unwrap()
    }

    #[test]
    fn a_file_is_created_where_there_is_none_and_never_changed() {
        for program in [Program::Claude, Program::Codex] {
            let change = verdict(program, None).change.unwrap();
            let text = change.diff.unwrap().after.unwrap();
            assert!(text.contains("/home/a/work/acme"), "{text}");
            // What it writes is what it looks for.
            let again = verdict(program, Some(&text));
            assert!(again.change.is_none() && again.note.is_none(), "{text}");
            let own = verdict(program, Some(""));
            assert!(own.change.is_none() && own.note.unwrap().contains("say yes"));
        }
        for (program, text) in [
            (Program::Claude, r#"{"projects":{"/home/a":{"hasTrustDialogAccepted":true}}}"#),
            (Program::Codex, "[projects.\"/home/a/work/acme\"]\ntrust_level = \"untrusted\"\n"),
        ] {
            assert!(verdict(program, Some(text)).note.is_none(), "{text}");
        }
        let refused = r#"{"projects":{"/home/a/work/acme":{"hasTrustDialogAccepted":false}}}"#;
        assert!(verdict(Program::Claude, Some(refused)).note.is_some());
    }
    #[test]
    fn another_repo_in_its_place_is_not_trusted() {
        let mut seen = Observed::default();
        let account = Account { uid: 1000, gid: 1000, home: "/home/a".into(), shell: "/bin/sh".into() };
        seen.accounts.insert("agent".into(), account);
        for path in ["/home/a/work/acme", "/home/a/work/acme/.git"] {
            seen.paths.insert(path.into(), PathState::of('d', "750", "agent"));
        }
        for (url, trusts) in [("https://gitlab.example/a/acme.git", true), ("https://gitlab.example/b/acme.git", false)]
        {
            let config = format!("[remote \"origin\"]\n\turl = {url}\n");
            seen.texts.insert("/home/a/work/acme/.git/config".into(), config.into());
            assert_eq!(trust(Program::Claude).compare(&seen).unwrap().change.is_some(), trusts, "{url}");
        }
    }
}
