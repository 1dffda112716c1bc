//! A value of any field.

use std::fmt;

use super::{Choice, ValueKind};
use crate::factory::rules::Fault;

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, or the word of a choice.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Several texts.
    List(Vec<String>),
}

impl Value {
    /// Reads a value as a person writes it: `yes`, `22`, `staging, production`. Ranges and rules are the field's matter.
    ///
    /// # Errors
    /// When it is not that sort of value.
    pub fn from_text(kind: ValueKind, text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        match kind {
            ValueKind::Text | ValueKind::Choice(_) => Ok(Self::Text(text.to_owned())),
            ValueKind::Bool => match text.to_lowercase().as_str() {
                "true" | "yes" | "y" | "1" | "on" => Ok(Self::Bool(true)),
                "false" | "no" | "n" | "0" | "off" => Ok(Self::Bool(false)),
                _ => Err(Fault::new("is neither yes nor no", "write `true` or `false`")),
            },
            ValueKind::Number { min, max } => text
                .parse()
                .map(Self::Number)
                .map_err(|_| Fault::new("is not a whole number", format!("write a number from {min} to {max}"))),
            ValueKind::List { commas, .. } => Ok(Self::List(
                text.split(|c| c == '\n' || (commas && c == ','))
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect(),
            )),
        }
    }

    /// The value as TOML: quoted, escaped, lists of more than one item on several lines.
    #[must_use]
    pub fn to_toml(&self) -> toml_edit::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Bool(yes) => (*yes).into(),
            Self::Number(number) => (*number).into(),
            Self::List(items) => {
                let mut array: toml_edit::Array = items.iter().map(String::as_str).collect();
                if items.iter().map(|item| item.len() + 4).sum::<usize>() > 80 {
                    array.iter_mut().for_each(|item| item.decor_mut().set_prefix("\n  "));
                    array.set_trailing_comma(true);
                    array.set_trailing("\n");
                }
                array.into()
            }
        }
    }

    /// The value of a parsed TOML value, when it is of a sort that fields have.
    #[must_use]
    pub fn from_toml(value: &toml::Value) -> Option<Self> {
        match value {
            toml::Value::String(text) => Some(Self::Text(text.clone())),
            toml::Value::Boolean(yes) => Some(Self::Bool(*yes)),
            toml::Value::Integer(number) => Some(Self::Number(*number)),
            toml::Value::Array(items) => {
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().map(Self::List)
            }
            _ => None,
        }
    }

    /// Whether it is a text or list without content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Bool(_) | Self::Number(_) => false,
        }
    }

    pub(super) fn check_range(kind: ValueKind, number: i64) -> Result<(), Fault> {
        match kind {
            ValueKind::Number { min, max } if !(i64::from(min)..=i64::from(max)).contains(&number) => {
                Err(Fault::new("is out of range", format!("write a number from {min} to {max}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_choice(choices: &[Choice], text: &str) -> Result<(), Fault> {
        let words = || choices.iter().map(|choice| choice.value);
        if words().any(|word| word == text) {
            return Ok(());
        }
        let all = words().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        Err(match super::nearest(text, words()) {
            Some(word) => {
                Fault::new("is not one of its choices", format!("did you mean `{word}`? The choices are {all}"))
            }
            None => Fault::new("is not one of its choices", format!("write one of {all}")),
        })
    }

    pub(super) fn check_count(&self, kind: ValueKind) -> Result<(), Fault> {
        let (Self::List(items), ValueKind::List { min, max, .. }) = (self, kind) else { return Ok(()) };
        if items.len() < min {
            let names = if min == 1 { "one".to_owned() } else { min.to_string() };
            return Err(Fault::new("is empty", format!("write {names} at least")));
        }
        if items.len() > max {
            return Err(Fault::new(format!("has {} items", items.len()), format!("write {max} at most")));
        }
        match items.iter().enumerate().find(|(index, item)| items[..*index].contains(item)) {
            Some((index, _)) => Err(Fault::new(format!("contains item {} twice", index + 1), "remove one of the two")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Bool(yes) => write!(f, "{yes}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(items) => f.write_str(&items.join(", ")),
        }
    }
}
