//! Swap, on a host that has none: a file, and the unit that turns it on.
//!
//! A compiler or an agent whose peak needs more memory than the machine has then slows down, and is not killed. Swap that a host has
//! already, a partition, a file or zram, stays, and no more is made.

use super::{File, Resource, ResourceKind, Unit, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step, Topic, Word};
use crate::plan::{Action, Change};

/// Named by its file. There was none before.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "swap",
    shell: include_str!("swap.sh"),
    title: |path| format!("swap file {path}"),
    way_back: WayBack::Write(|path, _, back| {
        back.step.call("undo_swap", &[path, UNIT].map(Word::text));
        back.path(HostPath::new(UNIT_FILE), None);
    }),
};

/// Only root reaches the folder: what was in memory can be read from the file.
const FILE: &str = "/var/lib/factoryup/swap";
/// The name that `systemd.swap(5)` requires for that path.
const UNIT: &str = "var-lib-factoryup-swap.swap";
const UNIT_FILE: &str = "/etc/systemd/system/var-lib-factoryup-swap.swap";
const UNIT_TEXT: &str = "\
# Written by factoryup.
[Unit]
Description=Swap file of the factory
Documentation=man:swapon(8)

[Swap]
What=/var/lib/factoryup/swap

[Install]
WantedBy=swap.target
";

/// File systems on which a file of allocated blocks is swap without further ado, as `df` names them: `swapon(8)`, "Files with holes". On
/// btrfs, such a file also keeps its subvolume from being snapshotted; ZFS has no swap files.
const FILE_SYSTEMS: [&str; 2] = ["ext4", "xfs"];
/// The fewest and the most GiB. In between, it is as much as there is memory.
const GIB: (u64, u64) = (1, 4);

/// A swap file, where there is no other swap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swap;

impl Swap {
    fn unit_file() -> File {
        File::system(UNIT_FILE, UNIT_TEXT)
    }

    fn unit() -> Unit {
        Unit { name: UNIT.into() }
    }

    fn gib(seen: &Observed) -> u64 {
        let kib = seen.facts.get("memory-kib").and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default();
        kib.div_ceil(1 << 20).clamp(GIB.0, GIB.1)
    }

    /// What is on, by name; none where the kernel has no swap.
    fn active(seen: &Observed) -> Option<Vec<&str>> {
        seen.facts.get("swaps").map(|names| names.split_whitespace().collect())
    }

    /// Why a host without swap cannot or should not get a file.
    fn obstacle(seen: &Observed) -> Option<String> {
        let fact = |name: &str| seen.facts.get(name);
        if let Some(container) = fact("container") {
            return Some(format!("in a container ({container}), swap is up to the machine below it"));
        }
        if fact("swaps").is_none() || fact("no-swapon").is_some() {
            return Some("the kernel permits none".into());
        }
        if let Some(device) = fact("swap-in-fstab") {
            return Some(format!("/etc/fstab names {device}, which is off"));
        }
        let (kind, free) = fact("swap-room").and_then(|room| room.split_once(' ')).unwrap_or_default();
        if !FILE_SYSTEMS.contains(&kind) {
            return Some(format!("/var/lib is on {kind}, where a swap file needs care"));
        }
        let (gib, free) = (Self::gib(seen), free.trim().parse::<u64>().unwrap_or_default() >> 10);
        let needed = 2 * gib * 1024;
        (free < needed).then(|| format!("/var/lib has {free} MiB free, of {needed} MiB for a file of {gib} GiB"))
    }
}

impl Resource for Swap {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, FILE.to_owned())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.topics.insert(Topic::Memory);
        questions.paths.insert(HostPath::new(FILE));
        Self::unit_file().ask(questions);
        Self::unit().ask(questions);
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let active = Self::active(seen).unwrap_or_default();
        let change = |action, summary| Ok(Verdict::differs(Change::new(self.id(), action, summary)));
        let state = seen.paths.get(FILE);
        if state.is_none() && !active.is_empty() {
            return Ok(Verdict::right());
        }
        if let Some(why) = seen.facts.get("no-swap") {
            let note =
                format!("swap is neither added nor turned on: {why}; `swap = false` under [host] ends this note");
            return Ok(Verdict { change: None, note: Some(note) });
        }
        let Some(state) = state else {
            if let Some(obstacle) = Self::obstacle(seen) {
                let note = format!("no swap added: {obstacle}; `swap = false` under [host] ends this note");
                return Ok(Verdict { change: None, note: Some(note) });
            }
            return change(
                Action::Create,
                format!("add {} GiB of swap ({FILE}), since the host has none", Self::gib(seen)),
            );
        };
        if state.mode != "600" || state.owner != "root" {
            return change(Action::Update, format!("close {FILE} to others than root"));
        }
        if !active.contains(&FILE) {
            return change(Action::Update, format!("turn {FILE} on again"));
        }
        if let Some(part) =
            [Self::unit_file().compare(seen)?, Self::unit().compare(seen)?].into_iter().find_map(|v| v.change)
        {
            let change = Change::new(self.id(), Action::Update, format!("have {FILE} turned on at boot"));
            return Ok(Verdict::differs(Change { diff: part.diff, ..change }));
        }
        Ok(Verdict::right())
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Known(crate::plan::Undo::Remove)
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        let mib = (Self::gib(seen) << 10).to_string();
        step.call("make_swap", &[FILE, &mib].map(Word::text));
        Self::unit_file().write(seen, step);
        step.call("systemctl daemon-reload", &[]);
        step.call("systemctl enable", &[Word::text(UNIT)]);
        // Not a restart, which would have to fit all that is in it into memory.
        step.call("systemctl start", &[Word::text(UNIT)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::host::observed::{PathState, UnitState};

    fn seen(facts: &[(&str, &str)]) -> Observed {
        let mut seen = Observed::default();
        let plain = [("memory-kib", "2012345"), ("swaps", ""), ("swap-room", "ext4 30000000")];
        seen.facts.extend(plain.iter().chain(facts).map(|(name, fact)| ((*name).to_owned(), (*fact).to_owned())));
        seen
    }

    fn plan(seen: &Observed) -> (Option<String>, Option<String>) {
        let verdict = Swap.compare(seen).unwrap();
        (verdict.change.map(|change| change.summary), verdict.note)
    }

    #[test]
    fn only_a_host_without_swap_gets_a_file_and_as_much_as_it_has_memory() {
        for (kib, gib) in [("500000", 1), ("2012345", 2), ("4000000", 4), ("65000000", 4)] {
            let (summary, note) = plan(&seen(&[("memory-kib", kib)]));
            let said = format!("add {gib} GiB of swap (/var/lib/factoryup/swap), since the host has none");
            assert_eq!((summary, note), (Some(said), None));
        }
        for own in ["/dev/zram0 ", "/dev/sda5 /swapfile "] {
            assert_eq!(plan(&seen(&[("swaps", own)])), (None, None), "{own}");
        }
    }

    #[test]
    fn a_host_that_can_have_none_is_told_in_the_plan() {
        let obstacles = [
            (("container", "lxc"), "a container (lxc)"),
            (("no-swapon", "yes"), "the kernel permits none"),
            (("swap-in-fstab", "/dev/vdb1"), "/etc/fstab names /dev/vdb1, which is off"),
            (("swap-room", "btrfs 30000000"), "/var/lib is on btrfs"),
            (("swap-room", "ext4 3000000"), "/var/lib has 2929 MiB free, of 4096 MiB for a file of 2 GiB"),
        ];
        for (fact, why) in obstacles {
            let (summary, note) = plan(&seen(&[fact]));
            assert!(summary.is_none() && note.as_ref().is_some_and(|note| note.contains(why)), "{note:?}");
            // What is on already needs nothing of the kind.
            assert_eq!(plan(&seen(&[fact, ("swaps", "/dev/sda5 ")])), (None, None));
        }
        let mut without = seen(&[]);
        without.facts.remove("swaps");
        assert!(plan(&without).1.unwrap().contains("the kernel permits none"));
    }

    #[test]
    fn where_swap_is_not_wanted_a_file_that_is_off_stays_off() {
        let mut seen = seen(&[("no-swap", "the kubelet of k3s.service can refuse to start with swap")]);
        for _ in 0..2 {
            let (summary, note) = plan(&seen);
            assert!(summary.is_none() && note.unwrap().contains("turned on: the kubelet of k3s.service"));
            seen.paths.insert(FILE.into(), PathState::of('f', "600", "root"));
        }
    }

    #[test]
    fn the_probe_sees_kubernetes_and_a_link() {
        let probe = include_str!("../lib/probe.sh");
        let begin = probe.find("\nmemory() {\n").unwrap();
        let memory = &probe[begin..begin + probe[begin..].find("\n}\n").unwrap() + 3];
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let run = |state: &str, unit: &str| {
            let step = format!(
                "section() {{ :; }}\nsystemctl() {{ printf '%s' '{unit}'; }}\nswapoff() {{ :; }}\n{memory}\n\
                 ln -sfn {real} {real}/link\nSTATE={real}{state}\nmemory",
                real = real.display()
            );
            String::from_utf8(crate::host::program::try_step(&real, &step).stdout).unwrap()
        };
        assert!(!run("", "").contains("no-swap "));
        assert!(run("", "k3s.service loaded active running K3s\n").contains("no-swap the kubelet of k3s.service can"));
        assert!(run("/link", "").contains("/link is reached by a link"));
    }

    #[test]
    fn a_file_that_is_off_open_or_not_turned_on_at_boot_is_a_difference() {
        let mut up = seen(&[("swaps", "/dev/zram0 /var/lib/factoryup/swap ")]);
        up.paths.insert(FILE.into(), PathState::of('f', "600", "root"));
        up.paths.insert(UNIT_FILE.into(), PathState::of('f', "644", "root"));
        up.hashes.insert(UNIT_FILE.into(), sha256(UNIT_TEXT.as_bytes()));
        let state = UnitState { load: "loaded".into(), active: "active".into(), file: "enabled".into(), stale: false };
        up.units.insert(UNIT.into(), state);
        assert_eq!(plan(&up), (None, None));
        let mut off = up.clone();
        off.facts.insert("swaps".into(), String::new());
        assert_eq!(plan(&off).0.as_deref(), Some("turn /var/lib/factoryup/swap on again"));
        let mut open = up.clone();
        open.paths.insert(FILE.into(), PathState::of('f', "644", "root"));
        assert_eq!(plan(&open).0.as_deref(), Some("close /var/lib/factoryup/swap to others than root"));
        up.units.clear();
        assert_eq!(plan(&up).0.as_deref(), Some("have /var/lib/factoryup/swap turned on at boot"));
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_goes_unless_memory_cannot_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path).display().to_string();
        let (file, new) = (at("swap"), at("swap.factoryup-new"));
        std::fs::write(at("swaps"), "Filename Type Size\n").unwrap();
        let run = |tools: &str, call: &str| {
            let shell = KIND.shell.replace("/proc/swaps", &at("swaps"));
            let step = format!("chown() {{ :; }}\nsystemctl() {{ :; }}\n{tools}\n{shell}\n{call}");
            crate::host::program::try_step(folder.path(), &step).status.success()
        };
        let make = format!("make_swap {file} 1");
        // What a killed run left is replaced.
        std::fs::write(&new, "half").unwrap();
        assert!(!run("mkswap() { return 1; }", &make));
        assert!(!std::fs::exists(&new).unwrap() && !std::fs::exists(&file).unwrap());
        let mkswap = "mkswap() { printf swap >>\"$2\"; }";
        assert!(run(mkswap, &make));
        assert_eq!(std::fs::metadata(&file).unwrap().len(), (1 << 20) + 4);
        // One that is on is not made again.
        std::fs::write(at("swaps"), format!("Filename Type Size\n{file} file 1\n")).unwrap();
        assert!(run("mkswap() { return 1; }", &make));
        // Nor one that a link leads to: the kernel names it by its path without links.
        std::os::unix::fs::symlink(folder.path(), at("link")).unwrap();
        assert!(run("mkswap() { return 1; }", &format!("make_swap {} 1", at("link/swap"))));
        let undo = format!("undo_swap {file} x.swap");
        assert!(run("swapoff() { return 1; }", &undo));
        assert!(std::fs::exists(&file).unwrap());
        assert!(std::fs::read_to_string(at("work/left")).unwrap().contains("stays on until the next boot"));
        assert!(run("swapoff() { :; }", &undo));
        assert!(!std::fs::exists(&file).unwrap());
    }
}
