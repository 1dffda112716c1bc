//! `factory.toml`: what is refused, and with which words; what is taken, and that nothing of it gets lost.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/factory_toml.rs"]
mod sample;

use std::fs;

use factoryup::factory::answers::Answers;
use factoryup::factory::fields::{self, FIELDS, Value};
use factoryup::factory::{self, Engine, HostKind};
use sample::{KEY, candidates, good};

fn message(text: &str) -> String {
    let error = factory::parse(text, "factory.toml").expect_err("must be refused");
    assert_eq!(error.kind().exit_code(), 65);
    format!("{error}\nhint: {}", error.hints().join("\nhint: "))
}

/// Refuses the good file with `from` replaced by `to`, in the words of the snapshot called `name`.
fn refuses(name: &str, from: &str, to: &str) {
    let text = good();
    assert!(text.contains(from), "{name}: {from}");
    insta::assert_snapshot!(name, message(&text.replacen(from, to, 1)));
}

#[test]
fn the_good_file_is_good() {
    let factory = factory::parse(&good(), "factory.toml").unwrap();
    assert_eq!((factory.host.port, factory.gitlab.project.as_str()), (22, "factory"));
    assert_eq!(factory.environments.names, ["staging", "production"]);
}

#[test]
fn what_is_no_toml() {
    refuses("syntax_no_value", "name = \"acme\"", "name =");
    refuses("syntax_open_quote", "name = \"acme\"", "name = \"acme");
    refuses("syntax_no_equals", "kind = \"ssh\"", "kind \"ssh\"");
    refuses("syntax_open_header", "[host]", "[host");
    refuses("duplicate_key", "kind = \"ssh\"", "kind = \"ssh\"\nkind = \"local\"");
    refuses("duplicate_section", "[gitlab]", "[factory]\n\n[gitlab]");
    refuses("null_character", "acme", "ac\0me");
    refuses("escape_sequence", "acme", "ac\u{1b}[31mme");
    refuses("escaped_control_character", "Ada Lovelace", "Ada\\u001b[31m");
    insta::assert_snapshot!("empty", message(""));
}

#[test]
fn what_is_empty_is_said_once() {
    let text = good();
    let group = text.lines().find(|line| line.starts_with("group = ")).unwrap();
    let said = message(&text.replacen(group, "group = \"\"", 1));
    assert!(said.contains("has 1 problem") && said.contains("`gitlab.group` is empty"), "{said}");
    assert!(!said.contains("is missing"), "{said}");
}

#[test]
fn what_is_unknown() {
    refuses("unknown_key_mistyped", "address =", "adress =");
    refuses("unknown_key_swapped", "kind = ", "knid = ");
    refuses("unknown_key_elsewhere", "group = ", "group = \"acme\"\ntoken_days = 3\n#");
    refuses("unknown_key", "group = ", "colour = \"red\"\ngroup = ");
    refuses("unknown_section_mistyped", "[gitlab]", "[gitlba]");
    refuses("unknown_section", "[gitlab]", "[kubernetes]\n\n[gitlab]");
    refuses("key_outside_its_section", "schema = 2", "schema = 2\naddress = \"203.0.113.7\"");
}

#[test]
fn what_has_the_wrong_type() {
    refuses("type_text_for_number", "kind = \"ssh\"", "kind = \"ssh\"\nport = \"22\"");
    refuses("type_number_for_text", "name = \"acme\"", "name = 7");
    refuses("type_text_for_list", "authorized_keys = [\"", "authorized_keys = \"\"\n# [\"");
    refuses("type_number_in_list", "authorized_keys = [", "authorized_keys = [7, ");
    refuses("type_text_for_bool", "[gitlab]", "[cloudflare]\nenabled = \"yes\"\n\n[gitlab]");
    refuses("type_value_for_section", "schema = 2", "schema = 2\nagent = \"codex\"");
    refuses("type_list_of_sections", "[gitlab]", "[[gitlab]]");
    refuses("type_section_for_value", "[gitlab]", "[host.port]\n\n[gitlab]");
}

#[test]
fn what_is_missing() {
    refuses("missing_name", "name = \"acme\"\n", "");
    refuses("missing_section", "[gitlab]\ngroup = \"acme\"\n", "");
    refuses("missing_because_of_another", "address = \"203.0.113.7\"\n", "");
    refuses("missing_is_empty", "\"203.0.113.7\"", "\"\"");
    refuses("missing_keys", KEY, "  ");
    refuses("missing_cloudflare_ids", "[gitlab]", "[cloudflare]\nenabled = true\n\n[gitlab]");
    refuses("missing_schema", "schema = 2", "");
}

#[test]
fn another_schema() {
    refuses("schema_newer", "schema = 2", "schema = 3\nfuture = true");
    refuses("schema_zero", "schema = 2", "schema = 0");
    refuses("schema_text", "schema = 2", "schema = \"1\"");
}

#[test]
fn values_out_of_range() {
    refuses("port_too_large", "kind = \"ssh\"", "kind = \"ssh\"\nport = 70000");
    refuses("port_zero", "kind = \"ssh\"", "kind = \"ssh\"\nport = 0");
    refuses("port_beyond_64_bits", "kind = \"ssh\"", "kind = \"ssh\"\nport = 99999999999999999999");
    refuses("choice_mistyped", "\"ssh\"", "\"shh\"");
    refuses("choice_unknown", "[gitlab]\n", "[gitlab]\ntier = \"gold\"\n");
    refuses("environments_twice", "[gitlab]", "[environments]\nnames = [\"a\", \"b\", \"a\"]\n\n[gitlab]");
    refuses(
        "environments_too_many",
        "[gitlab]",
        "[environments]\nnames = [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]\n\n[gitlab]",
    );
    refuses("environments_none", "[gitlab]", "[environments]\nnames = []\n\n[gitlab]");
}

#[test]
fn values_that_break_a_rule() {
    refuses("name_capital", "\"acme\"", "\"Acme\"");
    refuses("email_without_domain", "ada@example.org", "ada@laptop");
    refuses("operator_is_agent", "kind = \"ssh\"", "kind = \"ssh\"\noperator = \"agent\"");
    refuses("operator_is_root", "kind = \"ssh\"", "kind = \"ssh\"\noperator = \"root\"");
    refuses("address_with_login", "203.0.113.7", "root@203.0.113.7");
    refuses("address_with_port", "203.0.113.7", "203.0.113.7:22");
    refuses("address_is_option", "203.0.113.7", "-oProxyCommand=id");
    refuses("address_no_ip", "203.0.113.7", "203.0.113.777");
    refuses("host_key_short", "kind = \"ssh\"", "kind = \"ssh\"\nhost_key = \"SHA256:abc\"");
    refuses("url_plain_http", "[gitlab]\n", "[gitlab]\nurl = \"http://gitlab.example.org\"\n");
    refuses("url_of_a_project", "[gitlab]\n", "[gitlab]\nurl = \"https://gitlab.com/acme/factory\"\n");
    refuses("url_slash", "[gitlab]\n", "[gitlab]\nurl = \"https://gitlab.com/\"\n");
    refuses("group_reserved", "group = \"acme\"", "group = \"dashboard\"");
    refuses("project_with_group", "[gitlab]\n", "[gitlab]\nproject = \"acme/factory\"\n");
    refuses("zone_unknown", "[host]\n", "timezone = \"Europe/Wien\"\n[host]\n");
    refuses("branch_with_a_command", "[gitlab]\n", "[gitlab]\ndefault_branch = \"main;id\"\n");
    refuses("branch_two_dots", "[gitlab]\n", "[gitlab]\ndefault_branch = \"a..b\"\n");
    refuses(
        "age_mistyped",
        "[gitlab]",
        "[secrets]\nowner_recipient = \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q\"\n\n[gitlab]",
    );
    refuses("zone_id_short", "[gitlab]", "[cloudflare]\nzone_id = \"abc\"\n\n[gitlab]");
    refuses("key_cut", KEY, &KEY[..50]);
    refuses("key_with_options", "ssh-ed25519 ", "restrict ssh-ed25519 ");
    refuses("key_dsa", KEY, "ssh-dss AAAAB3NzaC1kc3M= old");
    refuses("space_around", "\"203.0.113.7\"", "\" 203.0.113.7\"");
}

/// What a person may paste by mistake, and a part of it that must not come out again.
const SECRETS: [(&str, &str, &str, &str); 8] = [
    ("secret_in_url", "[gitlab]\n", "[gitlab]\nurl = \"https://oauth2:CANARY@gitlab.com\"\n", "CANARY"),
    ("secret_account_in_url", "[gitlab]\n", "[gitlab]\nurl = \"https://CANARY@gitlab.com\"\n", "CANARY"),
    ("secret_gitlab_token", "group = \"acme\"", "group = \"glpat-CANARYxx1234567890ab\"", "CANARY"),
    ("secret_in_comment", "[gitlab]", "# glrt-t1_CANARYxx1234567\n[gitlab]", "CANARY"),
    ("secret_as_key", "[gitlab]", "[gitlab]\nglpat-CANARYxx1234567890ab = 1", "CANARY"),
    ("secret_age", "[gitlab]", "[secrets]\nowner_recipient = \"AGE-SECRET-KEY-1CANARYXX\"\n\n[gitlab]", "CANARY"),
    (
        "secret_cloudflare",
        "[gitlab]",
        "[cloudflare]\nzone_id = \"CANARY_123456789012345678901234567890-ab\"\n\n[gitlab]",
        "CANARY",
    ),
    (
        "secret_private_key",
        "authorized_keys = [",
        "authorized_keys = [\"\"\"-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\nCANARY\n-----END OPENSSH PRIVATE KEY-----\n\"\"\", ",
        "CANARY",
    ),
];

#[test]
fn a_pasted_secret_is_named_but_never_shown() {
    for (name, from, to, canary) in SECRETS {
        refuses(name, from, to);
        let text = good().replacen(from, to, 1);
        assert!(!message(&text).contains(canary), "{name}");
    }
}

#[test]
fn all_problems_come_at_once() {
    let text = good()
        .replace("\"acme\"", "\"Acme\"")
        .replace("address =", "adress =")
        .replace("ada@example.org", "ada")
        .replace("kind = \"ssh\"", "kind = \"ssh\"\nport = 0");
    insta::assert_snapshot!("all_at_once", message(&text));
}

#[test]
fn a_long_line_is_shown_around_the_place() {
    let long = format!("\"{}é\t{}!{}\"", "a".repeat(90), "b".repeat(90), "c".repeat(200));
    refuses("long_line", "\"acme\"", &long);
}

#[test]
fn what_is_no_file_with_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("factory.toml");
    let mut said = Vec::new();
    let mut read = |path: &std::path::Path| {
        let error = factory::read(path).expect_err("must be refused");
        assert_eq!(error.kind().exit_code(), 65);
        said.push(format!("{error}\nhint: {}", error.hints().join("\nhint: ")));
    };
    read(&path);
    fs::write(&path, b"schema = 2\n# caf\xe9\n").unwrap();
    read(&path);
    fs::write(&path, vec![b'#'; 64 * 1024 + 1]).unwrap();
    read(&path);
    fs::write(&path, b"\xff\xfes\0c\0h\0").unwrap();
    read(&path);
    fs::write(&path, b"PK\x03\x04 a zip file").unwrap();
    read(&path);
    read(folder.path());
    let said = said.join("\n---\n").replace(&folder.path().display().to_string(), "DIR");
    insta::assert_snapshot!("no_file_with_text", said);
}

#[test]
fn windows_files_are_taken() {
    let text = format!("\u{feff}{}", good().replace('\n', "\r\n"));
    assert_eq!(factory::parse(&text, "f").unwrap(), factory::parse(&good(), "f").unwrap());
    let wrong = text.replace("203.0.113.7", "a b");
    insta::assert_snapshot!("windows_line_ends", message(&wrong));
}

#[test]
fn what_is_written_is_read_again() {
    let mut factory = factory::parse(&good(), "f").unwrap();
    factory.factory.description = "quotes \" and \\ and ünïcode 🚀".into();
    factory.host.kind = HostKind::Local;
    factory.infra.engine = Engine::Terraform;
    factory.environments.names = vec!["production".into()];
    let text = factory::to_toml(&factory).unwrap();
    assert_eq!(factory::parse(&text, "f").unwrap(), factory);
    assert_eq!(factory::to_toml(&factory).unwrap(), text);
    insta::assert_snapshot!("written", text);
}

/// Every field in turn with each value it may have and a few it may not: what the reader takes comes back unchanged through the
/// writer, and what it refuses no other way lets in.
#[test]
fn every_field_survives_the_round_trip() {
    let base = factory::parse(&good(), "f").unwrap();
    let text = factory::to_toml(&base).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for field in FIELDS {
        for value in candidates(field) {
            let edited = factory::edit(&text, "f", &[(field, value.clone())]);
            match field.check(&value) {
                Ok(()) if !(value.is_empty() && field.may_be_empty()) => {
                    let Ok(edited) = edited else { continue };
                    let factory = factory::parse(&edited, "f").unwrap();
                    assert_eq!(Answers::of(&factory).unwrap().get(field.key), Some(value), "{}", field.key);
                    assert_eq!(
                        factory::parse(&factory::to_toml(&factory).unwrap(), "f").unwrap(),
                        factory,
                        "{}",
                        field.key
                    );
                    taken += 1;
                }
                Ok(()) => {}
                Err(_) => {
                    assert!(edited.is_err(), "{} takes {value:?}", field.key);
                    refused += 1;
                }
            }
        }
    }
    assert!(taken > 40 && refused > 60, "{taken} taken, {refused} refused");
}

#[test]
fn an_edit_leaves_all_else_as_it_is() {
    let text = format!("# mine\n{}  # the group's path\n\n# the end\n", good().trim_end());
    let group = fields::by_key("gitlab.group").unwrap();
    let engine = fields::by_key("infra.engine").unwrap();
    let changes = [(group, Value::Text("acme/tools".into())), (engine, Value::Text("terraform".into()))];
    let edited = factory::edit(&text, "f", &changes).unwrap();
    insta::assert_snapshot!("edited", edited);
    let wrong = factory::edit(&text, "f", &[(group, Value::Text("-".into()))]).expect_err("must be refused");
    assert!(wrong.to_string().contains("`gitlab.group`"), "{wrong}");
}

/// Numbers that are the same in each run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % end
    }
}

#[test]
fn no_text_makes_it_panic() {
    let threads: Vec<_> = (1..=2).map(|seed| std::thread::spawn(move || mutate(seed))).collect();
    let tried: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(tried.iter().sum::<u32>() > 10_000, "{tried:?} in 4 s");
}

/// Reads 200,000 mutated texts, or as many as there is time for.
fn mutate(seed: u64) -> u32 {
    let pieces = [
        "\r\n",
        "\r",
        "\n",
        "\"",
        "\"\"\"",
        "'",
        "'''",
        "\\",
        "\\u",
        "[",
        "]",
        "[[",
        "=",
        "#",
        ",",
        "{",
        "}",
        ".",
        " ",
        "\t",
        "\0",
        "ä",
        "€",
        "😀",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "schema = 2",
        "[host]\r\n",
        "port = 1_",
        "glpat-aaaaaaaaaaaaaaaaaaaa",
        "a = 1\r\na = 2",
    ];
    let whole = [good(), good().replace('\n', "\r\n"), good().replace("Ada Lovelace", "Ädä €😀")];
    // As many as are enough on any machine, and on an idle one what four seconds bring.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(4);
    let (mut numbers, mut tried) = (Numbers(seed), 0);
    while tried < 200_000 && (tried < 6_000 || tried % 256 != 0 || std::time::Instant::now() < deadline) {
        let mut text: Vec<char> = whole[numbers.below(whole.len())].chars().collect();
        // Mostly a part: much faster to read, and as odd.
        if numbers.below(64) > 0 {
            let start = numbers.below(text.len());
            text = text.into_iter().skip(start).take(numbers.below(40)).collect();
        }
        for _ in 0..numbers.below(4) {
            let at = numbers.below(text.len() + 1);
            let end = (at + numbers.below(3)).min(text.len());
            text.splice(at..end, pieces[numbers.below(pieces.len())].chars());
        }
        let text: String = text.into_iter().collect();
        match std::panic::catch_unwind(|| factory::parse(&text, "factory.toml")) {
            Err(panic) => panic!("it panics at {text:?}: {:?}", panic.downcast_ref::<String>()),
            Ok(Err(error)) => assert_eq!(error.kind().exit_code(), 65, "{text:?}"),
            Ok(Ok(_)) => {}
        }
        tried += 1;
    }
    tried
}

#[test]
fn a_problem_inside_a_line_ending_of_two_characters_is_shown() {
    let said = message("\"\r\n");
    assert!(said.contains("factory.toml:1:2: ") && said.contains("1 | \"\n"), "{said}");
}
