//! The value of a field without asking for it.

use super::discover::Discovered;
use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{FIELDS, Field, Value};

/// A value for the field and where it comes from, best first: detected on this machine, derived from other settings, the default. With
/// `guess` also what a question would only begin with, such as the folder's name for the factory's.
pub(super) fn known(field: &Field, answers: &Answers, found: &Discovered, guess: bool) -> Option<(Value, Source)> {
    let of = |answers: &Answers| answers.answer(field).map(|answer| (answer.value.clone(), answer.source.clone()));
    let suggested = || {
        let text = field.suggest.filter(|_| guess || field.default.is_some())?(&|key| answers.get(key))?;
        Some((field.read(&text).ok()?, Source::Suggested))
    };
    of(&found.answers)
        .or_else(|| of(&found.presets).filter(|_| guess))
        .or_else(suggested)
        .or_else(|| usual_keys(field, found).filter(|_| guess))
        .or_else(|| Some((field.default_value()?, Source::Default)))
}

/// The keys that ssh would offer by itself.
fn usual_keys(field: &Field, found: &Discovered) -> Option<(Value, Source)> {
    let usual: Vec<_> = found.keys.iter().filter(|key| key.usual).collect();
    let places: Vec<_> = usual.iter().map(|key| key.place.as_str()).collect();
    let source = Source::Found(places.join(", "));
    let keys = Value::List(usual.iter().map(|key| key.line.clone()).collect());
    (field.key == "host.authorized_keys" && !usual.is_empty()).then_some((keys, source))
}

/// Fills in what need not be asked, and takes out what no longer applies. Defaults stay unsaid: they are the model's.
pub(super) fn complete(answers: &mut Answers, found: &Discovered, guess: bool) {
    for field in FIELDS {
        let source = answers.answer(field).map(|answer| answer.source.clone());
        let own = matches!(source, Some(Source::Flag | Source::Environment | Source::File));
        if (!own && !field.applies(answers)) || matches!(source, Some(Source::Suggested)) {
            answers.unset(field);
        }
        if answers.answer(field).is_none() && field.applies(answers) {
            let value = known(field, answers, found, guess).filter(|(_, source)| *source != Source::Default);
            if let Some((value, source)) = value {
                answers.set(field, value, source);
            }
        }
    }
}
