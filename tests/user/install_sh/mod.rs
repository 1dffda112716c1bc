//! `install.sh` in every common shell: what it installs, what it refuses, and that a refusal leaves nothing behind.

mod archive;
mod disk;
mod download;
mod hostile;
mod release;
mod shell_path;
mod situation;
mod stopped;
mod uninstall;

use crate::support;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use situation::{Machine, PROGRAM, archive_name, script, shells, version};

#[test]
fn stays_small_and_clean() {
    assert!(fs::metadata(script()).unwrap().len() <= 24 * 1024);
    if support::need("shellcheck") {
        let check = Command::new("shellcheck").args(["-s", "sh"]).arg(script()).output().unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    }
}

#[test]
fn installs_an_archive_whose_checksum_matches() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let run = machine.run(&["--yes", "--from", &archive]).expect(0);
        let program = machine.program();
        let run = run.prints("Installed factoryup 0.1.0.").prints(&format!("Next: '{}' rehearse", program.display()));
        assert_eq!(run.stderr, "", "{shell}");
        assert_eq!(machine.installed(), "factoryup 0.1.0");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(program.parent().unwrap()).unwrap().count(), 1, "{shell} left something beside it");
        machine.run(&["--yes", "--quiet", "--from", &archive]).expect(0).prints("");
    }
}

#[test]
fn installs_the_real_program() {
    let machine = Machine::new("dash");
    let tree = machine.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_factoryup"), tree.join("factoryup")).unwrap();
    let archive = machine.pack(&tree, &["./factoryup"]);
    machine.run(&["--yes", "--from", &archive]).expect(0);
    assert_eq!(machine.installed(), concat!("factoryup ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_script_that_was_cut_short_fails_and_does_nothing() {
    let text = fs::read(script()).unwrap();
    let head = "#!/bin/sh\n".len() + 1;
    let last = text.iter().rposition(|&byte| byte == b'}').unwrap();
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let cut = machine.path("cut.sh");
        for length in (head..last).step_by(157).chain(last - 20..=last) {
            fs::write(&cut, &text[..length]).unwrap();
            let run = machine.command(&cut, &["--yes", "--from", &archive]).output().unwrap();
            assert!(!run.status.success(), "{shell}: cut at {length} it exits with 0");
            assert_eq!(run.stdout, b"", "{shell}: cut at {length} it prints");
        }
        assert_eq!(machine.files(), [], "{shell}");
        fs::write(&cut, &text[..=last]).unwrap();
        assert!(machine.command(&cut, &["--yes", "--quiet", "--from", &archive]).status().unwrap().success());
    }
}

#[test]
fn refuses_what_was_tampered_with() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let mut bytes = fs::read(&archive).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&archive, bytes).unwrap();
        machine.run(&["--yes", "--from", &archive]).expect(65).says("does not match").says("Nothing was installed");
        machine.run(&["--yes", "--quiet", "--from", &archive]).expect(65).says("does not match");
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn refuses_what_has_no_usable_checksum() {
    let machine = Machine::new("dash");
    let archive = machine.release(PROGRAM);
    let (list, beside) = (machine.path("dist/SHA256SUMS"), format!("{archive}.sha256"));
    let right = fs::read_to_string(&list).unwrap();
    let hex = right.split(' ').next().unwrap();
    fs::remove_file(&list).unwrap();
    machine.run(&["--yes", "--from", &archive]).expect(65).says("no checksum for");
    let name = archive_name();
    for wrong in [
        String::new(),
        format!("{hex}  another.tar.gz\n"),
        format!("{}  {name}\n", &hex[1..]),
        format!("{}  {name}\n{hex}  {name}\n", "0".repeat(64)),
        format!("{hex}; reboot  {name}\n"),
    ] {
        fs::write(&list, &wrong).unwrap();
        machine.run(&["--yes", "--from", &archive]).expect(65).says("no usable SHA-256 checksum");
    }
    assert_eq!(machine.files(), []);

    for right in [format!("{hex}\n"), hex.to_uppercase(), format!("\n{hex} *{name}\n"), format!("{hex}  dist/{name}")] {
        fs::write(&beside, right).unwrap();
        machine.run(&["--yes", "--from", &archive]).expect(0);
    }
    fs::remove_file(&beside).unwrap();
    machine.run(&["--yes", "--from", &archive, "--sha256", hex]).expect(0);
    let other = hex.chars().rev().collect::<String>();
    assert_ne!(other, hex);
    machine.run(&["--yes", "--from", &archive, "--sha256", &other]).expect(65).says("does not match");
}

#[test]
fn checks_with_whatever_can_hash_and_refuses_without() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        machine.unlink("sha256sum");
        for hasher in ["shasum", "openssl"] {
            if support::need(hasher) {
                machine.link(hasher);
                machine.run(&["--yes", "--from", &archive]).expect(0);
                machine.unlink(hasher);
            }
        }
        fs::remove_file(machine.program()).unwrap();
        // busybox brings its own applets, whatever PATH says.
        if shell != "busybox ash" {
            machine.run(&["--yes", "--from", &archive]).expect(69).says("no sha256sum, shasum or openssl");
            machine.fake("sha256sum", "#!/bin/sh\nexit 1\n");
            machine.run(&["--yes", "--from", &archive]).expect(69).says("checksums cannot be computed");
            assert!(!machine.program().exists());
        }
    }
}

#[test]
fn needs_a_signature_by_the_given_key_when_one_is_given() {
    if !support::need("ssh-keygen") {
        return;
    }
    for shell in shells() {
        let mut machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        machine.run(&["--yes", "--from", &archive, "--require-signature"]).expect(64).says("no release key yet");
        let key = machine.sign();
        let signature = machine.path("dist/SHA256SUMS.sig");
        machine
            .run(&["--yes", "--from", &archive, "--signing-key", &key])
            .expect(0)
            .prints("Checksum and signature match");
        fs::remove_file(machine.program()).unwrap();
        machine.run(&["--yes", "--from", &archive]).expect(0).prints("No signature was checked");
        fs::remove_file(machine.program()).unwrap();

        let held = fs::read(&signature).unwrap();
        fs::remove_file(&signature).unwrap();
        machine.run(&["--yes", "--from", &archive, "--signing-key", &key]).expect(65).says("not signed");
        fs::write(&signature, held).unwrap();
        machine.release("#!/bin/sh\necho 'factoryup 6.6.6'\n");
        machine.run(&["--yes", "--from", &archive, "--signing-key", &key]).expect(65).says("not by that key");
        machine.set("FACTORYUP_SIGNING_KEY", &key);
        machine.run(&["--yes", "--from", &archive]).expect(65).says("not by that key");
        machine.run(&["--yes", "--from", &archive, "--sha256", "00"]).expect(64).says("leave out --sha256");
        machine.unlink("ssh-keygen");
        if shell != "busybox ash" {
            machine.run(&["--yes", "--from", &archive]).expect(69).says("ssh-keygen is needed");
        }
        assert!(!machine.program().exists(), "{shell}");
    }
}

#[test]
fn says_plainly_that_there_is_nothing_to_download_yet() {
    for shell in shells() {
        let machine = Machine::new(shell);
        machine
            .run(&["--yes"])
            .expect(64)
            .says("no release of factoryup has been published yet")
            .says("--from-source DIR");
        machine.run(&["--help"]).expect(0).prints("No release has been published or signed so far");
        let both = ["--from", "a.tar.gz", "--from-source", "."];
        machine.run(&both).expect(64).says("either --from or --from-source");
        machine.run(&["--to", "/"]).expect(64).says("the folder is /");
        machine.run(&["--to", "tab\there"]).expect(64).says("a control character");
        machine.run(&["--to"]).expect(64).says("--to needs a value");
        machine.run(&["--nonsense"]).expect(64).says("unknown argument: --nonsense");
        machine.run(&["--from", "gone.tar.gz"]).expect(64).says("there is no file");
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn does_nothing_on_a_dry_run_or_with_nobody_to_ask() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        machine.run(&["--dry-run", "--from", &archive]).expect(0).prints("Nothing was changed");
        machine.run(&["--from", &archive]).expect(64).says("no terminal to ask on");
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn names_a_destination_that_cannot_be_written() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        let file = machine.path("file");
        fs::write(&file, "").unwrap();
        let under_a_file = file.join("bin");
        for dir in [under_a_file.to_str().unwrap(), "/proc/factoryup"] {
            let run = machine.run(&["--yes", "--from", &archive, "--to", dir]).expect(73);
            run.says(&format!("cannot write to {dir}"));
        }
        fs::create_dir_all(machine.program()).unwrap();
        machine.run(&["--yes", "--from", &archive]).expect(73).says("is a folder");
        machine.run(&["--yes", "--from", &archive, "--to", "it's"]).expect(64).says("a quote");
    }
}

#[test]
fn replaces_a_running_program_in_one_step() {
    let machine = Machine::new("dash");
    let archive = machine.release(PROGRAM);
    let dir = machine.program().parent().unwrap().to_owned();
    fs::create_dir_all(&dir).unwrap();
    support::copy_program(which::which("sleep").unwrap(), machine.program());
    let mut running = Command::new(machine.program()).arg("600").spawn().unwrap();
    let many: Vec<_> = (0..4)
        .map(|_| machine.command(&script(), &["--yes", "--quiet", "--from", &archive]).spawn().unwrap())
        .collect();
    for mut install in many {
        assert!(install.wait().unwrap().success());
    }
    assert!(running.try_wait().unwrap().is_none(), "the old one was disturbed");
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(machine.installed(), "factoryup 0.1.0");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    let newer = machine.release("#!/bin/sh\necho 'factoryup 0.2.0'\n");
    machine.run(&["--yes", "--from", &newer]).expect(0).prints("replacing the one that it installed before");
    assert_eq!(machine.installed(), "factoryup 0.2.0");
}

#[test]
fn builds_from_source_with_the_real_cargo() {
    if !support::available(&["cargo", "cc"]) {
        return;
    }
    let mut machine = Machine::new("dash");
    let source = machine.path("source tree");
    fs::create_dir_all(source.join("src")).unwrap();
    let manifest = "[package]\nname = \"factoryup\"\nversion = \"0.1.7\"\nedition = \"2024\"\n";
    fs::write(source.join("src/main.rs"), "fn main() { println!(\"factoryup 0.1.7\"); }\n").unwrap();
    fs::write(source.join("Cargo.toml"), manifest).unwrap();
    machine.set("PATH", std::env::var_os("PATH").unwrap());
    if let Some(home) = std::env::home_dir() {
        machine.set("CARGO_HOME", std::env::var_os("CARGO_HOME").unwrap_or(home.join(".cargo").into()));
        machine.set("RUSTUP_HOME", std::env::var_os("RUSTUP_HOME").unwrap_or(home.join(".rustup").into()));
    }
    let dir = source.to_str().unwrap();
    let to = machine.path("some where");
    let args = ["--yes", "--quiet", "--to", to.to_str().unwrap(), "--from-source", dir];
    machine.run(&args).expect(69).says("the build failed");
    assert!(!to.exists());
    fs::write(source.join("Cargo.lock"), "version = 4\n\n[[package]]\nname = \"factoryup\"\nversion = \"0.1.7\"\n")
        .unwrap();
    // Relative to where the user is, and not to the source tree.
    machine.set("CARGO_TARGET_DIR", "built");
    machine.run(&args).expect(0);
    assert_eq!(version(&to.join("factoryup")), "factoryup 0.1.7");
    assert!(machine.home().join("built/release/factoryup").exists());
    machine.run(&["--yes", "--from-source", "/"]).expect(64).says("no source tree");
}
