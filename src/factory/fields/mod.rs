//! The table of all settings.
//!
//! Every field of `factory.toml` has exactly one row in [`FIELDS`]. Its flag, its environment variable, the wizard's question and
//! explanation, its default, when it applies, what it accepts, its comment in the file, its entry in the JSON Schema and in the
//! reference all come from that row, so they cannot disagree. Adding a field is adding it to the [model](super::Factory) and
//! adding its row; a test fails until both agree.
//!
//! ```
//! use factoryup::factory::fields;
//! let port = fields::by_key("host.port").unwrap();
//! assert_eq!((port.flag, port.env().as_str()), ("host-port", "FACTORYUP_HOST_PORT"));
//! assert!(port.read("70000").unwrap_err().reason.contains("range"));
//! ```

mod nearest;
mod table;
mod value;

pub use nearest::{nearest, nearest_few};
pub use table::{FIELDS, SECTIONS};
pub use value::Value;

use super::rules::{Check, Fault};

/// A `[section]` of the file.
#[derive(Debug)]
pub struct Section {
    /// Its name in the file.
    pub name: &'static str,
    /// One sentence about what it holds.
    pub about: &'static str,
}

/// Makes what a person types into what the file holds.
pub type Tidy = fn(&str) -> Result<String, Fault>;

/// Guesses a value from the other answers, which it asks for by key.
pub type Suggest = fn(&dyn Fn(&str) -> Option<Value>) -> Option<String>;

/// One field: one row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// `section.key`, as in the file.
    pub key: &'static str,
    /// The long flag, without its dashes. The environment variable is made from it; see [`env`](Self::env).
    pub flag: &'static str,
    /// The wizard's question, a few words.
    pub prompt: &'static str,
    /// One line: the flag's help, the comment in the file, the description in the schema.
    pub help: &'static str,
    /// What `?` shows: why it matters, how to find the value, what each choice means for the owner.
    pub explain: &'static str,
    /// A valid value, as one would type it.
    pub example: &'static str,
    /// What sort of value it takes.
    pub kind: ValueKind,
    /// The value when nothing is said, as one would type it; `None` when there must be an answer.
    pub default: Option<&'static str>,
    /// A better guess than the default, made from the other answers.
    pub suggest: Option<Suggest>,
    /// When the field means something; `None` is always. A field that does not apply is neither asked for nor required.
    pub when: Option<When>,
    /// Whether the wizard asks even though it has a value to offer.
    pub ask: Ask,
    /// The rule that a text, or each item of a list, must keep.
    pub check: Option<Check>,
    /// The rule as a regular expression for the JSON Schema: never stricter than [`check`](Self::check).
    pub pattern: Option<&'static str>,
    /// Makes what a person types into what the file holds: a path into the keys in it, a bare host into a URL.
    pub tidy: Option<Tidy>,
}

/// What sort of value a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Text on one line.
    Text,
    /// Yes or no.
    Bool,
    /// One of a few words.
    Choice(&'static [Choice]),
    /// A whole number from `min` to `max`, both included.
    Number {
        /// The smallest.
        min: u16,
        /// The largest.
        max: u16,
    },
    /// Several texts, `min` to `max` of them, none twice.
    List {
        /// The fewest.
        min: usize,
        /// The most.
        max: usize,
        /// Whether a comma separates two items that are typed on one line. Without it only a new line does.
        commas: bool,
    },
}

/// One of the words that a choice takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The word in the file.
    pub value: &'static str,
    /// What it means, a few words.
    pub label: &'static str,
}

/// A condition on another field: it holds when that field has one of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The other field's key.
    pub key: &'static str,
    /// The values that make it hold.
    pub any: &'static [&'static str],
}

/// Whether the wizard asks for a field that it has a value for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Yes: a person should have seen it.
    Always,
    /// No: the review shows it, and there it can be changed.
    IfUnknown,
}

/// The row of a key such as `host.port`.
#[must_use]
pub fn by_key(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

impl Field {
    /// A row with nothing special: a required text that is always asked for. Rows say what differs.
    const PLAIN: Self = Self {
        key: "",
        flag: "",
        prompt: "",
        help: "",
        explain: "",
        example: "",
        kind: ValueKind::Text,
        default: None,
        suggest: None,
        when: None,
        ask: Ask::Always,
        check: None,
        pattern: None,
        tidy: None,
    };

    /// The section: `host` of `host.port`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(section, _)| section)
    }

    /// The name in its section: `port` of `host.port`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// The environment variable: the flag's words in capitals, `FACTORYUP_HOST_PORT` for `--host-port`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("FACTORYUP_{}", self.flag.replace('-', "_").to_uppercase())
    }

    /// The default as a value.
    #[must_use]
    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|text| Value::from_text(self.kind, text).unwrap_or_else(|_| Value::Text(text.to_owned())))
    }

    /// The example as a value.
    #[must_use]
    pub fn example_value(&self) -> Value {
        Value::from_text(self.kind, self.example).unwrap_or_else(|_| Value::Text(self.example.to_owned()))
    }

    /// The example as it would stand in the file, on one line, long texts cut.
    #[must_use]
    pub fn example_line(&self) -> String {
        let short = |text: &String| {
            let cut = text.char_indices().nth(24).map(|(at, _)| at).filter(|_| text.len() > 70);
            cut.map_or_else(|| text.clone(), |at| format!("{}…", &text[..at]))
        };
        let value = match self.example_value() {
            Value::Text(text) => Value::Text(short(&text)),
            Value::List(items) => Value::List(items.iter().map(short).collect()),
            other => other,
        };
        format!("{} = {}", self.name(), value.to_toml())
    }

    /// Makes what a person typed (or gave by flag or environment) into a value that keeps all rules.
    ///
    /// # Errors
    /// Why it cannot be used, and what would do.
    pub fn read(&self, text: &str) -> Result<Value, Fault> {
        if let Some(found) = super::rules::pasted_secret(self.key, text) {
            return Err(found);
        }
        let tidied = match self.tidy {
            Some(tidy) if matches!(self.kind, ValueKind::List { .. }) => {
                let lines = text.lines().map(tidy).collect::<Result<Vec<_>, _>>()?;
                lines.join("\n")
            }
            Some(tidy) => tidy(text.trim())?,
            None => text.to_owned(),
        };
        let value = Value::from_text(self.kind, &tidied)?;
        self.check(&value)?;
        Ok(value)
    }

    /// Whether a value keeps the field's rules. An empty text passes where the default is empty.
    ///
    /// # Errors
    /// Why it cannot be used, and what would do.
    pub fn check(&self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Text(text) if text.is_empty() && self.may_be_empty() => Ok(()),
            Value::List(items) if items.is_empty() && self.may_be_empty() => Ok(()),
            Value::Text(text) => self.check_text(text),
            Value::List(items) => {
                items.iter().try_for_each(|item| self.check_text(item))?;
                value.check_count(self.kind)
            }
            Value::Bool(_) => Ok(()),
            Value::Number(number) => Value::check_range(self.kind, *number),
        }
    }

    /// Whether the file may hold an empty value: where that is the default, or where the field does not always apply.
    #[must_use]
    pub fn may_be_empty(&self) -> bool {
        self.default == Some("") || (self.default.is_none() && self.when.is_some())
    }

    /// The rules for one text of the field: itself, or one item of its list.
    ///
    /// # Errors
    /// Why it cannot be used, and what would do.
    pub fn check_text(&self, text: &str) -> Result<(), Fault> {
        if let Some(found) = super::rules::pasted_secret(self.key, text) {
            return Err(found);
        }
        if let Some(character) = text.chars().find(|c| c.is_control()) {
            return Err(Fault::new(
                format!("contains the control character U+{:04X}", u32::from(character)),
                "write it as plain text on one line",
            ));
        }
        if text.trim() != text {
            return Err(Fault::new("begins or ends with a space", "remove the space around it"));
        }
        if let ValueKind::Choice(choices) = self.kind {
            return Value::check_choice(choices, text);
        }
        self.check.map_or(Ok(()), |check| check(text))
    }
}
