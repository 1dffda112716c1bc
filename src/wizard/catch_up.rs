//! Asks an existing factory for the settings of a newer version.

use std::ffi::OsString;

use super::flow::ask_only;
use super::settle::incomplete;
use crate::error::{Error, Result};
use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{FIELDS, Field};
use crate::factory::{AnswerFlags, Renewed, new_questions, parse, renew, said};
use crate::ui::prompt::Asker;

/// An existing factory, with the settings known before any question.
#[derive(Clone, Copy, Debug)]
pub struct CatchUp<'a> {
    /// The text of its `factory.toml`.
    pub text: &'a str,
    /// What errors call that text.
    pub called: &'a str,
    /// The text of the answers last applied, if there is one: what it lacks is new.
    pub lock: Option<&'a str>,
    /// The text of `factory.toml` on the branch of an upgrade that is not merged yet, if there is one. What was [answered
    /// there](answered_there) is not asked again; flags and variables come before it.
    pub earlier: Option<&'a str>,
    /// Answers given as flags.
    pub flags: &'a AnswerFlags,
    /// Looks up an environment variable. Only what is new is taken from there.
    pub variable: fn(&str) -> Option<OsString>,
}

/// Answers what is new: from flags, from variables, from an upgrade that waits, by asking `asker`, or else by what each field offers. The text that comes back
/// has the answers in it, and is written nowhere.
///
/// # Errors
/// `Usage` when a flag cannot be used or says something else than the file, or when there is no one to ask and an answer is needed that
/// nothing offers; `Interrupted` when the person leaves; `Data` when the text is not a `factory.toml`.
pub fn catch_up(request: &CatchUp<'_>, asker: Option<&dyn Asker>) -> Result<Renewed> {
    let CatchUp { text, called, lock, earlier, flags, variable } = *request;
    let given = flags.answers(variable)?;
    let mut known = given.clone();
    known.fill_from(&earlier.map(|earlier| answered_there(text, earlier, asker.is_some())).unwrap_or_default());
    let new = lock.map(|lock| new_questions(text, lock, &known)).unwrap_or_default();
    if new.is_empty() {
        // So that what is wrong with the file comes before what is wrong with a flag.
        parse(text, called)?;
    }
    let mut answers = Answers::default();
    for field in &new {
        if let Some(answer) = known.answer(field) {
            answers.set(field, answer.value.clone(), answer.source.clone());
        }
    }
    if let Some(asker) = asker {
        answers = ask_only(asker, &new, answers)?;
    }
    let open = |field: &&&Field| answers.answer(field).is_none() && answers.offer(field).is_none();
    let missing: Vec<&Field> = new.iter().filter(open).copied().collect();
    if !missing.is_empty() {
        return Err(incomplete(&missing, "upgrade"));
    }
    let renewed = renew(text, called, lock, &answers)?;
    refuse_otherwise(called, &given, &Answers::of(&renewed.factory)?)?;
    Ok(renewed)
}

/// What counts as answered of `earlier`, the `factory.toml` of an upgrade that is not merged yet, beside `text`, the one that is there.
/// Where somebody can be asked, not what is offered anyway: it may have been taken when nobody was, and Enter takes it again.
#[must_use]
pub fn answered_there(text: &str, earlier: &str, can_ask: bool) -> Answers {
    let mut there = said(earlier);
    let here = said(text);
    for field in FIELDS.iter().filter(|_| can_ask) {
        if there.answer(field).is_some_and(|answer| here.offer(field).as_ref() == Some(&answer.value)) {
            there.unset(field);
        }
    }
    there
}

/// Refuses flags that contradict the file: flags answer only new settings.
fn refuse_otherwise(called: &str, given: &Answers, says: &Answers) -> Result<()> {
    let differs = |field: &&Field| {
        let flag = given.answer(field).filter(|answer| answer.source == Source::Flag);
        flag.is_some_and(|answer| says.get(field.key).as_ref() != Some(&answer.value))
    };
    let flags: Vec<String> = FIELDS.iter().filter(differs).map(|field| format!("--{}", field.flag)).collect();
    if flags.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!("{called} has different values for: {}", flags.join(", ")))
        .hint(format!("change them in {called}, then run the command again without the flags")))
}
