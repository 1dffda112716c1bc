//! The answers that decide what a control repo holds, and the combinations of them that the tests render.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use factoryup::factory::{self, Factory};
use factoryup::templating::render::render;
use factoryup::templating::tree::Tree;

use crate::covering::pairwise;

/// A choice: its name, and for each of its values a name and the lines of `factory.toml`, each with its section before it.
pub struct Choice {
    pub name: &'static str,
    pub values: &'static [(&'static str, &'static [(&'static str, &'static str)])],
}

const KEY: &str = r#"authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdZbN2Ph0h9bEhUVbF0v7bKbFqcQ2X0m3b0Jm0kq0Yd ada@laptop"]"#;
const ZONE: &str = r#"enabled = true
account_id = "0123456789abcdef0123456789abcdef"
zone_id = "fedcba9876543210fedcba9876543210"
zone = "example.org""#;

/// Every choice that templates look at. What a template only copies, such as a name, differs with one of them.
pub const CHOICES: &[Choice] = &[
    Choice {
        name: "agent",
        values: &[
            ("claude", &[("agent", "kind = \"claude-code\"")]),
            ("codex", &[("agent", "kind = \"codex\""), ("agent", "username = \"delivery-bot\"\ntoken_days = 7")]),
            ("both", &[("agent", "kind = \"both\"")]),
        ],
    },
    Choice {
        name: "engine",
        values: &[
            ("tofu", &[("infra", "engine = \"opentofu\"")]),
            ("terraform", &[("infra", "engine = \"terraform\"")]),
        ],
    },
    Choice {
        name: "secrets",
        values: &[
            ("sops", &[("secrets", "provider = \"sops-age\"")]),
            (
                "sops-owner",
                &[(
                    "secrets",
                    "provider = \"sops-age\"\nowner_recipient = \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"",
                )],
            ),
            ("variables", &[("secrets", "provider = \"gitlab-variables\"")]),
            ("openbao", &[("secrets", "provider = \"openbao\"")]),
            ("infisical", &[("secrets", "provider = \"infisical\"")]),
            ("1password", &[("secrets", "provider = \"onepassword\"")]),
            ("bitwarden", &[("secrets", "provider = \"bitwarden\"")]),
        ],
    },
    Choice {
        name: "gitlab",
        values: &[
            ("gitlab.com", &[("gitlab", "group = \"acme\"")]),
            (
                "self-hosted",
                &[(
                    "gitlab",
                    "url = \"https://gitlab.corp.example:8443\"\ngroup = \"platform/delivery\"\nproject = \"control\"\ndefault_branch = \"trunk\"",
                )],
            ),
        ],
    },
    Choice {
        name: "tier",
        values: &[
            ("free", &[("gitlab", "tier = \"free\"")]),
            ("premium", &[("gitlab", "tier = \"premium\"")]),
            ("ultimate", &[("gitlab", "tier = \"ultimate\"")]),
        ],
    },
    Choice {
        name: "runner",
        values: &[
            ("podman", &[("runner", "kind = \"podman\"")]),
            ("shared", &[("runner", "kind = \"shared\"")]),
            ("kubernetes", &[("runner", "kind = \"kubernetes\"")]),
        ],
    },
    Choice { name: "edge", values: &[("no-edge", &[]), ("cloudflare", &[("cloudflare", ZONE)])] },
    Choice {
        name: "host",
        values: &[
            ("ssh", &[("host", "kind = \"ssh\"\naddress = \"203.0.113.7\""), ("host", KEY)]),
            (
                "ssh-2222",
                &[
                    ("host", "kind = \"ssh\"\naddress = \"factory.acme.example\"\nport = 2222\nlogin = \"debian\""),
                    ("host", KEY),
                ],
            ),
            ("local", &[("host", "kind = \"local\"")]),
            ("no-host", &[("host", "kind = \"none\"")]),
        ],
    },
    Choice { name: "backup", values: &[("no-backup", &[]), ("backup", &[("host", "backup_to = \"/mnt/backup\"")])] },
    Choice {
        name: "environments",
        values: &[
            ("staging-production", &[("environments", "names = [\"staging\", \"production\"]")]),
            ("one", &[("environments", "names = [\"production\"]")]),
            ("three", &[("environments", "names = [\"dev\", \"qa\", \"live\"]")]),
        ],
    },
    Choice {
        name: "sudo",
        values: &[
            ("key", &[("host", "sudo = \"key\"")]),
            ("password", &[("host", "sudo = \"password\"\noperator = \"admin\"")]),
        ],
    },
    Choice {
        name: "words",
        values: &[
            ("plain", &[("factory", "owner_name = \"Ada Lovelace\"\nowner_email = \"ada@example.org\"")]),
            // What would end a string, a comment, a link or a list in some format, if it were pasted without thought.
            (
                "odd",
                &[(
                    "factory",
                    r#"owner_name = "Zoë \"Z\" O'Neil: #1 \\ Łukasz"
owner_email = "o'neil+acme@example.org"
description = "The \"web\" shop: 100 % of it, #1 & more | it's `c` $HOME \\ {x}""#,
                )],
            ),
        ],
    },
];

/// One set of answers.
pub struct Combination {
    /// The values' names, in the order of [`CHOICES`].
    pub values: Vec<&'static str>,
    /// The text of its `factory.toml`.
    pub toml: String,
    pub factory: Factory,
    pub tree: Tree,
}

impl Combination {
    /// One value for each choice, by number.
    pub fn new(row: &[usize]) -> Self {
        let mut sections: Vec<(&str, Vec<&str>)> = vec![("factory", vec!["name = \"acme\""])];
        let mut values = Vec::new();
        for (choice, &value) in CHOICES.iter().zip(row) {
            let (name, lines) = choice.values[value];
            values.push(name);
            for (section, text) in lines {
                match sections.iter_mut().find(|(name, _)| name == section) {
                    Some((_, lines)) => lines.push(text),
                    None => sections.push((section, vec![text])),
                }
            }
        }
        let mut toml = "schema = 2\n".to_owned();
        for (name, lines) in sections {
            toml.push_str(&format!("[{name}]\n{}\n", lines.join("\n")));
        }
        let name = values.join(", ");
        let factory = factory::parse(&toml, &name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let tree = render(&factory).unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { values, toml, factory, tree }
    }

    pub fn name(&self) -> String {
        self.values.join(", ")
    }

    pub fn has(&self, value: &str) -> bool {
        self.values.contains(&value)
    }

    /// The content of a file that has to be there.
    pub fn text(&self, path: &str) -> &str {
        let file = self.tree.files.iter().find(|f| f.path == path);
        std::str::from_utf8(&file.unwrap_or_else(|| panic!("{}: no {path}", self.name())).bytes).unwrap()
    }
}

/// Every two values of different choices meet in at least one of these; rendered once for all tests.
pub static PAIRWISE: LazyLock<Vec<Combination>> = LazyLock::new(|| {
    let sizes: Vec<usize> = CHOICES.iter().map(|choice| choice.values.len()).collect();
    pairwise(&sizes).iter().map(|row| Combination::new(row)).collect()
});
