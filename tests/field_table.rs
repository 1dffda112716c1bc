//! The field table against everything that is made from it: model, defaults, JSON Schema, reference.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/factory_toml.rs"]
mod sample;

use std::fs;

use factoryup::factory::answers::Answers;
use factoryup::factory::fields::FIELDS;
use factoryup::factory::{self, Factory};
use sample::{KEY, candidates, good};

/// The table and the model describe the same fields: neither has one that the other lacks.
#[test]
fn the_table_and_the_model_agree() {
    let mut factory: Factory = factory::parse(&good(), "f").unwrap();
    factory.host.authorized_keys.clear();
    let table = toml::Table::try_from(&factory).unwrap();
    let mut in_model: Vec<String> = Vec::new();
    for (section, value) in &table {
        match value.as_table() {
            Some(fields) => in_model.extend(fields.keys().map(|name| format!("{section}.{name}"))),
            None => assert_eq!(section, "schema"),
        }
    }
    let mut in_table: Vec<String> = FIELDS.iter().map(|field| field.key.to_owned()).collect();
    in_model.sort();
    in_table.sort();
    assert_eq!(in_model, in_table);
}

#[test]
fn the_defaults_of_the_table_are_the_models() {
    let required = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"A\"\nowner_email = \"a@b.org\"\n[gitlab]\ngroup = \"acme\"\n";
    let factory: Factory = toml::from_str(required).unwrap();
    let of_model = Answers::of(&factory).unwrap();
    for field in FIELDS.iter().filter(|field| field.default.is_some()) {
        assert_eq!(of_model.get(field.key), field.default_value(), "{}", field.key);
    }
    for field in FIELDS.iter().filter(|field| field.default.is_none() && field.when.is_some()) {
        assert!(of_model.get(field.key).unwrap().is_empty(), "{}", field.key);
    }
}

#[test]
fn every_row_is_whole() {
    let mut flags: Vec<&str> = FIELDS.iter().map(|field| field.flag).collect();
    flags.sort_unstable();
    flags.dedup();
    assert_eq!(flags.len(), FIELDS.len(), "each flag is there once");
    for field in FIELDS {
        let key = field.key;
        assert!(!field.prompt.is_empty() && !field.prompt.ends_with(['?', ':', '.']), "{key}: prompt");
        assert!(!field.help.is_empty() && !field.help.ends_with('.') && field.help.len() <= 110, "{key}: help");
        assert!(field.explain.ends_with('.'), "{key}: explanation");
        assert!(field.read(field.example).is_ok(), "{key}: example: {:?}", field.read(field.example));
        if let Some(when) = field.when {
            assert!(FIELDS.iter().any(|other| other.key == when.key), "{key}: condition");
        }
        if let Some(value) = field.default_value() {
            assert!(field.check(&value).is_ok(), "{key}: default");
        }
    }
}

#[test]
fn the_json_schema_takes_what_the_reader_takes() {
    let validator = jsonschema::validator_for(&factory::json_schema()).unwrap();
    let as_json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let base = factory::parse(&good(), "f").unwrap();
    let text = factory::to_toml(&base).unwrap();
    assert!(validator.is_valid(&as_json(&good())) && validator.is_valid(&as_json(&text)));
    let mut taken = 0;
    for field in FIELDS {
        for value in candidates(field) {
            let Ok(edited) = factory::edit(&text, "f", &[(field, value.clone())]) else { continue };
            let errors: Vec<_> = validator.iter_errors(&as_json(&edited)).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{} = {value:?}: {errors:?}", field.key);
            taken += 1;
        }
    }
    assert!(taken > 60, "{taken} taken");
}

#[test]
fn the_json_schema_refuses_what_it_can_know() {
    let validator = jsonschema::validator_for(&factory::json_schema()).unwrap();
    let changes = [
        ("schema = 2", "schema = 3"),
        ("schema = 2", ""),
        ("name = \"acme\"", "name = \"Acme\""),
        ("name = \"acme\"\n", ""),
        ("kind = \"ssh\"", "kind = \"shh\""),
        ("kind = \"ssh\"", "port = 0"),
        ("kind = \"ssh\"", "knid = \"ssh\""),
        ("address = \"203.0.113.7\"\n", ""),
        ("\"203.0.113.7\"", "\"\""),
        ("[gitlab]", "[gitlba]"),
        ("[gitlab]", "[cloudflare]\nenabled = true\n[gitlab]"),
        ("[gitlab]", "[environments]\nnames = []\n[gitlab]"),
        (KEY, "ssh-dss AAAA"),
    ];
    for (from, to) in changes {
        let table: toml::Table = toml::from_str(&good().replacen(from, to, 1)).unwrap();
        assert!(!validator.is_valid(&serde_json::to_value(table).unwrap()), "{from} -> {to}");
    }
    let local = good().replace("\"ssh\"", "\"local\"").replace("address = \"203.0.113.7\"\n", "");
    let table: toml::Table = toml::from_str(&local).unwrap();
    assert!(validator.is_valid(&serde_json::to_value(table).unwrap()));
}

#[test]
fn the_reference_is_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/factory-toml.md");
    let written = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        written,
        factory::markdown(),
        "stale: run `factoryup schema --markdown > docs/reference/factory-toml.md`"
    );
}
