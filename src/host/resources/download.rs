//! A program for all users that comes as one file: the download that the control repo's `toolchain.lock` names.
//!
//! The lock has the SHA-256 of that file, so what is on the host is compared by its content: another version in the lock replaces it.
//! A service that runs keeps the program that it was started with.

use super::{Resource, ResourceKind, Verdict, WayBack, in_the_way};
use crate::dialog::plain;
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, Expect, HostPath, Questions, Step};
use crate::plan::{Action, Change};

/// The state before is a copy.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "download",
    shell: include_str!("download.sh"),
    title: |name| format!("the program {name}"),
    way_back: WayBack::Write(|name, before, back| back.at("undo_path", &HostPath::shown(name), before.as_slice())),
};

/// A program in `/usr/local/bin`.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    /// Its name in `toolchain.lock`.
    pub(crate) name: &'static str,
    /// The text of `toolchain.lock`.
    pub(crate) lock: String,
}

/// A line of `toolchain.lock`.
struct Pin<'a> {
    version: &'a str,
    platform: &'a str,
    sha256: &'a str,
    url: &'a str,
}

impl Download {
    fn path(&self) -> HostPath {
        HostPath::new(format!("/usr/local/bin/{}", self.name))
    }

    fn pins(&self) -> Vec<Pin<'_>> {
        let pin = |line| match *str::split_whitespace(line).collect::<Vec<_>>() {
            [name, version, platform, sha256, url] if name == self.name => Some(Pin { version, platform, sha256, url }),
            _ => None,
        };
        self.lock.lines().filter_map(pin).collect()
    }
}

impl Resource for Download {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.path().to_string())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.file(&self.path(), Expect::HashOnly);
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let path = self.path();
        let state = path.on(seen).and_then(|at| seen.paths.get(&at));
        if state.is_some_and(|state| state.kind == 'd') {
            return in_the_way(&path, "a folder", "a program");
        }
        let pins = self.pins();
        let Some(pin) = pins.first() else {
            let lacks = format!(
                "{} is not installed: toolchain.lock of the control repo has no line for it; `factoryup upgrade` adds one",
                self.name
            );
            return Ok(Verdict { change: None, note: state.is_none().then_some(lacks) });
        };
        let hash = path.on(seen).and_then(|at| seen.hashes.get(&at));
        let is_one = |pin: &Pin<'_>| hash.is_some_and(|hash| hash == pin.sha256);
        if path.is_program_on(seen) && pins.iter().any(is_one) {
            return Ok(Verdict::right());
        }
        let what = plain(&format!("{path}, version {}, as toolchain.lock says", pin.version));
        let (action, summary) = match state {
            None => (Action::Create, format!("download {what}")),
            Some(_) => (Action::Update, format!("replace {what}")),
        };
        let after = pins.iter().map(|Pin { platform, sha256, url, .. }| format!("{platform} {sha256} {url}\n"));
        let before = hash.map(|hash| format!("{hash}\n"));
        Ok(Verdict::differs(Change::new(self.id(), action, summary).with_diff(before, Some(after.collect()))))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Path(self.path())
    }

    fn is_last(&self) -> bool {
        true
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.or_leave();
        let pins = self.pins();
        let words: Vec<_> = pins.iter().flat_map(|pin| [pin.platform, pin.sha256, pin.url]).collect();
        step.at("download", &self.path(), &words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::PathState;

    const LOCK: &str = "# a comment\ntool 1 linux-amd64 aa https://x.example/tool\n\
                        cloudflared 2 linux-amd64 bb https://x.example/amd\ncloudflared 2 linux-arm64 cc https://x.example/arm\n";

    fn said(lock: &str, hash: &str, mode: &str) -> (Option<String>, Option<String>) {
        let program = Download { name: "cloudflared", lock: lock.into() };
        let mut seen = Observed::default();
        if !hash.is_empty() {
            seen.paths.insert("/usr/local/bin/cloudflared".into(), PathState::of('f', mode, "root"));
            seen.hashes.insert("/usr/local/bin/cloudflared".into(), hash.into());
        }
        let verdict = program.compare(&seen).unwrap();
        (verdict.change.map(|change| change.summary), verdict.note)
    }

    #[test]
    fn the_program_is_the_one_that_the_lock_names_for_some_platform() {
        for hash in ["bb", "cc"] {
            assert_eq!(said(LOCK, hash, "755"), (None, None));
        }
        let what = "/usr/local/bin/cloudflared, version 2, as toolchain.lock says";
        assert_eq!(said(LOCK, "", "755").0.unwrap(), format!("download {what}"));
        assert_eq!(said(LOCK, "aa", "755").0.unwrap(), format!("replace {what}"));
        assert_eq!(said(LOCK, "bb", "644").0.unwrap(), format!("replace {what}"));
    }

    #[test]
    fn without_a_line_what_is_there_stays() {
        assert_eq!(said("", "aa", "755"), (None, None));
        let (change, note) = said("cloudflared 2 linux-amd64 bb\n", "", "755");
        assert!(change.is_none() && note.unwrap().contains("has no line for it"));
    }
}
