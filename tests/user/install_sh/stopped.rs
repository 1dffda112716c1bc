//! A script that is stopped: by a signal, a closed terminal, a reader that is gone, or `kill -9`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, getpgid, kill_process_group};

use super::situation::{Machine, PROGRAM, executable, script, shells};
use crate::support::{self, wait_until};

/// A release whose program says that it runs and then takes its time, and the file by which it says so.
fn slow_release(machine: &Machine) -> (String, PathBuf) {
    let reached = machine.path("reached");
    let program = format!("#!/bin/sh\n: >'{}'\nexec /bin/sleep 600\n", reached.display());
    (machine.release(&program), reached)
}

/// Starts an installation and waits until it runs the program that it unpacked.
fn start(machine: &Machine, args: &[&str], reached: &Path) -> Child {
    let _ = fs::remove_file(reached);
    let mut command = machine.command(&script(), args);
    let running = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the program", || reached.exists());
    running
}

/// The folder in which `machine` makes the program ready.
fn stage_of(machine: &Machine) -> PathBuf {
    fs::read_dir(machine.program().parent().unwrap()).unwrap().next().unwrap().unwrap().path()
}

/// The process group of the script whose staging folder this is; its name ends with the process id.
fn group_of(stage: &Path) -> Pid {
    // setsid forks when it leads a group, and its child leads one of its own: the one that wrote into the stage.
    let pid = stage.extension().unwrap().to_str().unwrap().parse().unwrap();
    getpgid(Pid::from_raw(pid)).unwrap()
}

#[test]
fn cleans_up_when_it_is_stopped() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let (archive, reached) = slow_release(&machine);
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)] {
            let mut running = start(&machine, &["--yes", "--from", &archive], &reached);
            let stage = stage_of(&machine);
            assert_eq!(fs::metadata(&stage).unwrap().permissions().mode() & 0o777, 0o700, "others could reach into it");
            kill_process_group(group_of(&stage), signal).unwrap();
            assert_eq!(running.wait().unwrap().code(), Some(code), "{shell}: {signal:?}");
            assert_eq!(machine.files(), [], "{shell}: {signal:?}");
        }
    }
}

#[test]
fn clears_what_killed_runs_left() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let (archive, reached) = slow_release(&machine);
        for _ in 0..2 {
            let mut running = start(&machine, &["--yes", "--from", &archive], &reached);
            kill_process_group(group_of(&stage_of(&machine)), Signal::KILL).unwrap();
            running.wait().unwrap();
            assert!(stage_of(&machine).join("archive").exists());
        }
        // Those of a run that goes on, and of a host that shares the home, are not for this one to judge.
        let dir = machine.program().parent().unwrap().to_owned();
        let host = Command::new("uname").arg("-n").output().unwrap().stdout;
        let host = String::from_utf8(host).unwrap().trim_end().to_owned();
        let kept = [format!(".factoryup-install.{host}.{}", std::process::id()), ".factoryup-install.another.1".into()];
        for name in &kept {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let half = machine.home().join(format!(".profile.factoryup.{host}.0"));
        fs::write(&half, "half").unwrap();
        fs::rename(&half, half.with_extension("4194399")).unwrap();
        let archive = machine.release(PROGRAM);
        machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0);
        let mut names: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let mut expected = [&kept[..], &["factoryup".to_owned()]].concat();
        expected.sort();
        assert_eq!(names, expected, "{shell}");
        assert!(!half.with_extension("4194399").exists(), "{shell}");
    }
}

#[test]
fn cleans_up_when_nobody_reads_its_output() {
    if !support::need("ssh-keygen") {
        return;
    }
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let key = machine.sign();
        let (reached, go) = (machine.path("reached"), machine.path("go"));
        let wait = format!(
            "#!/bin/sh\n: >'{}'\nwhile [ ! -e '{}' ]; do /bin/sleep 0.02; done\n",
            reached.display(),
            go.display()
        );
        machine.fake("ssh-keygen", &wait);
        let mut command = machine.command(&script(), &["--yes", "--from", &archive, "--signing-key", &key]);
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(running.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        wait_until("the check of the signature", || reached.exists());
        drop(output);
        fs::write(&go, "").unwrap();
        assert_eq!(running.wait().unwrap().code(), Some(141), "{shell}");
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn cleans_up_when_its_terminal_is_closed() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let (archive, reached) = slow_release(&machine);
        let pty = native_pty_system().openpty(PtySize::default()).unwrap();
        // As a login shell is: the kernel tells it, and all others on the terminal once it is gone.
        let mut command = CommandBuilder::new("/bin/sh");
        command.args(["-c", "\"$@\"; exit", "sh"]);
        let mut words = shell.split(' ');
        command.arg(which::which(words.next().unwrap()).unwrap());
        command.args(words);
        command.arg(script());
        command.args(["--yes", "--from", &archive]);
        command.env_clear();
        command.env("HOME", machine.home());
        command.env("PATH", machine.path("bin"));
        let mut child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        wait_until("the program", || reached.exists());
        assert_ne!(machine.files(), [], "{shell}");
        drop(pty.master);
        child.wait().unwrap();
        wait_until("it to clean up", || machine.files().is_empty());
    }
}

#[test]
fn never_runs_what_it_replaces() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        fs::create_dir_all(machine.program().parent().unwrap()).unwrap();
        executable(&machine.program(), &format!("#!/bin/sh\n: >'{}'\n", machine.path("ran").display()));
        for args in [["--dry-run", "--from", &archive], ["--yes", "--from", &archive]] {
            let run = machine.run(&args).expect(0);
            assert!(!machine.path("ran").exists(), "{shell}");
            run.prints("replacing a file that this script did not install");
        }
    }
}
