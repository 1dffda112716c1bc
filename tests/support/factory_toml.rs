//! A good `factory.toml` to make bad ones from, and values to try in each field.
#![allow(dead_code, unreachable_pub, missing_docs)]

use factoryup::factory::fields::{self, Value, ValueKind};

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX8 ada@laptop";

/// A good file; each bad one is this with one thing changed.
pub fn good() -> String {
    format!(
        r#"schema = 2

[factory]
name = "acme"
owner_name = "Ada Lovelace"
owner_email = "ada@example.org"

[host]
kind = "ssh"
address = "203.0.113.7"
authorized_keys = ["{KEY}"]

[gitlab]
group = "acme"
"#
    )
}

pub fn candidates(field: &fields::Field) -> Vec<Value> {
    let odd = [
        "",
        " ",
        "x",
        "-x",
        "a b",
        "ä",
        "\"",
        "'''",
        "\\",
        "#",
        "a\nb",
        "\u{7f}",
        "glpat-0123456789abcdef",
        field.example,
    ];
    match field.kind {
        ValueKind::Text => odd.map(|text| Value::Text(text.to_owned())).to_vec(),
        ValueKind::Choice(choices) => {
            choices.iter().map(|choice| choice.value).chain(odd).map(|text| Value::Text(text.to_owned())).collect()
        }
        ValueKind::Bool => vec![Value::Bool(true), Value::Bool(false)],
        ValueKind::Number { min, max } => {
            [min.into(), max.into(), i64::from(min) - 1, i64::from(max) + 1, i64::MIN, i64::MAX]
                .map(Value::Number)
                .to_vec()
        }
        ValueKind::List { .. } => {
            let one = field.example.split(", ").map(str::to_owned).collect::<Vec<_>>();
            let twice = [one.clone(), one.clone()].concat();
            let odd = odd[..13].iter().map(|text| Value::List(vec![(*text).to_owned()]));
            odd.chain([Value::List(one), Value::List(twice)]).collect()
        }
    }
}
