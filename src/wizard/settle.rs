//! Builds `factory.toml` from flags, variables, detected values, defaults and answers.

use std::path::Path;

use super::discover::{Discovered, Surroundings, discover};
use super::known::complete;
use super::memory::Memory;
use super::{Scope, run};
use crate::error::{Error, Result};
use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{FIELDS, Field, ValueKind};
use crate::factory::{self, AnswerFlags, Factory};
use crate::ui::prompt::Terminal;

/// What is known before anything is asked.
#[derive(Debug)]
pub struct Request<'a> {
    /// The directory of the control repo; it need not exist. An existing `factory.toml` has all settings.
    pub folder: &'a Path,
    /// The answers given as flags.
    pub flags: &'a AnswerFlags,
    /// Whether to take everything that has a default or was found, and to ask only for the rest.
    pub defaults: bool,
    /// Whether there is a terminal to ask on.
    pub interactive: bool,
    /// Whether that person sees all answers once more, if some were asked for.
    pub review: bool,
}

/// A factory, and the text of its `factory.toml`.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The factory.
    pub factory: Factory,
    /// Its `factory.toml`: the one that was there, or a new one with comments.
    pub text: String,
    /// Settings that were neither asked for nor the default: detected on this machine, or derived from other settings. Empty when there was
    /// a person, who saw it, or a `factory.toml`.
    pub taken: Vec<Taken>,
}

/// An answer that was taken unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The flag by which another one can be given, without its dashes.
    pub flag: &'static str,
    /// The answer.
    pub value: String,
    /// Where it is from, such as `git config user.name`.
    pub source: String,
}

/// Builds a factory from flags, variables, detected values, defaults and, on a terminal, answers. It writes only the saved answers of a
/// canceled wizard.
///
/// # Errors
/// `Usage` with every flag or variable that cannot be used, or, without a terminal, with every answer that is missing;
/// `Data` if an existing `factory.toml` cannot be read; `Interrupted` if the user cancels.
pub fn settle(request: &Request<'_>) -> Result<Settled> {
    let around = Surroundings::here(request.folder);
    let given = request.flags.answers(around.variable)?;
    let path = request.folder.join(factory::FILE_NAME);
    if path.exists() {
        return existing(&path, &given);
    }
    let found = discover(&around);
    let (factory, taken) = if request.interactive {
        let memory = Memory::at(&around.state(), &around.folder);
        let scope = Scope { only_missing: request.defaults, review: request.review };
        (run(&Terminal::open()?, &found, given, &memory, scope)?, Vec::new())
    } else {
        without_a_person(given, &found, request.defaults)?
    };
    let text = factory::to_toml(&factory)?;
    Ok(Settled { factory, text, taken })
}

/// Uses an existing `factory.toml`. Flags and variables must agree with it.
fn existing(path: &Path, given: &Answers) -> Result<Settled> {
    let name = path.display();
    let factory = factory::read(path)?;
    let text = crate::budget::read_text(path).map_err(|error| Error::data(format!("cannot read {name}: {error}")))?;
    let says = Answers::of(&factory)?;
    let differing = FIELDS.iter().filter_map(|field| {
        let answer = given.answer(field).filter(|answer| says.get(field.key).as_ref() != Some(&answer.value))?;
        Some(answer.source.describe(field))
    });
    let differing: Vec<String> = differing.collect();
    if differing.is_empty() {
        return Ok(Settled { factory, text, taken: Vec::new() });
    }
    let message = format!("{name} has different values for: {}", differing.join(", "));
    Err(Error::usage(message).hint(format!("change them in {name}, or run the command without them")))
}

fn without_a_person(mut answers: Answers, found: &Discovered, defaults: bool) -> Result<(Factory, Vec<Taken>)> {
    complete(&mut answers, found, defaults);
    let missing = answers.missing();
    if !missing.is_empty() {
        return Err(incomplete(&missing, "init"));
    }
    let taken = FIELDS.iter().filter_map(|field| {
        let answer = answers.answer(field)?;
        let source = match &answer.source {
            Source::Found(place) => place.clone(),
            Source::Suggested => "from other settings".to_owned(),
            _ => return None,
        };
        Some(Taken { flag: field.flag, value: answer.value.to_string(), source })
    });
    let taken = taken.collect();
    Ok((answers.to_factory()?, taken))
}

/// Lists all missing settings in one error: flag, variable and help.
pub(super) fn incomplete(missing: &[&Field], command: &str) -> Error {
    let flag = |field: &Field| {
        let value = if matches!(field.kind, ValueKind::Number { .. }) { "NUMBER" } else { "TEXT" };
        format!("--{} {value}", field.flag)
    };
    let width = missing.iter().map(|field| flag(field).len()).max().unwrap_or_default();
    let wide = missing.iter().map(|field| field.env().len()).max().unwrap_or_default();
    let lines = missing.iter().map(|field| format!("  {:width$}  {:wide$}  {}", flag(field), field.env(), field.help));
    let count =
        if missing.len() == 1 { "1 missing setting".to_owned() } else { format!("{} missing settings", missing.len()) };
    let lines: Vec<String> = lines.collect();
    Error::usage(format!("cannot ask for {count} without a terminal\n{}", lines.join("\n")))
        .hint(format!("pass them as flags of `factoryup {command}` or as variables, or run the command on a terminal"))
}
