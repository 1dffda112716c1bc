//! `PATH` is touched only when asked, by one marked line; `--uninstall` takes away what was put there; questions on a terminal.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::situation::{Machine, PROGRAM, executable, script, shells};

#[test]
fn says_how_to_get_on_path_and_edits_only_when_asked() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        machine.run(&["--yes", "--from", &archive]).expect(0).prints("or type: export PATH='");
        assert!(!machine.home().join(".profile").exists());
        for _ in 0..2 {
            machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0);
        }
        let profile = fs::read_to_string(machine.home().join(".profile")).unwrap();
        let dir = machine.home().join(".local/bin");
        assert_eq!(profile, format!("export PATH='{}':\"$PATH\" # factoryup install.sh\n", dir.display()), "{shell}");
    }
}

#[test]
fn the_line_works_in_the_shell_it_was_written_for() {
    let files = [("dash", "/bin/sh", ".profile"), ("bash", "/bin/bash", ".bashrc"), ("zsh", "/usr/bin/zsh", ".zshrc")];
    for (shell, login_shell, file) in files {
        if !shells().contains(&shell) {
            continue;
        }
        let mut machine = Machine::new(shell);
        machine.set("SHELL", login_shell);
        let archive = machine.release(PROGRAM);
        machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0).prints(file);
        let probe = machine.path("probe.sh");
        fs::write(&probe, format!(". '{}'\nfactoryup --version\n", machine.home().join(file).display())).unwrap();
        let answer = machine.command(&probe, &[]).output().unwrap();
        assert_eq!(String::from_utf8(answer.stdout).unwrap(), "factoryup 0.1.0\n", "{shell}");
    }
    let mut machine = Machine::new("bash");
    machine.set("SHELL", "/usr/bin/fish");
    let archive = machine.release(PROGRAM);
    machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(64).says("fish_add_path");
}

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
        machine.run(&["--uninstall", "--yes"]).expect(0).prints("Removed ");
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
    for dir in ["first", "second"] {
        machine.run(&["--yes", "--from", &archive, "--modify-path", "--to", dir]).expect(0);
    }
    let profile = || fs::read_to_string(machine.home().join(".profile")).unwrap();
    machine.run(&["--uninstall", "--yes", "--to", "first"]).expect(0);
    assert!(!profile().contains("first") && profile().contains("second"));
    assert!(machine.home().join("second/factoryup").exists());
    machine.run(&["--uninstall", "--yes", "--to", "second"]).expect(0);
    assert_eq!(profile(), "");
}

#[test]
fn tells_when_path_finds_another_factoryup_first() {
    for shell in shells() {
        let mut machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let (other, bin) = (machine.path("other"), machine.path("bin"));
        fs::create_dir(&other).unwrap();
        executable(&other.join("factoryup"), PROGRAM);
        let dirs =
            [other.as_path(), machine.program().parent().unwrap(), &bin].map(|dir| dir.to_str().unwrap().to_owned());
        machine.set("PATH", dirs.join(":"));
        machine
            .run(&["--yes", "--from", &archive])
            .expect(0)
            .prints("But PATH finds ")
            .prints("Next: factoryup rehearse");
    }
}

/// Runs the script on a terminal of its own, types `keys` at its question, and answers the exit code and what was shown.
fn on_a_terminal(machine: &Machine, args: &[&str], question: &str, keys: &str) -> (u32, String) {
    let pty = native_pty_system().openpty(PtySize::default()).unwrap();
    let mut command = CommandBuilder::new(which::which("dash").unwrap());
    command.arg(script());
    command.args(args);
    command.env_clear();
    command.env("HOME", machine.home());
    command.env("PATH", machine.path("bin"));
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let (mut screen, mut keyboard) = (pty.master.try_clone_reader().unwrap(), pty.master.take_writer().unwrap());
    let mut shown = Vec::new();
    let mut bytes = [0; 1024];
    let mut asked = false;
    // At the end of the script the terminal answers with an error, not with an end of file.
    while let Ok(count @ 1..) = screen.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
        if !asked && String::from_utf8_lossy(&shown).contains(question) {
            asked = true;
            keyboard.write_all(keys.as_bytes()).unwrap();
        }
    }
    (child.wait().unwrap().exit_code(), String::from_utf8(shown).unwrap())
}

#[test]
fn asks_on_the_terminal_and_takes_no_for_an_answer() {
    let machine = Machine::new("dash");
    let archive = machine.release(PROGRAM);
    let install = ["--from", &archive];
    for no in ["n\n", "what?\n", "\u{4}"] {
        let (code, shown) = on_a_terminal(&machine, &install, "Go ahead? [Y/n] ", no);
        assert_eq!(code, 130, "{shown}");
    }
    assert_eq!(on_a_terminal(&machine, &install, "Go ahead? [Y/n] ", "\u{3}").0, 130);
    assert_eq!(machine.files(), []);
    assert_eq!(on_a_terminal(&machine, &install, "Go ahead? [Y/n] ", "\n").0, 0);
    assert_eq!(on_a_terminal(&machine, &["--uninstall"], "Remove it? [y/N] ", "\n").0, 130);
    assert!(machine.program().exists());
    assert_eq!(on_a_terminal(&machine, &["--uninstall"], "Remove it? [y/N] ", "yes\n").0, 0);
    assert!(!machine.program().exists());
}
