//! What is taken out of an archive, and what an archive that cannot be unpacked is called.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::situation::{Machine, PROGRAM, executable, shells};

#[test]
fn takes_only_the_program_out_of_an_archive() {
    let machine = Machine::new("dash");
    let tree = machine.path("tree");
    fs::create_dir_all(tree.join("deep")).unwrap();
    fs::write(tree.join("evil"), "evil").unwrap();
    executable(&tree.join("factoryup"), PROGRAM);
    executable(&tree.join("deep/factoryup"), PROGRAM);
    let escape = machine.path("escaped");
    fs::write(&escape, "before").unwrap();
    let archive = machine.pack(&tree, &["evil", "../escaped", escape.to_str().unwrap(), "factoryup"]);
    fs::write(&escape, "after").unwrap();
    machine.run(&["--yes", "--from", &archive]).expect(0);
    assert_eq!(fs::read_to_string(&escape).unwrap(), "after");
    assert_eq!(fs::read_dir(machine.program().parent().unwrap()).unwrap().count(), 1);

    fs::remove_file(machine.program()).unwrap();
    let archive = machine.pack(&tree, &["evil", "deep/factoryup"]);
    machine.run(&["--yes", "--from", &archive]).expect(65).says("has no factoryup at its top");
    fs::remove_file(tree.join("factoryup")).unwrap();
    symlink("/bin/sh", tree.join("factoryup")).unwrap();
    let archive = machine.pack(&tree, &["factoryup"]);
    machine.run(&["--yes", "--from", &archive]).expect(65).says("has no factoryup at its top");
    assert!(!machine.program().exists());
}

#[test]
fn refuses_a_program_that_is_not_factoryup_or_does_not_run() {
    let machine = Machine::new("dash");
    let archive = machine.release("#!/bin/sh\necho hello\n");
    machine.run(&["--yes", "--from", &archive]).expect(65).says("not factoryup");
    let archive = machine.release("#!/bin/sh\nprintf 'no \\033[31mlibrary\\n' >&2; exit 1\n");
    machine.run(&["--yes", "--from", &archive]).expect(65).says("does not run here").says("it said: no [31mlibrary");
    assert_eq!(machine.files(), []);
}

#[test]
fn says_what_is_wrong_with_an_archive() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let whole = fs::read(&archive).unwrap();
        let plain = machine.path("tree/plain.tar");
        let unpacked = Command::new("gzip").args(["-dc", &archive]).output().unwrap().stdout;
        let gzip = |bytes: &[u8]| {
            fs::write(&plain, bytes).unwrap();
            Command::new("gzip").args(["-c"]).arg(&plain).output().unwrap().stdout
        };
        for wrong in [
            whole[..whole.len() / 2].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            b"no archive".to_vec(),
            gzip(&unpacked[..520]),
            gzip(b"no archive"),
        ] {
            fs::write(&archive, wrong).unwrap();
            machine.list_checksums();
            machine.run(&["--yes", "--from", &archive]).expect(65).says("is cut short or damaged");
        }
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn names_the_tool_that_it_cannot_unpack_without() {
    for shell in shells() {
        // busybox runs its own applets, whatever PATH says.
        for tool in ["tar", "gzip"].into_iter().filter(|_| shell != "busybox ash") {
            let machine = Machine::new(shell);
            let archive = machine.release(PROGRAM);
            machine.unlink(tool);
            machine.run(&["--yes", "--from", &archive]).expect(69).says(&format!("{tool} is needed"));
            assert_eq!(machine.files(), [], "{shell}");
        }
    }
}

#[test]
fn works_whatever_the_caller_has_set() {
    for shell in shells() {
        let mut machine = Machine::new(shell);
        machine.release(PROGRAM);
        let archive = machine.pack(&machine.path("tree"), &["./factoryup"]);
        for (name, value) in [
            ("SHELLOPTS", "allexport:noclobber:noglob"),
            ("TAR_OPTIONS", "--exclude=factoryup"),
            ("GREP_OPTIONS", "--color=always"),
            ("CDPATH", "/:/tmp"),
            ("ENV", "/nonexistent"),
            ("IFS", "/ou"),
            ("POSIXLY_CORRECT", "1"),
        ] {
            machine.set(name, value);
        }
        let options = if shell == "zsh" { vec!["-C"] } else { vec!["-C", "-f"] };
        let mut command = machine.with_options(&options, &["--yes", "--from", &archive, "--modify-path"]);
        let run = command.output().unwrap();
        assert!(run.status.success(), "{shell}: {}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(machine.installed(), "factoryup 0.1.0");
        let mut command = machine.with_options(&options, &["--yes", "--uninstall"]);
        assert!(command.status().unwrap().success(), "{shell}");
        assert!(!machine.program().exists(), "{shell}");
        assert!(!machine.home().join(".profile").exists(), "{shell}");
    }
}
