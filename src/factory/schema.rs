//! The table as JSON Schema for editors, and as Markdown for the reference.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::fields::{FIELDS, Field, SECTIONS, Value, ValueKind, When};
use super::former;
use super::promises;
use super::{RETIRED, SCHEMA};

/// The JSON Schema (2020-12) of `factory.toml`. It accepts all that factoryup accepts; some rules, such as the checksum of a key, only
/// factoryup knows.
#[must_use]
pub fn json_schema() -> Json {
    let mut properties = Map::new();
    let numbers: Vec<u32> = (1..=SCHEMA).collect();
    let about = format!("Format number of the file, currently {SCHEMA}. Older ones are read too.");
    properties.insert("schema".into(), json!({ "enum": numbers, "default": SCHEMA, "description": about }));
    for section in SECTIONS {
        let fields = || FIELDS.iter().filter(|field| field.section() == section.name);
        let required: Vec<_> = fields().filter(|field| always_required(field)).map(Field::name).collect();
        let mut described: Map<_, _> = fields().map(|field| (field.name().to_owned(), describe(field))).collect();
        for (name, field) in former::names(section.name) {
            described
                .insert(name, json!({ "description": format!("Renamed to `{}`.", field.key), "deprecated": true }));
        }
        let mut object = json!({
            "type": "object",
            "description": section.about,
            "additionalProperties": false,
            "properties": described,
        });
        if !required.is_empty() {
            object["required"] = json!(required);
        }
        properties.insert(section.name.into(), object);
    }
    properties.insert(
        RETIRED.into(),
        json!({ "type": "object", "description": "Settings that are no longer used. They are ignored." }),
    );
    let mut required = vec!["schema"];
    for field in FIELDS.iter().filter(|field| always_required(field)) {
        if !required.contains(&field.section()) {
            required.push(field.section());
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": super::FILE_NAME,
        "description": "The settings of a factory, read by factoryup.",
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
        "allOf": conditions(),
    })
}

fn always_required(field: &Field) -> bool {
    field.default.is_none() && field.when.is_none()
}

fn describe(field: &Field) -> Json {
    let mut schema = match field.kind {
        ValueKind::Text => json!({ "type": "string" }),
        ValueKind::Bool => json!({ "type": "boolean" }),
        ValueKind::Choice(choices) => json!({ "enum": choices.iter().map(|choice| choice.value).collect::<Vec<_>>() }),
        ValueKind::Number { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        ValueKind::List { min, max, .. } => {
            let min = if field.may_be_empty() { 0 } else { min };
            json!({ "type": "array", "items": { "type": "string" }, "minItems": min, "maxItems": max, "uniqueItems": true })
        }
    };
    if let Some(pattern) = field.pattern {
        let described = if schema["type"] == "array" { &mut schema["items"] } else { &mut schema };
        described["pattern"] = json!(pattern);
    }
    schema["description"] = json!(format!("{}. {}", field.help, field.explain));
    schema["examples"] = json!([to_json(&field.example_value())]);
    if let Some(default) = field.default_value() {
        schema["default"] = to_json(&default);
    }
    schema
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Bool(yes) => json!(yes),
        Value::Number(number) => json!(number),
        Value::List(items) => json!(items),
    }
}

/// What is required only because of another field: one `if` and `then` for each condition.
fn conditions() -> Vec<Json> {
    let mut whens: Vec<When> = Vec::new();
    for when in FIELDS.iter().filter(|field| field.default.is_none()).filter_map(|field| field.when) {
        if !whens.contains(&when) {
            whens.push(when);
        }
    }
    whens.into_iter().filter_map(condition).collect()
}

fn condition(when: When) -> Option<Json> {
    let on = super::fields::by_key(when.key)?;
    let words: Vec<Json> =
        when.any.iter().filter_map(|word| Value::from_text(on.kind, word).ok()).map(|value| to_json(&value)).collect();
    let mut test = json!({ "properties": { on.section(): { "properties": { on.name(): { "enum": words } } } } });
    if !on.default.is_some_and(|default| when.any.contains(&default)) {
        test["required"] = json!([on.section()]);
        test["properties"][on.section()]["required"] = json!([on.name()]);
    }
    let needed: Vec<_> = FIELDS.iter().filter(|field| field.when == Some(when) && field.default.is_none()).collect();
    let section = needed.first()?.section();
    let filled: Map<_, _> = needed
        .iter()
        .map(|field| {
            let least = if matches!(field.kind, ValueKind::List { .. }) { "minItems" } else { "minLength" };
            (field.name().to_owned(), json!({ least: 1 }))
        })
        .collect();
    let names: Vec<_> = needed.iter().map(|field| field.name()).collect();
    let then = json!({ "required": [section], "properties": { section: { "required": names, "properties": filled } } });
    Some(json!({ "if": test, "then": then }))
}

/// The reference of `factory.toml` as Markdown: `docs/reference/factory-toml.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# factory.toml\n\n\
         <!-- Generated by `factoryup schema --markdown` from the field table in src/factory/fields/. Edit that, not this. -->\n\n\
         `factory.toml` contains the settings of a factory. It is committed in the control repo. Edit it, but never put a secret into it.\n\
         `factoryup init` also takes each field as a flag or an environment variable. The flag wins. `factoryup schema` prints the same\n\
         as JSON Schema, for editors.\n",
    );
    let _ = write!(
        text,
        "\nThe first line is `schema = {SCHEMA}`. factoryup also reads files of an older schema, and refuses those of a newer one.\n\
         `factoryup upgrade` updates an older file and keeps its comments and order. `[{RETIRED}]` contains settings that are no longer\n\
         used. They are kept, and you can remove them.\n"
    );
    let former = SECTIONS.iter().flat_map(|section| {
        former::names(section.name)
            .into_iter()
            .map(move |(name, field)| format!("`{}.{name}` is `{}`", section.name, field.key))
    });
    let former: Vec<String> = former.collect();
    if !former.is_empty() {
        let _ = write!(text, "\nFormer names in an older schema: {}.\n", former.join(", "));
    }
    for section in SECTIONS {
        let _ = write!(text, "\n## `[{}]`\n\n{}\n", section.name, section.about);
        for field in FIELDS.iter().filter(|field| field.section() == section.name) {
            let _ = write!(text, "\n### `{}`\n\n{}. {}\n\n{}", field.key, field.help, field.explain, facts(field));
            if field.key == "gitlab.tier" {
                text += &promises::table();
            }
        }
    }
    text
}

fn facts(field: &Field) -> String {
    let mut facts = vec![("takes", takes(field))];
    facts.push((
        "default",
        match field.default {
            None => "none (required)".to_owned(),
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
        },
    ));
    if let Some(When { key, any }) = field.when {
        let words: Vec<_> = any.iter().map(|word| format!("`{word}`")).collect();
        facts.push(("applies", format!("when `{key}` is {}", words.join(" or "))));
    }
    facts.push(("example", format!("`{}`", field.example_line())));
    facts.push(("flag, variable", format!("`--{}`, `{}`", field.flag, field.env())));
    facts.iter().fold(String::from("| | |\n|---|---|\n"), |text, (name, fact)| text + &format!("| {name} | {fact} |\n"))
}

fn takes(field: &Field) -> String {
    match field.kind {
        ValueKind::Text => "text".to_owned(),
        ValueKind::Bool => "`true` or `false`".to_owned(),
        ValueKind::Number { min, max } => format!("a number from {min} to {max}"),
        ValueKind::List { min, max, .. } => format!("a list of {min} to {max} strings"),
        ValueKind::Choice(choices) => {
            let words: Vec<_> = choices.iter().map(|choice| format!("`{}` ({})", choice.value, choice.label)).collect();
            words.join(", ")
        }
    }
}
