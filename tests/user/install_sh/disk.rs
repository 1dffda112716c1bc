//! A disk that is full at any step: it is called full, nothing that works is lost, and nothing half done stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::situation::{Machine, PROGRAM, shells};
use crate::support;

/// A file system of some pages that is unmounted when dropped.
pub(crate) struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    pub(crate) fn at(path: &'a Path, kib: u64) -> Self {
        Self::with(path, &format!("size={kib}k"))
    }

    fn with(path: &'a Path, size: &str) -> Self {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", size, "small"]).arg(path).status();
        assert!(mount.unwrap().success());
        Self(path)
    }

    /// From now on it cannot be written.
    pub(crate) fn freeze(&self) {
        let mount = Command::new("mount").args(["-o", "remount,ro"]).arg(self.0).status();
        assert!(mount.unwrap().success());
    }

    /// Leaves this much room, whatever is on it.
    pub(crate) fn free(&self, kib: u64) {
        fs::write(self.ballast(), "").unwrap();
        let room = rustix::fs::statvfs(self.0).unwrap();
        let fill = (room.f_bavail * room.f_bsize).saturating_sub(kib * 1024);
        fs::write(self.ballast(), vec![0; usize::try_from(fill).unwrap()]).unwrap();
    }

    pub(crate) fn fill(&self) {
        self.free(0);
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn calls_a_full_disk_full_at_every_step() {
    if !support::root() || !support::available(&["mount", "umount", "ssh-keygen"]) {
        return;
    }
    for shell in shells() {
        let machine = Machine::new(shell);
        // Of the size of three pages also when packed.
        let noise: Vec<_> = (0..6000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48).to_string()).collect();
        let noise = noise.concat();
        let archive = machine.release(&format!("#!/bin/sh\necho 'factoryup 0.1.0'\nexit\n{noise}"));
        let key = machine.sign();
        let home = machine.home();
        let small = Small::at(&home, 400);
        let profile = home.join(".profile");
        fs::write(&profile, "# mine\n").unwrap();
        let install = ["--yes", "--modify-path", "--from", &archive, "--signing-key", &key];
        let (mut failed, mut after) = (0, 0);
        for pages in 0.. {
            small.free(pages * 4);
            let before = machine.files();
            let run = machine.run(&install);
            if run.code == Some(0) {
                assert!(fs::read_to_string(&profile).unwrap().contains("export PATH="), "{shell}");
                break;
            }
            let run = run.expect(73).says("cannot");
            assert!(pages < 60, "{shell}: {}", run.stderr);
            assert_eq!(fs::read_to_string(&profile).unwrap(), "# mine\n", "{shell}");
            if run.stderr.contains("error: installed, but ") {
                after += 1;
                assert_eq!(machine.installed(), "factoryup 0.1.0");
            } else {
                failed += 1;
                assert_eq!(machine.files(), before, "{shell}: {}", run.stderr);
            }
        }
        assert!(failed > 8, "{shell}: {failed}, {after}");
        small.free(400);
        machine.run(&["--uninstall", "--yes"]).expect(0);
        assert_eq!(fs::read_to_string(&profile).unwrap(), "# mine\n", "{shell}");
    }
}

#[test]
fn leaves_nothing_when_no_further_file_can_be_made() {
    if !support::root() || !support::available(&["mount", "umount"]) {
        return;
    }
    let machine = Machine::new("dash");
    let archive = machine.release(PROGRAM);
    let home = machine.home();
    for inodes in 1.. {
        assert!(inodes < 40);
        let _small = Small::with(&home, &format!("nr_inodes={inodes}"));
        let run = machine.run(&["--yes", "--from", &archive]);
        if run.code == Some(0) {
            assert!(inodes > 8, "{inodes}");
            break;
        }
        run.expect(73).says("cannot");
        assert_eq!(machine.files(), [], "{inodes}");
    }
}
