//! The new settings of this version, and the text of `factory.toml` with their answers.
//!
//! The answers last applied (`.factory/answers.lock`) hold every field that the version which wrote them knew, so a field that they lack
//! is new. It is a question unless `factory.toml` answers it already, or it means nothing beside the other answers.

use super::answers::{Answers, Source};
use super::fields::{FIELDS, Field, Value, by_key};
use super::former::{Brought, Former, rewrite, schema_of};
use super::write::insert;
use super::{Factory, SCHEMA, parse};
use crate::error::Result;

/// A `factory.toml` as this version writes it.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// Its text, with comments, order and spacing as they were.
    pub text: String,
    /// What it says.
    pub factory: Factory,
}

/// The fields that are new since the answers `lock` were applied and that `text` does not answer, in the order of the file. Whether a
/// field applies is judged with `given`, and with the defaults of what else is new. Nothing is new when `lock` cannot be read.
#[must_use]
pub fn new_questions(text: &str, lock: &str, given: &Answers) -> Vec<&'static Field> {
    let Some(before) = loosely(lock).filter(|answers| !answers.is_empty()) else { return Vec::new() };
    let Some(mut answers) = loosely(text) else { return Vec::new() };
    let unanswered = |field: &&Field| before.answer(field).is_none() && answers.answer(field).is_none();
    let new: Vec<&Field> = FIELDS.iter().filter(unanswered).collect();
    answers.fill_from(given);
    new.into_iter().filter(|field| field.applies(&answers)).collect()
}

/// The fields that are new since the answers `lock` were applied, each with what `factory` says: for telling.
pub(crate) fn answered_since(lock: &str, factory: &Factory) -> Result<Vec<(&'static Field, Value)>> {
    let Some(before) = loosely(lock).filter(|answers| !answers.is_empty()) else { return Ok(Vec::new()) };
    let now = Answers::of(factory)?;
    let new = FIELDS.iter().filter(|field| before.answer(field).is_none() && field.applies(&now));
    Ok(new.filter_map(|field| Some((field, now.get(field.key)?))).collect())
}

/// Brings `text` forward from the version that applied the answers `lock`: in today's schema if that one's was older, and with an answer
/// to each new question, the one `given`, or else what the field offers. Without a `lock`, or with today's, the text comes back as it
/// is, whatever its own schema: its owner writes as they like. `called` is what errors call the text.
///
/// # Errors
/// `Data` when the text is not, or would not be, a `factory.toml`: also when a new field has to be answered and has no default.
pub fn renew(text: &str, called: &str, lock: Option<&str>, given: &Answers) -> Result<Renewed> {
    let outdated = lock.and_then(schema_of).is_some_and(|number| number < SCHEMA);
    let mut new = if outdated { rewrite(text, called)? } else { text.to_owned() };
    let mut said = loosely(text).unwrap_or_default();
    let mut changes: Vec<(&Field, Value)> = Vec::new();
    for field in lock.map(|lock| new_questions(text, lock, given)).unwrap_or_default() {
        let value = given.answer(field).map(|answer| answer.value.clone()).or_else(|| said.offer(field));
        if let Some(value) = value.filter(|_| field.applies(&said)) {
            said.set(field, value.clone(), Source::File);
            changes.push((field, value));
        }
    }
    if !changes.is_empty() {
        new = insert(&new, called, &changes)?;
    }
    Ok(Renewed { factory: parse(&new, called)?, text: new })
}

/// What a `factory.toml` answers, by the names of today: what it does not mention is no answer, whatever its default. Nothing when it
/// cannot be read.
#[must_use]
pub fn said(text: &str) -> Answers {
    parse(text, super::FILE_NAME).ok().and_then(|_| loosely(text)).unwrap_or_default()
}

/// What a text answers, whatever is wrong with it; keys of an older schema under the names they have today. `None` when it is not TOML.
fn loosely(text: &str) -> Option<Answers> {
    let table: toml::Table = text.strip_prefix('\u{feff}').unwrap_or(text).parse().ok()?;
    let former = Former::since(schema_of(text).unwrap_or(SCHEMA));
    let mut answers = Answers::default();
    for (section, keys) in &table {
        for (name, value) in keys.as_table().into_iter().flatten() {
            let value = Value::from_toml(value);
            if let Brought::Key(key, changed) = former.bring(&format!("{section}.{name}"), value.as_ref())
                && let (Some(field), Some(value)) = (by_key(&key), changed.or(value))
            {
                answers.set(field, value, Source::File);
            }
        }
    }
    Some(answers)
}
