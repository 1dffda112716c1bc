//! The rules of fields against the programs that have the last word: ssh-keygen, age-keygen, git, useradd.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use factoryup::factory::fields::by_key;

fn takes(key: &str, text: &str) -> bool {
    by_key(key).unwrap().check_text(text).is_ok()
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(support::tool(program).unwrap()).args(arguments).output().unwrap()
}

fn says(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn make_key(folder: &Path, kind: &str, bits: &str) -> String {
    let file = folder.join(format!("{kind}{bits}")).display().to_string();
    says("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", "", "-C", "Ada's key, \"1\"", "-f", &file]);
    file
}

#[test]
fn what_ssh_keygen_makes_is_taken_when_it_is_strong_enough() {
    if !support::need("ssh-keygen") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let strengths = [
        ("ed25519", "256", true),
        ("ecdsa", "256", true),
        ("ecdsa", "384", true),
        ("ecdsa", "521", true),
        ("rsa", "3072", true),
        ("rsa", "2048", false),
    ];
    for (kind, bits, strong) in strengths {
        let file = make_key(folder.path(), kind, bits);
        let public = std::fs::read_to_string(format!("{file}.pub")).unwrap();
        assert_eq!(takes("host.authorized_keys", public.trim()), strong, "{public}");
        let field = by_key("host.authorized_keys").unwrap();
        assert_eq!(field.read(&format!("{file}.pub")).is_ok(), strong, "{kind} {bits} from its file");
        let fault = field.read(&file).expect_err("a private key is refused");
        assert!(fault.remedy.contains(".pub"), "{fault}");
        let fingerprint = says("ssh-keygen", &["-lf", &file]);
        assert!(takes("host.host_key", fingerprint.split(' ').nth(1).unwrap()), "{fingerprint}");
    }
}

#[test]
fn what_age_keygen_makes_is_taken() {
    if !support::need("age-keygen") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for number in 0..8 {
        let file = folder.path().join(format!("key{number}")).display().to_string();
        says("age-keygen", &["-o", &file]);
        let recipient = says("age-keygen", &["-y", &file]);
        assert!(takes("secrets.owner_recipient", &recipient), "{recipient}");
        let secret = std::fs::read_to_string(&file).unwrap();
        let secret = secret.lines().last().unwrap();
        let fault = by_key("secrets.owner_recipient").unwrap().check_text(secret).expect_err("the secret half");
        assert!(fault.secret && !fault.to_string().contains(&secret[16..24]), "{fault}");
    }
}

/// Texts made of a few pieces that matter to the rule, all combinations of up to three.
fn combinations(pieces: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
    for first in pieces {
        for second in pieces {
            all.push(format!("{first}{second}"));
            all.extend(pieces.iter().map(|third| format!("{first}{second}{third}")));
        }
    }
    all
}

#[test]
fn a_branch_that_is_taken_is_one_for_git() {
    if !support::need("git") {
        return;
    }
    let pieces = ["a", "B", "1", ".", "..", "/", "-", "_", "@", "{", "~", " ", ".lock", "é", "*"];
    let (mut taken, mut refused) = (0, 0);
    for text in combinations(&pieces).into_iter().step_by(7) {
        let for_git = run("git", &["check-ref-format", "--branch", &text]).status.success();
        if takes("gitlab.default_branch", &text) {
            assert!(for_git, "git refuses {text:?}");
            taken += 1;
        } else {
            // Stricter than git only where a rule of GitLab, a shell or good sense is.
            let odd = |c: char| !c.is_ascii_alphanumeric() && !"._-/+@=".contains(c);
            assert!(!for_git || text.starts_with('-') || text == "@" || text.contains(odd), "git takes {text:?}");
            refused += 1;
        }
    }
    assert!(taken > 30 && refused > 100, "{taken} taken, {refused} refused");
}

#[test]
fn an_account_that_is_taken_is_one_for_useradd() {
    if !support::need("useradd") || !support::root() {
        return;
    }
    // With --prefix nothing of this machine is touched.
    let prefix = tempfile::tempdir().unwrap();
    let etc = prefix.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    let here = prefix.path().display().to_string();
    let long = "a".repeat(33);
    let (mut taken, mut refused) = (0, 0);
    for text in ["ada", "_svc", "a-b_c1", &long[..32], &long, "1a", "Ada", "a b", "a:b", "a/b", "-a", "a,b", "é"] {
        for file in ["passwd", "shadow", "group", "gshadow"] {
            std::fs::write(etc.join(file), if file == "group" { "root:x:0:\n" } else { "" }).unwrap();
        }
        let made =
            run("useradd", &["--prefix", &here, "--no-create-home", "--no-user-group", "--gid", "0", "--", text]);
        if takes("host.login", text) {
            assert!(made.status.success(), "{text}: {}", String::from_utf8_lossy(&made.stderr));
            taken += 1;
        }
        refused += u32::from(!made.status.success());
    }
    assert!(taken == 4 && refused >= 3, "{taken} taken, {refused} refused by useradd");
}
