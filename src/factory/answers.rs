//! Answers for a [`Factory`], each with its source.
//!
//! A flag, a variable, a saved wizard, something found on this machine, a default: all end up here, keyed by field, and all have
//! kept the field's rules when they get here.

use std::collections::BTreeMap;

use super::fields::{self, FIELDS, Field, Value};
use super::{Factory, SCHEMA};
use crate::error::{Error, Result};

/// Where an answer came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Typed or chosen at a prompt.
    Asked,
    /// A flag such as `--name`.
    Flag,
    /// An environment variable such as `FACTORYUP_NAME`.
    Environment,
    /// An earlier wizard that was left.
    Saved,
    /// A `factory.toml` that is there already.
    File,
    /// Found on this machine; the text says where, such as `git config user.name`.
    Found(String),
    /// Derived from other settings.
    Suggested,
    /// The field's default.
    Default,
}

impl Source {
    /// Where it came from, in a few words for the review.
    #[must_use]
    pub fn describe(&self, field: &Field) -> String {
        match self {
            Self::Asked => "your answer".to_owned(),
            Self::Flag => format!("--{}", field.flag),
            Self::Environment => field.env(),
            Self::Saved => "your last session".to_owned(),
            Self::File => super::FILE_NAME.to_owned(),
            Self::Found(place) => place.clone(),
            Self::Suggested => "suggested".to_owned(),
            Self::Default => "default".to_owned(),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The value; it keeps the field's rules.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// Answers by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(BTreeMap<&'static str, Answer>);

impl Answers {
    /// The answers that a factory is made of.
    ///
    /// # Errors
    /// `Internal` when the factory cannot be serialized.
    pub fn of(factory: &Factory) -> Result<Self> {
        let table = toml::Table::try_from(factory)
            .map_err(|error| Error::internal(format!("{} cannot be serialized", super::FILE_NAME)).caused_by(error))?;
        let mut answers = Self::default();
        for field in FIELDS {
            let value =
                table.get(field.section()).and_then(|section| section.get(field.name())).and_then(Value::from_toml);
            if let Some(value) = value {
                answers.set(field, value, Source::File);
            }
        }
        Ok(answers)
    }

    /// The value of a field: its answer, or else its default.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        match self.0.get(key) {
            Some(answer) => Some(answer.value.clone()),
            None => fields::by_key(key).and_then(Field::default_value),
        }
    }

    /// The answer to a field, if it has one: defaults do not count.
    #[must_use]
    pub fn answer(&self, field: &Field) -> Option<&Answer> {
        self.0.get(field.key)
    }

    /// What a field may be answered with without asking: what follows from the other answers, or its default.
    #[must_use]
    pub fn offer(&self, field: &Field) -> Option<Value> {
        let suggested = field.suggest.and_then(|suggest| suggest(&|key| self.get(key)));
        let suggested = suggested.and_then(|text| field.read(&text).ok());
        suggested.or_else(|| field.default_value())
    }

    /// Answers a field, or changes its answer.
    pub fn set(&mut self, field: &Field, value: Value, source: Source) {
        self.0.insert(field.key, Answer { value, source });
    }

    /// Takes an answer back.
    pub fn unset(&mut self, field: &Field) {
        self.0.remove(field.key);
    }

    /// Takes over each answer of `others` that this does not have.
    pub fn fill_from(&mut self, others: &Self) {
        for (key, answer) in &others.0 {
            self.0.entry(key).or_insert_with(|| answer.clone());
        }
    }

    /// How many fields are answered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that need an answer and have none, in the order of the file.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static Field> {
        let unanswered = |field: &&Field| self.answer(field).is_none_or(|answer| answer.value.is_empty());
        FIELDS.iter().filter(|field| field.is_required(self)).filter(unanswered).collect()
    }

    /// The factory that the answers and the defaults make.
    ///
    /// # Errors
    /// `Usage` when a required answer is missing.
    pub fn to_factory(&self) -> Result<Factory> {
        if let Some(field) = self.missing().first() {
            return Err(Error::usage(format!("no value for {}", field.key)).hint(format!("pass --{}", field.flag)));
        }
        let mut table = toml::Table::new();
        table.insert("schema".to_owned(), i64::from(SCHEMA).into());
        for field in FIELDS {
            let Some(value) = self.get(field.key) else { continue };
            let section = table.entry(field.section()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let Some(section) = section.as_table_mut() {
                section.insert(field.name().to_owned(), plain(&value));
            }
        }
        table.try_into().map_err(|error: toml::de::Error| {
            Error::internal("the answers are each valid, but not together").caused_by(error)
        })
    }
}

impl Field {
    /// Whether the field means something, given the other answers.
    #[must_use]
    pub fn applies(&self, answers: &Answers) -> bool {
        self.when.is_none_or(|when| {
            answers.get(when.key).is_some_and(|value| when.any.contains(&value.to_string().as_str()))
        })
    }

    /// Whether there must be an answer, given the others: it applies and has no default.
    #[must_use]
    pub fn is_required(&self, answers: &Answers) -> bool {
        self.default.is_none() && self.applies(answers)
    }
}

fn plain(value: &Value) -> toml::Value {
    match value {
        Value::Text(text) => text.clone().into(),
        Value::Bool(yes) => (*yes).into(),
        Value::Number(number) => (*number).into(),
        Value::List(items) => items.clone().into(),
    }
}
