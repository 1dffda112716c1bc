//! Writes the `factory.toml` of a [`Factory`], and changes single values in a text.

use std::fmt::Write as _;

use toml_edit::{DocumentMut, Item, Key, Table};

use super::answers::Answers;
use super::fields::{FIELDS, Field, SECTIONS, Value, ValueKind};
use super::{Factory, SCHEMA, parse};
use crate::error::{Error, Result};

/// The commented text of a factory: each section and field with a line about it, in the order of the table. Reading it gives the
/// same factory, and the same factory always gives the same text.
///
/// # Errors
/// `Internal` if the factory cannot be serialized.
pub fn to_toml(factory: &Factory) -> Result<String> {
    let answers = Answers::of(factory)?;
    let mut text = format!(
        "# The settings of this factory. Edit them, review the changes with `factoryup plan`, then apply them with `factoryup apply`.\n\
         # Never put a secret into this file: it is committed.\n\
         schema = {SCHEMA}\n"
    );
    for section in SECTIONS {
        let _ = write!(text, "\n# {}\n[{}]\n", section.about, section.name);
        for field in FIELDS.iter().filter(|field| field.section() == section.name) {
            let value = answers.get(field.key).unwrap_or(Value::Text(String::new()));
            let _ = writeln!(text, "{}{} = {}", comment(field), field.name(), value.to_toml());
        }
    }
    Ok(text)
}

/// The comment above a field: its line of help, and what it takes where that is not any text.
fn comment(field: &Field) -> String {
    let takes = match field.kind {
        ValueKind::Choice(choices) => {
            format!(": {}", choices.iter().map(|choice| choice.value).collect::<Vec<_>>().join(", "))
        }
        ValueKind::Number { min, max } => format!(", {min} to {max}"),
        ValueKind::Text | ValueKind::Bool | ValueKind::List { .. } => String::new(),
    };
    format!("# {}{takes}.\n", field.help)
}

/// Changes values in the text of a `factory.toml` and leaves all else as it is: comments, order, spacing. A field or section that is
/// not there yet is added at the end, with its line of help. `name` is what errors call the text.
///
/// # Errors
/// `Data` when the text, as it is or as it would be, is not a valid `factory.toml`.
pub fn edit(text: &str, name: &str, changes: &[(&Field, Value)]) -> Result<String> {
    parse(text, name)?;
    let edited = insert(text, name, changes)?;
    parse(&edited, name)?;
    Ok(edited)
}

/// The same for a text that need not be valid, nor become so.
pub(super) fn insert(text: &str, name: &str, changes: &[(&Field, Value)]) -> Result<String> {
    let mut document = document(text, name)?;
    for (field, value) in changes {
        let section = document.entry(field.section()).or_insert_with(|| new_section(field.section()));
        let explained = section.is_table();
        let Some(table) = section.as_table_like_mut() else { continue };
        let mut new = value.to_toml();
        if let Some(old) = table.get_mut(field.name()).and_then(Item::as_value_mut) {
            // Keeps what stands around the old value, such as a comment behind it.
            *new.decor_mut() = old.decor().clone();
            *old = new;
            continue;
        }
        let mut key = Key::new(field.name());
        if explained {
            key.leaf_decor_mut().set_prefix(comment(field));
        }
        table.entry_format(&key).or_insert(Item::Value(new));
    }
    Ok(like(text, &document))
}

fn new_section(name: &str) -> Item {
    let mut table = Table::new();
    let about = SECTIONS.iter().find(|section| section.name == name).map_or("", |section| section.about);
    table.decor_mut().set_prefix(format!("\n# {about}\n"));
    Item::Table(table)
}

/// A text for editing. `name` is what errors call it.
pub(super) fn document(text: &str, name: &str) -> Result<DocumentMut> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    bare.parse().map_err(|error: toml_edit::TomlError| Error::data(format!("{name} is not TOML")).caused_by(error))
}

/// The text of a document with the line ends, and the byte order mark, of the text that it was made from.
pub(super) fn like(text: &str, document: &DocumentMut) -> String {
    let mut new = document.to_string().replace("\r\n", "\n");
    if text.contains("\r\n") {
        new = new.replace('\n', "\r\n");
    }
    if text.starts_with('\u{feff}') { format!("\u{feff}{new}") } else { new }
}
