//! A file with its content, mode and owner, and what must happen after it changed.

use super::{Resource, ResourceKind, Verdict, WayBack, in_the_way};
use crate::error::Result;
use crate::host::observed::{Observed, PathState};
use crate::host::program::{Before, Expect, HostPath, Payload, Questions, Step, Word};
use crate::plan::{Action, Change};

/// The state before is a copy.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "file",
    shell: "",
    title: str::to_owned,
    way_back: WayBack::Write(|name, before, back| {
        if name == DEPLOYER && before.is_none() {
            back.change.summary += ", and stop all applications; their data stays, and belongs to root";
            back.step.call("[ ! -x /usr/local/sbin/factory-deploy ] || /usr/local/sbin/factory-deploy remove", &[]);
        }
        if name == BACKUP && before.is_none() {
            back.change.summary += "; the backups that it made stay where they are";
        }
        if name == DATABASES && before.is_none() {
            back.change.summary += ", and stop Postgres; its databases stay in /var/lib/postgresql";
        }
        if name == INSTANCES && before.is_none() {
            back.change.summary +=
                ", and stop the Redis of each application; its data stays in /srv/apps/NAME/data/.redis";
        }
        if name == TUNNEL && before.is_none() {
            back.change.summary += ", and stop the tunnels; their tokens stay in /etc/factory";
        }
        if before.is_none()
            && let Some((_, end)) = ENDS.iter().find(|(program, _)| *program == name)
        {
            back.step.call(end, &[]);
        }
        back.path(HostPath::shown(name), before);
    }),
};

/// The program that deploys. The applications that it started go before it does.
pub(crate) const DEPLOYER: &str = "/usr/local/sbin/factory-deploy";

/// The program that makes backups.
pub(crate) const BACKUP: &str = "/usr/local/sbin/factory-backup";

/// The program that runs Postgres for applications.
pub(crate) const DATABASES: &str = "/usr/local/sbin/factory-postgres";

/// The service that starts the Redis of each application.
pub(crate) const INSTANCES: &str = "/etc/systemd/system/factory-redis.service";

/// The program that renews the agent's tokens.
pub(crate) const RENEWER: &str = "/usr/local/lib/factory/factory-renew";

/// The unit of the tunnel of each environment.
pub(crate) const TUNNEL: &str = "/etc/systemd/system/factory-tunnel@.service";

/// Files that a service is made of, and what ends it before they go.
const ENDS: [(&str, &str); 5] = [
    (BACKUP, "systemctl stop factory-backup.service || true; systemctl reset-failed factory-backup.service || true"),
    (DATABASES, "[ ! -x /usr/local/sbin/factory-postgres ] || /usr/local/sbin/factory-postgres remove"),
    (INSTANCES, "systemctl stop 'app-*@redis.service' || true"),
    (RENEWER, "systemctl stop factory-renew.service || true; systemctl reset-failed factory-renew.service || true"),
    (TUNNEL, "systemctl disable factory-tunnel@.service || true; systemctl stop 'factory-tunnel@*' || true"),
];

/// What makes the system take notice of a changed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// `systemctl daemon-reload`.
    DaemonReload,
    /// `systemctl restart UNIT`.
    Restart(&'static str),
    /// The file is that unit's: `systemctl daemon-reload`, and `systemctl try-restart UNIT`.
    RestartIfRunning(&'static str),
}

impl Then {
    /// The commands.
    pub(crate) fn write(self, step: &mut Step) {
        match self {
            Self::DaemonReload => step.call("systemctl daemon-reload", &[]),
            Self::Restart(unit) => step.call("systemctl restart", &[Word::text(unit)]),
            Self::RestartIfRunning(unit) => {
                step.call("systemctl daemon-reload", &[]);
                step.call("systemctl try-restart", &[Word::text(unit)]);
            }
        }
    }
}

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// Where.
    pub(crate) path: HostPath,
    /// Permission bits in octal without leading zeros: `644`.
    pub(crate) mode: &'static str,
    /// Owner.
    pub(crate) owner: String,
    /// Group.
    pub(crate) group: String,
    /// Its content.
    pub(crate) content: Payload,
    /// A command that gets the new file's path and can refuse it.
    pub(crate) check: &'static [&'static str],
    /// What follows a change.
    pub(crate) then: Option<Then>,
}

impl File {
    /// A file of root's that all may read.
    pub(crate) fn system(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            path: HostPath::new(path),
            mode: "644",
            owner: "root".into(),
            group: "root".into(),
            content: Payload::text(content),
            check: &[],
            then: None,
        }
    }

    /// Sets the mode.
    pub(crate) fn mode(mut self, mode: &'static str) -> Self {
        self.mode = mode;
        self
    }

    /// Has each new content checked before it is put in place.
    pub(crate) fn checked_by(mut self, check: &'static [&'static str]) -> Self {
        self.check = check;
        self
    }

    /// Says what follows a change.
    pub(crate) fn then(mut self, then: Then) -> Self {
        self.then = Some(then);
        self
    }

    fn wish(&self) -> String {
        format!("{} {}:{}", self.mode, self.owner, self.group)
    }

    fn update(&self, seen: &Observed, path: &str, state: &PathState) -> Option<Change> {
        let same_text = seen.hashes.get(path).is_some_and(|hash| *hash == self.content.sha256());
        let is = format!("{} {}:{}", state.mode, state.owner, state.group);
        let wish = self.wish();
        if state.kind == 'f' && same_text && is == wish {
            return None;
        }
        let update = |summary: String| Change::new(self.id(), Action::Update, summary);
        if state.kind == 'l' {
            let change = update(format!("replace link {} by a file", self.path));
            return Some(change.with_diff(Some(format!("link to {}\n", state.link)), self.shown()));
        }
        if same_text {
            return Some(update(format!("set {} to {wish}", self.path)).with_diff(Some(is), Some(wish)));
        }
        let change = update(format!("change {}", self.path));
        let digest = |hash: &str| Some(format!("sha256 {hash}\n"));
        Some(match (seen.text(path), self.shown()) {
            (Some(before), Some(after)) => change.with_diff(Some(before), Some(after)),
            // Too long to be shown, yet what is replaced has to be the same when the plan is applied.
            (None, Some(_)) => match seen.hashes.get(path) {
                Some(hash) => change.with_diff(digest(hash), digest(&self.content.sha256())),
                None => change,
            },
            _ => change,
        })
    }

    /// The content, where a person may see it and can read it.
    fn shown(&self) -> Option<String> {
        self.content.visible().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
    }
}

impl Resource for File {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path.to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        let expect = match self.content {
            Payload::Plain(_) => Expect::Hash(self.content.sha256()),
            Payload::Sealed(_) => Expect::HashOnly,
        };
        questions.file(&self.path, expect);
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let found = self.path.on(seen).and_then(|path| seen.paths.get(&path).map(|state| (path, state)));
        let Some((path, state)) = found else {
            let summary = format!("create {} ({})", self.path, self.wish());
            let change = Change::new(self.id(), Action::Create, summary);
            return Ok(Verdict::differs(match self.shown() {
                Some(text) => change.with_diff(None, Some(text)),
                None => change,
            }));
        };
        if state.kind == 'd' {
            return in_the_way(&self.path, "a folder", "a file");
        }
        Ok(Verdict { change: self.update(seen, &path, state), note: None })
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Path(self.path.clone())
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        let (owner, hash) = (format!("{}:{}", self.owner, self.group), self.content.sha256());
        step.feed_at("put", &self.path, &[&[self.mode, &owner, &hash], self.check].concat(), &self.content);
        if let Some(then) = self.then {
            then.write(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::secret::Secret;

    fn seen(text: &str, mode: &str) -> Observed {
        let mut seen = Observed::default();
        let state = PathState::of('f', mode, "root");
        seen.paths.insert("/etc/motd".into(), state);
        seen.hashes.insert("/etc/motd".into(), sha256(text.as_bytes()));
        seen.texts.insert("/etc/motd".into(), text.into());
        seen
    }

    #[test]
    fn a_difference_shows_both_texts() {
        let file = File::system("/etc/motd", "new\n");
        assert!(file.compare(&seen("new\n", "644")).unwrap().change.is_none());
        let change = file.compare(&seen("old\n", "644")).unwrap().change.unwrap();
        let diff = change.diff.unwrap();
        assert_eq!((diff.before.as_deref(), diff.after.as_deref()), (Some("old\n"), Some("new\n")));
        let change = file.compare(&seen("new\n", "600")).unwrap().change.unwrap();
        assert_eq!(change.summary, "set /etc/motd to 644 root:root");
    }

    #[test]
    fn a_sealed_content_is_never_in_the_plan() {
        let mut file = File::system("/etc/motd", "");
        file.content = Payload::Sealed(Secret::new("hunter2"));
        for seen in [Observed::default(), seen("other", "644")] {
            let change = file.compare(&seen).unwrap().change.unwrap();
            assert!(!serde_json::to_string(&change).unwrap().contains("hunter2"));
        }
    }
}
