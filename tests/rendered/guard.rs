//! `scripts/checks/secrets`: it finds the kinds of secrets that get into repos, shows none, and takes nothing else for one.

use std::fs;
use std::process::Output;

use crate::checks::{finds, ready};
use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::corpus::CORPUS;
use crate::readers::World;
use crate::support;

/// What tokens are made of.
const BASE62: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const HEX: &[u8] = b"0123456789abcdef";

/// As random as a token, and the same in every run; made here, so that this file does not contain what the check looks for.
fn random(seed: u64, length: usize, of: &[u8]) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(of[usize::try_from(state >> 33).unwrap() % of.len()])
    };
    (0..length).map(next).collect()
}

/// What the message has to name, and a line with such a secret between `before` and `after`.
fn planted() -> Vec<(&'static str, String, String)> {
    let line = |kind, before: &str, secret: String, after: &str| (kind, format!("{before}{secret}{after}"), secret);
    let key = |kind: &str, dashes: &str| format!("{dashes}BEGIN {kind}PRIVATE KEY{dashes}");
    vec![
        line("GitHub token", "token: ", format!("ghp_{}", random(1, 36, BASE62)), ""),
        line("GitHub token", "x ", format!("github_pat_{}_{}", random(2, 22, BASE62), random(3, 59, BASE62)), ""),
        line("GitHub token", r#""a": "one\n"#, format!("gho_{}", random(4, 36, BASE62)), "\""),
        line("GitLab token", "https://oauth2:", format!("glpat-{}", random(5, 20, BASE62)), "@gitlab.com/a"),
        line("Stripe key", "STRIPE=", format!("sk_live_{}", random(6, 24, BASE62)), ""),
        line("Slack token", "", format!("xoxb-{}-{}", random(7, 12, b"0123456789"), random(8, 24, BASE62)), ""),
        line(
            "Slack webhook",
            "",
            format!(
                "https://hooks.slack.com/services/T{}/B{}/{}",
                random(9, 8, UPPER),
                random(10, 8, UPPER),
                random(11, 24, BASE62)
            ),
            "",
        ),
        line("npm token", "//registry/:_authToken=", format!("npm_{}", random(12, 36, BASE62)), ""),
        line("PyPI token", "", format!("pypi-AgEIcHlwaS5vcmc{}", random(13, 80, BASE62)), ""),
        line("Cloudflare token", "", format!("cfut_{}", random(14, 40, BASE62)), ""),
        line("Cloudflare token", "run --token ", format!("eyJhIjoi{}", random(15, 150, BASE62)), ""),
        line("password", "cloudflare_api_token = \"", random(16, 40, BASE62), "\""),
        line("AWS key", "", format!("AKIA{}", random(17, 16, UPPER)), ""),
        line("password", "aws_secret_access_key = ", random(18, 40, BASE62), ""),
        line("Google key", "", format!("AIza{}", random(19, 35, BASE62)), ""),
        line("OpenAI key", "", format!("sk-proj-{}", random(20, 48, BASE62)), ""),
        line("Anthropic key", "export K=", format!("sk-ant-api03-{}", random(21, 80, BASE62)), ""),
        line("private key", "", key("", "-----"), ""),
        line("private key", "", key("RSA ", "-----"), ""),
        line("private key", "  ", key("OPENSSH ", "-----"), ""),
        line("private key", "", key("ENCRYPTED ", "-----"), ""),
        line("private key", "", format!("-----BEGIN PGP PRIVATE {}-----", "KEY BLOCK"), ""),
        line("private key of PuTTY", "", format!("PuTTY-User-Key-File-{}: ssh-ed25519", 3), ""),
        line("age key", "", format!("AGE-SECRET-KEY-1{}", random(22, 58, UPPER)), ""),
        line("password", "password = \"", format!("Tr0ub4dor&{}", random(23, 4, BASE62)), "\""),
        line("password", "  db_password: ", random(24, 20, BASE62), ""),
        line("password", "{\"client_secret\": \"", random(25, 32, HEX), "\"}"),
        line("password in an address", "postgres://app:", random(26, 16, BASE62), "@db.internal/app"),
        line("login in a header", "-H 'Authorization: Bearer ", random(27, 40, BASE62), "'"),
        line(
            "token that a server signed",
            "",
            format!("eyJhbGciOiJIUzI1NiJ9x.eyJzdWIiOiIxMjM0NTY3OD.{}", random(28, 43, BASE62)),
            "",
        ),
    ]
}

/// Words that stand for a secret, names of secrets, and what only looks random.
const HARMLESS: &str = r#"
glpat-… glpat-xxxxxxxxxxxxxxxxxxxx glpat-aaaaaaaaaaaaaaaaaaaa ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx sk-ant-...
AKIAIOSFODNN7EXAMPLE aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
password = "example-password-1" password: changeme-please-123 token: your-token-goes-here-123
password = var.database_password_2024
token = "${data.vault.secret["app"].token1}"
token: $CI_JOB_TOKEN_FOR_THIS_JOB2
secret: secrets/production/app2.yaml
api_key: {{ values.api_key_1234 }}
passphrase = key_provider.pbkdf2.old.value
tokenizer = "BertTokenizerFast2"
postgres://user:password@localhost/app https://$USER:$PASSWORD@gitlab.com/
Authorization: Bearer <token>
"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdZbN2Ph0h9bEhUVbF0v7bKbFqcQ2X0m3b0Jm0kq0Yd ada@laptop
-----BEGIN PUBLIC KEY----- -----BEGIN CERTIFICATE----- age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
"#;

#[test]
fn every_kind_of_secret_is_found_and_named_and_none_is_shown() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let all = planted();
    for (number, (_, line, _)) in all.iter().enumerate() {
        repo.write(&format!("planted/{number}.txt"), &format!("one\n{line}\n"));
    }
    // A name that git would quote, and one that begins like an option.
    repo.write("planted/a\"b\nc.txt", &all[0].1);
    repo.write("-v", &all[0].1);
    let output = repo.run(&["scripts/check", "secrets"]);
    let found = text(&output);
    assert_eq!(output.status.code(), Some(1), "{found}");
    for (number, (kind, _, secret)) in all.iter().enumerate() {
        let said = format!("planted/{number}.txt:2: looks like a secret ({kind}): take it out, and replace it");
        assert!(found.contains(&said), "no {said}: {found}");
        assert!(!found.contains(secret.as_str()), "{number} is shown");
    }
    assert!(found.contains("\nc.txt:1: looks like") && found.contains("\n-v:1: looks like"), "{found}");
}

#[test]
fn nothing_else_is_taken_for_a_secret() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    // What every set of answers makes, and what stands for a secret.
    for item in &CORPUS.files {
        let place = item.place.strip_prefix(CORPUS.path()).unwrap().display().to_string();
        repo.write(&format!("corpus/{place}"), item.text);
    }
    repo.write("harmless.txt", HARMLESS);
    passed(&repo.run(&["scripts/check", "secrets"]));
    // A password of a test is allowed by its line; a token is not.
    let (password, token) = (&planted()[24].1, &planted()[0].1);
    repo.write("tests.txt", &format!("{password} # gitleaks:allow\n"));
    passed(&repo.run(&["scripts/check", "secrets"]));
    repo.write("tests.txt", &format!("{token} # gitleaks:allow\n"));
    finds(&repo, "secrets", "tests.txt:1: looks like a secret (GitHub token)");
}

fn of_merge_request(repo: &ControlRepo, base: &str) -> Output {
    let check = repo.path().join("scripts/check").display().to_string();
    repo.command(&check).arg("secrets").env("CI_MERGE_REQUEST_DIFF_BASE_SHA", base.trim()).output().unwrap()
}

/// What is out of the files is still in the commits, and those were pushed.
#[test]
fn a_secret_in_a_commit_and_in_its_message_is_found() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let base = repo.git(&["rev-parse", "HEAD"]);
    let secret = planted().swap_remove(0).2;
    // In a diff this line begins as the name of a file does.
    repo.write("notes.txt", &format!("one\n++ {secret}\n"));
    repo.git(&["add", "."]);
    repo.git(&["commit", "-qm", "slip"]);
    let slip = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["rm", "-q", "notes.txt"]);
    repo.git(&["commit", "-qm", &format!("hide\n\nit was {secret}")]);
    let hide = repo.git(&["rev-parse", "HEAD"]);
    // In a merge request, and before the push.
    for checked in [of_merge_request(&repo, &base), repo.run(&["scripts/check", "secrets"])] {
        let found = text(&checked);
        assert_eq!(checked.status.code(), Some(1), "{found}");
        for place in [format!("{}, notes.txt", slip.trim()), format!("{}, its message", hide.trim())] {
            let said = format!("commit {place}: looks like a secret (GitHub token): if it was pushed, replace it");
            assert!(found.contains(&said), "no {said}: {found}");
        }
        assert!(!found.contains(&secret), "the check shows what it found");
    }
}

/// The hook, CI and the applications have one list, and what the owner adds to it counts.
#[test]
fn the_rules_are_one_list() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("defaults");
    passed(&repo.run(&["scripts/setup"]));
    let own = format!("acme_{}", random(30, 20, BASE62));
    repo.write("notes.txt", &format!("{own}\n"));
    passed(&repo.run(&["scripts/check", "secrets"]));
    repo.write(".secret-rules", "# ours\nacme key\tacme_[0-9A-Za-z]{20}\n");
    finds(&repo, "secrets", "notes.txt:1: looks like a secret (acme key)");
    // The hook is a copy, and its clone has gone on since.
    fs::write(repo.path().join(".git/hooks/pre-commit"), "#!/bin/sh\n# A copy of it as .git/hooks/pre-commit\n")
        .unwrap();
    passed(&repo.run(&["scripts/setup"]));
    fs::remove_file(repo.path().join(".secret-rules")).unwrap();
    repo.edit("scripts/checks/secrets", "<<'RULES'\n", "<<'RULES'\nacme key\tacme_[0-9A-Za-z]{20}\n");
    repo.git(&["add", "notes.txt"]);
    let hook = repo.path().join(".git/hooks/pre-commit");
    let refused = repo.command(hook.to_str().unwrap()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(stdout(&refused).contains("notes.txt:1: looks like a secret (acme key)"), "{}", text(&refused));
    // A rule that finds nothing since it cannot be read is no rule.
    repo.write(".secret-rules", "acme key\tacme_[0-9\n");
    finds(&repo, "secrets", ".secret-rules: acme key: not an extended regular expression");
}

#[test]
fn every_value_under_secrets_is_encrypted() {
    if !ready() || !support::available(&["age-keygen", "sops"]) {
        return;
    }
    let world = World::new();
    let repo = &world.repo;
    let encrypt = |file: &str, plain: &str| {
        let path = repo.path().join("../plain");
        fs::write(&path, plain).unwrap();
        let path = path.display().to_string();
        let sops = support::tool("sops").unwrap().display().to_string();
        let output = repo.command(&sops).args(["encrypt", "--filename-override", file, &path]).output().unwrap();
        repo.write(file, &passed(&output));
    };
    let files = [
        ("app.yaml", "# why\npassword: hunter2\nempty: \"\"\nnested:\n    list:\n        - one\n        - key: two\n"),
        ("app.json", r#"{"password": "x", "nested": {"list": [1, true, {"key": "z"}]}, "empty": ""}"#),
        ("app.env", "# why\npassword=x\nEMPTY=\n"),
        ("app.ini", "[one]\npassword = x\n[two]\nb = y\n"),
        ("app.bin", "some bytes"),
    ];
    for (name, plain) in files {
        encrypt(&format!("secrets/production/{name}"), plain);
    }
    passed(&repo.run(&["scripts/check", "secrets"]));
    let refused = |name: &str, edit: &dyn Fn(&str) -> String, what: &str| {
        let file = format!("secrets/production/{name}");
        let before = repo.read(&file);
        repo.write(&file, &edit(&before));
        finds(repo, "secrets", &format!("{what} is not encrypted: encrypt it"));
        repo.write(&file, &before);
    };
    let password = |text: &str| text.lines().find(|l| l.contains("password")).unwrap().to_owned();
    for (name, line, plain) in [
        ("app.yaml", 2, "password: hunter2"),
        ("app.json", 2, "\t\"password\": \"hunter2\","),
        ("app.env", 2, "password=hunter2"),
        ("app.ini", 2, "password = hunter2"),
        // Of the right form at its end only, and without what makes it one.
        ("app.yaml", 2, "password: ENC[AES256_GCM,data:hunter2]"),
    ] {
        let what = format!("{name}:{line}: password");
        refused(name, &|text| text.replacen(&password(text), plain, 1), &what);
    }
    refused("app.yaml", &|text| format!("{text}late: hunter2\n"), ": late");
    refused("app.yaml", &|text| text.replacen("nested:", "nested:\n    sops:\n        key: hunter2", 1), ": key");
    refused("app.yaml", &|text| text.replacen("password:", "password: |\n    hunter2\nother:", 1), ": a value");
    refused("app.yaml", &|text| text.replacen("password: E", "password: hunter2 E", 1), ": password");
    refused("app.yaml", &|text| text.replacen("#ENC", "# hunter2 ENC", 1), ": a comment");
    refused("app.env", &|text| format!("{text}late=hunter2\n"), ": late");
    repo.write("secrets/production/app.yaml", "token: plain\n");
    finds(repo, "secrets", "secrets/production/app.yaml: not encrypted: make it with sops");
}
