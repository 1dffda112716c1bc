//! The host's name: in the kernel, in `/etc/hostname` for the next boot, and in `/etc/hosts`, so that `sudo` can resolve it.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::digest::sha256;
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Payload, Questions, Step, Word};
use crate::plan::{Action, Change};

/// Named by its file. The state before is a copy of it; the line in `/etc/hosts` is known by its form.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "hostname",
    shell: include_str!("hostname.sh"),
    title: |path| format!("the host's name ({path})"),
    way_back: WayBack::Write(|path, before, back| {
        back.path(HostPath::new(path), before);
        back.step.call("undo_hostname", &[]);
    }),
};

const FILE: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
const LIVE: &str = "kernel.hostname";

/// A host's name, without a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hostname(pub(crate) String);

impl Hostname {
    /// The name in force, the one for the next boot, and what `/etc/hosts` says of the wanted one.
    fn state(&self, seen: &Observed) -> [String; 3] {
        let live = seen.settings.get(LIVE).map(|setting| setting.value.clone()).unwrap_or_default();
        let stored = seen.text(FILE).unwrap_or_default().trim().to_owned();
        let hosts = seen.text(HOSTS).unwrap_or_default();
        let names =
            |line: &str| line.split('#').next().unwrap_or_default().split_whitespace().skip(1).any(|n| n == self.0);
        [live, stored, if hosts.lines().any(names) { "known" } else { "unknown" }.to_owned()]
    }

    fn wish(&self) -> [String; 3] {
        [self.0.clone(), self.0.clone(), "known".to_owned()]
    }
}

fn show([live, stored, hosts]: &[String; 3]) -> String {
    format!("in force: {live}\n{FILE}: {stored}\n{HOSTS}: {hosts}\n")
}

impl Resource for Hostname {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, FILE.to_owned())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.text(&HostPath::new(FILE));
        questions.text(&HostPath::new(HOSTS));
        questions.settings.insert(LIVE.to_owned());
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let (is, wish) = (self.state(seen), self.wish());
        if is == wish {
            return Ok(Verdict::right());
        }
        let summary = if is[0] == wish[0] {
            format!("store the host's name {} in {FILE} and {HOSTS}", self.0)
        } else {
            format!("rename the host to {}", self.0)
        };
        let change = Change::new(self.id(), Action::Update, summary);
        Ok(Verdict::differs(change.with_diff(Some(show(&is)), Some(show(&wish)))))
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Path(HostPath::new(FILE))
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        let (name, line) = (Word::text(&self.0), format!("{}\n", self.0));
        // First, so that the name in force can be resolved at any time.
        step.call("name_in_hosts", std::slice::from_ref(&name));
        let hash = sha256(line.as_bytes());
        step.feed_at("put", &HostPath::new(FILE), &["644", "root:root", &hash], &Payload::text(line));
        step.call("hostname --", &[name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::Setting;

    #[test]
    fn a_name_must_be_in_force_stored_and_resolvable() {
        let summary = |live: &str, stored: &str, hosts: &str| {
            let mut seen = Observed::default();
            seen.settings.insert(LIVE.into(), Setting { value: live.into(), writable: false });
            seen.texts.insert(FILE.into(), stored.into());
            seen.texts.insert(HOSTS.into(), hosts.into());
            Hostname("forge".into()).compare(&seen).unwrap().change.map(|change| change.summary)
        };
        let known = "127.0.0.1 localhost\n127.0.1.1 forge.example.org forge # mine\n";
        assert_eq!(summary("forge", "forge\n", known), None);
        assert_eq!(summary("old", "forge\n", known).as_deref(), Some("rename the host to forge"));
        let store = Some("store the host's name forge in /etc/hostname and /etc/hosts");
        assert_eq!(summary("forge", "old\n", known).as_deref(), store);
        for unknown in ["", "127.0.1.1 forger\n", "# 127.0.1.1 forge\n", "127.0.1.1 old # forge\n", "forge 127.0.1.1\n"]
        {
            assert_eq!(summary("forge", "forge\n", unknown).as_deref(), store, "{unknown}");
        }
    }

    /// What `/etc/hosts`, a link to a file with this text, leads to after the shell function has run.
    fn named(hosts: &str, name: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("hosts"), folder.path().join("kept-elsewhere"));
        std::fs::write(&file, hosts).unwrap();
        std::os::unix::fs::symlink("kept-elsewhere", &link).unwrap();
        let shell = KIND.shell.replace("/etc/hosts", &link.display().to_string());
        let done = crate::host::program::try_step(folder.path(), &format!("{shell}\nname_in_hosts '{name}'"));
        assert!(done.status.success(), "{done:?}");
        assert!(link.is_symlink(), "{done:?}");
        let backup = folder.path().join("backups").join(file.strip_prefix("/").unwrap());
        assert_eq!(std::fs::read_to_string(backup).unwrap(), hosts);
        std::fs::read_to_string(file).unwrap()
    }

    #[test]
    fn hosts_behind_a_link_keeps_all_lines_of_others() {
        let others = "127.0.0.1 localhost\n10.0.0.5 gitlab.internal # factoryup\n127.0.1.1 a b # factoryup\n";
        let own = "127.0.1.1\tforge # factoryup\n";
        assert_eq!(named(others, "forge"), format!("{others}{own}"));
        assert_eq!(named(&format!("{others}{own}"), "forge"), format!("{others}{own}"));
        assert_eq!(named(&format!("{own}{others}"), ""), others);
        assert_eq!(named("10.0.0.9 store", "forge"), format!("10.0.0.9 store\n{own}"));
    }
}
