//! Kernel settings: one file in `/etc/sysctl.d` for the next start, and the live values for now.
//!
//! In a container most settings belong to the machine below it. What cannot be written here is left out of the comparison and
//! named in a note, so that the plan never promises a change that cannot be made.

use super::{File, Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step, Word};
use crate::plan::{Action, Change};

/// Named by its file. The state before is a copy of that.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "sysctl",
    shell: include_str!("sysctl.sh"),
    title: |name| format!("kernel settings {name}"),
    way_back: WayBack::Write(|name, before, back| {
        back.path(HostPath::new(path(name)), before);
        back.step.call("undo_settings", &[]);
    }),
};

fn path(name: &str) -> String {
    format!("/etc/sysctl.d/{name}.conf")
}

/// Settings of which a higher value is a stricter one: `Documentation/admin-guide/LSM/Yama.rst` (3 is locked until the next boot), and
/// `perf_event_paranoid` in `Documentation/admin-guide/sysctl/kernel.rst` (Debian and Ubuntu have one or two more).
const AT_LEAST: [&str; 2] = ["kernel.perf_event_paranoid", "kernel.yama.ptrace_scope"];

/// Whether a value of a setting asks for more than another. What is stricter than wanted stays.
pub(crate) fn is_stricter(name: &str, value: &str, than: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    AT_LEAST.contains(&name) && number(value) > number(than)
}

/// Settings that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Sysctl {
    /// The file's name without `.conf`.
    pub(crate) name: &'static str,
    /// Dotted names and values.
    pub(crate) values: Vec<(&'static str, &'static str)>,
}

impl Sysctl {
    /// The values to set. What is stricter already stays: the owner wanted it so, or the kernel has it locked. The file leaves it out as
    /// well, since it is read last and would lower it at the next boot.
    fn wanted(&self, seen: &Observed) -> impl Iterator<Item = (&'static str, &'static str)> {
        let stays =
            |name: &str, value: &str| seen.settings.get(name).is_some_and(|s| is_stricter(name, &s.value, value));
        self.values.iter().copied().filter(move |(name, value)| !stays(name, value))
    }

    fn file(&self, seen: &Observed) -> File {
        let mut text =
            String::from("# Written by factoryup. A line that begins with - is passed over where it cannot be set.\n");
        for (name, value) in self.wanted(seen) {
            text.push_str(&format!("-{name} = {value}\n"));
        }
        File::system(path(self.name), text)
    }

    /// Settings that can be set and are not.
    fn off(&self, seen: &Observed) -> Vec<(&'static str, &'static str)> {
        let is_off = |name: &str, value: &str| seen.settings.get(name).is_some_and(|s| s.writable && s.value != value);
        self.wanted(seen).filter(|(name, value)| is_off(name, value)).collect()
    }

    fn note(&self, seen: &Observed) -> Option<String> {
        let out_of_reach: Vec<&str> = self
            .wanted(seen)
            .filter(|(name, value)| seen.settings.get(*name).is_some_and(|s| !s.writable && s.value != *value))
            .map(|(name, _)| name)
            .collect();
        (!out_of_reach.is_empty()).then(|| {
            format!(
                "{} kernel settings cannot be changed here and stay as they are (a container's kernel is its host's): {}",
                out_of_reach.len(),
                out_of_reach.join(" ")
            )
        })
    }

    fn listing(values: impl Iterator<Item = (&'static str, String)>) -> String {
        values.fold(String::new(), |text, (name, value)| text + name + " = " + &value + "\n")
    }
}

impl Resource for Sysctl {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.name.to_owned())
    }

    fn ask(&self, questions: &mut Questions) {
        self.file(&Observed::default()).ask(questions);
        questions.settings.extend(self.values.iter().map(|(name, _)| (*name).to_owned()));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let note = self.note(seen);
        let off = self.off(seen);
        let file = self.file(seen).compare(seen)?.change;
        if off.is_empty() && file.is_none() {
            return Ok(Verdict { change: None, note });
        }
        let action = file.as_ref().map_or(Action::Update, |change| change.action);
        let summary = match off.len() {
            0 => format!("write kernel settings to /etc/sysctl.d/{}.conf", self.name),
            1 => format!("set 1 kernel setting, and write it to /etc/sysctl.d/{}.conf", self.name),
            n => format!("set {n} kernel settings, and write them to /etc/sysctl.d/{}.conf", self.name),
        };
        let change = Change::new(self.id(), action, summary);
        let change = if off.is_empty() {
            Change { diff: file.and_then(|change| change.diff), ..change }
        } else {
            let live = |name: &str| seen.settings.get(name).map(|s| s.value.clone()).unwrap_or_default();
            change.with_diff(
                Some(Self::listing(off.iter().map(|(name, _)| (*name, live(name))))),
                Some(Self::listing(off.iter().map(|(name, value)| (*name, (*value).to_owned())))),
            )
        };
        Ok(Verdict { change: Some(change), note })
    }

    fn before(&self, seen: &Observed) -> Before {
        self.file(seen).before(seen)
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        self.file(seen).write(seen, step);
        for (name, value) in self.wanted(seen) {
            step.call("adjust", &[Word::text(name), Word::text(value)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::host::observed::{PathState, Setting};

    #[test]
    fn what_cannot_be_set_is_a_note_and_no_change() {
        let sysctl = Sysctl { name: "80-x", values: vec![("kernel.a", "1"), ("net.b", "0"), ("dev.absent", "1")] };
        let mut seen = Observed::default();
        seen.settings.insert("kernel.a".into(), Setting { value: "0".into(), writable: false });
        seen.settings.insert("net.b".into(), Setting { value: "1".into(), writable: true });
        let verdict = sysctl.compare(&seen).unwrap();
        assert!(verdict.note.unwrap().ends_with(": kernel.a"));
        let change = verdict.change.unwrap();
        assert_eq!(change.summary, "set 1 kernel setting, and write it to /etc/sysctl.d/80-x.conf");
        assert_eq!(change.diff.unwrap().after.as_deref(), Some("net.b = 0\n"));

        seen.settings.insert("net.b".into(), Setting { value: "0".into(), writable: true });
        let text = "# Written by factoryup. A line that begins with - is passed over where it cannot be set.\n\
                    -kernel.a = 1\n-net.b = 0\n-dev.absent = 1\n";
        seen.hashes.insert("/etc/sysctl.d/80-x.conf".into(), sha256(text.as_bytes()));
        let state = PathState::of('f', "644", "root");
        seen.paths.insert("/etc/sysctl.d/80-x.conf".into(), state);
        assert!(sysctl.compare(&seen).unwrap().change.is_none());
    }

    #[test]
    fn what_is_stricter_already_stays_now_and_at_the_next_boot() {
        let sysctl = Sysctl { name: "80-x", values: vec![("kernel.yama.ptrace_scope", "1"), ("net.b", "0")] };
        let mut seen = Observed::default();
        for (live, lines) in [("0", 2), ("1", 2), ("2", 1), ("3", 1)] {
            seen.settings.insert("kernel.yama.ptrace_scope".into(), Setting { value: live.into(), writable: true });
            let off = usize::from(live == "0");
            assert_eq!(sysctl.off(&seen).len(), off, "{live}");
            assert_eq!(sysctl.wanted(&seen).count(), lines, "{live}");
        }
        // Of another setting, more is not better.
        seen.settings.insert("net.b".into(), Setting { value: "2".into(), writable: true });
        assert_eq!(sysctl.off(&seen), [("net.b", "0")]);
    }

    #[test]
    fn a_setting_that_the_kernel_locks_does_not_hold_up_the_way_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for group in ["sys/kernel", "sys/net"] {
            std::fs::create_dir_all(at(group)).unwrap();
        }
        // It can be opened, and takes no value.
        std::os::unix::fs::symlink("/dev/full", at("sys/kernel/locked")).unwrap();
        std::fs::write(at("sys/net/b"), "1\n").unwrap();
        std::fs::write(at("settings"), "kernel.locked 2\nnet.b 7 8\n").unwrap();
        let shell = KIND.shell.replace("/proc/sys", &at("sys").display().to_string());
        let done = crate::host::program::try_step(folder.path(), &format!("{shell}\nundo_settings"));
        assert!(done.status.success(), "{done:?}");
        assert_eq!(std::fs::read_to_string(at("sys/net/b")).unwrap(), "7 8\n");
        let left = std::fs::read_to_string(at("work/left")).unwrap();
        let said = "kernel.locked keeps its value until the next boot: the kernel refuses its former value, 2\n";
        assert_eq!(left, said);
        assert!(!at("settings").exists());
    }
}
