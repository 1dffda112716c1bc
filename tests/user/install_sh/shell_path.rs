//! `PATH` is touched only when asked, by one marked line; questions on a terminal.

use std::fs;
use std::process::Command;

use super::situation::{Machine, PROGRAM, executable, script, shells};
use crate::home::CTRL_C;

#[test]
fn says_how_to_get_on_path_and_edits_only_when_asked() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        machine.run(&["--yes", "--from", &archive]).expect(0).prints("or type: export PATH='");
        assert!(!machine.home().join(".profile").exists());
        for _ in 0..2 {
            let mut command = machine.command(&script(), &["--yes", "--from", &archive, "--modify-path"]);
            if shell != "bash" {
                // bash would look up the user's own.
                command.env_remove("SHELL");
            }
            assert!(command.output().unwrap().status.success(), "{shell}");
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
    for (shell, hint) in [("fish", "fish_add_path"), ("tcsh", "PATH in tcsh is yours to change")] {
        let mut machine = Machine::new("bash");
        machine.set("SHELL", format!("/usr/bin/{shell}"));
        let archive = machine.release(PROGRAM);
        machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(64).says("installed, but").says(hint);
        assert!(!machine.home().join(".profile").exists(), "{shell}");
    }
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
            .prints(&format!("Next: '{}' rehearse", machine.program().display()));
    }
}

#[test]
fn on_macos_the_line_goes_where_bash_reads_it() {
    // busybox ash runs its own uname, whatever PATH says.
    for shell in shells().into_iter().filter(|shell| *shell != "busybox ash") {
        for (there, file) in [
            (&[".profile"][..], ".profile"),
            (&[], ".profile"),
            (&[".profile", ".bash_login"], ".bash_login"),
            (&[".profile", ".bash_login", ".bash_profile"], ".bash_profile"),
        ] {
            let mut machine = Machine::new(shell);
            machine.set("SHELL", "/bin/bash");
            machine.fake("uname", "#!/bin/sh\n[ $1 = -s ] && echo Darwin || echo arm64\n");
            let archive = machine.release(PROGRAM);
            for name in there {
                fs::write(machine.home().join(name), "export MINE=1\n").unwrap();
            }
            machine.run(&["--yes", "--from", &archive, "--modify-path"]).expect(0).prints(file);
            let mut login = Command::new("bash");
            login.args(["-l", "-c", "factoryup --version; echo $MINE"]).env_clear();
            let out = login.env("HOME", machine.home()).env("PATH", "/usr/bin:/bin").output().unwrap();
            let mine = if there.is_empty() { "" } else { "1" };
            assert_eq!(
                String::from_utf8(out.stdout).unwrap(),
                format!("factoryup 0.1.0\n{mine}\n"),
                "{shell}: {there:?}"
            );
        }
    }
}

/// Runs the script with `args` on a terminal and types the keys at each question: the exit code, and what was shown.
fn on_a_terminal(machine: &Machine, args: &str, answers: &[(&str, &str)]) -> (u32, String) {
    let mut pty = machine.terminal(&format!("exec dash '{}' {args}", script().display()));
    for (question, keys) in answers {
        pty.expect(question).send(keys);
    }
    pty.end()
}

#[test]
fn asks_on_the_terminal_and_takes_no_for_an_answer() {
    let machine = Machine::new("dash");
    machine.link("dash");
    let install = format!("--from '{}'", machine.release(PROGRAM));
    let (go_ahead, set_up) = ("Go ahead? [Y/n] ", ("my-factory? [Y/n] ", "n\n"));
    for no in ["n\n", "what?\n", "\u{4}", CTRL_C] {
        let (code, shown) = on_a_terminal(&machine, &install, &[(go_ahead, no)]);
        assert_eq!(code, 130, "{shown}");
    }
    assert_eq!(machine.files(), []);
    // Also where its output is piped.
    for install in [&install, &format!("{install} | cat")] {
        assert_eq!(on_a_terminal(&machine, install, &[(go_ahead, "\n"), set_up]).0, 0);
        assert_eq!(on_a_terminal(&machine, "--uninstall", &[("Remove it? [y/N] ", "\n")]).0, 130);
        assert!(machine.program().exists());
        assert_eq!(on_a_terminal(&machine, "--uninstall", &[("Remove it? [y/N] ", "yes\n")]).0, 0);
        assert!(!machine.program().exists());
    }
}

#[test]
fn starts_the_setup_when_it_is_wanted() {
    let machine = Machine::new("dash");
    machine.link("dash");
    let archive = machine.release("#!/bin/sh\n[ $1 = --version ] && echo 'factoryup 0.1.0' || echo \"[$*]\"\n");
    let started = |args: &str, answers: &[_]| on_a_terminal(&machine, &format!("--from '{archive}' {args}"), answers);
    let (go_ahead, set_up) = (("Go ahead? [Y/n] ", "\n"), "my-factory? [Y/n] ");
    let (code, shown) = started("", &[go_ahead, (set_up, "\n")]);
    assert!(code == 0 && shown.contains("[--dir ") && shown.contains("/my-factory]"), "{shown}");
    for (args, answers) in
        [("", &[go_ahead, (set_up, "no\n")][..]), ("--no-run", &[go_ahead]), ("--yes", &[]), ("--quiet", &[go_ahead])]
    {
        let (code, shown) = started(args, answers);
        assert!(code == 0 && !shown.contains("[--dir "), "{args}: {shown}");
    }
}
