//! `--uninstall` removes what the record says that the script installed, as long as it is unchanged, and claims nothing else.

use std::fs;
use std::os::unix::fs::symlink;

use super::disk::Small;
use super::situation::{Machine, PROGRAM, executable, script, shells};
use crate::support;

#[test]
fn uninstall_takes_away_only_what_was_put_there() {
    for shell in shells() {
        let mut machine = Machine::new(shell);
        machine.set("SHELL", "/bin/bash");
        let archive = machine.release(PROGRAM);
        let kept = machine.path("dotfiles");
        let mine = "alias ll='ls -l'\n# my last line has no end";
        fs::write(&kept, mine).unwrap();
        symlink(&kept, machine.home().join(".bashrc")).unwrap();
        let before = machine.files();
        machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0);
        assert!(fs::read_to_string(&kept).unwrap().starts_with(&format!("{mine}\nexport PATH=")), "{shell}");
        machine.run(&["--uninstall", "--dry-run"]).expect(0);
        machine.run(&["--uninstall"]).expect(64).says("no terminal to ask on");
        assert!(machine.program().exists());
        let run = machine.run(&["--uninstall", "--yes"]).expect(0);
        run.prints(&format!("Removed {}.", machine.program().display())).prints("Removed the line for PATH from ");
        assert_eq!(fs::read_to_string(&kept).unwrap(), format!("{mine}\n"), "{shell}");
        let left = machine.files().into_iter().filter(|(path, _)| !path.is_dir()).collect::<Vec<_>>();
        assert_eq!(left, before, "{shell}");
        machine.run(&["--uninstall", "--yes"]).expect(0).prints("Nothing to do");
    }
}

#[test]
fn uninstalling_one_of_two_leaves_the_other() {
    let machine = Machine::new("dash");
    let archive = machine.release(PROGRAM);
    let both: Vec<_> = ["first", "second"]
        .into_iter()
        .map(|dir| machine.command(&script(), &["--yes", "--quiet", "--from", &archive, "--to", dir]).spawn().unwrap())
        .collect();
    for mut install in both {
        assert!(install.wait().unwrap().success());
    }
    for dir in ["first", "second"] {
        machine.run(&["--yes", "--from", &archive, "--modify-path", "--to", dir]).expect(0);
    }
    let profile = || fs::read_to_string(machine.home().join(".profile")).unwrap();
    machine.run(&["--uninstall", "--yes", "--to", "first"]).expect(0);
    assert!(!profile().contains("first") && profile().contains("second"));
    assert!(machine.home().join("second/factoryup").exists());
    // A line that the user changed is the user's.
    let changed = profile().replace("export", "export  ");
    fs::write(machine.home().join(".profile"), &changed).unwrap();
    machine.run(&["--uninstall", "--yes", "--to", "second"]).expect(0).prints("was changed or removed");
    assert_eq!(profile(), changed);
}

#[test]
fn refuses_to_uninstall_what_it_did_not_install() {
    for shell in shells() {
        let machine = Machine::new(shell);
        fs::create_dir_all(machine.program().parent().unwrap()).unwrap();
        executable(&machine.program(), "#!/bin/sh\necho mine\n");
        let before = machine.files();
        machine.run(&["--uninstall", "--yes"]).expect(65).says("did not install").says("remove it yourself");
        assert_eq!(machine.files(), before, "{shell}");

        let archive = machine.release(PROGRAM);
        let run = machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0);
        run.prints("replacing a file that this script did not install");
        executable(&machine.program(), "#!/bin/sh\necho mine again\n");
        let before = machine.files();
        machine.run(&["--uninstall", "--yes"]).expect(65).says("so nothing was removed");
        assert_eq!(machine.files(), before, "{shell}");

        fs::remove_file(machine.program()).unwrap();
        let run = machine.run(&["--uninstall", "--yes"]).expect(0).prints("Removed the line for PATH from ");
        assert!(!run.stdout.contains(&format!("{}.", machine.program().display())), "{shell}: {}", run.stdout);
        assert!(!machine.home().join(".profile").exists());
    }
}

#[test]
fn keeps_a_record_where_xdg_says() {
    for shell in shells() {
        let mut machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let records = |state: &str| match fs::read_dir(machine.path(state).join("factoryup/install.d")) {
            Ok(found) => found
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_none())
                .map(|path| fs::read_to_string(path).unwrap())
                .collect(),
            Err(_) => Vec::new(),
        };
        for text in [PROGRAM, "#!/bin/sh\necho 'factoryup 0.2.0'\n", PROGRAM] {
            machine.release(text);
            machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0);
        }
        let found = records("home/.local/state");
        let (program, profile) = (machine.program(), machine.home().join(".profile"));
        let lines: Vec<Vec<&str>> = found[0].lines().map(|line| line.split('\t').collect()).collect();
        let of_program = lines.iter().filter(|line| line[0] == "program" && line[2] == program.to_str().unwrap());
        assert_eq!((found.len(), lines.len(), of_program.count()), (1, 6, 2), "{shell}: {found:?}");
        let line = lines.iter().find(|line| line[0] == "file").unwrap();
        assert_eq!(line[1], profile.to_str().unwrap());
        assert_eq!(line[2], fs::read_to_string(profile).unwrap().trim_end());
        // One folder is one, however it was named.
        machine.run(&["--uninstall", "--yes", "--to", "./.local/state/../bin/"]).expect(0);
        assert_eq!(records("home/.local/state"), Vec::<String>::new());

        let elsewhere = machine.path("state");
        machine.set("XDG_STATE_HOME", &elsewhere);
        machine.run(&["--yes", "--from", &archive]).expect(0);
        assert!(
            elsewhere.join("factoryup/install.d").exists() && !machine.home().join(".local/state/factoryup").exists()
        );
        machine.run(&["--uninstall", "--yes"]).expect(0);
        assert!(!elsewhere.join("factoryup").exists());

        machine.set("XDG_STATE_HOME", "/proc/nothing");
        machine.run(&["--yes", "--from", &archive]).expect(73).says("set XDG_STATE_HOME").says("Nothing was installed");
        assert_eq!(machine.files(), [], "{shell}");
        // As the specification wants, a relative one is as good as none.
        machine.set("XDG_STATE_HOME", "relative");
        machine.run(&["--yes", "--from", &archive]).expect(0);
        assert!(machine.home().join(".local/state/factoryup").exists() && !machine.home().join("relative").exists());
    }
}

#[test]
fn claims_no_removal_that_did_not_happen() {
    if !support::root() || !support::available(&["mount", "umount"]) {
        return;
    }
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let dir = machine.path("read only");
        let to = dir.to_str().unwrap();
        fs::create_dir(&dir).unwrap();
        let small = Small::at(&dir, 64);
        machine.run(&["--yes", "--from", &archive, "--to", to]).expect(0);
        small.freeze();
        let run = machine.run(&["--uninstall", "--yes", "--to", to]).expect(73).says("cannot remove");
        assert!(!run.stdout.contains("Removed"), "{shell}: {}", run.stdout);
        machine.run(&["--yes", "--from", &archive, "--to", to]).expect(73).says("cannot write to");
        drop(small);

        // A shell file on a full disk: it stays whole, and the next try removes the line.
        let small = Small::at(&dir, 64);
        let (kept, profile) = (dir.join("dotfile"), machine.home().join(".profile"));
        symlink(&kept, &profile).unwrap();
        machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0);
        let text = fs::read(&kept).unwrap();
        small.fill();
        let run = machine.run(&["--uninstall", "--yes"]).expect(73).says("which still has the line");
        assert!(!run.stdout.contains("Removed the line"), "{shell}: {}", run.stdout);
        assert_eq!(fs::read(&kept).unwrap(), text, "{shell}");
        small.free(64);
        machine.run(&["--uninstall", "--yes"]).expect(0).prints("Removed the line");
        assert_eq!(fs::read(&kept).unwrap(), b"", "{shell}");
        fs::remove_file(profile).unwrap();
    }
}

#[test]
fn changes_a_shell_file_only_by_its_line() {
    for shell in shells() {
        let mut machine = Machine::new(shell);
        machine.set("SHELL", "/bin/zsh");
        let archive = machine.release(PROGRAM);
        let rc = machine.home().join(".zshrc");
        // grep calls such a file binary.
        let mine = b"export A=\xff\x00\n\n  # two  spaces\\\n\tb\r\n";
        executable(&rc, "");
        fs::write(&rc, mine).unwrap();
        machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0);
        assert!(fs::read(&rc).unwrap().starts_with(&[&mine[..], b"export PATH="].concat()), "{shell}");
        let mode = || std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&rc).unwrap().permissions()) & 0o777;
        assert_eq!(mode(), 0o755);
        machine.run(&["--uninstall", "--yes"]).expect(0);
        assert_eq!(fs::read(&rc).unwrap(), mine, "{shell}");
        assert_eq!(mode(), 0o755);
    }
}
