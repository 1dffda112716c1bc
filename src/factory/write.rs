//! From a [`Factory`] to the text of its `factory.toml`, and from one text to another with a few values changed.

use std::fmt::Write as _;

use toml_edit::{DocumentMut, Item, Table};

use super::answers::Answers;
use super::fields::{FIELDS, Field, Kind, SECTIONS, Value};
use super::{Factory, SCHEMA, parse};
use crate::error::{Error, Result};

/// The commented text of a factory: each section and field with a line about it, in the order of the table. Reading it gives the
/// same factory, and the same factory always gives the same text.
///
/// # Errors
/// `Internal` when the factory cannot be serialised.
pub fn to_toml(factory: &Factory) -> Result<String> {
    let answers = Answers::of(factory)?;
    let mut text = format!(
        "# What this factory should be. Meant to be edited: `factoryup plan` shows what a change would do, `factoryup apply` does it.\n\
         # Never a secret in this file: it is committed.\n\
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
        Kind::Choice(choices) => {
            format!(": {}", choices.iter().map(|choice| choice.value).collect::<Vec<_>>().join(", "))
        }
        Kind::Number { min, max } => format!(", {min} to {max}"),
        Kind::Text | Kind::Bool | Kind::List { .. } => String::new(),
    };
    format!("# {}{takes}.\n", field.help)
}

/// Changes values in the text of a `factory.toml` and leaves all else as it is: comments, order, spacing. A field or section that is
/// not there yet is added at the end. `name` is what errors call the text.
///
/// # Errors
/// `Data` when the text, as it is or as it would be, is not a valid `factory.toml`.
pub fn edit(text: &str, name: &str, changes: &[(&Field, Value)]) -> Result<String> {
    parse(text, name)?;
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut document: DocumentMut = bare
        .parse()
        .map_err(|error: toml_edit::TomlError| Error::internal(format!("cannot edit {name}")).caused_by(error))?;
    for (field, value) in changes {
        let section = document.entry(field.section()).or_insert_with(|| Item::Table(Table::new()));
        let Some(table) = section.as_table_like_mut() else { continue };
        let mut new = value.to_toml();
        match table.get_mut(field.name()).and_then(Item::as_value_mut) {
            Some(old) => {
                // Keeps what stands around the old value, such as a comment behind it.
                *new.decor_mut() = old.decor().clone();
                *old = new;
            }
            None => {
                table.insert(field.name(), Item::Value(new));
            }
        }
    }
    let edited = document.to_string();
    parse(&edited, name)?;
    Ok(edited)
}
