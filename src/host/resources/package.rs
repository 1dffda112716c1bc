//! Packages of the system's own repositories, with apt. Many in one resource, since apt installs many at the price of one.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::{Error, Kind, Result};
use crate::host::observed::Observed;
use crate::host::program::{Before, Questions, Step, Word};
use crate::plan::{Action, Change, Risk, Undo};

/// Why they are not removed again.
const STAY: &str = "packages stay, since others may need them by now; apt-get remove takes them away";

/// Named by what they are for.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "package",
    shell: include_str!("package.sh"),
    title: |purpose| format!("what was installed ({purpose})"),
    way_back: WayBack::None(STAY),
};

/// Packages that must be installed, in whatever version the system offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packages {
    /// What they are for, in a word.
    pub(crate) purpose: &'static str,
    /// Their names.
    pub(crate) names: Vec<&'static str>,
}

impl Packages {
    fn missing(&self, seen: &Observed) -> Vec<&'static str> {
        self.names.iter().copied().filter(|name| !seen.packages.contains_key(*name)).collect()
    }
}

impl Resource for Packages {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.purpose.to_owned())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.packages.extend(self.names.iter().map(|&name| name.to_owned()));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let missing = self.missing(seen);
        if missing.is_empty() {
            return Ok(Verdict::right());
        }
        require_room(seen, missing.len())?;
        let waits =
            |pid| format!("process {pid} on the host uses apt or dpkg; apply waits for it, for at most 5 minutes");
        let note = seen.facts.get("apt-holder").map(waits);
        let summary = format!("install {} for {}: {}", count(missing.len()), self.purpose, missing.join(" "));
        Ok(Verdict { note, ..Verdict::differs(Change::new(self.id(), Action::Create, summary).with_risk(Risk::None)) })
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(Undo::Never { reason: STAY.into() })
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        let missing = self.missing(seen);
        let names = if missing.is_empty() { &self.names } else { &missing };
        step.call("install_packages", &names.iter().map(|name| Word::text(name)).collect::<Vec<_>>());
    }
}

/// What a factory's packages take on a plain Debian, with the downloaded archives, and as much again: in MiB.
const ROOM: u64 = 512;
/// What one package may take of it.
const EACH: u64 = 128;

/// Refuses a host on which a file system that packages are written to has too little room.
fn require_room(seen: &Observed, missing: usize) -> Result<()> {
    let room = ROOM.min(EACH * missing as u64);
    let free = seen.facts.get("free-kib").and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib / 1024);
    let Some(free) = free.filter(|free| *free < room) else { return Ok(()) };
    Err(Error::new(
        Kind::CannotWrite,
        format!("too little room on the host to install packages: {free} MiB of {room} MiB"),
    )
    .hint("free some, such as with `apt-get clean` and `journalctl --vacuum-size=100M` on the host")
    .hint("`df -h / /usr /var /var/cache/apt/archives` on the host shows which file system is full"))
}

fn count(packages: usize) -> String {
    if packages == 1 { "1 package".into() } else { format!("{packages} packages") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let packages = Packages { purpose: "base", names: vec!["git", "tmux"] };
        let mut seen = Observed::default();
        seen.packages.insert("git".into(), "1:2.39".into());
        let change = packages.compare(&seen).unwrap().change.unwrap();
        assert_eq!(change.summary, "install 1 package for base: tmux");
        seen.facts.insert("free-kib".into(), "65536".into());
        let error = packages.compare(&seen).unwrap_err();
        assert!(error.kind() == Kind::CannotWrite && error.to_string().contains("64 MiB of 128 MiB"), "{error}");
        seen.packages.insert("tmux".into(), "3.3".into());
        assert!(packages.compare(&seen).unwrap().change.is_none());
    }
}
