//! What others may put in the script's way: a server, a record, an environment, another's home.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use super::download::{Server, machine, publish};
use super::situation::{Machine, PROGRAM, shells};
use crate::support;

#[test]
fn does_no_more_than_the_words_say() {
    for shell in shells() {
        let machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        for words in
            [&["--check"][..], &["--check", "--from", &archive], &["--update", "--check", "--release", "0.1.0"]]
        {
            machine.run(&[words, &["--yes"]].concat()).expect(64).says("--check goes with --update");
        }
        let run = machine.run(&["--yes", "--base-url", "https://me:s3cret@localhost"]).expect(64).says("~/.netrc");
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("s3cret"), "{shell}");
        machine
            .run(&["--yes", "--from", &archive, "--to", "gone/../bin"])
            .expect(64)
            .says("a folder that is not there");
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn an_endless_answer_ends() {
    if !support::available(&["curl"]) {
        return;
    }
    for shell in shells() {
        let machine = Machine::new(shell);
        machine.link("curl");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]);
            let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x1_0000));
            client.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            // 64 MB would pass where nothing ends it.
            (0..1000).take_while(|_| client.write_all(chunk.as_bytes()).is_ok()).count()
        });
        machine.run(&["--yes", "--allow-http", "--base-url", &url]).expect(69).says("SHA256SUMS is too long");
        assert!(server.join().unwrap() < 1000, "{shell}");
        assert_eq!(machine.files(), [], "{shell}");
    }
}

#[test]
fn the_key_that_was_checked_once_is_asked_of_each_update() {
    if !support::available(&["curl", "openssl", "python3", "ssh-keygen"]) {
        return;
    }
    let (mut machine, certificate) = machine("dash");
    machine.set("CURL_CA_BUNDLE", machine.path("public.pem"));
    let server = Server::start(&machine, Some(&certificate), "");
    let url = format!("https://localhost:{}", server.port);
    // A pre-release is older than what it leads to.
    let archive = machine.release("#!/bin/sh\necho 'factoryup 0.1.0-rc.1'\n");
    let key = machine.sign();
    machine.run(&["--yes", "--from", &archive, "--signing-key", &key]).expect(0);
    machine.run(&["--yes", "--update"]).expect(64).says("not recorded where this program came from");
    machine.release(PROGRAM);
    machine.sign();
    let (dist, latest) = (machine.path("dist"), machine.path("dist/latest"));
    fs::create_dir(&latest).unwrap();
    fs::copy(dist.join("SHA256SUMS"), latest.join("SHA256SUMS")).unwrap();
    let signature = fs::read(dist.join("SHA256SUMS.sig")).unwrap();
    publish(&machine);
    fs::remove_file(dist.join("v0.1.0/SHA256SUMS.sig")).unwrap();
    let update = ["--yes", "--update", "--base-url", &url];
    machine.run(&update).expect(69).says("SHA256SUMS.sig");
    fs::write(dist.join("v0.1.0/SHA256SUMS.sig"), signature).unwrap();
    machine.run(&["--update", "--check", "--base-url", &url]).expect(2).prints("0.1.0 has been released");
    machine.run(&update).expect(0).prints("Checksum and signature match");
    machine.run(&update).expect(0).prints("factoryup 0.1.0 is the newest release");

    machine.fake("ssh-keygen", "#!/bin/sh\necho 'unknown option -- Y' >&2\nexit 1\n");
    let again = ["--yes", "--base-url", &url, "--signing-key", &key];
    machine.run(&again).expect(69).says("OpenSSH 8.1 or newer is needed");
}

#[test]
fn a_record_is_its_owners_and_removes_nothing_else() {
    for shell in shells() {
        let mut machine = Machine::new(shell);
        machine.set("SHELL", "/bin/zsh");
        machine.set("ZDOTDIR", "zsh");
        fs::create_dir(machine.home().join("zsh")).unwrap();
        let archive = machine.release(PROGRAM);
        let words = format!("umask 000; . {}", super::situation::script().display());
        let open = machine.path("open.sh");
        fs::write(&open, words).unwrap();
        let status = machine.command(&open, &["--yes", "--from", &archive, "--modify-path"]).status().unwrap();
        assert!(status.success(), "{shell}");
        for (path, _) in machine.files() {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert!(mode & 0o022 == 0 || path.ends_with("zsh"), "{shell}: {}: {mode:o}", path.display());
        }
        let records = machine.home().join(".local/state/factoryup/install.d");
        let record = fs::read_dir(records).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
        let mine = machine.home().join("passwd");
        fs::write(&mine, "root:x:0:0\n").unwrap();
        let text = fs::read_to_string(&record).unwrap();
        fs::write(&record, format!("{text}line\t{}\troot:x:0:0\n", mine.display())).unwrap();
        let mut elsewhere = machine.command(&super::situation::script(), &["--yes", "--uninstall"]);
        assert!(elsewhere.current_dir("/").status().unwrap().success(), "{shell}");
        let left: Vec<_> = machine.files().into_iter().filter(|(path, _)| !path.is_dir()).collect();
        assert_eq!(left, [(mine, 11)], "{shell}");
    }
}

#[test]
fn as_root_it_stays_out_of_others_homes_and_keeps_its_own() {
    if !support::root() {
        return;
    }
    for shell in shells() {
        let mut machine = Machine::new(shell);
        let archive = machine.release(PROGRAM);
        // The folder that was there before is then the root.
        let top = format!("/factoryup-{}", std::process::id());
        let to = format!("{top}/bin");
        machine.run(&["--yes", "--from", &archive, "--to", &to]).expect(0);
        machine.run(&["--yes", "--uninstall", "--to", &to]).expect(0);
        assert!(machine.home().is_dir() && !Path::new(&top).exists(), "{shell}");

        machine.set("SUDO_UID", "65534");
        machine.run(&["--yes", "--from", &archive, "--dry-run"]).expect(0);
        chown(machine.home(), Some(65534), None).unwrap();
        machine.run(&["--yes", "--from", &archive]).expect(64).says("without sudo");
        assert_eq!(machine.files(), [], "{shell}");
    }
}
