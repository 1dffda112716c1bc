//! Parses a `factory.toml` into a [`Factory`], or into one error with all faults.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::answers::{Answers, Source};
use super::fields::{FIELDS, Field, SECTIONS, Value, ValueKind, When, by_key, nearest};
use super::former::{Brought, Former, renamed};
use super::problem::{self, Problem};
use super::rules::{Fault, find_secrets};
use super::{Factory, RETIRED, SCHEMA};
use crate::error::Result;

pub(super) struct Reader<'a> {
    text: &'a str,
    problems: Vec<Problem>,
    answers: Answers,
    /// Where each section's header stands.
    headers: Vec<(&'static str, Range<usize>)>,
    /// What is there but cannot be used: reported as such, so not missing.
    unusable: Vec<&'static str>,
    /// Whether the text is not TOML, so that something missing may only be unread.
    broken: bool,
    /// What keys of an older schema are called today.
    former: Former,
    /// What was there under a name of an older schema.
    brought: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (problems, answers) = (Vec::new(), Answers::default());
        let (headers, unusable, brought) = (Vec::new(), Vec::new(), Vec::new());
        let mut reader =
            Self { text, problems, answers, headers, unusable, broken: false, former: Former::default(), brought };
        reader.secrets();
        if !reader.control_characters() {
            reader.document();
        }
        reader
    }

    pub(super) fn finish(self, name: &str) -> Result<Factory> {
        if self.problems.is_empty() {
            self.answers.to_factory()
        } else {
            Err(problem::error(name, self.text, self.problems))
        }
    }

    fn fault(&mut self, span: Range<usize>, subject: impl Into<String>, fault: Fault) {
        // What holds a secret, or is not even TOML, has been named as such. More about it would only distract.
        let known = |problem: &Problem| {
            problem.span.as_ref().is_some_and(|other| {
                let overlaps = other.start < span.end.max(span.start + 1) && span.start < other.end;
                other.start == span.start || (problem.fault.secret && overlaps)
            })
        };
        if self.problems.len() < problem::COUNTED && !self.problems.iter().any(known) {
            self.problems.push(Problem::new(Some(span), subject, fault));
        }
    }

    /// Anywhere in the text, comments too: all of it is committed.
    fn secrets(&mut self) {
        for found in find_secrets(self.text) {
            let reason = format!("{} must not be in this file, which is committed", found.what);
            let fault = Fault::new(reason, found.belongs).about_a_secret();
            self.problems.push(Problem::new(Some(found.span), "", fault));
        }
    }

    fn control_characters(&mut self) -> bool {
        let text = self.text;
        let odd = |(at, c): &(usize, char)| {
            c.is_control() && !matches!(c, '\t' | '\n') && !(*c == '\r' && text[at + 1..].starts_with('\n'))
        };
        let found: Vec<_> = text.char_indices().filter(odd).take(5).collect();
        for (at, character) in &found {
            let reason = format!("has the control character U+{:04X} here", u32::from(*character));
            self.fault(*at..at + 1, "the text", Fault::new(reason, "remove it; is this the right file?"));
        }
        !found.is_empty()
    }

    fn document(&mut self) {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.not_toml(error);
        }
        let table = document.get_ref();
        if !self.schema(table) {
            return;
        }
        for (key, value) in table {
            match SECTIONS.iter().find(|section| section.name == key.get_ref().as_ref()) {
                _ if key.get_ref() == "schema" => {}
                Some(section) => self.section(section.name, key, value),
                None if key.get_ref() == RETIRED => self.retired(key, value),
                None if self.former.has_section(key.get_ref()) => self.former_section(key, value),
                None => self.unknown_section(key),
            }
        }
        if !self.broken {
            self.missing();
        }
    }

    fn not_toml(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        if error.message() == "duplicate key" {
            let subject = format!("`{}`", self.text.get(span.clone()).unwrap_or_default().trim());
            self.fault(span, subject, Fault::new("is a duplicate", "keep one of the two"));
        } else {
            self.broken = true;
            self.fault(span, "", Fault::new(error.message(), "write it as TOML: https://toml.io"));
        }
    }

    /// Whether the rest can be judged by the rules of this version.
    fn schema(&mut self, table: &DeTable<'_>) -> bool {
        let write = format!("write `schema = {SCHEMA}` as the first line");
        let Some(value) = table.get("schema") else {
            if !self.broken {
                self.problems.push(Problem::new(None, "`schema`", Fault::new("is missing", write)));
            }
            return true;
        };
        let number =
            value.get_ref().as_integer().and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        match number {
            Some(number) if (1..=i64::from(SCHEMA)).contains(&number) => {
                self.former = Former::since(u32::try_from(number).unwrap_or(SCHEMA));
                true
            }
            Some(number) if number > i64::from(SCHEMA) => {
                let reason = format!("is {number}: written by a newer factoryup; this version reads up to {SCHEMA}");
                let remedy = "install a newer factoryup";
                self.problems.retain(|problem| problem.fault.secret);
                self.fault(value.span(), "`schema`", Fault::new(reason, remedy));
                false
            }
            _ => {
                self.fault(
                    value.span(),
                    "`schema`",
                    Fault::new(format!("is not a schema number from 1 to {SCHEMA}"), write),
                );
                true
            }
        }
    }

    fn unknown_section(&mut self, key: &Spanned<Cow<'_, str>>) {
        let word = key.get_ref().as_ref();
        let homes: Vec<String> =
            FIELDS.iter().filter(|field| field.name() == word).map(|field| format!("[{}]", field.section())).collect();
        let remedy = match nearest(word, SECTIONS.iter().map(|section| section.name).chain(["schema"])) {
            Some("schema") => "did you mean `schema`?".to_owned(),
            Some(section) => {
                self.unusable.extend(FIELDS.iter().filter(|field| field.section() == section).map(|field| field.key));
                format!("did you mean [{section}]?")
            }
            None if !homes.is_empty() => format!("move it below {}", homes.join(" or ")),
            None => {
                let names: Vec<_> = SECTIONS.iter().map(|section| format!("[{}]", section.name)).collect();
                format!("the sections are {}", names.join(", "))
            }
        };
        self.fault(key.span(), "", Fault::new(format!("{} is unknown here", named(word)), remedy));
    }

    fn section(&mut self, section: &'static str, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else {
            self.unusable.extend(FIELDS.iter().filter(|field| field.section() == section).map(|field| field.key));
            let reason = format!("is {}, but must be a section", type_name(value.get_ref()));
            let fault = Fault::new(reason, format!("write [{section}] on a separate line"));
            self.fault(key.span(), format!("`{section}`"), fault);
            return;
        };
        self.headers.push((section, key.span()));
        for (key, value) in table {
            let field = FIELDS.iter().find(|f| f.section() == section && f.name() == key.get_ref().as_ref());
            if !self.older(section, key, value) {
                match field {
                    Some(field) => self.field(field, value),
                    None => self.unknown_key(section, key),
                }
            }
        }
    }

    /// Takes a key of an older schema that is called otherwise today, holds something else or means nothing any more.
    fn older(&mut self, section: &str, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) -> bool {
        let former = format!("{section}.{}", key.get_ref());
        let (today, changed) = match self.former.bring(&former, raw(value.get_ref()).as_ref()) {
            Brought::Retired => return true,
            Brought::Key(today, changed) => (today, changed),
        };
        let Some(field) = by_key(&today) else { return false };
        if self.brought.contains(&field.key) || (today != former && self.answers.answer(field).is_some()) {
            let fault = Fault::new("is set twice, once under its former name", "keep one of the two");
            self.fault(key.span(), format!("`{today}`"), fault);
        }
        if today == former && changed.is_none() {
            return false;
        }
        self.brought.push(field.key);
        match changed {
            Some(value) => self.answers.set(field, value, Source::File),
            None => self.field(field, value),
        }
        true
    }

    /// A section that only an older schema has.
    fn former_section(&mut self, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(table) = value.get_ref() else { return self.unknown_section(key) };
        for (name, value) in table {
            if !self.older(key.get_ref(), name, value) {
                self.unknown_section(key);
            }
        }
    }

    /// What nothing asks for any more. It only has to be a section: whoever wrote it knew what it meant.
    fn retired(&mut self, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let reason = format!("is {}, but must be a section", type_name(value.get_ref()));
            let fault = Fault::new(reason, format!("write [{RETIRED}] on a separate line"));
            self.fault(key.span(), format!("`{RETIRED}`"), fault);
        }
    }

    fn unknown_key(&mut self, section: &'static str, key: &Spanned<Cow<'_, str>>) {
        let word = key.get_ref().as_ref();
        if let Some(today) = renamed(&format!("{section}.{word}")) {
            let remedy = match today {
                Brought::Key(today, _) => format!("rename it to `{today}`"),
                Brought::Retired => format!("it is no longer used: remove it, or move it to [{RETIRED}]"),
            };
            return self.fault(
                key.span(),
                "",
                Fault::new(format!("{} is unknown in [{section}]", named(word)), remedy),
            );
        }
        let here: Vec<_> = FIELDS.iter().filter(|field| field.section() == section).collect();
        let meant = nearest(word, here.iter().map(|field| field.name()));
        let remedy = match (meant, FIELDS.iter().find(|field| field.name() == word)) {
            (Some(name), _) => {
                self.unusable.extend(here.iter().filter(|field| field.name() == name).map(|field| field.key));
                format!("did you mean `{name}`?")
            }
            (None, Some(field)) => format!("move it below [{}]", field.section()),
            (None, None) => {
                let names: Vec<_> = here.iter().map(|field| format!("`{}`", field.name())).collect();
                format!("[{section}] has {}", names.join(", "))
            }
        };
        self.fault(key.span(), "", Fault::new(format!("{} is unknown in [{section}]", named(word)), remedy));
    }

    fn field(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) {
        let Some(read) = self.typed(field, value) else {
            self.unusable.push(field.key);
            return;
        };
        let mut sound = true;
        if let (DeValue::Array(items), Value::List(texts)) = (value.get_ref(), &read) {
            for (item, text) in items.iter().zip(texts) {
                if let Err(fault) = field.check_text(text) {
                    self.fault(item.span(), format!("`{}`", field.key), fault);
                    sound = false;
                }
            }
        }
        // An empty value where one is needed is reported as missing, once it is known whether the field applies.
        if let (true, Err(fault)) = (sound && !(read.is_empty() && field.may_be_empty()), field.check(&read)) {
            self.fault(value.span(), format!("`{}`", field.key), fault);
            // What is said to be empty is not missing as well.
            self.unusable.extend(read.is_empty().then_some(field.key));
        }
        self.answers.set(field, read, Source::File);
    }

    /// The value, when it is of the field's sort.
    fn typed(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let wanted = match (field.kind, value.get_ref()) {
            (ValueKind::Text | ValueKind::Choice(_), DeValue::String(text)) => {
                return Some(Value::Text(text.to_string()));
            }
            (ValueKind::Bool, DeValue::Boolean(yes)) => return Some(Value::Bool(*yes)),
            (ValueKind::Number { .. }, DeValue::Integer(number)) => {
                // What 64 bits cannot hold is out of every field's range.
                let number = i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(i64::MAX);
                return Some(Value::Number(number));
            }
            (ValueKind::List { .. }, DeValue::Array(items)) => return self.typed_items(field, items),
            (ValueKind::Text | ValueKind::Choice(_), _) => "a text in quotes",
            (ValueKind::Bool, _) => "`true` or `false`, without quotes",
            (ValueKind::Number { .. }, _) => "a number, without quotes",
            (ValueKind::List { .. }, _) => "a list in brackets",
        };
        let reason = format!("is {}", type_name(value.get_ref()));
        let remedy = format!("write {wanted}, such as `{}`", field.example_line());
        self.fault(value.span(), format!("`{}`", field.key), Fault::new(reason, remedy));
        None
    }

    fn typed_items(&mut self, field: &'static Field, items: &DeArray<'_>) -> Option<Value> {
        let mut texts = Vec::new();
        for item in items {
            if let Some(text) = item.get_ref().as_str() {
                texts.push(text.to_owned());
            } else {
                let reason = format!("has {} in its list", type_name(item.get_ref()));
                self.fault(item.span(), format!("`{}`", field.key), Fault::new(reason, "write each item in quotes"));
            }
        }
        (texts.len() == items.len()).then_some(Value::List(texts))
    }

    fn missing(&mut self) {
        for field in self.answers.missing() {
            if self.unusable.contains(&field.key) {
                continue;
            }
            let header = self.headers.iter().find(|(section, _)| *section == field.section());
            let condition = |when: When| {
                let value = self.answers.get(when.key).map(|value| value.to_string()).unwrap_or_default();
                format!(" because `{}` is `{value}`", when.key)
            };
            let reason = format!("is missing{}", field.when.map(condition).unwrap_or_default());
            let section = header.map_or_else(|| format!("the section [{}] with ", field.section()), |_| String::new());
            let fault = Fault::new(reason, format!("add {section}`{}` ({})", field.example_line(), field.help));
            let span = header.map(|(_, span)| span.clone());
            self.problems.push(Problem::new(span, format!("`{}`", field.key), fault));
        }
    }
}

/// A value of a sort that fields have, whichever field it is for.
fn raw(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::Text(text.to_string())),
        DeValue::Boolean(yes) => Some(Value::Bool(*yes)),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Number),
        DeValue::Array(items) => {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<_>>().map(Value::List)
        }
        _ => None,
    }
}

/// A key in an error: cut, when it is long enough to be something else.
fn named(word: &str) -> String {
    if word.chars().count() <= 40 { format!("`{word}`") } else { "this key".to_owned() }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
